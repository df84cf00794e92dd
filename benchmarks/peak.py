"""What the machine can do at most on this model's own matrix products, and how much work the training is."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .jobs import Job

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = (512, 2048, 4096)  # rows of the left factor: a batch of 16 short texts, and long ones
TRIES = 15
Shapes = list[tuple[int, int]]


def measure(job: Job) -> dict[str, Any]:
    """FLOP/s by arithmetic; real tokens and FLOPs of one epoch's forward passes, and rows.

    `job.settings["lengths"]`: the function that knows the length of each row, `MODULE:NAME`.
    """
    import torch

    module, name = job.settings["lengths"].split(":")
    lengths = getattr(importlib.import_module(module), name)(job)
    shapes, layers = shapes_of(job.model)
    return {
        "rows": job.settings.get("rows") or len(lengths),
        "tokens": sum(lengths),
        "forward_flops": sum(forward_flops(length, shapes, layers) for length in lengths),
        "peak_flops": {"fp32": peak(shapes, torch.float32), "bf16": peak(shapes, torch.bfloat16)},
    }


def shapes_of(model: str) -> tuple[Shapes, int]:
    """A block's matrices, and how many blocks there are."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model)
    width, depth = config.hidden_size, config.intermediate_size
    gated = 2 if config.model_type == "llama" else 1
    return [(width, width)] * 4 + [(width, depth)] * gated + [(depth, width)], config.num_hidden_layers


def forward_flops(length: int, shapes: Shapes, layers: int) -> int:
    """Of a row's real tokens: 2N for each token, and 4LTd for its attention scores and what they weigh."""
    return length * layers * (2 * sum(rows * columns for rows, columns in shapes) + 4 * length * shapes[0][0])


def peak(shapes: Shapes, dtype: Any) -> float:
    """FLOP/s of a layer's products, the best of all tries: others use this machine too."""
    return max(
        sum(2 * tokens * rows * columns for rows, columns in shapes)
        / best_seconds(list(factors(tokens, shapes, dtype)))
        for tokens in TOKENS
    )


def factors(tokens: int, shapes: Shapes, dtype: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """(tokens, rows) and (rows, columns) for each shape."""
    import torch

    for rows, columns in shapes:
        yield torch.randn(tokens, rows).to(dtype), torch.randn(columns, rows).to(dtype)


def best_seconds(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Of all products once, as a linear layer has them."""
    from torch.nn.functional import linear

    best = float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        for left, right in pairs:
            linear(left, right)
        best = min(best, time.perf_counter() - started)
    return best
