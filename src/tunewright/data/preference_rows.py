"""Rows of preferences: a prompt, the answer that was chosen and the one that was rejected."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from . import dialogues, turns
from .columns import Roles, lacking
from .row import Dialogue, Row
from .table import Table, is_missing, own_id, shown

Message = dict[str, Any]

PROMPTS = ("prompt", "question", "instruction", "query")
INPUT = "input"  # what an instruction is about (Alpaca)
SYSTEMS = ("system", "system_prompt")
ANSWERS = (("chosen", "rejected"), ("answer_matching_behavior", "answer_not_matching_behavior"), ("output", "rejected"))
ANSWERING = ("assistant", "tool")  # whose turns can follow a prompt
PROMPTED = "prompt, chosen, rejected"
DIALOGUES = "chosen and rejected dialogues"
SAME = "chosen and rejected are the same"
NO_USER = "no user turn"
TRANSCRIPT = re.compile(r"\s*Human:.*\n\nAssistant:", re.DOTALL)  # Anthropic's HH
SPEAKER = re.compile(r"\n\n(Human|Assistant):")
SPOKEN = {"Human": "user", "Assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ways to go on after a prompt: messages of the assistant (and of tools), the better ones chosen."""

    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]


def find(table: Table) -> Roles | None:
    """The columns of prompts, chosen and rejected answers, by their names; None where there are none."""
    lower = {name.lower(): name for name in table.columns}
    label = next((tuple(lower[name] for name in pair) for pair in ANSWERS if set(pair) <= set(lower)), None)
    if label is None:
        return None
    text = label[:1] if holds_dialogues(table, label[0]) else prompt_columns(table)
    return described(table, text, label) if text else None


def prompt_columns(table: Table) -> tuple[str, ...]:
    """The columns that a prompt is made of; an instruction may have an input."""
    prompt = table.named(*PROMPTS)
    extra = table.named(INPUT) if prompt and prompt.lower() == "instruction" else None
    return tuple(name for name in (prompt, extra) if name)


def holds_dialogues(table: Table, column: str) -> bool:
    """Whether a column's first cell is a dialogue from its beginning, and no answer alone."""
    cell = next((cell for row in table.rows if not is_missing(cell := parsed(row[column]))), None)
    if isinstance(cell, list):
        first = cell[0] if cell and isinstance(cell[0], dict) else {}
        return turns.ROLES.get(str(first.get("role") or first.get("from"))) in ("system", "user")
    return isinstance(cell, str) and TRANSCRIPT.match(cell) is not None


def described(table: Table, text: Sequence[str], label: Sequence[str]) -> Roles:
    """Roles with the shape that these columns have, and what a person should know of it."""
    whole = holds_dialogues(table, label[0])
    parts = [f"chosen: {label[0]}", f"rejected: {label[1]}"]
    if whole:
        parts.append("whole dialogues; what they have in common is the prompt")
    else:
        parts.insert(0, f"prompt: {' and '.join(text)}")
    system = table.named(*SYSTEMS)
    return Roles(
        tuple(label[:1] if whole else text), tuple(label), None,
        ("; ".join([*parts, *([f"system: {system}"] if system else [])]),), DIALOGUES if whole else PROMPTED,
    )  # fmt: skip


def roles(table: Table, text: Sequence[str] | None, label: Sequence[str] | None) -> Roles:
    """Roles of a table's columns: as named, the rest by their names.

    Raises:
        DataError: a named column is missing, or nothing fits.
    """
    table.require_all(text, label)
    if label and len(label) != 2:
        raise DataError("a chosen and a rejected answer are read", where="data.label", fix="name both columns")
    found = find(table)
    label = label or (found.label if found else None)
    text = text or prompt_columns(table) or (found.text if found else None)
    if not label or not (text or holds_dialogues(table, label[0])):
        what = f"no columns of prompts and answers; there are {', '.join(map(repr, table.columns))}"
        raise DataError(what, where=table.source, fix="name them: data.text=[prompt] data.label=[chosen,rejected]")
    return described(table, text or (), label)


