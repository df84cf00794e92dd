"""Rows of language models: instructions, prompts with completions, dialogues, plain texts, and wrapped other tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import DataError
from . import columns, questions
from .columns import Roles
from .row import Dialogue, Row
from .table import Table, is_missing, own_id, shown
from .turns import FORM, read_tools, read_turns

SHAPES = ("messages", "sharegpt", "instruction", "completion", "text",
          "classification", "question_answering", "summarisation")  # fmt: skip
MESSAGES = ("messages",)
CONVERSATIONS = ("conversations", "conversation")
ANSWERS = ("output", "response", "answer", "completion")
INPUTS = ("input", "context")
TEXTS = ("text", "content")
SEVERAL = "rows with several answers: the first is taken"
DOCUMENTS = ("document", "article", "source", "dialogue", "text")
UNANSWERABLE = "unanswerable"
SUMMARIES = ("summary", "highlights", "abstract", "target")
Message = dict[str, Any]


# --- columns --------------------------------------------------------------------------------------------------------


def find(table: Table) -> str | None:
    """The shape that the columns are made for; None where there is none. Other tasks' rows have to be asked for."""
    for shape in ("messages", "sharegpt"):
        found = detect(table, shape)
        if found and holds_lists(table, found.text[0]):
            return shape
    for shape in ("instruction", "completion"):
        found = detect(table, shape)
        if found and found.label and not table.named("label", "labels"):  # such rows judge answers, good and bad
            return shape
    return "text" if is_plain_text(table) else None


def holds_lists(table: Table, column: str) -> bool:
    """Whether a column's first filled cell is a list, or the JSON text of one: a message may also be a plain text."""
    cell = next((row[column] for row in table.rows if not is_missing(row[column])), None)
    return isinstance(cell, list) or (isinstance(cell, str) and cell.lstrip().startswith("["))


def detect(table: Table, shape: str) -> Roles | None:
    """The columns of a shape, by their names; `label` is empty where there are prompts alone."""
    if shape in ("messages", "sharegpt"):
        column = table.named(*(MESSAGES if shape == "messages" else CONVERSATIONS))
        return Roles((column,), (), form=shape) if column else None
    if shape == "text":
        column = table.named(*TEXTS)
        return Roles((column,), (), form=shape) if column else None
    if shape == "instruction":
        return instruction_columns(table)
    texts, answers = (("prompt",), ANSWERS) if shape == "completion" else (DOCUMENTS, SUMMARIES)
    text, answer = table.named(*texts), table.named(*answers)
    return Roles((text,), (answer,) if answer else (), form=shape) if text else None


def instruction_columns(table: Table) -> Roles | None:
    """Alpaca's instruction, input and output; Dolly's context and response; a question with its answer."""
    text, answer, extra = table.named("instruction"), table.named(*ANSWERS), table.named(*INPUTS)
    if text is None:
        text = table.named(*questions.QUESTIONS)
        if text is None or table.named(*questions.CONTEXTS):
            return None
    return Roles((text, extra) if extra else (text,), (answer,) if answer else (), form="instruction")


def is_plain_text(table: Table) -> bool:
    """Whether there is one column of texts, and none that could be a label."""
    found = [name for name in table.columns if name.lower() in TEXTS]
    if len(found) != 1:
        return False
    try:
        columns.find_label(table, found)
    except DataError:
        return True
    return False


def roles(table: Table, shape: str, text: Sequence[str] | None, label: Sequence[str] | None) -> Roles:
    """Roles of a table's columns: as named, the rest by their names.

    Raises:
        DataError: a named column is missing, there are too many, or nothing fits.
    """
    table.require_all(text, label)
    if shape in ("classification", "question_answering"):
        return wrapped_roles(table, shape, text, label)
    single = shape in ("messages", "sharegpt", "text")
    refuse_too_many(shape, text, label, single)
    found = detect(table, shape)
    texts = tuple(text or (found.text if found else ()))
    guessed = None if single else table.named(*(SUMMARIES if shape == "summarisation" else ANSWERS))
    answers = tuple(label or ((guessed,) if guessed and guessed not in texts else ()))
    if not texts or not (answers or single):
        raise DataError(lacking(table, shape), where=table.source, fix="name them with data.text and data.label")
    return Roles(texts, answers, None, (f"rows: {shape} ({arrow(texts, answers)})",), shape)


def refuse_too_many(shape: str, text: Sequence[str] | None, label: Sequence[str] | None, single: bool) -> None:
    most = 2 if shape == "instruction" else 1
    if len(text or ()) > most:
        fix = "name the instruction and its input" if most == 2 else "name one column"
        raise DataError(f"{shape} rows are read from {most} of them", where="data.text", fix=fix)
    if label and single:
        raise DataError(f"{shape} rows hold their answers themselves", where="data.label", fix="leave it out")
    if len(label or ()) > 1:
        raise DataError("an answer is one column", where="data.label", fix="name one column")


