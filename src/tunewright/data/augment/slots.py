"""Slots: where the texts of a row may change, and how the row is written with changed ones. Labels stay true."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from .. import preference_rows, questions, tagging, turns, words
from ..columns import Roles
from ..row import Offsets, Row
from ..table import Table, is_missing
from .base import WORD, Changed, Edit, Passage

if TYPE_CHECKING:
    from ...tasks.base import Task

Record = dict[str, Any]


@dataclass(frozen=True)
class Slot:
    """One text of a record.

    Args:
        put: writes what became of the passage into a copy of the record; False where it cannot be written.
        rewritable: whether a model may write it anew; else it is only edited.
    """

    passage: Passage
    put: Callable[[Record, Changed], bool]
    rewritable: bool = True


def slots_of(task: Task, table: Table, index: int, roles: Roles, row: Row, names: Sequence[str] | None) -> list[Slot]:
    """The texts of a row that may change.

    Args:
        row: as the task read it.

    Raises:
        DataError: rows of this task have none.
    """
    record, shape = table.rows[index], getattr(task, "shape", "")
    if task.kind == "token_classification":
        column, cell = roles.text[0], record[roles.text[0]]
        return [
            of_tokens(record, roles, row, names) if isinstance(cell, list) else of_spans(record, column, roles.label[0])
        ]
    if task.kind == "question_answering" or shape == "question_answering":
        return of_question(table, index, roles)
    if task.kind == "causal_lm" and shape == "text":
        what = "rows are plain texts without a prompt: a changed text would be learned as it stands"
        raise DataError(what, where=table.source, fix="augment rows of prompts and answers, or of texts and labels")
    if task.kind == "preference" and roles.form == preference_rows.DIALOGUES:
        return of_shared_prompt(table, index, roles, row)
    if task.kind in ("causal_lm", "seq2seq", "preference") and shape != "classification":
        return [slot for name in roles.text for slot in of_prompt(record, name, roles, answer_of(row))]
    return [of_text(record, name, row.label) for name in roles.text]


def writer_of(column: str, as_list: bool = False) -> Callable[[Record, Changed], bool]:
    """as_list: the cell holds sentences, and holds one then."""

    def put(record: Record, changed: Changed) -> bool:
        record[column] = [changed.text] if as_list else changed.text
        return True

    return put


def of_text(record: Record, column: str, label: Any) -> Slot:
    return Slot(Passage(str(record[column]), label=label), writer_of(column))


# --- entities -------------------------------------------------------------------------------------------------------


def of_spans(record: Record, column: str, label: str) -> Slot:
    """A text whose entities are spans of characters; each is kept as it is written, nested ones too."""
    items = record[label] if isinstance(record[label], list) else []
    edges = [(item["start"], item["end"]) if isinstance(item, dict) else (item[0], item[1]) for item in items]

    def put(made: Record, changed: Changed) -> bool:
        moved = [
            {**item, "start": start, "end": end} if isinstance(item, dict) else [start, end, *item[2:]]
            for item, (start, end) in zip(items, changed.spans, strict=True)
        ]
        made[column] = changed.text
        made[label] = moved if items else made[label]
        return True

    return Slot(Passage(str(record[column]), tuple(edges)), put)


def of_tokens(record: Record, roles: Roles, row: Row, names: Sequence[str] | None) -> Slot:
    """Tokens with tags: edited ones are cut at blanks again, and each piece keeps the tag and the other cells."""
    column, label = roles.text[0], roles.label[0]
    tokens = [str(token) for token in record[column]]
    offsets = row.words or ()
    entities = [entity for entity in row.label if entity[2] != "O"]  # plain tags know an O too
    spans = tuple((offsets[first][0], offsets[last - 1][1]) for first, last, _ in entities)
    parallel = [key for key, cell in record.items() if isinstance(cell, list) and len(cell) == len(tokens)]

    def put(made: Record, changed: Changed) -> bool:
        if changed.edits is None:
            if set(parallel) > {column, label}:
                return False  # nobody knows the other cells of new words
            kinds = [(*span, kind) for span, (_, _, kind) in zip(changed.spans, entities, strict=True)]
            tagged = retagged(changed.text, kinds, words.scheme_of(roles, names), names)
            made[column], made[label] = tagged or ([], [])
            return tagged is not None
        pieces = [(piece, place) for place, own in enumerate(recut(tokens, offsets, changed.edits)) for piece in own]
        for key in parallel:
            made[key] = [made[key][place] for _, place in pieces]
        made[column] = [piece for piece, _ in pieces]
        return True

    return Slot(Passage(row.text[0], spans), put)


def recut(tokens: Sequence[str], offsets: Sequence[Offsets], edits: Sequence[Edit]) -> list[list[str]]:
    """What became of each token: itself where no edit met it; none, one or several pieces where one did."""
    found = []
    for token, (start, end) in zip(tokens, offsets, strict=True):
        own = [
            edit for edit in edits if (edit.start < end and edit.end > start) or start <= edit.start == edit.end <= end
        ]
        made, at = "", start
        for edit in own:
            made += token[at - start : max(edit.start, at) - start] + (edit.text if edit.start >= start else "")
            at = max(at, min(edit.end, end))
        made += token[at - start :]
        one_word = len(words.split(token)) == 1
        cut = [made[slice(*word)] for word in words.split(made)] if one_word else made.split()
        found.append(cut if own else [token])
    return found


def retagged(
    text: str, entities: Sequence[tuple[int, int, str]], scheme: str, names: Sequence[str] | None
) -> tuple[list[str], list[Any]] | None:
    """(tokens, tags) of a text written anew; None where an entity is no row of whole words, or two meet."""
    found = words.split(text)
    firsts, lasts = (
        {start: place for place, (start, _) in enumerate(found)},
        {end: p for p, (_, end) in enumerate(found)},
    )
    if any(start not in firsts or end not in lasts for start, end, _ in entities):
        return None
    try:
        spans = [(firsts[start], lasts[end] + 1, kind) for start, end, kind in entities]
        tags = tagging.tags_of(spans, len(found), scheme)
        return [text[slice(*word)] for word in found], [names.index(tag) for tag in tags] if names else list(tags)
    except ValueError:
        return None


# --- questions ------------------------------------------------------------------------------------------------------


def of_question(table: Table, index: int, roles: Roles) -> list[Slot]:
    """The question, and its context with the answers' characters kept; models write only the question anew."""
    record, column = table.rows[index], roles.label[0]
    question, context = (str(record[name]) for name in roles.text)
    given = record[roles.label[1]] if len(roles.label) > 1 else None
    answers = questions.pairs(record[column], given, table, index, column)
    spans: list[Offsets | None] = [place_of(text, start, context) for text, start in answers]

    def put(made: Record, changed: Changed) -> bool:
        moved = iter(changed.spans)
        starts = [start if span is None else next(moved)[0] for span, (_, start) in zip(spans, answers, strict=True)]
        starts = [None if start is None else new for new, (_, start) in zip(starts, answers, strict=True)]
        made[roles.text[1]] = changed.text
        made[column] = restarted(record[column], starts)
        if given is not None and starts:
            made[roles.label[1]] = type(given)(starts[0]) if starts[0] is not None else given
        return True

    kept = Passage(context, tuple(span for span in spans if span is not None))
    return [Slot(Passage(question), writer_of(roles.text[0])), Slot(kept, put, rewritable=False)]


