"""Session: what the chapters of one run share, and what makes it the same run after an interruption."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import models
from .config import RunConfig
from .desk.checking import Checked
from .directory import CHECKPOINTS
from .evaluation import outputs_of
from .files import digest
from .intake import Intake
from .layers import frozen_blocks
from .strategies.base import Strategy
from .tasks.base import Encoded, Row, Task
from .training import precision as arithmetic
from .training.checkpoint import Checkpoints, continue_run, start_run
from .training.features import origin_of
from .training.prefix import Cached, PrefixCache
from .training.progress import Listener
from .training.state import State

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn


@dataclass
class Session:
    """What the chapters of one run share."""

    config: RunConfig
    asked: RunConfig  # before `auto` was resolved
    run: Path
    intake: Intake
    source: models.Source
    task: Task
    tokenizer: Any
    encoded: dict[str, Encoded]
    accelerator: Accelerator
    precision: arithmetic.Precision
    listener: Listener
    checked: Checked | None  # what was found in the data
    started: float
    before: dict[str, Any] | None = None  # scores of the untuned model
    kept: tuple[int, list[Any]] | None = None  # step and validation outputs of the best evaluation
    pause: Callable[[State], bool] | None = None  # as in training.loop.Loop
    ranging: bool = False  # whether a range test is still to choose the learning rate
    range_test: dict[str, Any] | None = None  # what it found
    repeated: bool = False  # whether more runs of this process will ask for the same hidden states
    served: dict[Any, Any] = field(default_factory=dict)  # hidden states of splits that are evaluated

    @property
    def strategy(self) -> Strategy:
        return self.config.strategy

    @property
    def recipe(self) -> RunConfig:
        """What run.yaml says: a learning rate that is yet to be found is `auto`."""
        return with_rate(self.config, "auto") if self.ranging else self.config

    @property
    def solves(self) -> bool:
        """Whether the head is solved for, without the loop."""
        return self.strategy.solves(self.task)

    @property
    def collate(self) -> Any:
        return partial(self.task.collate, tokenizer=self.tokenizer)

    @property
    def is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def rows(self, split: str) -> Sequence[Row]:
        return self.intake.splits[split].rows

    @cached_property
    def examples(self) -> Encoded:
        """What a training step counts."""
        return self.task.examples(self.encoded["train"])

    def outputs(self, model: nn.Module, split: str, task: Task | None = None) -> list[Any]:
        """Raw outputs of a split, in fp32, from every process's share."""
        show = partial(self.listener.progress, f"evaluating {split}") if self.is_main else None
        cached = self.hidden_states(model, split)
        return outputs_of(
            model, task or self.task, self.encoded[split], self.collate, self.accelerator.device, self.accelerator,
            show, cached.serving if cached else contextlib.nullcontext,
        )  # fmt: skip

    def hidden_states(self, model: nn.Module, split: str) -> Cached | None:
        """fp32, of a split that is evaluated, where blocks are frozen and more than one evaluation will ask."""
        if (cache := self.prefix_cache(split)) is None or not self.task.new_head:
            return None
        key = split, frozen_blocks(model)
        if key not in self.served:
            passes = 2.0 if self.repeated else float(self.config.training.epochs) if split == "validation" else 1.0
            self.served[key] = cache.get(model, passes, self.is_main, self.accelerator.wait_for_everyone)
        found: Cached | None = self.served[key]
        return found

    def prefix_cache(self, split: str = "train") -> PrefixCache | None:
        """Where a split's hidden states below the trainable blocks are kept: in training's precision, or in fp32."""
        if not self.strategy.frozen_bottom or self.task.packs:
            return None
        config, trains = self.config.training, split == "train"
        name, autocast = (self.precision.name, self.precision.autocast) if trains else ("fp32", contextlib.nullcontext)
        origin = origin_of(self.source, precision=name, kernels=config.kernels)
        show = partial(self.listener.progress, "frozen blocks") if self.is_main else None
        note = self.listener.note if trains else lambda text: self.listener.note(f"{split}: {text}")
        folder = "prefix" if trains else "evaluated"
        return PrefixCache(
            self.encoded[split], self.collate, self.accelerator.device, origin, autocast, show, note,
            config.prefix_cache, folder,
        )  # fmt: skip


def tell(session: Session) -> None:
    """Says what was inferred and resolved, before the long work begins."""
    if not session.is_main:
        return
    task, training = session.task, session.config.training
    sizes = ", ".join(f"{len(split.rows)} {name}" for name, split in session.intake.splits.items())
    for note in session.intake.notes:
        session.listener.note(note)
    session.listener.note(f"rows: {sizes}; {task.summary()}")
    if not session.solves:
        note = f" ({session.precision.note})" if session.precision.note else ""
        tokens = training.batch_tokens
        batch = f"{tokens} tokens a step" if tokens else f"batch size {training.batch_size}"
        session.listener.note(
            f"{session.strategy.kind}: {training.epochs:g} epochs, {batch}, learning rate "
            f"{training.learning_rate:g}{' or more' if session.ranging else ''}, {training.precision}{note}"
        )
    if training.balance != "none":
        session.listener.note(f"classes are balanced by {training.balance}")


def with_rate(config: RunConfig, rate: Any) -> RunConfig:
    """The configuration with another learning rate."""
    return config.model_copy(update={"training": config.training.model_copy(update={"learning_rate": rate})})


def fingerprint(session: Session) -> dict[str, Any]:
    """What must be the same for a run to be continued (R6). Where it is stored, how often saved
    and in how many parts a step is computed may change."""
    free = {"out", "data", "training"}
    settings = session.recipe.model_dump(mode="json")
    training = {
        f"training.{key}": value
        for key, value in settings["training"].items()
        if key not in ("keep_checkpoints", "checkpoint_every", "micro_batch_size", "micro_batch_tokens")
    }
    rows = {f"data.{name}": split.content[:16] for name, split in session.intake.splits.items()}
    template = {"template": digest(session.tokenizer.chat_template)[:16]} if not session.task.new_head else {}
    source = session.source
    origin = {"model weights": source.fingerprint[:16], "tokenizer": source.tokenizer_fingerprint[:16], **template}
    others = {key: value for key, value in settings.items() if key not in free}
    return {**others, "data.max_length": settings["data"]["max_length"], **training, **rows, **origin}


def open_checkpoints(session: Session, resume: bool) -> Checkpoints:
    """The run's checkpoints: continued, or begun."""
    folder = session.run / CHECKPOINTS
    run_id = continue_run(folder, fingerprint(session)) if resume else None
    if run_id is None and session.is_main:
        if resume:
            session.listener.note(f"{session.run}: no run to continue; starting from the beginning")
        run_id = start_run(folder, fingerprint(session))
    if session.accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        run_id = broadcast_object_list([run_id])[0]
    return Checkpoints(folder, str(run_id), session.config.training.keep_checkpoints)
