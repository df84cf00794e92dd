"""What can be seen of a run, and the table of every field: what it changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.conftest import weights_of
from tunewright import artifact, config
from tunewright.run import train
from tunewright.training.loop import Loop


class Ended(NamedTuple):
    """What can be seen of a run. `model` is the trained one in memory; `micro_batches` of its first step; whether
    the frozen blocks' hidden states came from the cache."""

    path: Path
    metrics: dict[str, Any]
    model: Any
    micro_batches: int
    prefix_is_served: bool

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
        seen["served"] = self.cached is not None
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact, "save", keep_model)
        patch.setattr(Loop, "batches", count)
        result = train(config.load(raw))
    return Ended(result.path, result.metrics, seen["model"], next(iter(seen["batches"]), 0), seen.get("served", False))


# --- what is looked at ---------------------------------------------------------------------------------------------


def weights(ended: Ended) -> Any:
    return {name: value.tolist() for name, value in weights_of(ended.path).items()}


def prefix_is_served(ended: Ended) -> Any:
    return ended.prefix_is_served


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


def before(ended: Ended) -> Any:
    return "before" in ended.metrics


def scores(ended: Ended) -> Any:
    return sorted(ended.metrics["validation"])


def answers(ended: Ended) -> Any:
    return ended.metrics["validation"].get("answers")


def recomputes(ended: Ended) -> Any:
    return ended.model.is_gradient_checkpointing


def micro_batches(ended: Ended) -> Any:
    return ended.micro_batches


