"""The options that verbs share, and the configuration that they make of a data file or a recipe."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..config import Edit, RunConfig

AsJson = Annotated[bool, typer.Option("--json", help="the result as one JSON object on standard output")]
Budget = Annotated[str | None, typer.Option(help="time for everything together: 90s, 20m, 1h")]
Gpu = Annotated[str | None, typer.Option(help="its GPUs: 1x24GB, 4x80GB, 4xA100; this machine's when left out")]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help="whether the file names its columns")]
Import = Annotated[list[Path] | None, typer.Option("--import", help="a .py file with tasks, checks, ... of your own")]
Memory = Annotated[str | None, typer.Option(help="main memory of the machine that will train: 16GB; this one's free")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace what is in --out")]
Precision = Annotated[str, typer.Option(help="of the answers: fp32, as evaluated; bf16 or int8 are faster")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with what is in --out")]
Run = Annotated[str, typer.Argument(help="the directory of a run")]
Text = Annotated[list[str] | None, typer.Option("--text", help="the text column; twice for text pairs")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="run Python code that comes with the model")]

Source = Annotated[
    str, typer.Argument(help="a data file (csv, tsv, jsonl, json, parquet, conll, also .gz), a hub id, or a .yaml")
]
Settings = Annotated[list[str] | None, typer.Argument(help="settings such as strategy.r=16 training.epochs=5")]

HELD_OUT = ("test", "validation")
READING = ("text", "label", "label_names", "label_delimiter", "header", "task")


@dataclass(frozen=True)
class Setting:
    """A flag that is short for a setting of the configuration."""

    path: str
    help: str
    flag: str = ""  # where its name is not that of the parameter
    type: Any = str | None

    def parameter(self, name: str) -> inspect.Parameter:
        option = typer.Option(self.flag or f"--{name.replace('_', '-')}", help=f"{self.path}: {self.help}")
        return keyword(name, Annotated[self.type, option], None)


def keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


several, on = list[str] | None, bool | None
FLAGS = {
    "test": Setting("data.test", "a labelled file to score at the end"),
    "validation": Setting("data.validation", "a labelled file to choose the best step by"),
    "text": Setting("data.text", "the text column; twice for text pairs", type=several),
    "label": Setting("data.label", "the label column; several times for one column a label", type=several),
    "label_names": Setting("data.label_names", "file of names for labels given as numbers"),
    "label_delimiter": Setting("data.label_delimiter", "joins several labels in a cell"),
    "header": Setting("data.header", "whether the file names its columns", "--header/--no-header", on),
    "task": Setting("task.kind", "inferred from the columns when left out"),
    "strategy": Setting("strategy.kind", "full, lora, freeze, ... (tunewright inspect lists them)"),
    "merge": Setting("strategy.merge", "save LoRA merged into the weights", type=on),
    "model": Setting("model", "minilm, pocket-lm, a local folder or a hub id"),
    "start": Setting("model", "the directory of a run to go on from", "--from"),
    "out": Setting("out", "the directory that is written; one in runs/ when left out"),
    "trust_remote_code": Setting("trust_remote_code", "run Python code that comes with the model", type=on),
}


@dataclass(frozen=True)
class Given:
    """What a command line says about the data and the run."""

    verb: str
    source: str
    flags: dict[str, Any]  # by the paths of settings
    settings: list[str]

    def stages(self, **flags: Any) -> list[RunConfig]:
        """The validated configurations of a data file or recipe, edited by flags and settings; one for each stage.

        Args:
            flags: a verb's own, by the paths of settings.
        """
        from .. import config
        from ..files import read_mapping
        from ..stages import expand, has_stages

        recipe = self.source.endswith((".yaml", ".yml"))
        raw: dict[str, Any] = read_mapping(self.source) if recipe else {"data": {"train": self.source}}
        flags = {path: value for path, value in {**self.flags, **flags}.items() if value is not None}
        edits: list[Edit] = [(path.split("."), value) for path, value in flags.items()] + config.edits(self.settings)
        if has_stages(raw):
            return expand(raw, self.source, edits)
        return [config.load(raw, edits, self.source if recipe else "")]

    def config(self, **flags: Any) -> RunConfig:
        """The configuration, for a verb that has no use for stages."""
        config, *more = self.stages(**flags)
        if more:
            raise ConfigError("does not go with stages", where=self.verb, fix="give it one stage at a time")
        return config


def reads_data(*names: str, settings: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """For a verb that is given a data file or a recipe: it takes the flags of these names, and gets what they say.

    Args:
        settings: whether whatever else is on the command line sets something in the configuration.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def call(source: str, imports: list[Path] | None = None, **options: Any) -> None:
            import_files(imports)
            flags = {FLAGS[name].path: value for name in names if (value := options.pop(name)) not in (None, [], ())}
            verb = command.__module__.rpartition(".")[2]
            command(Given(verb, source, flags, (options.pop("settings") if settings else None) or []), **options)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        arguments = [keyword("source", Source), *([keyword("settings", Settings, None)] if settings else [])]
        shared = [FLAGS[name].parameter(name) for name in names]
        parameters = [*arguments, *shared, *(item.replace(kind=item.KEYWORD_ONLY) for item in own)]
        parameters.append(keyword("imports", Import, None))
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {item.name: item.annotation for item in parameters}
        return call

    return decorate


def print_json(value: Any) -> None:
    """One object on one line of standard output; a number that is none is null."""
    from ..files import finite

    print(json.dumps(finite(value), ensure_ascii=False))


def listed(text: str | None) -> list[str]:
    """The parts of `a,b`."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def import_files(files: list[Path] | None) -> None:
    """Runs the user's own modules, whose tasks and strategies are then members like ours.

    Raises:
        ConfigError: one is no Python file, or fails: that is its author's to mend, not a defect of ours.
    """
    for file in files or []:
        name = f"tunewright_import_{file.stem}"  # a file called json.py must not stand in for json
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise ConfigError("is no Python file", where=f"--import {file}", fix="give the path of a .py file")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            line = next((frame.lineno for frame in traceback.extract_tb(error.__traceback__)[::-1]
                         if frame.filename == str(file)), getattr(error, "lineno", None))  # fmt: skip
            what = f"cannot be imported: {type(error).__name__}: {error}"
            raise ConfigError(what, where=f"--import {file}, line {line}", fix="mend the file") from error