def match(table: Table, roles: Roles, labelled: bool) -> Roles:
    """The same roles in another file, whose columns may have other names; without labels prompts are enough.

    Raises:
        DataError: none of its columns are known.
    """
    wanted = (*roles.text, *(roles.label if labelled else ()))
    if all(name in table.columns for name in wanted):
        return Roles(roles.text, roles.label, form=roles.form)
    found = find(table)
    if found is None and not labelled and (prompt := prompt_columns(table)):
        found = Roles(prompt, roles.label, None, (f"prompt: {' and '.join(prompt)}",), PROMPTED)
    if found is None:
        raise lacking(table, next(name for name in wanted if name not in table.columns))
    return Roles(found.text, found.label, None, tuple(f"{table.source}: {note}" for note in found.notes), found.form)


def read(table: Table, index: int, roles: Roles, labelled: bool) -> Row | str:
    """One pair, or the reason why it is unusable.

    Raises:
        DataError: a cell that is no text and no dialogue, or two dialogues with different prompts.
    """
    for name in (*(roles.text[:1]), *(roles.label if labelled else ())):
        if is_missing(table.rows[index][name]):
            return f"column {name!r} is empty"
    whole = roles.form == DIALOGUES
    if labelled:
        prompt, pair = (parted if whole else prompted)(table, index, roles)
        reason = unusable(pair, roles)
    else:
        prompt, pair, reason = opening(table, index, roles), None, None
    prompt = with_system(table, index, prompt)
    asked = [message["content"] for message in prompt if message["role"] == "user" and message["content"].strip()]
    if reason or not asked:
        return reason or f"{NO_USER} (column {roles.text[0]!r})"
    record = table.rows[index]
    tools = turns.read_tools(record.get("tools"), f"{table.where(index)}, column 'tools'")
    return Row(table.numbers[index], (asked[-1],), pair, id=own_id(record), dialogue=Dialogue(prompt, tools))


def unusable(pair: Pair, roles: Roles) -> str | None:
    for name, answer in zip(roles.label, (pair.chosen, pair.rejected), strict=True):
        if not any(message["content"].strip() or message.get("tool_calls") for message in answer):
            return f"the answer in column {name!r} is empty"
    return f"{SAME} (columns {', '.join(map(repr, roles.label))})" if pair.chosen == pair.rejected else None


def prompted(table: Table, index: int, roles: Roles) -> tuple[tuple[Message, ...], Pair]:
    """(prompt, answers) where each has a column of its own."""
    chosen, rejected = (answer(table, index, name) for name in roles.label)
    return asked_in(table, index, roles.text), Pair(chosen, rejected)


def asked_in(table: Table, index: int, names: Sequence[str]) -> tuple[Message, ...]:
    """The prompt of some columns: messages, a transcript, or texts below each other."""
    cells = [parsed(table.rows[index][name]) for name in names]
    if isinstance(cells[0], list) or (isinstance(cells[0], str) and TRANSCRIPT.match(cells[0])):
        found = messages(cells[0], table, index, names[0])
        return found if found[-1]["content"].strip() or found[-1]["role"] == "user" else found[:-1]
    texts = ["" if is_missing(cell) else dialogues.cell_text(cell, table, index, name)
             for cell, name in zip(cells, names, strict=True)]  # fmt: skip
    if names[0].lower() == "instruction" and len(names) < 3:
        return (dialogues.wrapped("instruction", texts),)
    return ({"role": "user", "content": "\n\n".join(filter(None, texts))},)