def place_of(text: str, start: int | None, context: str) -> Offsets | None:
    """Where an answer stands as it is given; None for one that is empty or not there."""
    if not text.strip():
        return None
    if start is not None and context.startswith(text, start):
        return start, start + len(text)
    with contextlib.suppress(DataError):
        place, bare = questions.placed(text, start, context, set(), "")
        return place, place + len(bare)
    return None


def restarted(cell: Any, starts: Sequence[int | None]) -> Any:
    """A cell of answers with other starts, in the form that it has."""
    if isinstance(cell, str) and cell[:1] in "{[" and cell.strip()[-1:] in "}]":
        with contextlib.suppress(ValueError):
            return json.dumps(restarted(json.loads(cell), starts), ensure_ascii=False)
    if isinstance(cell, dict) and cell.get("answer_start") is not None:
        return {**cell, "answer_start": list(starts) if isinstance(cell["answer_start"], list) else starts[0]}
    if isinstance(cell, list):
        return [
            {**item, "answer_start": start} if isinstance(item, dict) and start is not None else item
            for item, start in zip(cell, starts, strict=True)
        ]
    return cell


# --- prompts --------------------------------------------------------------------------------------------------------


def answer_of(row: Row) -> str:
    """All that is to be learned of a row, as one text."""
    if isinstance(row.label, preference_rows.Pair):
        return " ".join(message["content"] for message in (*row.label.chosen, *row.label.rejected))
    return str(row.label or "")


