"""Reads the files of a run's directory into one value; nothing else in the report touches the disk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..embedded import ALIASES
from ..errors import RunDirectoryError
from ..files import read_json
from . import privacy, stored
from .stored import Stored
from .words import finite

Record = dict[str, Any]

GENERATIVE = ("causal_lm", "seq2seq", "preference")  # tasks that write answers
_TEXTS = ("text", "label", "rejected", "predicted")  # of their predictions: what people and models wrote

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")


@dataclass(frozen=True)
class RunFiles:
    """What a run left behind, with secrets and absolute paths taken out."""

    name: str  # the name of the directory
    config: Record  # run.yaml
    metrics: Record  # metrics.json
    ledger: Record  # data.json, empty where there is none
    training: list[Record] = field(default_factory=list)  # history.jsonl: lines of training, by step
    evaluations: list[Record] = field(default_factory=list)  # history.jsonl: lines with scores, by step
    predictions: list[Record] | None = None  # None: none were kept
    predictions_split: str = "test"
    base_model: str | None = None  # its name on the hub, where it has one
    manifest: Record = field(default_factory=dict)  # form and task of model/tunewright.json, where the model is there
    checks: Record = field(default_factory=dict)  # checks.json: what was found in the data
    stored: Stored = field(default_factory=Stored)  # of a task that writes answers: how model/ writes them

    def part(self, name: str) -> Record:
        """A part of the configuration: task, strategy, training or data."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def labels(self) -> list[str]:
        return [str(label) for label in self.part("task").get("labels") or []]

    @property
    def plain_tags(self) -> bool:
        """Whether every word has a tag, instead of some words being an entity."""
        return self.part("task").get("scheme") == "plain"

    @property
    def label_noun(self) -> str:
        """What one of the labels is."""
        if self.task == "token_classification":
            return "tag" if self.plain_tags else "entity type"
        return "label"

    @property
    def groups(self) -> dict[str, Record]:
        """The scores of each class, entity type or tag."""
        return self.scores.get("per_class") or self.scores.get("per_type") or {}

    @property
    def counted_noun(self) -> str:
        """What the support of a label, and the ledger's counts of labels, are numbers of."""
        if self.task == "token_classification":
            return "words" if self.plain_tags else "entities"
        return "questions" if self.task == "question_answering" else "rows"

    @property
    def null_threshold(self) -> Any:
        """From which lead on "no answer" is given: as tuned, which run.yaml does not know."""
        return (self.manifest.get("task") or self.part("task")).get("null_threshold")

    @property
    def multi_label(self) -> bool:
        return bool(self.part("task").get("multi_label"))

    @property
    def strategy(self) -> str:
        return str(self.part("strategy").get("kind") or self.metrics.get("strategy") or "")

    @property
    def task(self) -> str:
        return str(self.part("task").get("kind") or self.metrics.get("task") or "")

    @property
    def generative(self) -> bool:
        """Whether the model writes answers."""
        return self.task in GENERATIVE

    @property
    def row_noun(self) -> str:
        """What a row of the data is."""
        return "pair" if self.task == "preference" else "row"

    @property
    def split(self) -> str:
        """The split that the report speaks of: test, or validation where there is no test."""
        return "test" if self.metrics.get("test") else "validation"

    @property
    def scores(self) -> Record:
        return self.metrics.get(self.split) or {}

    @property
    def splits(self) -> dict[str, Record]:
        """The scores of each split that was evaluated."""
        return {name: self.metrics[name] for name in ("validation", "test") if self.metrics.get(name)}

    @property
    def score_names(self) -> list[str]:
        """The scores of any split that are one number."""
        known = (name for scores in self.splits.values() for name, value in scores.items() if finite(value) is not None)
        return list(dict.fromkeys(known))

    @property
    def before(self) -> Record:
        """The scores of the untuned model on the split that the report speaks of; empty where nobody measured them."""
        return self.metrics.get("before") or {}

    def source(self, split: str = "train") -> str:
        """The file name of a split's data."""
        splits = self.ledger.get("splits") or {}
        named = (splits.get(split) or {}).get("source") or self.part("data").get(split)
        return str(named).rstrip("/").rsplit("/", 1)[-1] if named else f"its {split} data"

    @property
    def where(self) -> str:
        """The directory as a person names it: relative as configured, else only its name."""
        return str(self.config.get("out") or self.name)


