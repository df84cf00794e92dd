"""State: where a run stands. All of it is JSON, all of it is in every checkpoint."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ..tasks.base import Metric


@dataclass
class State:
    """Where a run stands.

    Args:
        step: optimizer steps taken.
        total_steps: of the whole run.
        steps_per_epoch: of one pass.
        evaluations: `{"step", "epoch", "validation": {score: value}}` each, oldest first.
        fit_seconds: spent training and evaluating, over all resumptions.
        stopped: "running", "completed", "early" or "interrupted".
        warnings: what a person should know.
        scaler: the fp16 loss scale, or None.
        micro_batch_size, micro_batch_tokens: as in `Plan`, or smaller since memory ran out.
    """

    total_steps: int
    steps_per_epoch: int
    step: int = 0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    fit_seconds: float = 0.0
    stopped: str = "running"
    warnings: list[str] = field(default_factory=list)
    scaler: dict[str, Any] | None = None
    micro_batch_size: int | None = None
    micro_batch_tokens: int | None = None

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self.step / self.steps_per_epoch

    @property
    def finished(self) -> bool:
        return self.step >= self.total_steps

    @property
    def evaluated_step(self) -> int | None:
        return self.evaluations[-1]["step"] if self.evaluations else None

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def better(candidate: dict[str, Any], best: dict[str, Any] | None, metric: Metric, min_delta: float = 0.0) -> bool:
    """Whether one evaluation beats another by more than `min_delta`.

    A score that is no number never wins (R9); equal scores are decided by the lower loss.
    """
    value = candidate["validation"].get(metric.name)
    if not is_number(value):
        return False
    if best is None:
        return True
    sign = 1 if metric.higher_is_better else -1
    gain = sign * (value - best["validation"][metric.name])
    if gain != 0 or min_delta > 0:
        return bool(gain > min_delta)
    loss, best_loss = candidate["validation"].get("loss"), best["validation"].get("loss")
    return is_number(loss) and is_number(best_loss) and loss < best_loss


def best_evaluation(evaluations: list[dict[str, Any]], metric: Metric, min_delta: float = 0.0) -> dict[str, Any] | None:
    """The best evaluation so far, or None where none has a number for the metric."""
    best: dict[str, Any] | None = None
    for evaluation in evaluations:
        if better(evaluation, best, metric, min_delta):
            best = evaluation
    return best
