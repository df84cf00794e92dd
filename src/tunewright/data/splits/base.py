"""Splitter: parts rows into training and held-out ones; Subject: all that it is told of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...component import Component
from ...errors import ConfigError

Fold = tuple[list[int], list[int]]  # places of the rows to train on, and of those held out


@dataclass(frozen=True)
class Subject:
    """What a splitter is told of N rows.

    Args:
        labels: the distinct labels of each row; held-out parts get their share of each (`auto`: of the first).
        blocks: (N,) rows with the same number are never parted (groups, clusters of near-duplicates); None: no such.
        times: (N,) values that can be compared; None where nobody asked.
    """

    labels: Sequence[tuple[Hashable, ...]]
    blocks: Sequence[int] | None = None
    times: Sequence[Any] | None = None

    def __len__(self) -> int:
        return len(self.labels)


class Splitter(Component):
    """One way to part rows. Every method is a pure function: the same subject and seed give the same places."""

    home: ClassVar[str] = "data.splits"
    column_holds: ClassVar[Literal["", "groups", "times"]] = ""  # what the field `column` is for, where there is one

    near_duplicates: bool = Field(False, description="rows whose texts are nearly the same stay in one part")

    @abstractmethod
    def split(self, subject: Subject, shares: dict[str, float], seed: int) -> dict[str, list[int]]:
        """Places of "train" and of each held-out part, ascending; together every row once.

        Args:
            shares: of all rows, by the names of the held-out parts; together below 1.
        """

    @abstractmethod
    def folds(self, subject: Subject, count: int, seed: int) -> list[Fold]:
        """Folds for cross-validation. Raises ConfigError where there is too little for so many."""

    @property
    def told(self) -> str:
        """How rows are drawn, in a few words for a person."""
        column = getattr(self, "column", None)
        named = f" by {column!r}" if column else ""
        return f"{self.kind}{named}{', near-duplicates kept together' if self.near_duplicates else ''}"


def joined(*keys: Sequence[Hashable | None]) -> list[int]:
    """(N,) block numbers: rows that share a key in any of the sequences are in one block; None shares with nobody."""
    parents = list(range(len(keys[0])))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = row = parents[parents[row]]
        return row

    for sequence in keys:
        first: dict[Hashable, int] = {}
        for row, key in enumerate(sequence):
            if key is not None:
                parents[root(row)] = root(first.setdefault(key, row))
    return [root(row) for row in range(len(parents))]


def refuse_empty(folds: Sequence[Fold]) -> None:
    """Raises ConfigError where a fold has nothing to train on or nothing held out."""
    if not all(train and held_out for train, held_out in folds):
        fix = "take fewer folds, or give more rows (groups, points in time)"
        raise ConfigError(f"the rows do not fill {len(folds)} folds", where="folds", fix=fix)


def subset(count: int, limit: int, seed: int) -> list[int]:
    """`limit` of `count` rows, drawn by seed, in their old order."""
    generator = np.random.default_rng([seed, 21])
    return sorted(int(row) for row in generator.permutation(count)[:limit])
