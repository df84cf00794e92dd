"""Repairs of data files: records in, records out, one at a time. Spans and answers still mark what they marked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ..errors import ConfigError, DataError, suggest
from . import questions, words
from .columns import Roles
from .corrections import CLASSIFICATION, DROP, Correction, Record, checked, corrected, read_corrections
from .edits import TEXTS, Edits, apply, control_edits, moved
from .ledger import normalised
from .preference_rows import parsed
from .table import Table, is_missing

__all__ = ["FIXES", "Correction", "Repaired", "label_key", "read_corrections", "repair"]

MARKED = ("token_classification", "question_answering")  # tasks whose labels are places in the text
WRAPPED = {"classification": CLASSIFICATION, "question_answering": "question_answering"}  # shapes of causal_lm's rows
LEFT_ALONE = "left alone: spans"
PROSE = ("content", "value", "text")  # keys of a message whose values are what is said
FIXES = (*TEXTS, "labels", "duplicates")


def everywhere(value: Any, edits: Edits) -> Any:
    """A cell with its texts edited: a text, sentences, or what is said in messages (also those written as JSON)."""
    if isinstance(value, str):
        messages = parsed(value)
        if isinstance(messages, str):
            return apply(value, edits(value))
        mended = everywhere(messages, edits)
        same = mended == messages
        return value if same else json.dumps(mended if value[0] == "[" else mended[0], ensure_ascii=False)
    if isinstance(value, list):
        return [everywhere(item, edits) for item in value]
    if isinstance(value, dict):
        return {key: everywhere(item, edits) if key in PROSE else item for key, item in value.items()}
    return value


def mended(record: Record, roles: Roles, kind: str, edits: Edits, whole: bool) -> Record | None:
    """A record with its texts edited; None where that would lose what its labels mark.

    Args:
        whole: whether columns without a role are edited too.
    """
    marked = roles.text[-1:] if kind in MARKED else ()
    labelled = roles.label if kind in (CLASSIFICATION, *MARKED) else ()  # else the answers, which are texts
    others = record if whole else (*roles.text, *roles.label)
    plain = [name for name in dict.fromkeys(others) if name in record and name not in (*marked, *labelled)]
    new = record | {name: everywhere(record[name], edits) for name in plain}
    if not marked or is_missing(record.get(marked[0])):
        return new
    if kind == "question_answering":
        return with_answers(new, roles, edits)
    by_words = isinstance(record[marked[0]], list)
    return with_tokens(new, roles, edits) if by_words else with_spans(new, roles, edits)


def with_tokens(record: Record, roles: Roles, edits: Edits) -> Record:
    """As many tokens as before: each that an edit meets is edited; what is masked across several, in each of them."""
    tokens = [str(token) for token in record[roles.text[0]]]
    text, start, new = " ".join(tokens), 0, []
    found = edits(text)
    for token in tokens:
        end = start + len(token)
        own = [edit for edit in found if edit[0] < end and edit[1] > start]
        inside = [(max(s, start) - start, min(e, end) - start, word) for s, e, word in own]
        edited = apply(token, inside)
        new.append(token if not edited or any(map(str.isspace, edited)) else edited)
        start = end + 1
    return record | {roles.text[0]: new}


def with_spans(record: Record, roles: Roles, edits: Edits) -> Record | None:
    """A text with its spans moved."""
    text, cell = str(record[roles.text[0]]), record[roles.label[0]] if roles.label else None
    found = edits(text)
    if not found:
        return record
    items = cell if isinstance(cell, list) else []
    spans = [bounds(item) for item in items]
    places = None if None in spans else moved([span for span in spans if span], found)
    new = apply(text, found)
    if places is None or any(not new[start:end].strip() for start, end in places):
        return None
    record = record | {roles.text[0]: new}
    return record | {roles.label[0]: list(map(placed, items, places, [new] * len(items)))} if items else record


def bounds(item: Any) -> tuple[int, int] | None:
    """Start and end of a span in either of its forms; None where it is none."""
    start = item.get("start") if isinstance(item, dict) else item[0] if isinstance(item, list) and item else None
    end = item.get("end") if isinstance(item, dict) else item[1] if isinstance(item, list) and len(item) > 1 else None
    return (start, end) if type(start) is int and type(end) is int else None


def placed(item: Any, place: tuple[int, int], text: str) -> Any:
    start, end = place
    if isinstance(item, dict):
        return item | {"start": start, "end": end} | ({"text": text[start:end]} if "text" in item else {})
    return [start, end, *item[2:]]


def with_answers(record: Record, roles: Roles, edits: Edits) -> Record | None:
    """A context edited and the answers in it moved; an answer without a start is edited alike and must be in it."""
    context = str(record[roles.text[-1]])
    found = edits(context)
    if not found or not roles.label:
        return record
    cell = questions.unwrapped(record[roles.label[0]])
    if isinstance(cell, dict) and "text" not in cell:
        return None  # no form that we know
    given = record[roles.label[1]] if len(roles.label) > 1 else None
    table = Table("", list(record), [record], [0], "")
    try:
        pairs = questions.pairs(record[roles.label[0]], given, table, 0, roles.label[0])
    except DataError:
        return None
    new = apply(context, found)
    answers = [answer_in(text, start, context, new, edits) for text, start in pairs]
    if None in answers:
        return None
    record = record | {roles.text[-1]: new}
    return record | rewritten(record[roles.label[0]], [item for item in answers if item], roles) if answers else record


def answer_in(text: str, start: int | None, context: str, new: str, edits: Edits) -> tuple[str, int | None] | None:
    """One answer's text and start in the edited context; None where they can't be told."""
    if start is None or not text:
        said = apply(text, edits(text))
        return (said, start) if said in new else None
    if not context.startswith(text, start):
        return None
    places = moved([(start, start + len(text))], edits(context))
    return (new[slice(*places[0])], places[0][0]) if places else None


def rewritten(cell: Any, answers: Sequence[tuple[str, int | None]], roles: Roles) -> Record:
    """Answers in the form in which the cell gave them."""
    if questions.unwrapped(cell) is not cell:
        inner = rewritten(questions.unwrapped(cell), answers, roles)
        return {roles.label[0]: json.dumps(inner[roles.label[0]], ensure_ascii=False)}
    if isinstance(cell, dict):
        texts, starts = [text for text, _ in answers], [start for _, start in answers]
        several = isinstance(cell["text"], list)
        new = {"text": texts, "answer_start": starts} if several else {"text": texts[0], "answer_start": starts[0]}
        return {roles.label[0]: cell | {key: value for key, value in new.items() if key in cell}}
    if isinstance(cell, list):
        items = [
            item | {"text": text} | ({"answer_start": start} if "answer_start" in item else {})
            if isinstance(item, dict) else text
            for item, (text, start) in zip(cell, answers, strict=True)
        ]  # fmt: skip
        return {roles.label[0]: items}
    return {roles.label[0]: answers[0][0]} | ({roles.label[1]: answers[0][1]} if len(roles.label) > 1 else {})


def label_key(name: str) -> str:
    """What makes labels one: case, what parts their words (blank, hyphen, underscore), the unseen do not matter."""
    plain = normalised((apply(name, control_edits(name)),))
    return re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", plain)


def relabelled(cell: Any, roles: Roles, change: Callable[[str], str]) -> Any:
    """A label cell with every name changed: one, several, tags with their prefixes, or types of spans."""
    if isinstance(cell, str):
        if roles.delimiter:
            return roles.delimiter.join(change(part) for part in cell.split(roles.delimiter))
        prefix, name = re.fullmatch(r"([BIOESLMUW]-)?(.*)", cell, re.DOTALL).groups() if roles.form else ("", cell)  # type: ignore[union-attr]
        return (prefix or "") + (change(name) if name else name)
    if isinstance(cell, dict):
        key = next((key for key in words.TYPE_KEYS if isinstance(cell.get(key), str)), None)
        return cell | {key: change(cell[key])} if key else cell
    if isinstance(cell, list) and len(cell) == 3 and isinstance(cell[0], int) and isinstance(cell[2], str):
        return [*cell[:2], change(cell[2])]
    return [relabelled(item, roles, change) for item in cell] if isinstance(cell, list) else cell


def spellings(table: Table, roles: Roles) -> dict[str, str]:
    """The most frequent spelling of every label that is written in several ways, by each of them."""
    counts: Counter[str] = Counter()

    def note(name: str) -> str:
        counts[name] += 1
        return name

    for record in table.rows:
        relabelled(record[roles.label[0]], roles, note)
    groups: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        groups.setdefault(label_key(name), []).append(name)
    return {name: group[0].strip() for group in groups.values() if len(group) > 1 for name in group}


# --- the whole --------------------------------------------------------------------------------------------------------


@dataclass
class Repaired:
    """The repaired file.

    Args:
        records: in the file's order; made as they are asked for, once.
        changed: rows by what was done with them; complete when the records are through.
        notes: for the person to see.
    """

    records: Iterator[Record]
    changed: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def repair(
    table: Table, roles: Roles, task_kind: str, fixes: Sequence[str] = (),
    corrections: Mapping[int, Correction] | None = None, names: Sequence[str] | None = None,
) -> Repaired:  # fmt: skip
    """A file's records with what was asked for put right; of the whole file nothing is held but 8 bytes a row.

    Args:
        fixes: of FIXES; made in that order, whatever the order here.
        corrections: of `read_corrections`; made before the rest.
        names: what numbered labels mean.

    Raises:
        ConfigError: there is no such fix.
        DataError: a correction that does not fit the file.
    """
    for name in fixes:
        if name not in FIXES:
            raise ConfigError(f"there is no repair {name!r}", where="--fix", fix=suggest(name, FIXES))
    task_kind = WRAPPED.get(roles.form, task_kind)
    notes = checked(corrections or {}, table, roles, task_kind, names)
    one_column = len(roles.label) == 1 and task_kind in (CLASSIFICATION, MARKED[0])
    merged = spellings(table, roles) if "labels" in fixes and one_column else {}
    found = Repaired(iter(()), notes=notes)
    made = corrected_records(table, roles, corrections or {}, names, found.changed)
    made = (repaired(record, roles, task_kind, fixes, merged, found.changed) for record in made)
    found.records = distinct(made, roles, found.changed) if "duplicates" in fixes else made
    return found


def corrected_records(
    table: Table, roles: Roles, corrections: Mapping[int, Correction], names: Any, changed: Counter[str]
) -> Iterator[Record]:
    for index, record in enumerate(table.rows):
        said = corrections.get(table.numbers[index])
        if said is None:
            yield record
        elif said.label == DROP:
            changed["dropped as corrected"] += 1
        else:
            new = corrected(table, index, record, roles, said.label, names)
            changed["corrected"] += new != record
            yield new


def repaired(
    record: Record, roles: Roles, kind: str, fixes: Sequence[str], merged: Mapping[str, str], changed: Counter[str]
) -> Record:
    for name, edits in TEXTS.items():
        if name in fixes:
            new = mended(record, roles, kind, edits, name == "personal")
            changed[LEFT_ALONE if new is None else name] += new != record
            record = record if new is None else new
    if merged:
        column = roles.label[0]
        cell = relabelled(record[column], roles, lambda name: merged.get(name, name))
        changed["labels"] += cell != record[column]
        record = record | {column: cell}
    return record


def distinct(records: Iterator[Record], roles: Roles, changed: Counter[str]) -> Iterator[Record]:
    """The first of all records with the same normalised texts and labels."""
    seen: set[int] = set()
    for record in records:
        cells = [record.get(name) for name in (*roles.text, *roles.label)]
        whole = normalised(tuple(cell if isinstance(cell, str) else json.dumps(cell, default=str) for cell in cells))
        key = int.from_bytes(blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        changed["duplicates"] += key in seen
        if key not in seen:
            seen.add(key)
            yield record
