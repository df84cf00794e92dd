"""Score a run on another labelled file.

Example: tunewright evaluate runs/inbox other.csv
"""

from __future__ import annotations

from typing import Annotated

import typer

from .options import AsJson, Header, Import, Precision, Run, Trust, import_files, print_json

File = Annotated[str, typer.Argument(help="a labelled data file of the same form as the training data")]


def command(
    run: Run, file: File, header: Header = None, as_json: AsJson = False, trust_remote_code: Trust = False,
    precision: Precision = "fp32", imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    from ..api import evaluate, load
    from . import tables

    found = evaluate(load(run, trust_remote_code), file, header, precision)
    if as_json:
        print_json(found)
    elif "lowered" in found:
        tables.scores({f"{file}, fp32": found["lowered"]["fp32"], f"{file}, {precision}": found})
        print(f"largest difference of a logit: {found['lowered']['largest_difference']:.2g}")
    else:
        tables.scores({file: found})
