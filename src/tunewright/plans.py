"""The loop's plan: its numbers, with micro-batches that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .config import dump
from .data.sampler import num_steps
from .files import write_text
from .session import Session
from .strategies.base import ParameterGroup
from .training import memory
from .training.loop import Data, Plan

if TYPE_CHECKING:
    from torch import nn


def plan_of(session: Session) -> Plan:
    """The resolved numbers of the loop."""
    training = session.config.training
    batch_size = int(training.batch_size or 0) or None
    per_epoch = num_steps(session.examples.lengths, batch_size, training.batch_tokens)
    total = training.max_steps or max(1, round(per_epoch * float(training.epochs)))
    every = {
        name: per_epoch if value == "epoch" else int(value)
        for name in ("evaluate_every", "checkpoint_every")
        for value in [getattr(training, name)]
    }
    return Plan(
        seed=training.seed,
        batch_size=batch_size,
        micro_batch_size=int(training.micro_batch_size),
        micro_batch_tokens=int(training.micro_batch_tokens or 0) or None,
        total_steps=total,
        steps_per_epoch=per_epoch,
        schedule=training.schedule,
        warmup=training.warmup,
        max_gradient_norm=training.max_gradient_norm,
        **every,
    )


def fitted(
    session: Session, model: nn.Module, data: Data, plan: Plan, groups: Sequence[ParameterGroup], known: dict[str, Any]
) -> Plan:
    """The plan with micro-batches that fit into memory, unless their size was given; run.yaml says what was found."""
    if session.sized:
        return plan
    trained = [value for group in groups for value in group.parameters.values()]
    parts = plan, known, model, session.task, data, trained
    found, note = memory.fitting(*parts, session.precision, session.accelerator)
    if found != plan and session.is_main:
        training = session.config.training.model_copy(update=memory.sizes_of(found))
        session.config = session.config.model_copy(update={"training": training})
        write_text(session.run / "run.yaml", dump(session.config))
    if note and session.is_main:
        session.listener.note(note)
    return found
