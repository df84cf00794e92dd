"""auto: what a run does where nobody chooses: of every stratum alike, or whole groups where rows have some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from .base import Fold, Splitter, Subject
from .stratified import Stratified


class Auto(Splitter):
    """One held-out part after the other: of every stratum alike, or whole groups where rows have some."""

    kind: Literal["auto"] = "auto"

    def split(self, subject: Subject, shares: dict[str, float], seed: int) -> dict[str, list[int]]:
        if self.near_duplicates:
            return self.drawn.split(subject, shares, seed)
        found, rest = dict[str, list[int]](), list(range(len(subject)))
        for name in reversed(shares):  # test first, so that it stays the same whether or not there is a validation
            of_rest = shares[name] * len(subject) / len(rest)
            if subject.blocks is not None:
                kept, taken = by_group([subject.blocks[row] for row in rest], of_rest, seed)
            else:
                kept, taken = by_stratum([subject.labels[row][:1] for row in rest], of_rest, seed)
            found[name], rest = [rest[place] for place in taken], [rest[place] for place in kept]
        return {"train": rest, **found}

    def folds(self, subject: Subject, count: int, seed: int) -> list[Fold]:
        return self.drawn.folds(subject, count, seed)

    @property
    def drawn(self) -> Stratified:
        return Stratified(near_duplicates=self.near_duplicates)


def members(keys: Sequence[Hashable]) -> list[list[int]]:
    """The rows of each key, in the order in which keys first come."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        found[key].append(row)
    return list(found.values())


def by_stratum(strata: Sequence[Hashable], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Takes `share` of the rows out, of every stratum alike.

    A stratum keeps at least one row behind; what rounding leaves open goes to the largest remainders.

    Args:
        strata: one per row (its label, say).
        share: 0 to 1, of the rows to take out.
        seed: of the drawing.

    Returns:
        (kept, taken) row indices, each ascending.
    """
    generator = np.random.default_rng([seed, 20])
    order = [[rows[place] for place in generator.permutation(len(rows))] for rows in members(strata)]
    wanted = [min(len(rows) * share, len(rows) - 1) for rows in order]
    quota = [int(amount) for amount in wanted]
    missing = min(round(len(strata) * share), sum(len(rows) - 1 for rows in order)) - sum(quota)
    by_remainder = sorted(range(len(order)), key=lambda place: (quota[place] - wanted[place], place))
    for place in [place for place in by_remainder if quota[place] < len(order[place]) - 1][: max(missing, 0)]:
        quota[place] += 1
    taken = sorted(row for rows, amount in zip(order, quota, strict=True) for row in rows[:amount])
    chosen = set(taken)
    return [row for row in range(len(strata)) if row not in chosen], taken


def by_group(groups: Sequence[Hashable], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Takes about `share` of the rows out, in whole groups: no paragraph is in both parts. One group stays behind.

    Returns:
        (kept, taken) row indices, each ascending.
    """
    generator = np.random.default_rng([seed, 22])
    listed = members(groups)
    wanted, taken = share * len(groups), set[int]()
    for place in generator.permutation(len(listed))[: len(listed) - 1]:
        if len(taken) + len(listed[place]) / 2 <= wanted:
            taken.update(listed[place])
    return [row for row in range(len(groups)) if row not in taken], sorted(taken)
