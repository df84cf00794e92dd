"""Measuring: the facts of data, model and machine; each bounded in time, each with a reason where it fails."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import artifact, models, resolve
from ..component import members
from ..config import RunConfig
from ..data import probe
from ..data.checks import alike, enough_data, length
from ..data.checks.base import Notebook, texts_of
from ..data.checks.label_noise import LabelNoise
from ..data.desk import Desk, TimeIsUp
from ..desk.encoder import PooledEncoder
from ..desk.opening import open_run
from ..errors import ConfigError, ModelError, TunewrightError
from ..footprint import anatomy
from ..intake import Intake, take_in
from ..launch import with_model
from ..strategies.base import Scale, Strategy
from ..tasks.base import Encoded, Row, Task
from ..training.progress import Listener
from .facts import Facts, checked

if TYPE_CHECKING:
    from ..planner.machine import Machine

SAMPLE = 2000  # rows that are looked at: a score of them has a standard error of at most 1.1 points
TEXTS = 1000  # rows whose tokens are counted
ANSWERS = 32  # rows whose answers the untuned model is asked about
ASKED = 3e8  # parameters of the largest model that is asked, and whose features are made
UNLIKELY = "no weights of it are on this machine"


class Unmeasured(Exception):
    """Why a fact can't be known here."""


@dataclass
class Subject:
    """What is advised on: rows, task, model and machine. resolved, encoded: as a run's, where rows can be encoded."""

    config: RunConfig
    intake: Intake
    task: Task
    source: models.Source
    tokenizer: Any
    chat_template: bool | None
    desk: Desk
    machine: Machine
    notes: list[str] = field(default_factory=list)
    resolved: RunConfig | None = None
    encoded: dict[str, Encoded] = field(default_factory=dict)

    @property
    def train(self) -> Any:
        return self.intake.splits["train"]

    @property
    def has_weights(self) -> bool:
        return any(self.source.folder.glob("*.safetensors"))

    @cached_property
    def kind(self) -> str:
        config = self.source.config
        if getattr(config, "is_encoder_decoder", False):
            return "seq2seq"
        named = " ".join(getattr(config, "architectures", None) or [])
        return "causal" if re.search("CausalLM|LMHead", named) or self.task.embedded == "pocket-lm" else "encoder"

    @cached_property
    def device(self) -> Any:
        """Of this machine, whose arithmetic is asked where no other one is described."""
        import torch

        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def parameters(self) -> int:
        return anatomy(self.source, self.task).total

    @cached_property
    def examples(self) -> Encoded:
        return self.task.examples(self.encoded["train"])

    def strategy(self, kind: str) -> Strategy:
        chosen = self.config.strategy
        return chosen if chosen.kind == kind else members(Strategy)[kind](kind=kind)  # type: ignore[type-abstract]

    def refusal(self, kind: str) -> str | None:
        """Why this strategy can't be had here, as `train` would say it."""
        try:
            resolve.effective_task(self.task, self.strategy(kind), self.source)
        except ConfigError as error:
            return error.what
        return None

    def numbers(self, kind: str) -> dict[str, Any]:
        """What `auto` means in a run of this strategy: by the same functions as a run's."""
        strategy, training = self.strategy(kind), self.config.training
        if strategy.solves(self.task):
            return {}
        width = models.widths(self.source.config)[0]
        if not self.encoded:
            found = self.task.temper(strategy.defaults(Scale(width, len(self.train.rows))))._asdict()
        else:
            config = self.config.model_copy(update={"strategy": strategy})
            scale = Scale(width, len(self.examples.features))
            made = resolve.resolve_training(config, self.task, scale, self.examples)
            found = {name: getattr(made, name) for name in ("learning_rate", "batch_size", "epochs")}
        return {**found, "warmup": training.warmup, "weight_decay": training.weight_decay}


