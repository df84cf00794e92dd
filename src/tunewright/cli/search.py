"""Try settings under a budget (Optuna), the default first; then tell whether the best beats the default beyond noise.

Example: tunewright search inbox.csv --strategy lora --space learning_rate=1e-4:1e-2,strategy.r=4|8|16 --budget 20m
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from . import Import, import_files
from .train import (
    AsJson,
    Delimiter,
    Header,
    Label,
    Model,
    Names,
    Settings,
    Source,
    StrategyKind,
    TaskKind,
    TestFile,
    TextColumn,
    Trust,
    Validation,
    configuration,
)  # fmt: skip

Space = Annotated[str, typer.Option(help="learning_rate=1e-5:1e-3,strategy.r=4|8|16; around the defaults if left out")]
Trials = Annotated[int, typer.Option(min=1, help="at most, the default included")]
Budget = Annotated[str | None, typer.Option(help="time for trials and comparison together: 90s, 20m, 1h")]
Seeds = Annotated[int, typer.Option(min=1, help="runs of the best and of the default each, whose scores are compared")]
Out = Annotated[str | None, typer.Option(help="the search's directory; runs/<data>-search when left out")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with the search in --out")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the search in --out")]


def command(
    source: Source, settings: Settings = None, space: Space = "", trials: Trials = 20, budget: Budget = None,
    seeds: Seeds = 3, test: TestFile = None, validation: Validation = None, text: TextColumn = None,
    label: Label = None, label_names: Names = None, label_delimiter: Delimiter = None, header: Header = None,
    strategy: StrategyKind = None, model: Model = None, task: TaskKind = None, out: Out = None,
    resume: Resume = False, overwrite: Overwrite = False, as_json: AsJson = False, trust_remote_code: Trust = False,
    imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    flags = {
        "data.test": test, "data.validation": validation, "data.text": text or None, "data.label": label or None,
        "data.label_names": label_names, "data.label_delimiter": label_delimiter, "data.header": header,
        "strategy.kind": strategy, "model": model, "task.kind": task, "out": out,
        "trust_remote_code": trust_remote_code or None,
    }  # fmt: skip
    stages = configuration(source, {path: value for path, value in flags.items() if value is not None}, settings or [])

    from ..api import search
    from ..errors import ConfigError

    if len(stages) > 1:
        raise ConfigError("does not go with stages", where="search", fix="search one stage at a time")
    found = search(
        stages[0], space=space, trials=trials, budget=budget, seeds=seeds, resume=resume, overwrite=overwrite
    )
    if as_json:
        from ..files import finite

        print(json.dumps(finite({"path": str(found.path), **found.summary}), ensure_ascii=False))
        return
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
