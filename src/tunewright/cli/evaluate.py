"""Score a run on another labelled file.

Example: tunewright evaluate runs/inbox other.csv
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

Run = Annotated[str, typer.Argument(help="the directory of a run")]
File = Annotated[str, typer.Argument(help="a labelled data file of the same form as the training data")]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help="whether the file names its columns")]
AsJson = Annotated[bool, typer.Option("--json", help="all scores as one JSON object")]


def command(run: Run, file: File, header: Header = None, as_json: AsJson = False) -> None:
    from ..api import evaluate
    from ..files import finite
    from . import tables

    found = evaluate(run, file, header)
    if as_json:
        print(json.dumps(finite(found), ensure_ascii=False))
    else:
        tables.scores({file: found})
