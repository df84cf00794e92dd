"""Rounding of a table so that sums stay near: Beck and Fiala 1981, "Integer-making" theorems, with random directions.

The entries of a table (label sets x parts) are variables in [0, 1], of which some sums shall stay what they are: of
each set, of each label in each part, of each part. While there are more variables than sums, some direction changes
none of them: walk along it until one more variable is 0 or 1. When there is none left, give up the sum with the fewest
variables and go on. A variable is in at most t label sums, so of F variables fewer than F label sums have more than t:
a sum is given up only when at most t variables are left in it, and those can't move it by t. In more than two parts the
sums of sets take up to F / 2 of the F: there the bound is 2t.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TINY = 1e-6  # nearer to a whole number than this is whole
SMALL = 1e-7  # a direction's entry below this is rounding
BATCH = 30  # sets that come into play at once: the basis is small and in the cache
SUMS = 2_000  # sums that are looked after; of more, those with the most variables (memory: their square)

Variable = tuple[int, int]  # set, part
Sum = tuple[int, int]  # label (-1: all rows), part


def rounded(
    sets: Sequence[Sequence[int]], amounts: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Whole amounts, each rounded up or down, with the expectation of the given ones.

    Args:
        sets: (S,) the labels of each set, as numbers.
        amounts: (S, P) rows of each set that each part should get; a set's sum is whole.

    Returns:
        (S, P) with the sums of each set; for each label and part the sum over its sets differs from the given one by
        less than t (P = 2) or 2t, where t is the most labels of a set.
    """
    whole = np.floor(amounts + TINY)
    values = {(s, p): float(amounts[s, p] - whole[s, p]) for s, p in np.argwhere(amounts - whole > TINY).tolist()}
    sums_of = {key: [(label, key[1]) for label in (*sets[key[0]], -1)] for key in values}
    sizes = Counter(name for names in sums_of.values() for name in names)
    kept = [name for name, size in sizes.most_common(SUMS) if size > 1]
    limit = max(map(len, sets), default=0) * (1 if amounts.shape[1] == 2 else 2)
    order = [int(place) for place in generator.permutation(sorted({s for s, _ in values}))]
    live: list[int] = []
    for start in range(0, len(order), BATCH):
        live += order[start : start + BATCH]
        walk = Walk(values, kept, live, generator)
        for key in [key for s in live for p in range(amounts.shape[1]) if (key := (s, p)) in values]:
            if is_open(values[key]):
                walk.enter(key, [walk.rows[s] for s in sums_of[key] if s in walk.rows] + [walk.rows[key[0]]])
        live = list(dict.fromkeys(s for s, _ in walk.floating()))
    while live and walk.held and (floating := walk.floating()):
        walk.give_up(Counter(name for key in floating for name in sums_of[key]), limit)
    for (s, p), value in values.items():
        whole[s, p] += round(value)
    return whole.astype(np.int64)


def is_open(value: float) -> bool:
    return TINY < value < 1 - TINY


class Walk:
    """The variables in play, as a simplex tableau that is kept by the inverse of its basis.

    A position of the basis holds a variable, or the slack of a sum (None). It is locked where nothing may move: at a
    variable that is whole, at the slack of a sum that is kept. The slack of a sum that was given up moves freely.
    """

    def __init__(
        self, values: dict[Variable, float], sums: Sequence[Sum], sets: Sequence[int], generator: np.random.Generator
    ) -> None:
        self.values, self.generator = values, generator
        self.names: list[Sum | int] = [*sums, *sets]
        self.rows = {name: place for place, name in enumerate(self.names)}
        self.inverse = np.eye(len(self.names))
        self.basis: list[Variable | None] = [None] * len(self.names)
        self.locked = np.ones(len(self.names), dtype=bool)
        self.held = set[Sum]()  # sums whose slack left the basis

    def floating(self) -> list[Variable]:
        return [key for key, locked in zip(self.basis, self.locked, strict=True) if key is not None and not locked]

    def give_up(self, sizes: Counter[Sum], limit: int) -> None:
        """Lets go of the sum with the fewest variables, none with more than `limit` (except a part's size)."""
        name = min((sum_ for sum_ in self.held if sum_[0] < 0 or sizes[sum_] <= limit), key=lambda s: (sizes[s], s))
        self.held.remove(name)
        self.enter(None, [self.rows[name]])

    def enter(self, key: Variable | None, rows: list[int]) -> None:
        """A variable (None: the slack of a sum that is given up) comes into play, until something becomes whole."""
        direction = self.inverse[:, rows].sum(axis=1)
        moving = np.abs(direction) > SMALL
        if not (moving & self.locked).any():
            self.walk(key, direction, np.flatnonzero(moving).tolist())
        stopped = moving & self.locked
        if stopped.any() and (key is None or is_open(self.values[key])):
            self.exchange(int(np.argmax(np.abs(direction) * stopped)), direction, key)

    def walk(self, key: Variable | None, direction: NDArray[np.float64], places: list[int]) -> None:
        """Moves one way or the other until a variable is whole; both by such a chance that expectations stay."""
        speeds = {name: -direction[place] for place in places if (name := self.basis[place]) is not None}
        speeds |= {} if key is None else {key: 1.0}
        ahead = {name: self.values[name] if speed < 0 else 1 - self.values[name] for name, speed in speeds.items()}
        up = min((ahead[name] / abs(speed) for name, speed in speeds.items()), default=0.0)
        down = min(((1 - ahead[name]) / abs(speed) for name, speed in speeds.items()), default=0.0)
        step = up if self.generator.random() * (up + down) < down else -down
        for name, speed in speeds.items():
            self.values[name] += step * speed
        for place in places:
            self.locked[place] = (name := self.basis[place]) is not None and not is_open(self.values[name])

    def exchange(self, place: int, direction: NDArray[np.float64], key: Variable | None) -> None:
        """Puts what enters in the place of what is stopped there."""
        if self.basis[place] is None and isinstance(name := self.names[place], tuple):
            self.held.add(name)
        row = self.inverse[place] / direction[place]
        self.inverse -= np.outer(direction, row)
        self.inverse[place] = row
        self.basis[place], self.locked[place] = key, False
