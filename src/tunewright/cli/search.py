"""Try settings under a budget (Optuna), the default first; then tell whether the best beats the default beyond noise.

Example: tunewright search inbox.csv --strategy lora --space "learning_rate=1e-4:1e-2,strategy.r=4|8|16" --budget 20m
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import HELD_OUT, READING, AsJson, Budget, Given, Overwrite, Resume, print_json, reads_data

Space = Annotated[str, typer.Option(help="learning_rate=1e-5:1e-3,strategy.r=4|8|16; around the defaults if left out")]
Trials = Annotated[int, typer.Option(min=1, help="at most, the default included")]
Seeds = Annotated[int, typer.Option(min=1, help="runs of the best and of the default each, whose scores are compared")]


@reads_data(*HELD_OUT, *READING, "strategy", "model", "out", "trust_remote_code")
def command(
    given: Given, space: Space = "", trials: Trials = 20, budget: Budget = None, seeds: Seeds = 3,
    resume: Resume = False, overwrite: Overwrite = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    config = given.config()

    from ..api import search

    found = search(config, space=space, trials=trials, budget=budget, seeds=seeds, resume=resume, overwrite=overwrite)
    if as_json:
        print_json({"path": str(found.path), **found.summary})
    else:
        show(found.path, found.summary)


def show(path: Any, summary: dict[str, Any]) -> None:
    """The trials, the best first, and the verdict."""
    from rich.console import Console
    from rich.table import Table

    sign = -1 if summary["metric"]["higher_is_better"] else 1
    ranked = sorted(summary["trials"], key=lambda item: (item["value"] is None, sign * (item["value"] or 0)))
    paths = list(dict.fromkeys(name for item in ranked for name in item["settings"]))
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(["trial", summary["metric"]["name"], *paths, "seconds", "ended"]):
        table.add_column(name.removeprefix("training."), justify="right" if place else "left")
    for item in ranked:
        name = f"{item['path']} (default)" if item is summary["trials"][0] else item["path"]
        values = [item["value"], *(item["settings"].get(path) for path in paths), item["seconds"]]
        said = ["" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
        table.add_row(name, *said, item["reason"] or item["status"])
    console = Console(highlight=False)
    console.print(table)
    console.print((summary["verdict"] or {}).get("sentence", "no verdict"), markup=False)
    console.print(f"report: {path / 'report.html'}", markup=False)