def looked(ended: Ended) -> Any:
    return (ended.path / "checks.json").exists()


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
TASK, SHORT = "task=sequence_classification", "data.max_length=7"
TOKENS = ("data={train: '{folder}/tags.jsonl'}", "task=token_classification")
PLAIN = ("data={train: '{folder}/spoken.jsonl'}", "task=token_classification")
QUESTIONS = ("data={train: '{folder}/questions.jsonl'}", "task=question_answering")
ANSWERED = ("data={train: '{folder}/answered.jsonl'}", "task=question_answering")
ADAPTER, PREFIX, PROMPT = ("strategy=bottleneck_adapter",), ("strategy=prefix_tuning",), ("strategy=prompt_tuning",)
FREEZE, GRADUAL, DECAY = ("strategy=freeze",), ("strategy=gradual_unfreezing",), ("strategy=layerwise_decay",)
QLORA, HEAD_RATE = ("strategy=qlora",), "strategy.head_learning_rate=7"
LOW_RANK = {
    f"lora.{name}": Shown([f"strategy.{name}={value}"], look, LORA)
    for name, value, look in [
        ("r", "2", trained_parameters),
        ("alpha", "64", weights),
        ("dropout", "0.5", weights),
        ("targets", "[query]", trained_parameters),
        ("bias", "all", trained_parameters),
        ("use_dora", "true", trained_parameters),
        ("use_rslora", "true", weights),
        ("rank_pattern", "{query: 2}", trained_parameters),
        ("alpha_pattern", "{query: 99}", weights),
    ]
}
WRITING = "max_new_tokens: 6, score_answers: 3"
INSTRUCTED = (
    "data={train: '{folder}/written.jsonl', validation_share: 0.3}",
    "model={folder}/llama",
    f"task={{kind: causal_lm, {WRITING}}}",
)
LABELLED = ("model={folder}/llama", f"task={{kind: causal_lm, shape: classification, {WRITING}}}")
SUMMED = (
    "data={train: '{folder}/written.jsonl', text: document, label: summary, validation_share: 0.3}",
    "model={folder}/t5",
    f"task={{kind: seq2seq, {WRITING}}}",
)
PREFERRED = (
    "data={train: '{folder}/pairs.jsonl', validation_share: 0.3}",
    "model={folder}/llama",
    f"task={{kind: preference, {WRITING}}}",
)
WRITERS = {"causal_lm": INSTRUCTED, "seq2seq": SUMMED, "preference": PREFERRED}
GENERATIVE = {
    f"causal_lm.{name}": Shown([f"task.{name}={value}"], look, (*INSTRUCTED, *more))
    for name, value, look, more in [
        ("max_new_tokens", "2", predictions, ()),
        ("temperature", "2", predictions, ()),
        ("top_p", "0.01", predictions, ("task.temperature=2",)),
        ("num_beams", "3", predictions, ()),
        ("repetition_penalty", "9", predictions, ()),
        ("scores", "[exact_match]", scores, ()),
        ("score_answers", "1", answers, ()),
        ("json_schema", "{folder}/schema.json", scores, ()),
        ("pattern", "[a-z]+", scores, ()),
    ]
}
CUT = {
    f"{kind}.max_truncated": Shown(["task.max_truncated=1"], steps, (*given, *short), "do not fit and would be cut")
    for kind, given, short in [
        ("causal_lm", INSTRUCTED, ("data.max_length=7", "task.template=plain")),
        ("seq2seq", SUMMED, ("task.max_target_length=2",)),
        ("preference", PREFERRED, ("data.max_length=7",)),
    ]
}
NO_GROUPS, BY_TIME = "no groups of their own", ("data.split={kind: by_time, column: number}",)
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
    "data.split": Shown(["data.split=random"], splits),
    **{f"{kind}.near_duplicates": Shown([f"data.split={{kind: {kind}, near_duplicates: true}}"], splits,
                                        (f"data.split={kind}",)) for kind in ("auto", "random")},
    "grouped.near_duplicates": Shown(["data.split.near_duplicates=true"], splits, ("data.split=grouped",), NO_GROUPS),
    "grouped.column": Shown(
        ["data.split.column=tags"], splits, ("data.split=grouped", "data.validation_share=0.25"), NO_GROUPS
    ),
    "by_time.near_duplicates": Shown(["data.split.near_duplicates=true"], "does not go with by_time", BY_TIME),
    "by_time.column": Shown(["data.split.column=tags"], "is no time", BY_TIME),
    "data.split_seed": Shown(["data.split_seed=5"], splits),
    "data.check_seconds": Shown(["data.check_seconds=9"], looked),
    "data.allow": Shown(
        ["data.allow=[leakage]"], looked, ("data.test={folder}/again.csv", "data.check_seconds=9"), r"leakage\.exact"
    ),
    "training.epochs": Shown(["training.epochs=2"], steps),
    "training.max_steps": Shown(["training.max_steps=1"], steps),
    "training.learning_rate": Shown(["training.learning_rate=0.01"], weights),
    "training.batch_size": Shown(["training.batch_size=11"], steps),
    "training.batch_tokens": Shown(["training.batch_tokens=60"], steps, ("training.batch_size=auto",)),
    "training.micro_batch_size": Shown(["training.micro_batch_size=5"], micro_batches),
    "training.micro_batch_tokens": Shown(["training.micro_batch_tokens=20"], micro_batches, INSTRUCTED),
    "training.score_before": Shown(["training.score_before=true"], before),
    "training.precision": Shown(["training.precision=bf16"], weights),
    "training.kernels": Shown(["training.kernels=plain"], weights),
    "training.prefix_cache": Shown(["training.prefix_cache=false"], prefix_is_served, (*FREEZE, "training.epochs=2")),
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
    "training.balance": Shown(["training.balance=focal"], weights),
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
    "lora.merge": Shown(["strategy.merge=true"], files, LORA),
    "lora.init": Shown(["strategy.init=gaussian"], weights, LORA),
    "qlora.double_quantisation": Shown(["strategy.double_quantisation=false"], weights, QLORA),
    "qlora.targets": Shown(["strategy.targets=[query]"], trained_parameters, QLORA),
    "qlora.loftq": Shown(["strategy.loftq=true"], weights, QLORA),
    **LOW_RANK,
    "bitfit.head_learning_rate": Shown([HEAD_RATE], weights, ("strategy=bitfit",)),
    "bottleneck_adapter.bottleneck_size": Shown(["strategy.bottleneck_size=8"], trained_parameters, ADAPTER),
    "bottleneck_adapter.variant": Shown(["strategy.variant=pfeiffer"], trained_parameters, ADAPTER),
    "bottleneck_adapter.activation": Shown(["strategy.activation=tanh"], weights, ADAPTER),
    "bottleneck_adapter.dropout": Shown(["strategy.dropout=0.5"], weights, ADAPTER),
    "bottleneck_adapter.scaling": Shown(["strategy.scaling=0.1"], weights, ADAPTER),
    "bottleneck_adapter.targets": Shown(["strategy.targets=[query]"], trained_parameters, ADAPTER),
    "freeze.blocks": Shown(["strategy.blocks=2"], trained_parameters, FREEZE),
    "freeze.steps": Shown(["strategy.steps=2"], trained_parameters, FREEZE),
    "freeze.head_learning_rate": Shown([HEAD_RATE], weights, FREEZE),
    "gradual_unfreezing.every": Shown(["strategy.every=2"], weights, GRADUAL),
    "gradual_unfreezing.at": Shown(["strategy.at=[0.5]"], trained_parameters, GRADUAL),
    "gradual_unfreezing.blocks": Shown(["strategy.blocks=2"], weights, GRADUAL),
    "gradual_unfreezing.decay": Shown(["strategy.decay=0.1"], weights, GRADUAL),
    "gradual_unfreezing.head_learning_rate": Shown([HEAD_RATE], weights, GRADUAL),
    "layerwise_decay.decay": Shown(["strategy.decay=0.1"], weights, DECAY),
    "layerwise_decay.head_learning_rate": Shown([HEAD_RATE], weights, DECAY),
    "prefix_tuning.num_virtual_tokens": Shown(["strategy.num_virtual_tokens=3"], trained_parameters, PREFIX),
    "prefix_tuning.projection": Shown(["strategy.projection=true"], trained_parameters, PREFIX),
    "prefix_tuning.projection_size": Shown(
        ["strategy.projection_size=8"], trained_parameters, (*PREFIX, "strategy.projection=true")
    ),
    "prefix_tuning.head_learning_rate": Shown([HEAD_RATE], weights, PREFIX),
    "prompt_tuning.init_text": Shown(["strategy.init_text=red label"], weights, PROMPT),
    **GENERATIVE,
    **CUT,
    "preference.score_answers": Shown(["task.score_answers=1"], answers, PREFERRED),
    "seq2seq.num_beams": Shown(["task.num_beams=3"], predictions, SUMMED),
    "causal_lm.shape": Shown(["task.shape=summarisation"], weights, INSTRUCTED),
    "causal_lm.template": Shown(["task.template=chatml"], weights, INSTRUCTED),
    "causal_lm.loss_on": Shown(["task.loss_on=everything"], weights, INSTRUCTED),
    "causal_lm.prompt_weight": Shown(["task.prompt_weight=0.5"], weights, INSTRUCTED),
    "causal_lm.labels": Shown(["task.labels=[x, y]"], weights, LABELLED),
    "seq2seq.prefix": Shown(["task.prefix=red"], weights, SUMMED),
    "seq2seq.max_target_length": Shown(["task.max_target_length=2"], weights, (*SUMMED, "task.max_truncated=1")),
    "seq2seq.label_smoothing": Shown(["task.label_smoothing=0.3"], weights, SUMMED),
    "preference.loss": Shown(["task.loss=ipo"], weights, PREFERRED),
    "preference.beta": Shown(["task.beta=2"], weights, PREFERRED),
    "preference.label_smoothing": Shown(["task.label_smoothing=0.3"], weights, PREFERRED),
    "preference.gamma": Shown(["task.gamma=0.3"], weights, (*PREFERRED, "task.loss=simpo")),
    "preference.template": Shown(["task.template=chatml"], weights, PREFERRED),
    "token_classification.labels": Shown(["task.labels=[number, colour]"], weights, TOKENS),
    "token_classification.scheme": Shown(["task.scheme=BIOES"], trained_parameters, TOKENS),
    "token_classification.sub_words": Shown(["task.sub_words=all"], weights, TOKENS),
    "token_classification.decoding": Shown(
        ["task.decoding=greedy"], predictions, (*TOKENS, "training.learning_rate=1e-9")
    ),
    "token_classification.window_overlap": Shown(["task.window_overlap=0"], weights, (*TOKENS, SHORT)),
    "token_classification.label_smoothing": Shown(["task.label_smoothing=0.3"], weights, TOKENS),
    "question_answering.no_answer": Shown(["task.no_answer=true"], predictions, ANSWERED),
    "question_answering.null_threshold": Shown(
        ["task.null_threshold=-99"], predictions, (*QUESTIONS, "task.null_threshold=99")
    ),
    "question_answering.window_overlap": Shown(["task.window_overlap=0"], weights, (*QUESTIONS, "data.max_length=10")),
    "question_answering.max_answer_length": Shown(["task.max_answer_length=1"], predictions, QUESTIONS),
    "question_answering.n_best": Shown(["task.n_best=2"], predictions, QUESTIONS),
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
