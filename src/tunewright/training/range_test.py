"""A range test of the learning rate, for strategies whose default is known to be off in short runs.

Every candidate takes the same first steps, at a constant rate, from the same weights. The lowest mean loss of the last
third wins: a rate that is too high has turned by then. (Smith 2017, section 3.3, reads one run whose rate climbs. With
LoRA on banking77 that loss stayed within its noise over three powers of ten: docs/strategies.md.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean
from typing import Any

from ..errors import DivergedError
from ..strategies.base import ParameterGroup
from . import memory
from .callbacks import Callback, Log
from .loop import Loop
from .state import State

FACTORS = (1.0, 3.0)  # times the default; ten times looked better than three in 16 steps, and was much worse in the end
SHARE = 0.15  # of the run's steps, for all candidates together
LEAST = 100  # steps of a run; in a shorter one each candidate would have too few to tell them apart


class Losses(Callback):
    def __init__(self) -> None:
        self.found: list[float] = []

    def on_step(self, state: State, log: Log) -> None:
        self.found.append(log["loss"])


def range_test(rate: float, **parts: Any) -> dict[str, Any]:
    """The default and higher rates in turn; leaves weights, gradients and generators as they were.

    Args:
        rate: the default, at which `groups` are.
        parts: of `training.loop.fit`, which is called with the same ones afterwards.

    Returns:
        `default`, `tested` (the losses by rate; None: no longer finite), `steps` of each, and `chosen`.
    """
    steps = max(1, int(parts["plan"].total_steps * SHARE / len(FACTORS)))
    rates = [float(f"{rate * factor:.6g}") for factor in FACTORS]
    found = [race(parts, factor, steps) for factor in FACTORS]
    chosen = rates[min(range(len(rates)), key=found.__getitem__)]
    tested = [{"learning_rate": each, "loss": loss if math.isfinite(loss) else None}
              for each, loss in zip(rates, found, strict=True)]  # fmt: skip
    return {"default": rate, "steps": steps, "tested": tested, "chosen": chosen}


def at_rate(groups: Sequence[ParameterGroup], factor: float) -> list[ParameterGroup]:
    """The same groups, each at `factor` times its rate."""
    return [replace(group, learning_rate=group.learning_rate * factor) for group in groups]


def race(parts: dict[str, Any], factor: float, steps: int) -> float:
    """Mean loss of the last third of some steps at a constant rate; infinite where it is no number."""
    losses, plan = Losses(), parts["plan"]
    trained = [value for group in parts["groups"] for value in group.parameters.values()]
    with as_before(parts["model"], trained):
        loop = Loop(
            **{name: parts[name] for name in ("model", "task", "data", "precision", "accelerator")},
            plan=replace(plan, total_steps=steps, schedule="constant", warmup=0),
            groups=at_rate(parts["groups"], factor),
            checkpoints=None,
            evaluate=None,
            callbacks=[losses],
            state=State(total_steps=steps, steps_per_epoch=plan.steps_per_epoch),
        )
        try:
            while not loop.state.finished:
                loop.step()
        except DivergedError:
            return math.inf
        finally:
            loop.accelerator.free_memory()
    return fmean(losses.found[-max(1, steps // 3) :])


@contextmanager
def as_before(model: Any, trained: Sequence[Any]) -> Iterator[None]:
    """Afterwards the weights are what they were, and all that `memory.as_trained` puts back."""
    import torch

    kept = [(value, value.detach().clone()) for value in (*trained, *model.buffers())]
    try:
        with memory.as_trained(model, trained):
            yield
    finally:
        with torch.no_grad():
            for value, before in kept:
                value.copy_(before)
