"""The head alone: a convex problem on cached features, solved to convergence instead of by epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
    so that the head reads plain features. From strong to weak, each solution starting the next.
    """
    started = time.perf_counter()
    mean, deviation = train.features.mean(0), train.features.std(0) + 1e-6
    inputs = standardised(train.features, mean, deviation)
    tried: list[tuple[Fitted, dict[str, Any]]] = []
    weight = inputs.new_zeros(head.weight.shape)
    bias = inputs.new_zeros(head.bias.shape)
    for number, strength in enumerate(sorted(strengths, reverse=True), 1):
        loss = solve(weight, bias, inputs, train.targets, task, strength)
        fitted = unstandardised(weight, bias, mean, deviation, strength)
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


def solve(weight: Tensor, bias: Tensor, inputs: Tensor, targets: Sequence[Any], task: Any, strength: float) -> float:
    """Minimises mean loss + strength / 2 * |weight|^2 in place; returns the mean loss."""
    import torch

    labels = torch.from_numpy(np.asarray(targets, dtype=np.int64))
    weight.requires_grad_(True)
    bias.requires_grad_(True)
    count = task.weight_of(labels)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, tolerance_grad=1e-5, tolerance_change=1e-8, line_search_fn="strong_wolfe"
    )
    last = 0.0

    def closure() -> Tensor:
        nonlocal last
        optimizer.zero_grad()
        loss = task.loss_of(inputs @ weight.T + bias, labels).sum / count
        last = float(loss.detach())
        total: Tensor = loss + strength / 2 * weight.square().sum()
        total.backward()
        return total

    optimizer.step(closure)
    return last


def evaluate(fitted: Fitted, task: Task, validation: Split) -> dict[str, Any]:
    import torch

    logits = torch.from_numpy(validation.features) @ fitted.weight.T + fitted.bias
    outputs = list(logits.numpy())
    scores = task.tune(outputs, validation.rows).score(outputs, validation.rows)
    return {name: value for name, value in scores.items() if isinstance(value, int | float)}


def pick(tried: list[tuple[Fitted, dict[str, Any]]], task: Task, validated: bool) -> tuple[Fitted, dict[str, Any]]:
    if not validated:
        return tried[len(tried) // 2]
    best = tried[0]
    for candidate in tried[1:]:
        if better(candidate[1], best[1], task.metric):
            best = candidate
    return best
