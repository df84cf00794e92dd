"""Optimizer, learning-rate schedule and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..strategies.base import ParameterGroup

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..fast.embedding import AdamW

BETAS = (0.9, 0.999)  # AdamW's own (Loshchilov and Hutter 2019), as in the BERT and LoRA papers
EPSILON = 1e-8


def adamw(groups: Sequence[ParameterGroup]) -> AdamW:
    """Fused AdamW over named groups; each keeps its peak rate in `peak`."""
    from ..fast.embedding import AdamW

    made = [
        {
            "params": list(group.parameters.values()),
            "names": list(group.parameters),
            "lr": group.learning_rate,
            "peak": group.learning_rate,
            "weight_decay": group.weight_decay,
            "title": group.name,
            "start": group.start,
        }
        for group in groups
    ]
    return AdamW(made, betas=BETAS, eps=EPSILON, fused=True)


def schedule_factor(step: int, total: int, warmup: float, schedule: str) -> float:
    """The share of the peak rate at the step that follows `step` finished ones; a pure function, so it needs no state.

    Args:
        warmup: below 1 a share of `total`, else a number of steps; the rate climbs linearly, and no step is
            wasted on a rate of 0.
        schedule: "linear" to 0, "cosine" to 0 (Loshchilov and Hutter 2017), or "constant".
    """
    warm = warmup_steps(total, warmup)
    if step < warm:
        return (step + 1) / (warm + 1)
    if schedule == "constant":
        return 1.0
    progress = (step - warm) / max(total - warm, 1)
    return 1.0 - progress if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))


def warmup_steps(total: int, warmup: float) -> int:
    return math.ceil(total * warmup) if warmup < 1 else min(int(warmup), total)


def set_rates(optimizer: torch.optim.Optimizer, factor: float, step: int, warm: int) -> dict[str, float]:
    """Sets every group to its peak times `factor`; returns the rates by group title, for the log.

    Args:
        factor: of the whole run's schedule.
        step: finished steps; a group that starts after them has no rate yet.
        warm: steps over which a group that starts late climbs to the schedule's rate.
    """
    for group in optimizer.param_groups:
        since = step - group["start"]
        own = min(1.0, (since + 1) / (warm + 1)) if group["start"] else 1.0
        group["lr"] = group["peak"] * factor * own if since >= 0 else 0.0
    return {group["title"]: group["lr"] for group in optimizer.param_groups}


def clip(parameters: Sequence[Any], largest: float) -> Tensor:
    """() the gradient's norm before it was clipped to `largest` (0: not clipped)."""
    import torch

    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    values = [gradient.values() if gradient.is_sparse else gradient for gradient in gradients]
    norm = whole(torch.nn.utils.get_total_norm(values, foreach=True))
    if 0 < 0.999 * largest < norm:  # below it clip_grad_norm_ multiplies all of it by 1
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm


def whole(value: Tensor) -> Tensor:
    """A tensor of which each process holds a part, put together by all of them; any other as it is."""
    found: Tensor = value.full_tensor() if hasattr(value, "full_tensor") else value
    return found


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as named tensors: `exp_avg/NAME` and the like, no pickle."""
    return {
        f"{key}/{name}": whole(value.detach()).cpu()
        for name, parameter in named(optimizer).items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_state_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `state_tensors`; parameters without state there start fresh (layers not yet unfrozen)."""
    by_name = named(optimizer)
    for title, value in tensors.items():
        key, name = title.split("/", 1)
        parameter = by_name[name]
        place = parameter.device if key != "step" or optimizer.defaults.get("fused") else value.device
        optimizer.state[parameter][key] = like(value.to(place), parameter)


def with_all_rows(tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of which the moments of a matrix are of all its rows, also where those of fast.embedding were of some."""
    found, parameters = dict(tensors), named(optimizer)
    for title in [title for title in tensors if title.startswith("rows/")]:
        name, rows = title.removeprefix("rows/"), found.pop(title)
        for key in (f"exp_avg/{name}", f"exp_avg_sq/{name}"):
            found[key] = found[key].new_zeros(parameters[name].shape).index_copy_(0, rows, found[key])
    return found


def named(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Its parameters by their names."""
    pairs = (zip(group["names"], group["params"], strict=True) for group in optimizer.param_groups)
    return {name: parameter for pair in pairs for name, parameter in pair}


def like(value: Tensor, parameter: Any) -> Tensor:
    """A whole tensor, in parts if the parameter is and has its shape."""
    if not hasattr(parameter, "full_tensor") or value.shape != parameter.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, parameter.device_mesh, parameter.placements)
