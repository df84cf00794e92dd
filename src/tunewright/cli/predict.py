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
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help="whether the file names its columns")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="run Python code that comes with the model")]


def command(
    run: Run, file: File = None, text: TextOption = None, as_json: AsJson = False, header: Header = None,
    trust_remote_code: Trust = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    from ..errors import ConfigError
    from ..predict import Predictor

    if file and text:
        raise ConfigError("both --text and a file are given", where="predict", fix="give one of them")
    predictor = Predictor.load(run, trust_remote_code)
    texts: list[Any] = [(item,) for item in text] if text else read(file, predictor.artifact.columns, header)
    for place in range(0, len(texts), 1024):  # answers come while a long file is still being read
        part = texts[place : place + 1024]
        for said, words in zip(predictor([item if len(item) > 1 else item[0] for item in part]), part, strict=True):
            print(
                json.dumps({"text": " | ".join(words), **said.to_json()}, ensure_ascii=False)
                if as_json
                else line(said, words)
            )
        sys.stdout.flush()


def read(file: str | None, known: dict[str, Any], header: bool | None) -> list[Any]:
    """The texts of a data file (by the run's own columns), of a text file, or of standard input."""
    from ..data import columns, sources
    from ..errors import DataError

    pairs = len(known["text"]) > 1
    if file is None or file == "-" or Path(file).suffix == ".txt":
        if pairs:
            raise DataError(
                "this model reads text pairs", where=file or "standard input", fix="give a file with two text columns"
            )
        raw = standard_input() if file in (None, "-") else sources.decode(existing(str(file)))
        return [(text.rstrip("\r"),) for text in raw.split("\n") if text.strip()]
    table = sources.read(file, header)
    roles = columns.reassign(table, columns.Roles(tuple(known["text"]), ()), labelled=False)
    return [
        tuple(columns.as_text(row[name] if row[name] is not None else "") for name in roles.text) for row in table.rows
    ]


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


def line(said: Any, words: tuple[str, ...]) -> str:
    """`label  0.93  text`."""
    if said.label is not None:
        return f"{said.label}\t{said.probability:.3f}\t{' | '.join(words)}"
    chosen = ", ".join(f"{name} {said.probabilities[name]:.3f}" for name in said.labels) or "-"
    return f"{chosen}\t{' | '.join(words)}"
