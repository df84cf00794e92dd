"""Fine-tune a model on a data file, or as a recipe (run.yaml) says.

Example: tunewright train inbox.csv --strategy lora training.epochs=5
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from . import Import, import_files

Source = Annotated[
    str, typer.Argument(help="a data file (csv, tsv, jsonl, json, parquet, also .gz), a hub id, or a .yaml")
]
Settings = Annotated[list[str] | None, typer.Argument(help="settings such as strategy.r=16 training.epochs=5")]
TestFile = Annotated[str | None, typer.Option("--test", help="data.test: a labelled file to score at the end")]
Validation = Annotated[str | None, typer.Option(help="data.validation: a labelled file to choose the best step by")]
TextColumn = Annotated[
    list[str] | None, typer.Option("--text", help="data.text: the text column; twice for text pairs")
]
Label = Annotated[
    list[str] | None, typer.Option(help="data.label: the label column; several times for one column a label")
]
Names = Annotated[
    str | None, typer.Option("--label-names", help="data.label_names: file of names for labels given as numbers")
]
Delimiter = Annotated[
    str | None, typer.Option("--label-delimiter", help="data.label_delimiter: joins several labels in a cell")
]
Header = Annotated[
    bool | None, typer.Option("--header/--no-header", help="data.header: whether the file names its columns")
]
StrategyKind = Annotated[
    str | None,
    typer.Option("--strategy", help="strategy.kind: full, lora, freeze, ... (tunewright inspect lists them)"),
]
Model = Annotated[str | None, typer.Option(help="minilm, pocket-lm, a local folder or a hub id")]
Start = Annotated[str | None, typer.Option("--from", help="model: the directory of a run to go on from")]
TaskKind = Annotated[str | None, typer.Option("--task", help="task.kind: inferred from the columns when left out")]
Out = Annotated[str | None, typer.Option(help="the run's directory; runs/<data>-<strategy> when left out")]
Merge = Annotated[bool, typer.Option("--merge", help="strategy.merge: save LoRA merged into the weights")]
Folds = Annotated[
    int | None, typer.Option(min=2, help="cross-validate: so many runs, each tested on the rows that it does not see")
]
Resume = Annotated[bool, typer.Option("--resume", help="continue from the newest checkpoint")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the run in --out")]
Missing = Annotated[
    list[str] | None, typer.Option("--allow-missing", help="optimizer: resume although its file is gone")
]
AsJson = Annotated[bool, typer.Option("--json", help="the result as one JSON object on standard output")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="run Python code that comes with the model")]


def command(
    source: Source, settings: Settings = None, test: TestFile = None, validation: Validation = None,
    text: TextColumn = None, label: Label = None, label_names: Names = None, label_delimiter: Delimiter = None,
    header: Header = None, strategy: StrategyKind = None, model: Model = None, start: Start = None,
    task: TaskKind = None, out: Out = None, folds: Folds = None,
    merge: Merge = False, resume: Resume = False, overwrite: Overwrite = False, allow_missing: Missing = None,
    as_json: AsJson = False, trust_remote_code: Trust = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    flags = {
        "data.test": test, "data.validation": validation, "data.text": text or None, "data.label": label or None,
        "data.label_names": label_names, "data.label_delimiter": label_delimiter, "data.header": header,
        "strategy.kind": strategy, "model": start or model, "task.kind": task, "out": out,
        "strategy.merge": merge or None, "trust_remote_code": trust_remote_code or None,
    }  # fmt: skip
    flags = {path: value for path, value in flags.items() if value is not None}
    config = configuration(source, flags, settings or [])

    if folds:
        cross_validate(config, folds, resume, overwrite, tuple(allow_missing or ()), as_json)
        return

    from ..api import train

    for run in config:
        result = train(run, resume=resume, overwrite=overwrite, allow_missing=tuple(allow_missing or ()))
        if result.metrics:  # only on the main process
            show(result, as_json)


def cross_validate(
    stages: list[Any], folds: int, resume: bool, overwrite: bool, allow_missing: tuple[str, ...], as_json: bool
) -> None:
    from ..api import cross_validate
    from ..errors import ConfigError
    from .tables import of_folds

    if len(stages) > 1:
        raise ConfigError("does not go with stages", where="--folds", fix="cross-validate one stage at a time")
    done = cross_validate(stages[0], folds=folds, resume=resume, overwrite=overwrite, allow_missing=allow_missing)
    if as_json:
        from ..files import finite

        print(json.dumps(finite({"path": str(done.path), **done.summary}), ensure_ascii=False))
        return
    of_folds(done.path, done.summary)


def configuration(source: str, flags: dict[str, Any], settings: list[str]) -> list[Any]:
    """The validated configurations of a data file or recipe, edited by flags and settings; one for each stage."""
    from .. import config
    from ..stages import expand, has_stages

    recipe = source.endswith((".yaml", ".yml"))
    raw: dict[str, Any] = config.read_mapping(source) if recipe else {"data": {"train": source}}
    edits = [(path.split("."), value) for path, value in flags.items()] + config.edits(settings)
    if has_stages(raw):
        return expand(raw, source, edits)
    return [config.load(raw, edits, source if recipe else "")]


def show(result: Any, as_json: bool) -> None:
    from . import tables

    if as_json:
        from ..files import finite

        print(json.dumps(finite({"path": str(result.path), **result.metrics}), ensure_ascii=False))
        return
    shown = {name: result.metrics[name] for name in ("before", "validation", "test") if result.metrics.get(name)}
    clean = {f"{name}, clean": found for name, found in result.metrics.get("clean", {}).items()}
    tables.scores({**shown, **clean})
    tables.examples(result.path)
    tables.closing(result)