def open_subject(config: RunConfig, machine: Machine, seconds: float, listener: Listener) -> Subject:
    """Reads data and model's configuration as `train` does; weights may be absent.

    Raises:
        TunewrightError: `train` would refuse the data or the model too.
    """
    intake = take_in(config)
    config = with_model(config, intake.task)
    name = artifact.startable(config.model, config.trust_remote_code)
    source = models.locate(name, config.trust_remote_code, weights=False)
    task = intake.task.settle(source, False)
    notes, tokenizer, template, resolved = list(intake.notes), None, None, None
    encoded: dict[str, Encoded] = {}
    try:
        if not any((source.folder / name).is_file() for name in models.TOKENIZER_FILES):
            raise ModelError("it has no tokenizer", where=f"model: {config.model}")  # transformers makes an empty one
        tokenizer = models.load_tokenizer(source, task.by_words)
        template = bool(tokenizer.chat_template)
        notes += task.dress(tokenizer)
        resolved, encoded = resolve.resolve(config, Path("run"), intake, task, source, tokenizer, listener.progress)
    except TunewrightError as error:
        notes.append(f"no tokens: {error}")
    wanted = resolved.data.max_length if resolved else config.data.max_length
    limit = task.max_length(source) if wanted == "auto" else int(wanted)
    desk = open_run(config, intake, task, tokenizer, limit, seconds, listener.progress)
    desk.sample_size = min(desk.sample_size, SAMPLE)
    subject = Subject(config, intake, task, source, tokenizer, template, desk, machine, notes, resolved, encoded)
    if subject.kind == "encoder" and subject.has_weights and subject.parameters <= ASKED:
        desk.encoder = PooledEncoder(name, config.trust_remote_code)
    return subject


def measure(subject: Subject, need: str, given: Mapping[str, Any]) -> Facts:
    """Every fact that can be had; what is given is not measured."""
    facts = Facts(checked({"need": need, **given}))
    for names, work in MEASURES:
        wanted = [name for name in names if name not in given]
        if not wanted:
            continue
        try:
            found = work(subject)
            facts.unknown |= dict.fromkeys(wanted, f"means nothing for {subject.task.kind}")
            facts.values |= {name: value for name, value in found.items() if name in wanted and value is not None}
        except Unmeasured as error:
            facts.unknown |= dict.fromkeys(wanted, str(error))
        except TimeIsUp:
            over = f"the {subject.desk.seconds:g} s for looking were over; give more (--seconds)"
            facts.unknown |= dict.fromkeys(wanted, over)
    facts.unknown = {name: why for name, why in facts.unknown.items() if name not in facts.values}
    return facts


def of_rows(subject: Subject) -> dict[str, Any]:
    """Rows of the training file, also those that a run would hold out of it."""
    own = subject.train.source
    splits = [split for split in subject.intake.splits.values() if split.source == own]
    found: dict[str, Any] = {"task": subject.task.kind, "rows": sum(len(split.rows) for split in splits)}
    if subject.task.kind == "sequence_classification":
        counts = Counter(name for split in splits for row in split.rows for name in subject.task.counted(row))
        sizes = np.array(sorted(counts.values()) or [0])
        found |= {"classes": len(sizes), "rows_per_class": float(np.median(sizes)), "rows_of_rarest": int(sizes[0]),
                  "majority": float(sizes[-1] / max(found["rows"], 1)),
                  "imbalance": float(sizes[-1] / max(sizes[0], 1))}  # fmt: skip
    return found


def of_model(subject: Subject) -> dict[str, Any]:
    return {"parameters": subject.parameters, "model_kind": subject.kind}


def of_tuning(subject: Subject) -> dict[str, Any]:
    if subject.chat_template:
        return {"instruction_tuned": True}
    raise Unmeasured("it brings no chat template, which tells nothing; say it: --fact instruction_tuned=true or false")


def of_machine(subject: Subject) -> dict[str, Any]:
    machine = subject.machine
    return {"gpu": machine.device != "cpu", "devices": machine.num_devices, "memory_gb": machine.memory_bytes / 1e9}


def of_tokens(subject: Subject) -> dict[str, Any]:
    """Lengths, words that the tokenizer breaks up, and tokens that it does not know; of a sample's rows."""
    if subject.tokenizer is None:
        raise Unmeasured("there is no tokenizer")
    rows = sampled(subject, TEXTS)
    lengths, limit = np.array(length.batch_lengths(rows, subject.tokenizer)), int(subject.desk.max_length or 0)
    words = [word for row in rows for text in texts_of(row) for word in re.findall(r"\w+", text)]
    ids = subject.tokenizer(words, add_special_tokens=False, verbose=False)["input_ids"] if words else []
    num_tokens, unknown = sum(map(len, ids)), subject.tokenizer.unk_token_id
    return {
        "tokens_median": float(np.median(lengths)), "tokens_95": float(np.percentile(lengths, 95)), "limit": limit,
        "too_long": float((lengths > limit).mean()), "tokens_per_word": num_tokens / max(len(words), 1),
        "unknown_tokens": sum(each.count(unknown) for each in ids) / max(num_tokens, 1),
    }  # fmt: skip


def sampled(subject: Subject, most: int) -> list[Row]:
    rows = subject.train.rows
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, min(most, len(rows)))]


