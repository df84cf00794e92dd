"""The evaluation loop: fp32 and sorted by length, so that no score depends on batches or on training's precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .data.sampler import Rows, by_length
from .tasks.base import Batch, Encoded, Features, Task
from .training.features import BATCH_TOKENS
from .training.memory import halving

if TYPE_CHECKING:
    from torch import nn

Progress = Callable[[int, int], None]


def outputs_of(
    model: nn.Module,
    task: Task,
    encoded: Encoded,
    collate: Callable[[Sequence[Features]], Batch],
    device: Any,
    accelerator: Any = None,
    progress: Progress | None = None,
    serving: Callable[[Batch], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
) -> list[Any]:
    """The raw output of every row, in the order of the rows.

    Args:
        accelerator: shares the batches out among its processes; every process gets all outputs.
        serving: what a batch is answered within; see training.prefix.
    """
    import torch

    process, processes = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    model.eval()
    found: list[tuple[int, Any]] = []
    sizes = [item.num_tokens for item in encoded.features]  # of all windows, because they are read together

    def answers(rows: Rows) -> list[Any]:
        batch = collate([encoded.features[row] for row in rows]).to(device)
        with torch.no_grad(), serving(batch):
            return task.predict(model, batch)

    for rows, outputs in halving(by_length(sizes, BATCH_TOKENS)[process::processes], answers):
        found += zip(rows.tolist(), outputs, strict=True)
        if progress:
            progress(len(found), len(encoded.features))
    if processes > 1:
        from accelerate.utils import gather_object

        found = gather_object(found)
    return [output for _, output in sorted(found, key=lambda item: item[0])]


def largest_distance(task: Task, first: Sequence[Any], second: Sequence[Any]) -> float:
    """How far two raw outputs of a row lie apart at most: the largest difference of a logit; 0 of no rows."""
    return max(map(task.distance, first, second), default=0.0)


def scalars(scores: dict[str, Any]) -> dict[str, Any]:
    """The scores that are one number."""
    return {name: value for name, value in scores.items() if isinstance(value, int | float) or value is None}
