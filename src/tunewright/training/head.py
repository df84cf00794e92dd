"""The head alone: a convex problem on cached features, solved to convergence instead of by epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..tasks.scores import scores_of
from .callbacks import Log
from .state import State, better

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..tasks.base import Row, Task

ITERATIONS = 1000  # L-BFGS ends by its tolerance long before


@dataclass(frozen=True)
class Split:
    """features: (N, d) fp32; targets: what the task's loss wants, N of them; rows: as the task scores them."""

    features: NDArray[np.float32]
    targets: Sequence[Any]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Fitted:
    """A head in the encoder's own feature space. weight: (C, d), bias: (C,)."""

    weight: Tensor
    bias: Tensor
    regularisation: float


def fit_head(
    head: nn.Linear,
    task: Task,
    train: Split,
    validation: Split | None,
    strengths: Sequence[float],
    state: State,
    log: Callable[[Log], None],
) -> State:
    """Fits a linear head for every strength and keeps the one that validates best (the middle one without validation).

    Features are standardised by the training split (D8); mean and deviation are folded into the saved weights,
    so that the head reads plain features. From strong to weak, each solution starting the next, on the features'
    principal axes, each of which is stepped along by its own curvature: 292 instead of 523 passes over banking77's.
    """
    started = time.perf_counter()
    mean, deviation = train.features.mean(0), train.features.std(0) + 1e-6
    inputs = standardised(train.features, mean, deviation)
    variances, axes = principal(inputs)
    inputs = inputs @ axes
    tried: list[tuple[Fitted, dict[str, Any]]] = []
    weight = inputs.new_zeros(head.weight.shape)
    bias = inputs.new_zeros(head.bias.shape)
    for number, strength in enumerate(sorted(strengths, reverse=True), 1):
        weight, bias, loss = solve(weight, bias, inputs, variances, train.targets, task, strength)
        fitted = unstandardised(weight @ axes.T, bias, mean, deviation, strength)
        scores = evaluate(fitted, task, validation) if validation else {}
        line = {"step": number, "epoch": float(number), "regularisation": strength, "loss": loss, "validation": scores}
        log(line)
        tried.append((fitted, line))
    best = pick(tried, task, validation is not None)
    head.weight.data.copy_(best[0].weight)
    head.bias.data.copy_(best[0].bias)
    state.evaluations = [line for _, line in tried] if validation else []
    state.step = state.total_steps = len(tried)
    state.fit_seconds += time.perf_counter() - started
    state.stopped = "completed"
    return state


def standardised(features: NDArray[np.float32], mean: Any, deviation: Any) -> Tensor:
    import torch

    return torch.from_numpy((features - mean) / deviation)


def unstandardised(weight: Tensor, bias: Tensor, mean: Any, deviation: Any, strength: float) -> Fitted:
    """w' = w / s and b' = b - w' m: the same logits from plain features."""
    import torch

    plain = weight.detach() / torch.from_numpy(deviation)
    return Fitted(plain, bias.detach() - plain @ torch.from_numpy(mean), strength)


def principal(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """(d,) variances along the principal axes of (N, d) features, and the axes: (d, d), a column each."""
    import torch

    variances, axes = torch.linalg.eigh((inputs.T @ inputs / len(inputs)).double())
    return variances.clamp(min=1e-6).float(), axes.float()


def solve(
    weight: Tensor, bias: Tensor, inputs: Tensor, variances: Tensor, targets: Sequence[Any], task: Any, strength: float
) -> tuple[Tensor, Tensor, float]:
    """The weight (C, d) and bias (C,) of the least mean loss + strength / 2 * |weight|^2, and that mean loss.

    Args:
        weight, bias: where the search starts.
        variances: (d,) of the inputs' columns, which do not depend on each other.
    """
    import torch

    labels = torch.from_numpy(np.asarray(targets, dtype=np.int64))
    count = task.weight_of(labels)
    curvature = 0.25 / len(bias)  # p (1 - p), about; only the speed depends on it
    unit = (curvature * variances + strength).rsqrt()  # along each axis, a step of one is about right
    free, shift = (weight / unit).requires_grad_(True), (bias * curvature**0.5).requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [free, shift], max_iter=ITERATIONS, tolerance_grad=1e-4, tolerance_change=1e-8, line_search_fn="strong_wolfe"
    )
    last = 0.0

    def closure() -> Tensor:
        nonlocal last
        optimizer.zero_grad()
        scaled = free * unit
        loss = task.loss_of(inputs @ scaled.T + shift / curvature**0.5, labels).sum / count
        last = float(loss.detach())
        total: Tensor = loss + strength / 2 * scaled.square().sum()
        total.backward()
        return total

    optimizer.step(closure)
    return (free * unit).detach(), (shift / curvature**0.5).detach(), last


def answers(head: Any, split: Split) -> list[Any]:
    """(C,) logits of every row; head: what has a weight (C, d) and a bias (C,)."""
    import torch

    with torch.no_grad():
        return list((torch.from_numpy(split.features) @ head.weight.cpu().T + head.bias.cpu()).numpy())


def evaluate(fitted: Fitted, task: Task, validation: Split) -> dict[str, Any]:
    outputs = answers(fitted, validation)
    scores = scores_of(task.tune(outputs, validation.rows), outputs, validation.rows)
    return {name: value for name, value in scores.items() if isinstance(value, int | float)}


def pick(tried: list[tuple[Fitted, dict[str, Any]]], task: Task, validated: bool) -> tuple[Fitted, dict[str, Any]]:
    if not validated:
        return tried[len(tried) // 2]
    best = tried[0]
    for candidate in tried[1:]:
        if better(candidate[1], best[1], task.metric):
            best = candidate
    return best
