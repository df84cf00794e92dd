"""Feature cache: what a frozen encoder says of a text is computed once, whichever split, fold, check or run asks.

Texts are read among texts of exactly their length, without padding. On CPUs a text's features are then the same to the
last bit whatever stands beside it (measured: fp32 and one to 128 rows of 5 to 128 tokens), so that no result depends
on what the cache knew before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..tasks.base import Batch, Encoded, Features
from . import precision
from .memory import halving
from .store import Floats, Store, key_of

if TYPE_CHECKING:
    from torch import nn

Progress = Callable[[int, int], None]  # rows done, rows in all
Collate = Callable[[Sequence[Features]], Batch]
BATCH_TOKENS = 1024  # a forward pass: fills two cores and stays in their caches (4096 took a third longer)
TOGETHER = 8192  # windows that are written to disk at once: what is lost where a process is killed


def origin_of(source: Any, **others: Any) -> dict[str, Any]:
    """What a frozen model's answers depend on besides the tokens (N7)."""
    import torch

    machine = [precision.current(), precision.processor(), torch.__version__]
    return {"model": source.fingerprint, "tokenizer": source.tokenizer_fingerprint, "arithmetic": machine, **others}


def features_of(
    model: Callable[[], nn.Module],
    encoded: Encoded,
    collate: Collate,
    device: Any,
    origin: dict[str, Any],
    progress: Progress | None = None,
) -> tuple[Floats, int]:
    """(N, d) features of a split, in evaluation mode and fp32, and how many windows were computed for them.

    A text in windows has the mean of its windows' features: the head is linear, so its logits are the mean too.

    Args:
        model: gives it; asked only where something is not known yet.
        origin: from `origin_of`.
    """
    store = Store("features", origin)
    order: dict[bytes, int] = {}  # each window once
    index = np.array([order.setdefault(key, len(order)) for key in keys_of(encoded)], dtype=np.int64)
    keys = list(order)
    values, known = store.get(keys)
    missing = np.flatnonzero(~known)
    fresh: list[int] = []

    def keep() -> None:
        if fresh:
            assert values is not None
            store.add([keys[place] for place in fresh], values[fresh])
            fresh.clear()

    try:
        firsts = np.unique(index, return_index=True)[1][missing]
        for done, made in compute(model, encoded, firsts, collate, device):
            values = np.empty((len(keys), made.shape[1]), np.float32) if values is None else values
            values[missing[done]] = made
            fresh += missing[done].tolist()
            if len(fresh) >= TOGETHER:
                keep()
            known[missing[done]] = True
            if progress:
                progress(int(known.sum()), len(keys))
    finally:
        keep()
    assert values is not None
    return mean_of_windows(values, index, encoded.num_windows), len(missing)


def keys_of(encoded: Encoded) -> Iterator[bytes]:
    """One for every window of every row."""
    for item in encoded.features:
        for place, window in enumerate(item.windows):
            yield key_of(window, item.types[place] if item.types else None)


def mean_of_windows(values: Floats, index: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """(N, d) of (U, d) different windows. index: (W,) which of them each window is; counts: (N,) windows of a row."""
    whole = values if np.array_equal(index, np.arange(len(values))) else values[index]
    if len(whole) == len(counts):
        return whole
    sums: Floats = np.add.reduceat(whole, np.cumsum(counts) - counts)
    return sums / counts.astype(np.float32)[:, None]


def compute(
    model: Callable[[], nn.Module], encoded: Encoded, windows: NDArray[np.int64], collate: Collate, device: Any
) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Which of the windows are done, and their (n, d) features; `windows` are counted over all rows."""
    import torch

    if not len(windows):
        return
    network: Any = model().eval()
    rows = np.repeat(np.arange(len(encoded.features)), encoded.num_windows)[windows]
    places = windows - (np.cumsum(encoded.num_windows) - encoded.num_windows)[rows]

    def values(batch: NDArray[np.int64]) -> Any:
        items = [one_window(encoded.features[int(rows[at])], int(places[at])) for at in batch]
        inputs = collate(items).to(device).inputs
        with torch.no_grad():
            return network.features(**inputs).float().cpu().numpy()

    yield from halving(of_one_length(encoded.sizes[0][windows]), values)


def one_window(item: Features, place: int) -> Features:
    types = None if item.types is None else [item.types[place]]
    return replace(item, windows=[item.windows[place]], types=types)


def of_one_length(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Batches without any padding, longest first."""
    for length in np.unique(lengths)[::-1]:
        members = np.flatnonzero(lengths == length)
        size = max(1, BATCH_TOKENS // int(length))
        yield from (members[start : start + size] for start in range(0, len(members), size))
