"""What the machine can do at most on this model's own matrix products, and how much work the training is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data import read_csv
from .jobs import Job

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = (512, 2048)  # rows of the left factor: a batch of 16 short texts, and a long one
TRIES = 15


def measure_peak(job: Job) -> dict[str, Any]:
    """FLOP/s by arithmetic, real tokens of one epoch, and the FLOPs that they take to train on."""
    import torch
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(job.model)
    width, depth, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    shapes = [(width, width)] * 4 + [(width, depth), (depth, width)]  # q, k, v, out; feed-forward up and down
    parameters = layers * sum(rows * columns for rows, columns in shapes)
    texts, _ = read_csv(Path(job.train))
    lengths = [len(ids) for ids in AutoTokenizer.from_pretrained(job.model)(texts, truncation=True)["input_ids"]]
    return {
        "tokens": sum(lengths),
        "non_embedding_parameters": parameters,
        "training_flops": 6 * parameters * sum(lengths) * job.epochs,  # forward 2, backward 4
        "peak_flops": {"fp32": peak(shapes, torch.float32), "bf16": peak(shapes, torch.bfloat16)},
    }


def peak(shapes: list[tuple[int, int]], dtype: Any) -> float:
    """FLOP/s of a layer's products, the best of all tries: others use this machine too."""
    return max(
        sum(2 * tokens * rows * columns for rows, columns in shapes)
        / best_seconds(list(factors(tokens, shapes, dtype)))
        for tokens in TOKENS
    )


def factors(tokens: int, shapes: list[tuple[int, int]], dtype: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """(tokens, rows) and (rows, columns) for each shape."""
    import torch

    for rows, columns in shapes:
        yield torch.randn(tokens, rows).to(dtype), torch.randn(rows, columns).to(dtype)


def best_seconds(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Of all products once."""
    best = float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        for left, right in pairs:
            left @ right
        best = min(best, time.perf_counter() - started)
    return best
