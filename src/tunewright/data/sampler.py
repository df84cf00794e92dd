"""The order of the rows: a pure function of (lengths, batch size, seed, epoch), so that it resumes anywhere.

Transformers' `group_by_length` draws from an unseeded generator and can't be resumed (FINDINGS 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

BUCKET = 50  # batches sorted together: enough to pad little, few enough to keep the order random
Rows = NDArray[np.int64]


class Steps(Sequence[Rows]):
    """The rows of every step of an epoch.

    Args:
        order: (N,) rows.
        bounds: (S, 2) where a step's rows begin and end in `order`.
    """

    def __init__(self, order: Rows, bounds: Rows) -> None:
        self.order, self.bounds = order, bounds

    def __len__(self) -> int:
        return len(self.bounds)

    @overload
    def __getitem__(self, place: int) -> Rows: ...
    @overload
    def __getitem__(self, place: slice) -> Steps: ...
    def __getitem__(self, place: int | slice) -> Rows | Steps:
        if isinstance(place, slice):
            return Steps(self.order, self.bounds[place])
        start, end = self.bounds[place]
        return self.order[start:end]


def num_steps(lengths: Sequence[int] | Rows, batch_size: int | None, batch_tokens: int | None = None) -> int:
    """Optimizer steps an epoch."""
    if batch_tokens is None:
        return -(-len(lengths) // int(batch_size or 1))
    return max(1, min(len(lengths), round(int(np.sum(lengths)) / batch_tokens)))


def epoch_steps(
    lengths: Sequence[int] | Rows, batch_size: int | None, seed: int, epoch: int, count: int | None = None
) -> Steps:
    """The rows of every optimizer step of one epoch; each row exactly once.

    Rows are shuffled, sorted by length within buckets of 50 batches, cut, and the batches shuffled again:
    padding falls to a few per cent. The first batch drawn stays as it was drawn, so that any two rows may meet and
    that the cuts of small data, which are one bucket, fall elsewhere in every epoch.

    Args:
        lengths: (N,) tokens of each row.
        batch_size: rows per optimizer step on all devices; the last step may have fewer.
        seed: the run's.
        epoch: from 0.
        count: instead of `batch_size`: so many steps, of about as many tokens each.
    """
    lengths = np.asarray(lengths)
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    size = batch_size or -(-len(order) // (count or 1))
    for number, start in enumerate(range(size, len(order), BUCKET * size)):
        bucket = order[start : start + BUCKET * size]
        sign = 1 if batch_size or number % 2 else -1  # a step that runs over a bucket's end meets rows of like length
        order[start : start + BUCKET * size] = bucket[np.argsort(sign * lengths[bucket], kind="stable")]
    cuts = np.arange(0, len(order), batch_size) if batch_size else even_cuts(lengths[order], count or 0)
    bounds = np.stack([cuts, np.append(cuts, len(order))[1:]], axis=1)
    return Steps(order, bounds[generator.permutation(len(bounds))])


def even_cuts(lengths: Rows, count: int) -> Rows:
    """(count,) where each of `count` runs of rows begins, so that they have about as many tokens, and a row at least.

    Args:
        lengths: (N,), N >= count.
    """
    before = np.cumsum(lengths) - lengths / 2  # tokens up to the middle of each row
    cuts = np.searchsorted(before, np.arange(count) * (lengths.sum() / count))
    places = np.arange(count)
    cuts = np.maximum.accumulate(cuts - places) + places  # each begins at least a row after the one before
    return np.minimum(cuts, len(lengths) - count + places)


def evenly(classes: Sequence[int] | Rows, seed: int, epoch: int) -> Rows:
    """(N,) as many rows as there are, drawn so that each of the C classes comes N / C times, give or take one.

    A class of n rows that shall come q times comes q // n times whole, and its q % n others are drawn without
    replacement: no row comes twice before all of its class have come. Which classes come once more is drawn too.

    Args:
        classes: (N,) the class of each row.
        seed: the run's.
        epoch: from 0; other epochs draw otherwise.
    """
    generator = np.random.default_rng([seed, epoch, 1])  # another stream than the order's
    known, members = np.unique(np.asarray(classes), return_inverse=True)
    size = len(members)
    quotas = np.full(len(known), size // max(len(known), 1))
    quotas[generator.permutation(len(known))[: size - quotas.sum()]] += 1
    drawn = []
    for place, quota in enumerate(quotas):
        rows = generator.permutation(np.flatnonzero(members == place))
        drawn.append(np.resize(rows, quota))  # again from its beginning where it is too short
    return np.sort(np.concatenate(drawn)) if drawn else np.zeros(0, dtype=np.int64)


def micro_batches(
    rows: Rows, lengths: Sequence[int] | Rows, micro_batch_size: int, process: int = 0, num_processes: int = 1,
    capacity: int | None = None, windows: Rows | None = None,
) -> list[Rows]:  # fmt: skip
    """One process's share of a step, cut into micro-batches of rows of like length.

    Rows are dealt out longest first, so that processes have equal work. The list is empty for a process
    that a short last step leaves without a row.

    Args:
        capacity: padded tokens a micro-batch may have; a single longer row is one by itself.
        windows: (N,) of each row, all as long as the longest of them once they are padded; None: one each.
    """
    lengths = np.asarray(lengths)
    ordered = rows[np.argsort(-lengths[rows], kind="stable")]
    share = ordered[process::num_processes]
    if capacity is None:
        return [share[start : start + micro_batch_size] for start in range(0, len(share), micro_batch_size)]
    before = np.concatenate([[0], np.cumsum(np.ones_like(share) if windows is None else windows[share])])
    found, start = [], 0
    while start < len(share):
        room = before[start] + capacity // max(int(lengths[share[start]]), 1)
        end = int(np.searchsorted(before, room, side="right")) - 1
        end = max(start + 1, min(end, start + micro_batch_size))
        found.append(share[start:end])
        start = end
    return found


def packs(
    rows: Rows, lengths: Sequence[int] | Rows, capacity: int, most_rows: int, process: int = 0, num_processes: int = 1
) -> list[Rows]:
    """One process's share of a step as packs, best fit decreasing: each row goes where it leaves the least room.

    Args:
        capacity: tokens a pack may have; a single longer row is a pack of its own.
        most_rows: rows a pack may have.
    """
    lengths = np.asarray(lengths)
    share = rows[np.argsort(-lengths[rows], kind="stable")][process::num_processes]
    found: list[list[int]] = []
    room: list[int] = []
    for row in share.tolist():
        size = int(lengths[row])
        fitting = [place for place, left in enumerate(room) if left >= size and len(found[place]) < most_rows]
        if fitting:
            place = min(fitting, key=room.__getitem__)
        else:
            place = len(found)
            found.append([])
            room.append(capacity)
        found[place].append(row)
        room[place] -= size
    return [np.array(pack, dtype=np.int64) for pack in found]


def by_length(lengths: Sequence[int] | Rows, batch_tokens: int) -> list[Rows]:
    """Batches for evaluation: longest first (what does not fit fails at once), hardly any padding.

    Args:
        batch_tokens: padded tokens a batch may have; a single longer row is a batch of its own.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, batch_tokens // max(int(lengths[order[start]]), 1))
        batches.append(order[start : start + size])
        start += size
    return batches
