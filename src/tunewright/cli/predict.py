"""Answer texts with a run's model: from --text, a file, or standard input (a text a line).

Example: tunewright predict runs/inbox --text "where is my parcel?"

Example: tunewright predict runs/inbox big.csv --out answers.jsonl --precision bf16
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Header, Import, Precision, Run, Trust, import_files

File = Annotated[
    str | None, typer.Argument(help="a data file, or a .txt with a text a line; standard input when left out")
]
TextOption = Annotated[list[str] | None, typer.Option("--text", help="a text to answer; may be given several times")]
Context = Annotated[str | None, typer.Option(help="of a question given with --text: what it is asked about")]
Out = Annotated[str | None, typer.Option(help="a file for the answers, with a progress bar; .jsonl means --json")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a line")]

PART = 4096  # rows answered together, sorted by length: so many hardly pad, and answers come while others are read
WRITTEN_PART = 64  # of tasks that write: an answer takes a second where a label takes a millisecond


def command(
    run: Run, file: File = None, text: TextOption = None, context: Context = None, out: Out = None,
    as_json: AsJson = False, header: Header = None, precision: Precision = "fp32", trust_remote_code: Trust = False,
    imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    from ..errors import ConfigError
    from ..predict import Predictor

    if file and text:
        raise ConfigError("both --text and a file are given", where="predict", fix="give one of them")
    predictor = Predictor.load(run, trust_remote_code)
    task, columns = predictor.artifact.task, predictor.artifact.columns
    rows: Iterable[Any]
    if text:
        asked = [item if context is None else (item, typed(context)) for item in map(typed, text)]
        rows = [task.ask(number, item) for number, item in enumerate(asked, 1)]
        total = len(rows)
    else:
        rows, total = read(file, task, columns, header)
    as_json = as_json or bool(out and out.endswith(".jsonl"))
    answer_all(predictor, precision, rows, total, Sink(out), as_json)


def answer_all(predictor: Any, precision: str, rows: Iterable[Any], total: int, sink: Sink, as_json: bool) -> None:
    """Reads, answers and writes a part at a time, so that memory does not grow with the file."""
    from ..predict import SAMPLE, refuse
    from ..training.progress import listener

    refuse(precision, predictor)
    size = WRITTEN_PART if writes(predictor.artifact.task) else PART
    hears, done, told = (listener() if sink.path else None), 0, dict[str, Any]()
    try:
        for part in batched(rows, size):
            if precision != predictor.precision:
                told = {"precision": precision, "largest_difference": predictor.lower(precision, part[:SAMPLE])}
                note(told, len(part[:SAMPLE]))
            answers = zip(predictor.answer(part), part, strict=True)
            sink.write([as_json_line(said, row, told) if as_json else said.line(row.text) for said, row in answers])
            done += len(part)
            if hears:
                hears.progress("predicting", done, max(total, done))
    finally:
        if hears:
            hears.close()


def note(told: dict[str, Any], count: int) -> None:
    gap = f"the largest difference of a logit to fp32 is {told['largest_difference']:.2g}"
    print(f"{told['precision']}: on the first {count} rows {gap}", file=sys.stderr)


def batched(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` rows, and a last one of what is left."""
    rows = iter(rows)
    while part := list(islice(rows, size)):
        yield part


def typed(text: str) -> str:
    """A text of the command line, which Python may have read by a locale that is not UTF-8."""
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        return text.encode(errors="replace").decode()


class Sink:
    """Where lines go: standard output, or a file that holds whole lines whenever the process is killed."""

    def __init__(self, path: str | None) -> None:
        self.path, self.file = path, open(path, "wb", buffering=0) if path else None  # noqa: SIM115

    def write(self, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if self.file is None:
            print(text, end="", flush=True)
        else:
            put(self.file, text.encode())


def put(file: io.FileIO, content: bytes) -> None:
    """Writes all of it, or raises OSError and leaves none: a nearly full disk takes the beginning."""
    start, left = file.tell(), memoryview(content)
    try:
        while left:
            left = left[file.write(left) or 0 :]
    except OSError:
        file.truncate(start)
        raise


def writes(task: Any) -> bool:
    """Whether a task's answers are written token by token."""
    from ..tasks.generative import Generative

    return isinstance(task, Generative)


def as_json_line(said: Any, row: Any, told: dict[str, Any]) -> str:
    named = {} if row.id is None else {"id": row.id}
    return json.dumps({**named, "text": " | ".join(row.text), **said.to_json(), **told}, ensure_ascii=False)


def read(file: str | None, task: Any, columns: Any, header: bool | None) -> tuple[Iterator[Any], int]:
    """The rows of a data file (by the run's own columns), of a text file, or of standard input; and how many.

    Of standard input nobody knows how many: 0.
    """
    from ..data import sources
    from ..errors import DataError

    if file is not None and file != "-" and Path(file).suffix != ".txt":
        table = sources.read(file, header)
        roles = task.match(table, columns.roles, labelled=False)
        if writes(task):
            for index in range(len(table.rows)):
                read_row(table, index, task, roles)  # raises before anything is written
        return (read_row(table, index, task, roles) for index in range(len(table.rows))), len(table.rows)
    if len(columns.text) > 1 and wants_all(task):
        what, fix = "this model reads text pairs", f"give a file with the columns {' and '.join(columns.text)}"
        raise DataError(what, where=file or "standard input", fix=fix)
    lines: Iterable[str] = standard_input()
    if file not in (None, "-"):
        lines = sources.decode(existing(str(file))).split("\n")
    texts = (line.rstrip("\r\n") for line in lines)
    asked = (task.ask(number, line) for number, line in enumerate(texts, 1) if line.strip())
    return asked, len(lines) if isinstance(lines, list) else 0


def wants_all(task: Any) -> bool:
    """Whether one text of several is no question; an instruction may come without its input."""
    return not writes(task) or getattr(task, "shape", "") in ("classification", "question_answering")


def read_row(table: Any, index: int, task: Any, roles: Any) -> Any:
    """One row without its label; an empty text is answered too, so that there is an answer for each row.

    Raises:
        DataError: there is nothing that an answer could be written to.
    """
    from ..errors import DataError

    row = task.read(table, index, roles, None, labelled=False)
    if not isinstance(row, str):
        return row
    if writes(task):
        raise DataError(row, where=table.where(index), fix="fill it, or take the row out")
    cells = (table.rows[index][name] for name in roles.text)
    return task.ask(table.numbers[index], tuple("" if cell is None else str(cell) for cell in cells))


def standard_input() -> Iterator[str]:
    """Its lines, as they come."""
    from ..errors import DataError

    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            fix = "convert it with iconv"
            raise DataError("is not UTF-8", where=f"standard input, line {number}", fix=fix) from None


def existing(file: str) -> Path:
    from ..errors import DataError

    if not Path(file).is_file():
        raise DataError("there is no such file", where=file, fix="check the path")
    return Path(file)
