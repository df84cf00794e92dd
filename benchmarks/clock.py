"""When each optimizer step of this process ended, whichever tool takes the steps."""

from __future__ import annotations

import os
import time
from typing import Any

LAUNCHED = "BENCHMARK_LAUNCHED"  # the environment's name for the moment at which the parent started this process
ENDS: list[float] = []
WARM_UP = 5  # steps that are left out where steps are counted to be scaled


def watch() -> None:
    """Called by a contestant before it trains."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    register_optimizer_step_post_hook(lambda *told: ENDS.append(time.time()))


def first_step() -> float:
    """Seconds from the start of the process to the end of its first optimizer step."""
    return ENDS[0] - float(os.environ[LAUNCHED])


def step_seconds() -> float:
    """Of a step after the warm-up, on average: the last one ends the interval."""
    first = min(WARM_UP, len(ENDS) - 2)
    return (ENDS[-1] - ENDS[first]) / (len(ENDS) - 1 - first)


def scaled(fit_seconds: float, num_steps: int, done: int) -> dict[str, Any]:
    """The time of `num_steps` equal steps, of which `done` were run."""
    added = max(num_steps - done, 0) * step_seconds()
    return {"fit_seconds": fit_seconds + added, "added_seconds": added, "steps_run": done, "steps_scaled_to": num_steps}
