"""Score a run on another labelled file.

Example: tunewright evaluate runs/inbox other.csv
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from . import Import, Precision, import_files

Run = Annotated[str, typer.Argument(help="the directory of a run")]
File = Annotated[str, typer.Argument(help="a labelled data file of the same form as the training data")]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help="whether the file names its columns")]
AsJson = Annotated[bool, typer.Option("--json", help="all scores as one JSON object")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="run Python code that comes with the model")]


def command(
    run: Run, file: File, header: Header = None, as_json: AsJson = False, trust_remote_code: Trust = False,
    precision: Precision = "fp32", imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    from ..api import evaluate, load
    from ..files import finite
    from . import tables

    found = evaluate(load(run, trust_remote_code), file, header, precision)
    if as_json:
        print(json.dumps(finite(found), ensure_ascii=False))
    elif "lowered" in found:
        tables.scores({f"{file}, fp32": found["lowered"]["fp32"], f"{file}, {precision}": found})
        print(f"largest difference of a logit: {found['lowered']['largest_difference']:.2g}")
    else:
        tables.scores({file: found})
