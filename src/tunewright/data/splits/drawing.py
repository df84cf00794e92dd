"""Drawing rows, or whole blocks of rows, so that every part gets its share of every label."""

from __future__ import annotations

from abc import ABC
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Fold, Splitter, Subject, refuse_empty
from .rounding import rounded

Places = NDArray[np.int64]


class Drawn(Splitter, ABC):
    """Draws rows by seed; whole blocks where there are blocks."""

    by_label: ClassVar[bool] = True  # whether parts get their share of every label

    def assign(self, subject: Subject, shares: list[float], seed: int) -> Places:
        """(N,) the part that each row goes to; shares add up to 1."""
        labels = subject.labels if self.by_label else [()] * len(subject)
        generator = np.random.default_rng([seed, 23])
        if subject.blocks is None:
            return by_label_sets(labels, shares, generator)
        return by_blocks(subject.blocks, labels, shares, generator)

    def split(self, subject: Subject, shares: dict[str, float], seed: int) -> dict[str, list[int]]:
        parts = self.assign(subject, [1 - sum(shares.values()), *shares.values()], seed)
        keep_every_label(parts, subject)
        return {name: np.flatnonzero(parts == place).tolist() for place, name in enumerate(["train", *shares])}

    def folds(self, subject: Subject, count: int, seed: int) -> list[Fold]:
        parts = self.assign(subject, [1 / count] * count, seed)
        found = [(np.flatnonzero(parts != fold).tolist(), np.flatnonzero(parts == fold).tolist())
                 for fold in range(count)]  # fmt: skip
        refuse_empty(found)
        return found


def by_label_sets(
    labels: Sequence[tuple[Hashable, ...]], shares: Sequence[float], generator: np.random.Generator
) -> Places:
    """(N,) parts: of the rows with the same labels each part gets its share, the remainders as `rounded` says."""
    members: dict[frozenset[Hashable], list[int]] = defaultdict(list)
    for row, names in enumerate(labels):
        members[frozenset(names)].append(row)
    number = {name: place for place, name in enumerate(dict.fromkeys(name for names in labels for name in names))}
    sets = [sorted(number[name] for name in names) for names in members]
    amounts = np.array([len(rows) for rows in members.values()])[:, None] * np.asarray(shares)
    parts = np.zeros(len(labels), dtype=np.int64)
    for rows, counts in zip(members.values(), rounded(sets, amounts, generator), strict=True):
        parts[generator.permutation(rows)] = np.repeat(np.arange(len(shares)), counts)
    return parts


def by_blocks(
    blocks: Sequence[int], labels: Sequence[tuple[Hashable, ...]], shares: Sequence[float],
    generator: np.random.Generator,
) -> Places:  # fmt: skip
    """(N,) parts: whole blocks, the largest first, each to the part that lacks most of what it has."""
    members: dict[int, list[int]] = defaultdict(list)
    for row, block in enumerate(blocks):
        members[block].append(row)
    counted = [[name for row in rows for name in (None, *labels[row])] for rows in members.values()]  # None: the row
    totals = Counter(name for names in counted for name in names)
    number = {name: place for place, name in enumerate(totals)}
    worth = 1 / np.array(list(totals.values()), dtype=np.float64)
    lacking = np.outer(shares, 1 / worth)  # (parts, labels) rows
    parts, listed = np.zeros(len(labels), dtype=np.int64), list(members.values())
    for place in sorted(generator.permutation(len(listed)).tolist(), key=lambda place: -len(listed[place])):
        found = Counter(number[name] for name in counted[place])
        columns, amounts = list(found), np.array(list(found.values()))
        part = int(np.argmax((lacking[:, columns] * (amounts * worth[columns])).sum(axis=1).round(9)))
        lacking[part, columns] -= amounts
        parts[listed[place]] = part
    return parts


def keep_every_label(parts: Places, subject: Subject) -> None:
    """Moves to part 0 a row (a small block) of each label that it lacks: what training never saw can't be scored."""
    blocks = np.arange(len(parts)) if subject.blocks is None else np.asarray(subject.blocks)
    sizes, rows_of = Counter(blocks.tolist()), defaultdict[Hashable, list[int]](list)
    for row, names in enumerate(subject.labels):
        for name in ((None, "any"), *names):  # and at least one row whatever its labels
            rows_of[name].append(row)
    for rows in rows_of.values():
        if (parts[rows] > 0).all():
            smallest = min(rows, key=lambda row: sizes[int(blocks[row])])
            parts[blocks == blocks[smallest]] = 0
