"""The order of the rows: a pure function of (lengths, batch size, seed, epoch), so that it resumes anywhere.

Transformers' `group_by_length` draws from an unseeded generator and can't be resumed (FINDINGS 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BUCKET = 50  # batches sorted together: enough to pad little, few enough to keep the order random
Rows = NDArray[np.int64]


def epoch_steps(lengths: Sequence[int] | Rows, batch_size: int, seed: int, epoch: int) -> list[Rows]:
    """The rows of every optimizer step of one epoch; each row exactly once.

    Rows are shuffled, sorted by length within buckets of 50 batches, cut, and the batches shuffled again:
    padding falls to a few per cent. The first batch drawn stays as it was drawn, so that any two rows may meet and
    that the cuts of small data, which are one bucket, fall elsewhere in every epoch.

    Args:
        lengths: (N,) tokens of each row.
        batch_size: rows per optimizer step on all devices; the last step may have fewer.
        seed: the run's.
        epoch: from 0.
    """
    lengths = np.asarray(lengths)
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    size = BUCKET * batch_size
    steps = [order[:batch_size]] if len(order) else []
    for start in range(batch_size, len(order), size):
        bucket = order[start : start + size]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        steps += [bucket[place : place + batch_size] for place in range(0, len(bucket), batch_size)]
    return [steps[place] for place in generator.permutation(len(steps))]


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
    rows: Rows, lengths: Sequence[int] | Rows, micro_batch_size: int, process: int = 0, num_processes: int = 1
) -> list[Rows]:
    """One process's share of a step, cut into micro-batches of rows of like length.

    Rows are dealt out longest first, so that processes have equal work. The list is empty for a process
    that a short last step leaves without a row.
    """
    lengths = np.asarray(lengths)
    ordered = rows[np.argsort(-lengths[rows], kind="stable")]
    share = ordered[process::num_processes]
    return [share[start : start + micro_batch_size] for start in range(0, len(share), micro_batch_size)]


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