def wrapped_roles(table: Table, shape: str, text: Sequence[str] | None, label: Sequence[str] | None) -> Roles:
    assign = columns.assign if shape == "classification" else questions.assign
    found = assign(table, text, label, None)
    return replace(found, notes=(f"rows: {shape} ({arrow(found.text, found.label)})",), form=shape)


def lacking(table: Table, shape: str) -> str:
    return f"no columns of {shape} rows; there are {', '.join(map(repr, table.columns))}"


def arrow(texts: Sequence[str], answers: Sequence[str]) -> str:
    return f"{', '.join(texts)} -> {', '.join(answers)}" if answers else ", ".join(texts)


def match(table: Table, roles: Roles, shape: str, labelled: bool) -> Roles:
    """The same roles in another file, which may name its columns otherwise; an input may be missing.

    Raises:
        DataError: nothing in it fits.
    """
    if shape == "question_answering":
        return replace(questions.match(table, roles, labelled), form=shape)
    if shape == "classification":
        return replace(columns.reassign(table, roles, labelled=labelled), form=shape)
    needed = (*roles.text[:1], *(roles.label if labelled else ()))
    if all(name in table.columns for name in (*roles.text, *needed)):
        return Roles(roles.text, roles.label, form=shape)
    found = detect(table, shape)
    if found is None or (labelled and roles.label and not found.label):
        missing = [name for name in needed if name not in table.columns]
        if missing:
            raise columns.lacking(table, missing[0])
        found = Roles(roles.text[:1], roles.label)
    note = f"{table.source}: rows: {shape} ({arrow(found.text, found.label if labelled else ())})"
    return Roles(found.text, found.label or roles.label, None, (note,), shape)


# --- rows -----------------------------------------------------------------------------------------------------------


def read(table: Table, index: int, roles: Roles, shape: str, labelled: bool, known: Sequence[str] = ()) -> Row | str:
    """One row with its dialogue (a plain text has none), or the reason why it is unusable.

    Args:
        labelled: whether the dialogue has its answer, in the end; without, it is the prompt alone.
        known: the labels that a classification prompt lists.

    Raises:
        DataError: its form is wrong; naming file, row and turn.
    """
    if shape in ("messages", "sharegpt"):
        found = read_dialogue(table, index, roles.text[0], labelled)
    elif shape == "question_answering":
        return read_question(table, index, roles, labelled)
    elif shape == "text":
        found = read_text(table, index, roles.text[0])
    else:
        found = read_pair(table, index, roles, shape, labelled, known)
    return found if isinstance(found, str) else replace(found, id=own_id(table.rows[index]))


def read_dialogue(table: Table, index: int, column: str, labelled: bool) -> Row | str:
    where = f"{table.where(index)}, column {column!r}"
    cell = table.rows[index][column]
    messages = [] if is_missing(cell) else read_turns(cell, where)
    if not messages:
        return f"there are no turns (column {column!r})"
    answered = messages[-1]["role"] == "assistant"
    prompt = messages[:-1] if answered else messages
    if not says_something(prompt):
        return f"the prompt is empty (column {column!r})"
    if labelled and not answered:
        what = f"the last turn is of the {messages[-1]['role']}: nothing answers it"
        raise DataError(what, where=where, fix="end each dialogue with an assistant turn, or drop that turn")
    if labelled and is_missing(answer_text(messages[-1])):
        return f"there is no answer (column {column!r})"
    tools = read_tools(table.rows[index].get("tools"), f"{table.where(index)}, column 'tools'")
    return make_row(table.numbers[index], prompt, messages[-1] if labelled else None, tools)


def read_text(table: Table, index: int, column: str) -> Row | str:
    cell = table.rows[index][column]
    if is_missing(cell):
        return f"the text is empty (column {column!r})"
    return Row(table.numbers[index], (cell_text(cell, table, index, column),))


def read_pair(table: Table, index: int, roles: Roles, shape: str, labelled: bool, known: Sequence[str]) -> Row | str:
    """A row whose prompt and answer are columns of their own."""
    cells = [table.rows[index][name] for name in roles.text]
    needed = cells if shape == "classification" else cells[:1]
    lacking = next((name for name, cell in zip(roles.text, needed, strict=False) if is_missing(cell)), None)
    if lacking is not None:
        return f"the prompt is empty (column {lacking!r})"
    texts = [
        "" if is_missing(cell) else cell_text(cell, table, index, name)
        for cell, name in zip(cells, roles.text, strict=True)
    ]
    number, prompt = table.numbers[index], wrapped(shape, texts, known)
    if not labelled:
        return make_row(number, [prompt])
    cell = table.rows[index][roles.label[0]]
    if is_missing(cell) or cell == []:
        return f"there is no answer (column {roles.label[0]!r})"
    several = isinstance(cell, list) and len(cell) > 1
    said = cell_text(cell[0] if isinstance(cell, list) else cell, table, index, roles.label[0])
    row = make_row(number, [prompt], {"role": "assistant", "content": said})
    return replace(row, mended=(SEVERAL,)) if several else row


