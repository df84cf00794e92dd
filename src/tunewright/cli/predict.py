"""Answer texts with a run's model: from --text, a file, or standard input (a text a line).

Example: tunewright predict runs/inbox --text "where is my parcel?"
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import Import, import_files

Run = Annotated[str, typer.Argument(help="the directory of a run")]
File = Annotated[
    str | None, typer.Argument(help="a data file, or a .txt with a text a line; standard input when left out")
]
TextOption = Annotated[list[str] | None, typer.Option("--text", help="a text to answer; may be given several times")]
Context = Annotated[str | None, typer.Option(help="of a question given with --text: what it is asked about")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help="whether the file names its columns")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="run Python code that comes with the model")]

PART = 1024  # rows answered together, sorted by length
WRITTEN_PART = 64  # of tasks that write: an answer takes a second where a label takes a millisecond


def command(
    run: Run, file: File = None, text: TextOption = None, context: Context = None, as_json: AsJson = False,
    header: Header = None, trust_remote_code: Trust = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    from ..errors import ConfigError
    from ..predict import Predictor

    if file and text:
        raise ConfigError("both --text and a file are given", where="predict", fix="give one of them")
    predictor = Predictor.load(run, trust_remote_code)
    task, columns = predictor.artifact.task, predictor.artifact.columns
    if text:
        rows = [task.ask(number, item if context is None else (item, context)) for number, item in enumerate(text, 1)]
    else:
        rows = read(file, task, columns, header)
    size = WRITTEN_PART if writes(task) else PART
    for place in range(0, len(rows), size):  # answers come while a long file is still being worked on
        part = rows[place : place + size]
        for said, row in zip(predictor.answer(part), part, strict=True):
            print(as_json_line(said, row) if as_json else said.line(row.text))
        sys.stdout.flush()


def writes(task: Any) -> bool:
    """Whether a task's answers are written token by token."""
    from ..tasks.generative import Generative

    return isinstance(task, Generative)


def as_json_line(said: Any, row: Any) -> str:
    named = {} if row.id is None else {"id": row.id}
    return json.dumps({**named, "text": " | ".join(row.text), **said.to_json()}, ensure_ascii=False)


def read(file: str | None, task: Any, columns: Any, header: bool | None) -> list[Any]:
    """The rows of a data file (by the run's own columns), of a text file, or of standard input."""
    from ..data import sources
    from ..errors import DataError

    if file is not None and file != "-" and Path(file).suffix != ".txt":
        table = sources.read(file, header)
        roles = task.match(table, columns.roles, labelled=False)
        return [read_row(table, index, task, roles) for index in range(len(table.rows))]
    if len(columns.text) > 1 and wants_all(task):
        what, fix = "this model reads text pairs", f"give a file with the columns {' and '.join(columns.text)}"
        raise DataError(what, where=file or "standard input", fix=fix)
    raw = standard_input() if file in (None, "-") else sources.decode(existing(str(file)))
    lines = [line.rstrip("\r") for line in raw.split("\n")]
    return [task.ask(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def wants_all(task: Any) -> bool:
    """Whether one text of several is no question; an instruction may come without its input."""
    return not writes(task) or getattr(task, "shape", "") in ("classification", "question_answering")


def read_row(table: Any, index: int, task: Any, roles: Any) -> Any:
    """One row without its label; an empty text is answered too, so that there is an answer for each row.

    Raises:
        DataError: there is nothing that an answer could be written to.
    """
    from ..data.columns import as_text
    from ..errors import DataError

    row = task.read(table, index, roles, None, labelled=False)
    if not isinstance(row, str):
        return row
    if writes(task):
        raise DataError(row, where=table.where(index), fix="fill it, or take the row out")
    cells = (table.rows[index][name] for name in roles.text)
    return task.ask(table.numbers[index], tuple("" if cell is None else as_text(cell) for cell in cells))


def standard_input() -> str:
    from ..errors import DataError

    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError("is not UTF-8", where=f"standard input, line {line}", fix="convert it with iconv") from None


def existing(file: str) -> Path:
    from ..errors import DataError

    if not Path(file).is_file():
        raise DataError("there is no such file", where=file, fix="check the path")
    return Path(file)
