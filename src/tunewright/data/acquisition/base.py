"""Acquisition: a way to choose rows to label; Situation: all that it may look at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...component import Component

Floats = NDArray[np.float32]
Places = NDArray[np.int64]
Choice = tuple[Places, NDArray[np.float64]]
Beliefs = Callable[[], Iterator[Floats]]


@dataclass(frozen=True)
class Situation:
    """What a strategy may look at.

    Args:
        features: (M, d), of length one, of the M rows that may be chosen.
        labelled: (L, d) of the rows that have a label; L may be 0.
        generator: draws whatever is drawn.
        probabilities: (M, C) of the M rows' labels; None while nothing is learned.
        beliefs: several (M, C), each by a model drawn from those that the labels allow.
    """

    features: Floats
    labelled: Floats
    generator: np.random.Generator
    probabilities: Floats | None = None
    beliefs: Beliefs | None = None


class Acquisition(Component):
    """A way to choose. The fields are its settings."""

    home: ClassVar[str] = "data.acquisition"
    asks_model: ClassVar[bool] = True  # whether it needs probabilities; without them the rows are spread by k-means
    says: ClassVar[str]  # what a row's score means, for a person

    @abstractmethod
    def choose(self, situation: Situation, count: int) -> Choice:
        """Places of `count` of the M rows (all, where there are no more), and the score of each."""


class Ranking(Acquisition):
    """Takes the rows with the highest scores, the first of equals first."""

    @abstractmethod
    def scores(self, situation: Situation) -> Floats:
        """(M,) the higher the better; people are told how far from 0 it is."""

    def choose(self, situation: Situation, count: int) -> Choice:
        scores = self.scores(situation)
        found = highest(scores, count)
        return found, np.abs(scores[found]).astype(float)


def margin(probabilities: Floats) -> Floats:
    """(M,) likeliest minus second: 0 is as unsure as can be (Scheffer et al. 2001, section 3)."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities), dtype=np.float32)
    two = np.partition(probabilities, -2, axis=1)
    difference: Floats = two[:, -1] - two[:, -2]
    return difference


def entropy(probabilities: Floats) -> Floats:
    """(M,) in nats."""
    found: Floats = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(1)
    return found


def highest(scores: NDArray[np.floating], count: int) -> Places:
    """Places of the highest scores, the first of equals first."""
    return np.argsort(-scores, kind="stable")[:count]
