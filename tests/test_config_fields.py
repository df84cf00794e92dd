"""Every field of the configuration is read: changing it changes something that can be seen, or is refused."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.conftest import make_model, settings, weights_of, write_rows
from tunewright import artifact, config
from tunewright.component import members
from tunewright.config import DataConfig, EarlyStopping, RunConfig, TrainingConfig
from tunewright.errors import TunewrightError
from tunewright.run import train
from tunewright.strategies.base import Strategy
from tunewright.tasks.base import Task
from tunewright.training.loop import Loop


class Ended(NamedTuple):
    """What can be seen of a run. `model` is the trained one in memory; `micro_batches` of its first step."""

    path: Path
    metrics: dict[str, Any]
    model: Any
    micro_batches: int

    @property
    def recipe(self) -> Any:
        return yaml.safe_load((self.path / "run.yaml").read_text())

    @property
    def ledger(self) -> Any:
        return json.loads((self.path / "data.json").read_text())

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "history.jsonl").read_text().splitlines()]


def run_of(raw: dict[str, Any]) -> Ended:
    """Trains and keeps what a run does not write down."""
    seen: dict[str, Any] = {"batches": []}
    save, batches = artifact.save, Loop.batches

    def keep_model(folder, model, *rest):
        seen["model"] = model
        save(folder, model, *rest)

    def count(self):
        made = batches(self)
        seen["batches"].append(len(made[0]))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact, "save", keep_model)
        patch.setattr(Loop, "batches", count)
        result = train(config.load(raw))
    return Ended(result.path, result.metrics, seen["model"], next(iter(seen["batches"]), 0))


# --- what is looked at ---------------------------------------------------------------------------------------------


def weights(ended: Ended) -> Any:
    return {name: value.tolist() for name, value in weights_of(ended.path).items()}


def steps(ended: Ended) -> Any:
    return ended.metrics["steps"]


def trained_parameters(ended: Ended) -> Any:
    return ended.metrics["trainable_parameters"]


def files(ended: Ended) -> Any:
    return sorted(path.name for path in (ended.path / "model").iterdir())


def checkpoints(ended: Ended) -> Any:
    return sorted(path.name for path in (ended.path / "checkpoints").glob("step-*"))


def splits(ended: Ended) -> Any:
    texts = {path.name: path.read_text() for path in sorted((ended.path / "predictions").iterdir())}
    rows = [[json.loads(line)["row"] for line in text.splitlines()] for text in texts.values()]
    return list(texts), rows, ended.ledger["splits"]["train"]["rows_in"]


def evaluations(ended: Ended) -> Any:
    return [line["step"] for line in ended.history if "validation" in line]


def outcome(ended: Ended) -> Any:
    return ended.metrics["stopped"]


def labels(ended: Ended) -> Any:
    return ended.recipe["task"]["labels"]


def several_labels(ended: Ended) -> Any:
    return ended.recipe["task"]["multi_label"]


def predictions(ended: Ended) -> Any:
    return (ended.path / "predictions" / "validation.jsonl").read_text()


def recomputes(ended: Ended) -> Any:
    return ended.model.is_gradient_checkpointing


def micro_batches(ended: Ended) -> Any:
    return ended.micro_batches


def place(ended: Ended) -> Any:
    return ended.path.name


# --- the table -----------------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """`look` differs between a run with `given` and one with `given` and `changed`; or one of the two is refused."""

    changed: list[str]
    look: Callable[[Ended], Any] | str
    given: tuple[str, ...] = ()
    refused_without: str | None = None


LORA, HEAD, TAGS = ("strategy=lora",), ("strategy=feature_extraction",), ("data.label=tags", "data.label_delimiter=|")
POOLED = ("task={kind: sequence_classification, pooling: mean}",)
TASK, SHORT = "task=sequence_classification", "data.max_length=7"
SHOWN = {
    "model": Shown(["model={folder}/roberta"], weights),
    "out": Shown(["out={folder}/elsewhere"], place),
    "trust_remote_code": Shown(["trust_remote_code=true"], weights, ("model={folder}/coded",), "trust-remote-code"),
    "data.train": Shown(["data.train={folder}/other.csv"], weights),
    "data.validation": Shown(["data.validation={folder}/other.csv"], splits),
    "data.test": Shown(["data.test={folder}/other.csv"], splits),
    "data.text": Shown(["data.text=note"], weights),
    "data.label": Shown(["data.label=tags"], labels),
    "data.label_names": Shown(["data.label_names={folder}/names.txt"], labels, ("data.label=number",)),
    "data.label_delimiter": Shown(["data.label_delimiter=|"], several_labels, ("data.label=tags",)),
    "data.header": Shown(["data.header=false", "data.text=column_1", "data.label=column_2"], splits),
    "data.max_length": Shown([SHORT], weights),
    "data.limit": Shown(["data.limit=24"], splits),
    "data.on_bad_row": Shown(["data.on_bad_row=drop"], splits, ("data.train={folder}/holes.csv",), "row 9.*is empty"),
    "data.validation_share": Shown(["data.validation_share=0.3"], splits),
    "data.test_share": Shown(["data.test_share=0.3"], splits),
    "data.split_seed": Shown(["data.split_seed=5"], splits),
    "training.epochs": Shown(["training.epochs=2"], steps),
    "training.max_steps": Shown(["training.max_steps=1"], steps),
    "training.learning_rate": Shown(["training.learning_rate=0.01"], weights),
    "training.batch_size": Shown(["training.batch_size=11"], steps),
    "training.micro_batch_size": Shown(["training.micro_batch_size=5"], micro_batches),
    "training.precision": Shown(["training.precision=bf16"], weights),
    "training.seed": Shown(["training.seed=9"], weights),
    "training.schedule": Shown(["training.schedule=constant"], weights),
    "training.warmup": Shown(["training.warmup=2"], weights),
    "training.weight_decay": Shown(["training.weight_decay=0.5"], weights),
    "training.max_gradient_norm": Shown(["training.max_gradient_norm=0.001"], weights),
    "training.evaluate_every": Shown(["training.evaluate_every=1"], evaluations),
    "training.checkpoint_every": Shown(["training.checkpoint_every=1"], checkpoints, ("training.keep_checkpoints=9",)),
    "training.keep_checkpoints": Shown(["training.keep_checkpoints=9"], checkpoints, ("training.checkpoint_every=1",)),
    "training.early_stopping": Shown(
        ["training.early_stopping={patience: 1, min_delta: 9}"], outcome, ("training.evaluate_every=1",)
    ),
    "training.gradient_checkpointing": Shown(["training.gradient_checkpointing=true"], recomputes),
    "training.dropout": Shown(["training.dropout=0"], weights),
    "training.early_stopping.metric": Shown(["training.early_stopping={metric: acuracy}"], "did you mean 'accuracy'"),
    "training.early_stopping.patience": Shown(
        ["training.early_stopping.patience=1"],
        outcome,
        ("training.evaluate_every=1", "training.early_stopping={patience: 50, min_delta: 9}"),
    ),
    "training.early_stopping.min_delta": Shown(
        ["training.early_stopping.min_delta=9"],
        outcome,
        ("training.evaluate_every=1", "training.early_stopping={patience: 3, metric: loss}"),
    ),
    "full.head_learning_rate": Shown(["strategy.head_learning_rate=1"], weights, ("strategy=full",)),
    "feature_extraction.regularisation": Shown(["strategy.regularisation=[10]"], weights, HEAD),
    "lora.r": Shown(["strategy.r=2"], trained_parameters, LORA),
    "lora.alpha": Shown(["strategy.alpha=64"], weights, LORA),
    "lora.dropout": Shown(["strategy.dropout=0.5"], weights, LORA),
    "lora.targets": Shown(["strategy.targets=[query]"], trained_parameters, LORA),
    "lora.bias": Shown(["strategy.bias=all"], trained_parameters, LORA),
    "lora.use_dora": Shown(["strategy.use_dora=true"], trained_parameters, LORA),
    "lora.use_rslora": Shown(["strategy.use_rslora=true"], weights, LORA),
    "lora.merge": Shown(["strategy.merge=true"], files, LORA),
    "sequence_classification.labels": Shown(["task.labels=[damage, billing, app]"], labels, (TASK,)),
    "sequence_classification.multi_label": Shown(["task.multi_label=true"], several_labels, (TASK,)),
    "sequence_classification.thresholds": Shown(["task.thresholds=[1, 0, 1]"], predictions, (TASK, *TAGS)),
    "sequence_classification.pooling": Shown(["task.pooling=cls"], files, (TASK,)),
    "sequence_classification.long_text": Shown(["task.long_text=head_tail"], weights, (TASK, SHORT)),
    "sequence_classification.window_overlap": Shown(
        ["task.window_overlap=1"], weights, (TASK, "task.long_text=windows", "task.window_overlap=3", SHORT)
    ),
    "sequence_classification.class_weights": Shown(["task.class_weights={app: 9}"], weights, (TASK,)),
    "sequence_classification.label_smoothing": Shown(["task.label_smoothing=0.3"], weights, (TASK,)),
}  # fmt: skip


def every_field() -> set[str]:
    sections = {
        "": RunConfig,
        "data.": DataConfig,
        "training.": TrainingConfig,
        "training.early_stopping.": EarlyStopping,
    }
    families = {f"{kind}.": member for family in (Task, Strategy) for kind, member in members(family).items()}
    ours = {prefix: member for prefix, member in families.items() if member.__module__.startswith("tunewright.")}
    found = {f"{prefix}{name}" for prefix, member in {**sections, **ours}.items() for name in member.model_fields}
    kinds = {f"{prefix}kind" for prefix in ours}  # chosen in every entry above
    return found - kinds - {"data", "task", "strategy", "training"}


def test_the_table_has_every_field_and_no_other():  # C1
    assert set(SHOWN) == every_field()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Models and data of several forms."""
    made = tmp_path_factory.mktemp("fields")
    make_model(made / "bert")
    make_model(made / "roberta", "roberta")
    make_model(made / "coded")
    description = json.loads((made / "coded" / "config.json").read_text())
    (made / "coded" / "config.json").write_text(json.dumps({**description, "extra": {"trust_remote_code": True}}))
    write_rows(made / "plain.csv", 40)
    with open(made / "plain.csv", encoding="utf-8") as file:
        plain = list(csv.DictReader(file))
    write_columns(made / "inbox.csv", plain)
    write_columns(made / "other.csv", plain[::-1][:30])
    write_columns(
        made / "holes.csv", [{**row, "topic": "" if place == 7 else row["topic"]} for place, row in enumerate(plain)]
    )
    (made / "names.txt").write_text("zero\none\n")
    return made


