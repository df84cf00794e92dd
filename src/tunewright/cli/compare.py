"""Which strategy is best for this data, and how sure one can be: runs on the same rows and seeds, beside two floors.

Example: tunewright compare inbox.csv --strategies full,lora.r=4,16,feature_extraction --seeds 3 --budget 20m
"""

from __future__ import annotations

from typing import Annotated

import typer

from .options import HELD_OUT, READING, AsJson, Budget, Given, Overwrite, listed, print_json, reads_data

Strategies = Annotated[
    str | None,
    typer.Option(help="kinds with settings: full,lora.r=4,16,lora.r=4+alpha=8; the recipe's own when left out"),
]
Models = Annotated[str | None, typer.Option(help="several, each with every strategy: minilm,my/folder")]
Seeds = Annotated[int, typer.Option(min=1, help="runs of each contestant, from training.seed on")]
Variants = Annotated[str | None, typer.Option("--data", help="train on variants of the rows too: augmented,cleaned")]
Jobs = Annotated[int, typer.Option(min=1, help="runs at once, each with a device or a share of the cores")]
Resume = Annotated[bool, typer.Option("--resume", help="go on; more seeds, contestants or budget may be given")]


@reads_data(*HELD_OUT, *READING, "start", "out", "trust_remote_code")
def command(
    given: Given, strategies: Strategies = None, models: Models = None, seeds: Seeds = 3, budget: Budget = None,
    variants: Variants = None, jobs: Jobs = 1, resume: Resume = False, overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    config = given.config()

    from ..api import compare
    from .compared import show

    done = compare(
        config, strategies=strategies or (), models=listed(models), seeds=seeds, budget=budget,
        variants=listed(variants), jobs=jobs, resume=resume, overwrite=overwrite,
    )  # fmt: skip
    if as_json:
        print_json({"path": str(done.path), **done.comparison})
    else:
        show(done.comparison, done.path)