def read(run: Path, template: bool = True) -> RunFiles:
    """Reads a run's directory. Raises RunDirectoryError where it holds neither run.yaml nor metrics.json.

    template: also what the model's folder says of writing, which takes a tokenizer."""
    if not (run / "run.yaml").is_file() and not (run / "metrics.json").is_file():
        fault = "neither run.yaml nor metrics.json is here"
        raise RunDirectoryError(fault, where=str(run), fix="give the directory of a run")
    config, metrics = _mapping(run / "run.yaml"), _mapping(run / "metrics.json")
    training, evaluations = _history(run / "history.jsonl")
    split, predictions = _predictions(run / "predictions")
    task = config.get("task")
    generative = ((isinstance(task, dict) and task.get("kind")) or metrics.get("task")) in GENERATIVE
    return RunFiles(
        name=run.resolve().name,
        config=_private_config(config),
        metrics=_private_metrics(metrics),
        ledger=privacy.scrub_values(_mapping(run / "data.json")),
        training=training,
        evaluations=evaluations,
        predictions=_private_predictions(predictions) if generative else predictions,
        predictions_split=split,
        base_model=hub_name(str(config.get("model") or metrics.get("model") or "")),
        manifest=_manifest(run / "model" / "tunewright.json"),
        checks=privacy.scrub_values(_mapping(run / "checks.json")),
        stored=stored.read(run / "model") if generative and template else Stored(),
    )


def _manifest(path: Path) -> Record:
    """Only what is spoken of: the rest of the manifest names files and folders of this machine."""
    found = _mapping(path)
    task = found.get("task")
    return {"form": found.get("form"), "task": task if isinstance(task, dict) else {}} if found else {}


def hub_name(model: str) -> str | None:
    """The name on the hub; None for a local folder."""
    if model in ALIASES:
        return ALIASES[model].hub_id
    return model if _HUB_NAME.fullmatch(model) and not Path(model).exists() else None


def _private_config(config: Record) -> Record:
    private: Record = privacy.scrub_values(config)
    if isinstance(config.get("task"), dict) and "labels" in config["task"]:
        private["task"]["labels"] = config["task"]["labels"]  # a label is a name, whatever it looks like
    return private


def _private_metrics(metrics: Record) -> Record:
    private = {**privacy.scrub_values(metrics), "validation": metrics.get("validation"), "test": metrics.get("test")}
    if metrics.get("command"):
        private["command"] = privacy.scrub_command(str(metrics["command"]))
    return private


def _private_predictions(lines: list[Record] | None) -> list[Record] | None:
    """Prompts and answers are often logs, code and mails: secrets and paths are taken out of them, too."""
    if lines is None:
        return None
    hidden = lambda line, key: privacy.scrub(line[key]) if isinstance(line.get(key), str) else line.get(key)  # noqa: E731
    return [{**line, **{key: hidden(line, key) for key in _TEXTS if key in line}} for line in lines]


def _mapping(path: Path) -> Record:
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.suffix == ".yaml" else read_json(path)
    except (ValueError, RecursionError, yaml.YAMLError):
        raise RunDirectoryError("is damaged", where=str(path), fix="restore a copy, or train again") from None
    if not isinstance(content, dict):
        fault = f"a mapping was expected, not {type(content).__name__}"
        raise RunDirectoryError(fault, where=path.name, fix="train again to mend it")
    return content


def _json_lines(path: Path) -> Iterator[Record]:
    """The objects of a file of lines; an unfinished last line is what an interruption leaves, and is no error."""
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                return
            where = f"{path.name}, line {number}"
            raise RunDirectoryError(f"no JSON ({error})", where=where, fix="drop the line") from error
        if isinstance(value, dict):
            yield value


def _history(path: Path) -> tuple[list[Record], list[Record]]:
    """Lines of training and of evaluation, by step; of a step that a resume repeated, the later line counts."""
    training: dict[float, Record] = {}
    evaluations: dict[float, Record] = {}
    for line in _json_lines(path) if path.is_file() else ():
        kind = evaluations if isinstance(line.get("validation"), dict) else training
        kind[line.get("step") or 0] = line
    return [training[step] for step in sorted(training)], [evaluations[step] for step in sorted(evaluations)]


def _predictions(folder: Path) -> tuple[str, list[Record] | None]:
    for split in ("test", "validation"):
        if (folder / f"{split}.jsonl").is_file():
            return split, list(_json_lines(folder / f"{split}.jsonl"))
    return "test", None
