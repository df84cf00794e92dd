"""Which strategy is best for this data, and how sure one can be: runs on the same rows and seeds, beside two floors.

Example: tunewright compare inbox.csv --strategies full,lora.r=4,16,feature_extraction --seeds 3 --budget 20m
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import Import, import_files
from .train import (
    AsJson,
    Delimiter,
    Header,
    Label,
    Names,
    Settings,
    Source,
    Start,
    TaskKind,
    TestFile,
    TextColumn,
    Trust,
    Validation,
    configuration,
)  # fmt: skip

Strategies = Annotated[
    str | None,
    typer.Option(help="kinds with settings: full,lora.r=4,16,lora.r=4+alpha=8; the recipe's own when left out"),
]
Models = Annotated[str | None, typer.Option(help="several, each with every strategy: minilm,my/folder")]
Seeds = Annotated[int, typer.Option(min=1, help="runs of each contestant, from training.seed on")]
Budget = Annotated[str | None, typer.Option(help="wall clock for all: 90s, 20m, 1h; the weak then stop early")]
Variants = Annotated[str | None, typer.Option("--data", help="train on variants of the rows too: augmented,cleaned")]
Jobs = Annotated[int, typer.Option(min=1, help="runs at once, each with a device or a share of the cores")]
Out = Annotated[str | None, typer.Option(help="the comparison's directory; runs/<data>-comparison when left out")]
Resume = Annotated[bool, typer.Option("--resume", help="go on; more seeds, contestants or budget may be given")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the comparison in --out")]


def command(
    source: Source, settings: Settings = None, strategies: Strategies = None, models: Models = None, seeds: Seeds = 3,
    budget: Budget = None, variants: Variants = None, jobs: Jobs = 1, test: TestFile = None,
    validation: Validation = None, text: TextColumn = None, label: Label = None, label_names: Names = None,
    label_delimiter: Delimiter = None, header: Header = None, start: Start = None, task: TaskKind = None,
    out: Out = None, resume: Resume = False, overwrite: Overwrite = False, as_json: AsJson = False,
    trust_remote_code: Trust = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    flags = {
        "data.test": test, "data.validation": validation, "data.text": text or None, "data.label": label or None,
        "data.label_names": label_names, "data.label_delimiter": label_delimiter, "data.header": header,
        "model": start, "task.kind": task, "out": out, "trust_remote_code": trust_remote_code or None,
    }  # fmt: skip
    stages = configuration(source, {path: value for path, value in flags.items() if value is not None}, settings or [])

    from ..api import compare
    from ..errors import ConfigError

    if len(stages) > 1:
        raise ConfigError("does not go with stages", where="compare", fix="compare one stage at a time")
    done = compare(
        stages[0], strategies=strategies or (), models=listed(models), seeds=seeds, budget=budget,
        variants=listed(variants), jobs=jobs, resume=resume, overwrite=overwrite,
    )  # fmt: skip
    if as_json:
        from ..files import finite

        print(json.dumps(finite({"path": str(done.path), **done.comparison}), ensure_ascii=False))
        return
    from .compared import show

    show(done.comparison, Path(done.path))


def listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]
