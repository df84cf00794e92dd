"""Feature cache: what a frozen encoder says about a text is computed once, and kept on disk for the next run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.sampler import by_length
from ..files import cache_folder, digest, flush_to_disk
from ..tasks.base import Batch, Encoded, Features

if TYPE_CHECKING:
    from torch import nn

Progress = Callable[[int, int], None]  # rows done, rows in all
BATCH_TOKENS = 1024  # a forward pass: fills two cores and stays in their caches (4096 took a third longer)


def key_of(encoded: Encoded, **origin: Any) -> str:
    """Names features by all that they depend on: model, tokenizer, pooling, and the very token ids (N7)."""
    content = hashlib.sha256()
    for item in encoded.features:
        for place, window in enumerate(item.windows):
            content.update(np.asarray([len(window), *window], dtype=np.int64).tobytes())
            if item.types is not None:
                content.update(np.asarray(item.types[place], dtype=np.int64).tobytes())
        content.update(b"|")
    return digest({**origin, "tokens": content.hexdigest()})


def features_of(
    model: nn.Module,
    encoded: Encoded,
    collate: Callable[[Sequence[Features]], Batch],
    device: Any,
    key: str,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float32], bool]:
    """(N, d) features of a split, in evaluation mode and fp32, and whether they came from the cache.

    A text in windows has the mean of its windows' features: the head is linear, so its logits are the mean too.
    """
    path = cache_folder() / "features" / f"{key}.npy"
    cached = load(path, len(encoded.features))
    if cached is not None:
        return cached, True
    made = compute(model, encoded, collate, device, progress)
    store(path, made)
    return made, False


def compute(
    model: Any, encoded: Encoded, collate: Callable[[Sequence[Features]], Batch], device: Any, progress: Progress | None
) -> NDArray[np.float32]:
    import torch

    from ..heads import mean_by_owner

    model.eval()
    made: list[Any] = [None] * len(encoded.features)
    done = 0
    for rows in by_length(encoded.lengths, BATCH_TOKENS):
        batch = collate([encoded.features[row] for row in rows]).to(device)
        with torch.no_grad():
            values = model.features(**batch.inputs)
            values = values if batch.owners is None else mean_by_owner(values, batch.owners, len(rows))
        for row, value in zip(rows, values.cpu().numpy(), strict=True):
            made[row] = value
        done += len(rows)
        if progress:
            progress(done, len(made))
    return np.stack(made)


def load(path: Path, count: int) -> NDArray[np.float32] | None:
    """Cached features, or None where there are none that can be used."""
    try:
        cached = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return cached if cached.ndim == 2 and len(cached) == count and cached.dtype == np.float32 else None


def store(path: Path, values: NDArray[np.float32]) -> None:
    """Writes beside and renames; a full disk costs the cache, not the run."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            np.save(file, values, allow_pickle=False)
        flush_to_disk(beside)
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