def of_duplicates(subject: Subject) -> dict[str, Any]:
    prints = alike.prints(subject.desk, subject.desk.train)
    asked = np.stack([prints.normalised, prints.label], axis=1)
    return {"duplicates": 1 - len(np.unique(asked, axis=0)) / len(asked)}


def of_words(subject: Subject) -> dict[str, Any]:
    only_classes(subject)
    return {"words_score": out_of_fold(subject, words_of(subject.desk), "words")}


def of_features(subject: Subject) -> dict[str, Any]:
    only_classes(subject)
    if subject.desk.encoder is None:
        raise Unmeasured("no encoder's weights are on this machine")
    return {"probe_score": out_of_fold(subject, subject.desk.features(subject.desk.train), subject.desk.encoder.name)}


def words_of(desk: Desk) -> Any:
    texts = [desk.train.rows[place].text for place in desk.sample(desk.train)]
    return desk.once(("words", desk.train.name), lambda: probe.word_features(texts)[0])


def only_classes(subject: Subject) -> None:
    if subject.task.kind != "sequence_classification":
        raise Unmeasured(f"rows of {subject.task.kind} are of no classes")
    if len(subject.desk.train.rows) < 20:
        raise Unmeasured(f"{len(subject.desk.train.rows)} rows are too few for folds")


def out_of_fold(subject: Subject, features: Any, name: str) -> float:
    """Accuracy, or micro F1 of several labels a row, on rows that each probe did not see."""
    desk, task = subject.desk, subject.task
    able: Any = task
    targets = np.array([able.target(desk.train.rows[place]) for place in desk.sample(desk.train)], dtype=np.int64)
    show = lambda done, total: desk.progress(f"linear probe of {name}", done, total)  # noqa: E731
    found = probe.out_of_fold(features, targets, len(able.labels), seed=desk.seed, progress=show)
    right, said, there = enough_data.counted(found, targets).sum(1)
    return float(2 * right / max(said + there, 1))


def of_noise(subject: Subject) -> dict[str, Any]:
    check, notebook = LabelNoise(), Notebook()
    only_classes(subject)
    if reason := check.cannot(subject.desk):
        raise Unmeasured(reason)
    check.run(subject.desk, notebook)
    found = notebook.facts["label_noise"]
    return {"label_noise": found["suspects"] / found["rows"], "label_agreement": found["agreement"]}


def of_answers(subject: Subject) -> dict[str, Any]:
    """The untuned model's perplexity of the answers of some rows."""
    if subject.task.kind != "causal_lm":
        return {}
    if not subject.has_weights or subject.tokenizer is None:
        raise Unmeasured(UNLIKELY)
    if subject.parameters > ASKED:
        raise Unmeasured(f"{subject.parameters:,} parameters would take long to ask")
    from functools import partial

    from ..evaluation import outputs_of

    task, rows = subject.task.during_training(), sampled(subject, ANSWERS)
    source = models.locate(subject.source.name, subject.source.trust_remote_code)
    encoded = task.encode(rows, subject.tokenizer, min(int(subject.desk.max_length or 512), 512))
    collate = partial(task.collate, tokenizer=subject.tokenizer)
    show: Callable[[int, int], None] = lambda done, total: subject.desk.progress("perplexity", done, total)  # noqa: E731
    outputs = outputs_of(task.build(source).to(subject.device), task, encoded, collate, subject.device, progress=show)
    return {"perplexity": task.score(outputs, rows).get("perplexity")}


MEASURES: tuple[tuple[tuple[str, ...], Callable[[Subject], dict[str, Any]]], ...] = (
    (("task", "rows", "classes", "rows_per_class", "rows_of_rarest", "majority", "imbalance"), of_rows),
    (("parameters", "model_kind"), of_model),
    (("instruction_tuned",), of_tuning),
    (("gpu", "devices", "memory_gb"), of_machine),
    (("tokens_median", "tokens_95", "limit", "too_long", "tokens_per_word", "unknown_tokens"), of_tokens),
    (("duplicates",), of_duplicates),
    (("words_score",), of_words),
    (("probe_score",), of_features),
    (("perplexity",), of_answers),
    (("label_noise", "label_agreement"), of_noise),
)


def pairs_in(file: str | Path, config: RunConfig) -> int:
    """Preference pairs of another file. Raises DataError where it holds none."""
    kind: Any = members(Task)["preference"]  # type: ignore[type-abstract]
    data = config.data.model_copy(update={"train": str(file), "validation": None, "test": None, "text": None,
                                          "label": None, "validation_share": 0, "test_share": 0})  # fmt: skip
    return len(take_in(config.model_copy(update={"data": data, "task": kind(kind="preference")})).splits["train"].rows)
