"""Fine-tune a model on a data file, or as a recipe (run.yaml) says.

Example: tunewright train inbox.csv --strategy lora training.epochs=5
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import HELD_OUT, READING, AsJson, Given, Overwrite, print_json, reads_data

Folds = Annotated[
    int | None, typer.Option(min=2, help="cross-validate: so many runs, each tested on the rows that it does not see")
]
Resume = Annotated[bool, typer.Option("--resume", help="continue from the newest checkpoint")]
Missing = Annotated[
    list[str] | None, typer.Option("--allow-missing", help="optimizer: resume although its file is gone")
]


@reads_data(*HELD_OUT, *READING, "strategy", "merge", "model", "start", "out", "trust_remote_code")
def command(
    given: Given, folds: Folds = None, resume: Resume = False, overwrite: Overwrite = False,
    allow_missing: Missing = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    allowed = tuple(allow_missing or ())
    if folds:
        cross_validate(given.config(), folds, resume, overwrite, allowed, as_json)
        return
    stages = given.stages()

    from ..api import train

    for run in stages:
        result = train(run, resume=resume, overwrite=overwrite, allow_missing=allowed)
        if result.metrics:  # only on the main process
            show(result, as_json)


def cross_validate(
    config: Any, folds: int, resume: bool, overwrite: bool, allow_missing: tuple[str, ...], as_json: bool
) -> None:
    from ..api import cross_validate
    from .tables import of_folds

    done = cross_validate(config, folds=folds, resume=resume, overwrite=overwrite, allow_missing=allow_missing)
    if as_json:
        print_json({"path": str(done.path), **done.summary})
    else:
        of_folds(done.path, done.summary)


def show(result: Any, as_json: bool) -> None:
    from . import tables

    if as_json:
        print_json({"path": str(result.path), **result.metrics})
        return
    shown = {name: result.metrics[name] for name in ("before", "validation", "test") if result.metrics.get(name)}
    clean = {f"{name}, clean": found for name, found in result.metrics.get("clean", {}).items()}
    tables.scores({**shown, **clean})
    tables.examples(result.path)
    tables.closing(result)