def read_question(table: Table, index: int, roles: Roles, labelled: bool) -> Row | str:
    """The first gold answer is the one to give."""
    row = questions.read(table, index, roles, labelled)
    if isinstance(row, str):
        return row
    prompt = wrapped("question_answering", row.text)
    said = (row.label[0][1] if row.label else UNANSWERABLE) if labelled else None
    answer = None if said is None else {"role": "assistant", "content": said}
    return replace(make_row(row.number, [prompt], answer), id=row.id, group=row.group, mended=row.mended)


def cell_text(cell: Any, table: Table, index: int, column: str) -> str:
    """A cell as one text; sentences of a list are joined by blanks."""
    if isinstance(cell, list) and cell and all(isinstance(part, str) for part in cell):
        return " ".join(cell)
    if isinstance(cell, list | tuple | dict | bytes):
        what = f"column {column!r} holds {shown(cell)} ({type(cell).__name__}), not a text"
        raise DataError(what, where=table.where(index), fix="write a text, or name another column")
    return str(cell)


def wrapped(shape: str, texts: Sequence[str], known: Sequence[str] = ()) -> Message:
    """The user turn that asks for the answer."""
    if shape == "instruction":
        instruction, extra = texts[0], texts[1] if len(texts) > 1 else ""
        content = f"{instruction}\n\n{extra}" if extra else instruction
        return {"role": "user", "content": content, "instruction": instruction, "input": extra}
    content = texts[0]
    if shape == "classification":
        content = classified(texts, known)
    if shape == "question_answering":
        asked = f'Answer the question with words of the context, or with "{UNANSWERABLE}" where it does not tell.'
        content = f"{asked}\n\nContext:\n{texts[1]}\n\nQuestion:\n{texts[0]}"
    if shape == "summarisation":
        content = f"Summarise the text.\n\nText:\n{texts[0]}"
    return {"role": "user", "content": content}


def classified(texts: Sequence[str], labels: Sequence[str]) -> str:
    """Asks for the label of one text or of a pair; `labels` are the ones to choose from."""
    choice = f"Labels: {', '.join(labels)}\n\n" if labels else ""
    names = ["Text"] if len(texts) == 1 else [f"Text {number}" for number in range(1, len(texts) + 1)]
    shown = "\n\n".join(f"{name}:\n{text}" for name, text in zip(names, texts, strict=True))
    subject = "text" if len(texts) == 1 else "pair of texts"
    return f"Classify the {subject}. Answer with one label and nothing else.\n\n{choice}{shown}"


def make_row(
    number: int, prompt: Sequence[Message], answer: Message | None = None, tools: tuple[Message, ...] = ()
) -> Row:
    said = None if answer is None else answer_text(answer)
    asked = [message["content"] for message in prompt if message["role"] == "user"] or [prompt[-1]["content"]]
    dialogue = Dialogue((*prompt, *([] if answer is None else [answer])), tools)
    return Row(number, (asked[-1],), said, dialogue=dialogue)


def says_something(prompt: Sequence[Message]) -> bool:
    """Whether a user or a tool says anything."""
    return any(message["content"].strip() for message in prompt if message["role"] in ("user", "tool"))


def answer_text(message: Message) -> str:
    """What a turn says; calls of functions as JSON where it says nothing else."""
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return str(message["content"]) if message["content"].strip() or not calls else json.dumps(calls, ensure_ascii=False)


def ask(number: int, given: Any, shape: str, known: Sequence[str] = ()) -> Row:
    """A prompt without an answer: a text, (instruction, input), (question, context), a text pair, or messages.

    Raises:
        DataError: it is no prompt of that shape.
    """
    if isinstance(given, list | tuple) and given and all(isinstance(turn, dict) for turn in given):
        messages = read_turns(list(given), "predict")
        if messages[-1]["role"] == "assistant" or not says_something(messages):
            raise DataError("the dialogue asks for no answer", where="predict", fix="end it with a user turn")
        return make_row(number, messages)
    texts = [given] if isinstance(given, str) else given
    least = 2 if shape == "question_answering" else 1
    most = 2 if shape in ("question_answering", "instruction", "classification") else 1
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts) or not texts:
        raise DataError(f"{shown(given)} is no prompt", where="predict", fix=f"give a text, or {FORM}")
    if not least <= len(texts) <= most:
        parts = "a question and its context" if least == 2 else "one text" if most == 1 else "one text or two"
        raise DataError(f"{len(texts)} texts are given; {shape} asks for {parts}", where="predict", fix=f"give {parts}")
    if not texts[0].strip():
        raise DataError("the prompt is empty", where="predict", fix="give a text")
    return Row(number, (texts[0],)) if shape == "text" else make_row(number, [wrapped(shape, texts, known)])
