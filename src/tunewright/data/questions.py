"""Rows of questions: a question, the context it is asked about, and the stretches of it that answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any

from ..errors import DataError
from .columns import Roles, lacking
from .row import Row
from .table import Table, is_missing, own_id, shown

QUESTIONS = ("question", "query")
CONTEXTS = ("context", "passage", "paragraph", "document")
ANSWERS = ("answers", "answer", "answer_text")
STARTS = ("answer_start", "start", "start_char")
MOVED = "answers found near answer_start, not at it"
SEARCHED = "answers without answer_start, found by their text"
FIRST_OF_SEVERAL = "answers without answer_start whose text occurs several times: the first is taken"


def find(table: Table) -> Roles | None:
    """The columns of questions, contexts and answers, by their names; None where there are none."""
    question, context, answer, start = (table.named(*names) for names in (QUESTIONS, CONTEXTS, ANSWERS, STARTS))
    if question is None or context is None:
        return None
    label = (answer, start) if answer and start else (answer,)
    return Roles((question, context), tuple(name for name in label if name))


def assign(table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None) -> Roles:
    """Roles of a table's columns.

    Raises:
        DataError: a named column is missing, nothing fits, or a delimiter was given.
    """
    table.require_all(text, label)
    if delimiter is not None:
        raise DataError("answers are not joined", where="data.label_delimiter", fix="leave it out")
    found = find(table)
    if text and len(text) != 2:
        raise DataError("a question and its context are read", where="data.text", fix="name both columns")
    if (found is None and not text) or (not (found and found.label) and not label):
        what = f"no columns of questions, contexts and answers; there are {', '.join(map(repr, table.columns))}"
        raise DataError(what, where=table.source, fix="name them: data.text=[question,context] data.label=[answer]")
    chosen = Roles(tuple(text or found.text), tuple(label or found.label))  # type: ignore[union-attr]
    note = f"question, context: {', '.join(chosen.text)}; answers: {', '.join(chosen.label)}"
    return Roles(chosen.text, chosen.label, None, () if text and label else (note,))


def match(table: Table, roles: Roles, labelled: bool) -> Roles:
    """The same roles in another file, which may write its answers in other columns."""
    wanted = (*roles.text, *(roles.label if labelled else ()))
    if all(name in table.columns for name in wanted):
        return Roles(roles.text, roles.label)
    found = find(table)
    if found is None or (labelled and not found.label):
        raise lacking(table, next(name for name in wanted if name not in table.columns))
    note = f"{table.source}: question, context: {', '.join(found.text)}; answers: {', '.join(found.label)}"
    return Roles(found.text, found.label or roles.label, None, (note,))


def read(table: Table, index: int, roles: Roles, labelled: bool) -> Row | str:
    """One question, or the reason why it is unusable.

    Raises:
        DataError: an answer that its context does not contain.
    """
    cells = [table.rows[index][name] for name in roles.text]
    for name, cell in zip(roles.text, cells, strict=True):
        if is_missing(cell):
            return f"column {name!r} is empty"
    question, context = str(cells[0]).strip(), str(cells[1])
    record = table.rows[index]
    title = record.get("title")
    group = context if is_missing(title) else str(title)
    mended = set[str]()
    label = answers(table, index, roles, context, mended) if labelled else None
    return Row(table.numbers[index], (question, context), label, None, own_id(record), group, tuple(sorted(mended)))


def answers(table: Table, index: int, roles: Roles, context: str, mended: set[str]) -> tuple[tuple[int, str], ...]:
    """(first character, text) of each gold answer; none for a question that its context does not answer."""
    column = roles.label[0]
    cell = table.rows[index][column]
    given = table.rows[index][roles.label[1]] if len(roles.label) > 1 else None
    if table.rows[index].get("is_impossible") in (True, "true", "True", 1, "1"):
        return ()
    found = []
    for text, start in pairs(cell, given, table, index, column):
        if text.strip():
            found.append(placed(text, start, context, mended, f"{table.where(index)}"))
    return tuple(dict.fromkeys(found))


def pairs(cell: Any, given: Any, table: Table, index: int, column: str) -> list[tuple[str, int | None]]:
    """(text, answer_start) of a cell in any of the forms that people use: SQuAD's, Hugging Face's, or a plain text."""
    cell = unwrapped(cell)
    if isinstance(cell, dict) and "text" in cell:
        texts = listed(cell["text"])
        starts = (listed(cell.get("answer_start")) if texts else []) or [None] * len(texts)
        if len(starts) != len(texts):
            what = f"column {column!r} has {len(starts)} starts for {len(texts)} answers"
            raise DataError(what, where=table.where(index), fix="give each answer one answer_start, or none of them")
        cell = list(zip(texts, starts, strict=True))
    elif isinstance(cell, list):
        items = (item if isinstance(item, dict) else {"text": item} for item in cell)
        cell = [(item.get("text"), item.get("answer_start")) for item in items]
    else:
        cell = [] if is_missing(cell) else [(str(cell), given)]
    return [checked(text, start, table, index, column) for text, start in cell]


def unwrapped(cell: Any) -> Any:
    """What a cell holds that is JSON; any other as it is."""
    if isinstance(cell, str) and cell[:1] in ("{", "[") and cell.strip()[-1:] in ("}", "]"):
        with contextlib.suppress(ValueError):
            return json.loads(cell)
    return cell


def listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def checked(text: Any, start: Any, table: Table, index: int, column: str) -> tuple[str, int | None]:
    if is_missing(start) or start == -1 or start == "-1":
        start = None
    if isinstance(start, str | float) and str(start).removesuffix(".0").isdigit():
        start = int(float(start))
    if not isinstance(text, str) or not (start is None or (type(start) is int and start >= 0)):
        what = f"column {column!r} holds {shown(text)} at {shown(start)} as an answer"
        fix = 'write {"text": "on Monday", "answer_start": 17}, or the text alone'
        raise DataError(what, where=table.where(index), fix=fix)
    return text, start


def placed(text: str, start: int | None, context: str, mended: set[str], where: str) -> tuple[int, str]:
    """Where an answer stands in its context: at `start`, else at the nearest place where its text is."""
    bare = text.strip()
    if start is not None and context.startswith(text, start):
        return start + len(text) - len(text.lstrip()), bare
    places = occurrences(bare, context)
    if not places:
        what = f"the answer {shown(bare)} is not in the context"
        raise DataError(what, where=where, fix="answers are stretches of the context, letter by letter")
    if start is None:
        mended.add(SEARCHED if len(places) == 1 else FIRST_OF_SEVERAL)
        return places[0], bare
    mended.add(MOVED)
    return min(places, key=lambda place: abs(place - start)), bare


def occurrences(text: str, context: str) -> list[int]:
    found, place = [], context.find(text)
    while place >= 0:
        found.append(place)
        place = context.find(text, place + 1)
    return found