def answer(table: Table, index: int, column: str) -> tuple[Message, ...]:
    """An answer: a text, or messages of the assistant."""
    cell = parsed(table.rows[index][column])
    if not isinstance(cell, list):
        return ({"role": "assistant", "content": dialogues.cell_text(cell, table, index, column)},)
    found = messages(cell, table, index, column)
    other = next((message["role"] for message in found if message["role"] not in ANSWERING), None)
    if other:
        what = f"column {column!r} holds a turn of the {other} beside the answer"
        raise DataError(what, where=table.where(index), fix="give the answer alone; what it answers is the prompt")
    check_answer(found, found, table, index, column)
    return found


def parted(table: Table, index: int, roles: Roles) -> tuple[tuple[Message, ...], Pair]:
    """(prompt, answers) of two dialogues: their longest common run of leading messages, and what follows it."""
    first, second = (messages(parsed(table.rows[index][name]), table, index, name) for name in roles.label)
    common = next((place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    if common is None:
        common = min(len(first), len(second)) - 1  # one goes on where the other ends: its last turn is the answer
    for name, found in zip(roles.label, (first, second), strict=True):
        check_answer(found[common:], found, table, index, name)
    return first[:common], Pair(first[common:], second[common:])


def check_answer(rest: tuple[Message, ...], whole: tuple[Message, ...], table: Table, index: int, column: str) -> None:
    """Raises DataError where what follows a prompt is not the assistant's, up to the end."""
    where = table.where(index)
    if whole[-1]["role"] != "assistant":
        what = f"column {column!r} ends with a turn of the {whole[-1]['role']}"
        raise DataError(what, where=where, fix="end it with the answer, a turn of the assistant")
    if any(message["role"] not in ANSWERING for message in rest):
        turn = len(whole) - len(rest) + 1
        what = f"column {column!r}: chosen and rejected part at turn {turn}, before the last question: two prompts"
        raise DataError(what, where=where, fix="give both the same turns up to the answer")


def opening(table: Table, index: int, roles: Roles) -> tuple[Message, ...]:
    """The prompt alone: of a dialogue all but the answer that ends it."""
    if roles.form != DIALOGUES:
        return asked_in(table, index, roles.text)
    found = messages(parsed(table.rows[index][roles.text[0]]), table, index, roles.text[0])
    while found and found[-1]["role"] == "assistant":
        found = found[:-1]
    return found


def with_system(table: Table, index: int, prompt: tuple[Message, ...]) -> tuple[Message, ...]:
    column = table.named(*SYSTEMS)
    if column is None or is_missing(table.rows[index][column]) or any(turn["role"] == "system" for turn in prompt):
        return prompt
    return ({"role": "system", "content": str(table.rows[index][column])}, *prompt)


def parsed(cell: Any) -> Any:
    """A cell of a csv file may hold messages as JSON; one message is a list of one."""
    if isinstance(cell, str) and cell[:2] in ("[{", '{"'):
        with contextlib.suppress(ValueError):
            value = json.loads(cell)
            first = value[0] if isinstance(value, list) and value else value
            cell = value if isinstance(first, dict) and {"role", "from"} & set(first) else cell
    return [cell] if isinstance(cell, dict) else cell


def messages(cell: Any, table: Table, index: int, column: str) -> tuple[Message, ...]:
    """Turns of a list of messages or of a transcript.

    Raises:
        DataError: it is neither.
    """
    where = f"{table.where(index)}, column {column!r}"
    if isinstance(cell, str) and TRANSCRIPT.match(cell):
        _, *parts = SPEAKER.split("\n\n" + cell.lstrip())
        return tuple(
            {"role": SPOKEN[speaker], "content": said.removeprefix(" ")}
            for speaker, said in zip(parts[::2], parts[1::2], strict=True)
        )
    if isinstance(cell, list) and cell:
        return tuple(turns.read_turns(cell, where))
    fix = f'write {turns.FORM}, or "\\n\\nHuman: ...\\n\\nAssistant: ..."'
    raise DataError(f"{shown(cell)} is no dialogue", where=where, fix=fix)
