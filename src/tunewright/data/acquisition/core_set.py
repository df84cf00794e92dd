"""Core-set: the rows farthest from everything that has a label."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .base import Acquisition, Choice, Floats, Places, Situation

BLOCK = 4096  # rows whose distances to all labelled ones are held at once


class CoreSet(Acquisition):
    """The greedy k-center (Sener and Savarese 2018, algorithm 1)."""

    asks_model: ClassVar[bool] = False
    says: ClassVar[str] = "{:.3f} from the nearest row chosen before"
    kind: Literal["core_set"] = "core_set"

    def choose(self, situation: Situation, count: int) -> Choice:
        return spread(situation.features, count, situation.labelled)


def spread(features: Floats, count: int, around: Floats) -> tuple[Places, NDArray[np.float64]]:
    """Places of rows, each the farthest from `around` and from those before it; and how far.

    Args:
        features: (M, d) of length one.
        around: (L, d); with L = 0 the first row is the one nearest to the mean.
    """
    count = min(count, len(features))
    nearest = distances(features, around)
    found, scores = np.zeros(count, dtype=np.int64), np.zeros(count)
    for number in range(count):
        place = int((features @ features.mean(0)).argmax() if np.isinf(nearest).all() else nearest.argmax())
        found[number], scores[number] = place, min(nearest[place], 2.0)
        nearest = np.minimum(nearest, between(features @ features[place]))
        nearest[found[: number + 1]] = -1  # never again, also where all rows are alike
    return found, scores


def distances(features: Floats, around: Floats) -> Floats:
    """(M,) from each row to the nearest of `around`; infinite where that is empty."""
    found = np.full(len(features), np.inf, dtype=np.float32)
    for start in range(0, len(features) if len(around) else 0, BLOCK):
        found[start : start + BLOCK] = between((features[start : start + BLOCK] @ around.T).max(1))
    return found


def between(cosines: Floats) -> Floats:
    """Euclidean distances of vectors of length one."""
    found: Floats = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    return found