def write_columns(path: Path, plain: list[dict[str, str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["message", "topic", "note", "tags", "number"])
        for place, row in enumerate(plain):
            topic, tags = row["topic"], ("red|blue", "blue|green", "red", "green")[place % 4]
            writer.writerow([row["text"], topic, row["text"][::-1] + " box", tags, place % 2])


@pytest.fixture(scope="module")
def ended(folder) -> Callable[..., Ended]:
    """`ended("training.seed=9")` is the finished run of these settings; each combination is trained once."""
    known: dict[tuple[str, ...], Ended] = {}
    numbers = itertools.count()

    def make(*assignments: str) -> Ended:
        if assignments not in known:
            raw = settings(str(folder / "bert"), str(folder / "inbox.csv"), folder / f"run-{next(numbers)}", epochs=1)
            raw["data"] |= {"text": "message", "label": "topic"}
            raw["strategy"] = "full"
            if HEAD[0] in assignments:
                raw["training"] = {}  # its solver has no loop
            typed = [item.replace("{folder}", str(folder)) for item in assignments]
            known[assignments] = run_of(config.edited(raw, config.edits(typed)))
        return known[assignments]

    return make


@pytest.mark.parametrize("field", SHOWN)
def test_a_changed_field_is_seen(ended, field):  # C1
    changed, look, given, refused_without = SHOWN[field]
    if isinstance(look, str):
        with pytest.raises(TunewrightError, match=look):
            ended(*given, *changed)
        return
    if refused_without:
        with pytest.raises(TunewrightError, match=refused_without):
            ended(*given)
        assert look(ended(*given, *changed))
        return
    assert look(ended(*given)) != look(ended(*given, *changed))


REFUSED = {
    "data.validation_share": ["data.validation={folder}/other.csv", "data.validation_share=0.3"],
    "data.test_share": ["data.validation={folder}/other.csv", "data.test_share=0.3"],
    "data.max_length": ["data.max_length=1000"],
    "training.early_stopping": ["data.validation_share=0", "training.early_stopping={}"],
    "training.evaluate_every": ["data.validation_share=0", "training.evaluate_every=3"],
    "training.precision": ["training.precision=fp16"],
    "training.micro_batch_size": ["training.micro_batch_size=9"],
    "task.class_weights": ["task={kind: sequence_classification, class_weights: {ap: 2}}"],
    "task.window_overlap": ["task={kind: sequence_classification, window_overlap: 2}"],
    "task.thresholds": ["task={kind: sequence_classification, thresholds: [0.5, 0.5, 0.5]}"],
    "strategy.targets": ["strategy={kind: lora, targets: [qury]}"],
}


@pytest.mark.parametrize("field", REFUSED)
def test_a_field_that_can_have_no_effect_is_refused_with_its_path(ended, field):  # C1
    with pytest.raises(TunewrightError, match=f"^{field}"):
        ended(*REFUSED[field])


def a_change(name: str) -> str:
    """Another value than the default, as it stands in the table above."""
    return next(item for item in SHOWN[f"training.{name}"].changed if item.startswith(f"training.{name}"))


@pytest.mark.parametrize("name", sorted(set(TrainingConfig.model_fields) - {"seed"}))
def test_settings_of_the_loop_are_refused_where_a_solver_takes_its_place(ended, name):  # C1
    with pytest.raises(TunewrightError, match=f"training.{name}: has no effect.*feature_extraction"):
        ended(*HEAD, a_change(name))
