"""The loop's plan: its numbers, with micro-batches that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .config import dump
from .data.sampler import num_steps
from .directory import CHECKPOINTS
from .files import read_json, write_text
from .session import Session, fingerprint, with_rate
from .strategies.base import ParameterGroup
from .training import memory, range_test
from .training.checkpoint import RUN, start_run
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
        write_text(session.run / "run.yaml", dump(session.recipe))
    if note and session.is_main:
        session.listener.note(note)
    return found


def prepare_rate(session: Session, unsure: bool, resume: bool) -> None:
    """Whether this run begins with a range test; one that goes on knows what its own has found."""
    path, steps = session.run / CHECKPOINTS / RUN, 0 if session.solves else plan_of(session).total_steps
    session.range_test = read_json(path).get("range_test") if resume and path.is_file() else None
    if session.range_test and unsure:
        session.config = with_rate(session.config, session.range_test["chosen"])
    elif unsure and range_test.LEAST <= steps < session.strategy.unsure_below:
        session.ranging = session.accelerator.num_processes == 1
        if not session.ranging and session.is_main:
            session.listener.note("learning rate: the default, untested; a range test is for one process")


def tested_rate(session: Session, groups: Sequence[ParameterGroup], **parts: Any) -> float:
    """The rate that a range test chooses. It is stored before the first step, so that a resume keeps to it.

    Args:
        groups: at the default rate.
        parts: of the loop.
    """
    found = range_test.range_test(float(session.config.training.learning_rate), groups=groups, **parts)
    rate: float = found["chosen"]
    session.config, session.range_test, session.ranging = with_rate(session.config, rate), found, False
    folder = session.run / CHECKPOINTS
    start_run(folder, fingerprint(session), read_json(folder / RUN)["run_id"], range_test=found)
    write_text(session.run / "run.yaml", dump(session.config))
    losses = ", ".join(f"{item['learning_rate']:g}: {told_loss(item['loss'])}" for item in found["tested"])
    session.listener.note(f"range test, loss after {found['steps']} steps at {losses}; learning rate {rate:g}")
    return rate


def told_loss(loss: float | None) -> str:
    return "diverged" if loss is None else f"{loss:.3f}"