def prompt(text: str, answer: str) -> Passage:
    """A prompt in which numbers, and words that the answer repeats, stay: the answer would not fit without them."""
    repeated = {word.lower() for word in WORD.findall(answer) if len(word) > 3}
    spans = (m.span() for m in WORD.finditer(text) if m[0].lower() in repeated or any(map(str.isdigit, m[0])))
    return Passage(text, tuple(spans), exact=False)


def of_prompt(record: Record, column: str, roles: Roles, answer: str) -> list[Slot]:
    """The last text of the user in a column: the cell, a part of it, or a turn."""
    cell = record[column]
    if is_missing(cell):
        return []
    if roles.delimiter is not None and isinstance(cell, dict):  # {"de": ..., "en": ...}
        return [at_path(record, column, [roles.delimiter.partition("->")[0]], answer)]
    if isinstance(cell, list) and cell and all(isinstance(part, str) for part in cell):
        return [Slot(prompt(" ".join(cell), answer), writer_of(column, as_list=True))]
    return of_turns(record, column, answer, plain=True)


def of_turns(record: Record, column: str, answer: str, plain: bool) -> list[Slot]:
    """The last turn of the user in a dialogue, whatever it is written as. plain: whether a text that is none counts."""
    cell = record[column]
    held = opened(cell)
    if isinstance(held, list) and held and isinstance(held[0], dict):
        asked = [
            place for place, turn in enumerate(held) if turns.ROLES.get(turn.get("role") or turn.get("from")) == "user"
        ]
        if not asked:
            return []
        key = "content" if held[asked[-1]].get("content") is not None else "value"
        return [at_path(record, column, [asked[-1], key], answer)]
    text = str(cell)
    if preference_rows.TRANSCRIPT.match(text):
        *_, last = (match for match in preference_rows.SPEAKER.finditer("\n\n" + text.lstrip()) if match[1] == "Human")
        return [of_transcript(text, last.end(), column, answer)]
    return [Slot(prompt(text, answer), writer_of(column))] if plain else []


def opened(cell: Any) -> Any:
    """A cell, or what its JSON says."""
    if isinstance(cell, str) and cell.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError):
            return json.loads(cell)
    return cell


def at_path(record: Record, column: str, path: Sequence[Any], answer: str) -> Slot:
    """A text inside of a cell of lists and mappings; a cell that was JSON is JSON again."""

    def put(made: Record, changed: Changed) -> bool:
        held = deepcopy(opened(made[column]))
        inside = held
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = changed.text
        made[column] = json.dumps(held, ensure_ascii=False) if isinstance(made[column], str) else held
        return True

    text = opened(record[column])
    for step in path:
        text = text[step]
    return Slot(prompt(turns.read_content(text, True, column), answer), put)


def of_transcript(text: str, start: int, column: str, answer: str) -> Slot:
    """What Human said last, in a transcript of Anthropic's form."""
    whole = "\n\n" + text.lstrip()
    following = preference_rows.SPEAKER.search(whole, start)
    end = following.start() if following else len(whole)

    def put(made: Record, changed: Changed) -> bool:
        made[column] = whole[:start] + " " + changed.text + whole[end:]
        return True

    return Slot(prompt(whole[start:end].removeprefix(" "), answer), put)


def of_shared_prompt(table: Table, index: int, roles: Roles, row: Row) -> list[Slot]:
    """The last turn of the user before two dialogues part; both are written with the same change."""
    record = table.rows[index]
    both = [of_turns(record, name, answer_of(row), plain=False) for name in roles.label]
    if not all(both) or both[0][0].passage.text != both[1][0].passage.text:
        return []
    first, second = both[0][0], both[1][0]
    return [replace(first, put=lambda made, changed: first.put(made, changed) and second.put(made, changed))]
