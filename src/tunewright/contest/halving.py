"""Successive halving (Jamieson and Talwalkar 2016): who goes on when the time does not suffice for all.

All are trained to a share of their own steps; where the rest of them would not fit into what is left of the budget,
the better half by validation goes on to twice that share, and so on (their algorithm 1, with eta = 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError

OVER = 1.1  # times the budget: by so much a run may exceed it that was predicted to fit


@dataclass(frozen=True)
class Standing:
    """Where a contestant stands.

    Args:
        score: its last on validation; None: none, or no number.
        share: of its steps that are done, in (0, 1].
        seconds: that they took, with loading and evaluating.
    """

    name: str
    score: float | None
    share: float
    seconds: float

    @property
    def rest(self) -> float:
        """Seconds that its other steps will take."""
        return self.seconds * (1 / self.share - 1)


def shares(count: int) -> list[float]:
    """The rungs for so many contestants: the last of them but one is reached by two."""
    rungs = math.ceil(math.log2(max(count, 1)))
    return [2.0 ** (place - rungs) for place in range(rungs)]


def going_on(standings: Sequence[Standing], left: float, higher_is_better: bool) -> list[str]:
    """All of them where the rest fits into `left` seconds; else the better half, in their order."""
    if sum(item.rest for item in standings) <= left:
        return [item.name for item in standings]
    sign = 1 if higher_is_better else -1

    def rank(item: Standing) -> float:
        return -math.inf if item.score is None or math.isnan(item.score) else sign * item.score

    best = sorted(standings, key=rank, reverse=True)[: math.ceil(len(standings) / 2)]
    return [item.name for item in standings if item in best]


def seconds_of(budget: float | str | None) -> float | None:
    """Seconds of 90, "90s", "20m" or "1.5h"."""
    if budget is None:
        return None
    text = str(budget).strip().lower()
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        found = float(text[:-1] if factor else text) * (factor or 1)
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise ConfigError(f"{budget!r} is no time", where="--budget", fix="write it as in 90s, 20m or 1h")
    return found
