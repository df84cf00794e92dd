"""The learning curve of a labelled file, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import probe
from ..data.acquisition.base import Floats
from ..data.desk import Encoder
from ..errors import DataError
from .labelled import read_rounds
from .labelling import FOLDS, Show, Source, features_of, fingerprint

SHOWN = 12  # rounds of a long history
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """features: (N, d) of length one; targets: (N,) class numbers, -1 for a label that training does not know."""

    features: Floats
    targets: Ints

    def __getitem__(self, places: Any) -> Rows:
        return Rows(self.features[places], self.targets[places])

    def right(self, train: Rows, num_classes: int, strength: float | None) -> int:
        """How many of these rows a probe gets right that learned from `train`."""
        said = probe.fit(train.features, train.targets, num_classes, strength).probabilities(self.features)
        return int((said.argmax(1) == self.targets).sum())


@dataclass(frozen=True)
class Point:
    """One point of two curves.

    Args:
        rows: labelled so far.
        how: the strategy that chose the last of them.
        accuracy: of the probe that learned from them.
        random: of a probe that learned from as many rows at random.
    """

    rows: int
    how: str
    accuracy: float
    random: float


def encoded(source: Source, names: Sequence[str], encoder: Encoder, what: str, show: Show) -> Rows:
    known = {name: place for place, name in enumerate(names)}
    targets = np.array([known.get(str(label), -1) for label in source.labels], dtype=np.int64)
    return Rows(features_of(encoder, source.texts, what, show), targets)


def history(path: Path, labelled: Source, test: Source | None, encoder: Encoder, seed: int, show: Show) -> list[Point]:
    """Accuracy after each round of labelling, and that of as many of the labelled rows drawn at random.

    Without a test file every point is scored by five folds on ALL rows that are labelled today, so that rounds compare.
    Two things to know: rows that were chosen because they are hard score lower than the pool would; and the random rows
    are drawn from the chosen ones, not from the pool, so the true gain over random choice is larger than shown.

    Raises:
        DataError: fewer than two rounds, or fewer than two labels.
    """
    rounds = read_rounds(path)
    number = {key: place for place, item in enumerate(rounds, 1) for key in item["texts"]}
    of_row = np.array([number.get(fingerprint(text), 0) for text in labelled.texts], dtype=np.int64)
    names, _ = labelled.classes()
    if len(np.unique(of_row)) < 2 or len(names) < 2:
        what = f"{len(np.unique(of_row))} round and {len(names)} labels make no curve"
        raise DataError(what, where=str(path), fix="choose rows (--next), fill them in and add them (--add)")
    rows = encoded(labelled, names, encoder, "features of the labelled rows", show)
    tested = encoded(test, names, encoder, "features of the test rows", show) if test else None
    said = ["before", *(item["how"] for item in rounds)]
    ends = np.unique(of_row)
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, SHOWN).round().astype(int))]
    found = []
    strength = probe.choose(rows.features, rows.targets, len(names), seed)
    for place, end in enumerate(ends):
        show("rounds", place, len(ends))
        chosen, drawn = compare(rows, of_row <= end, tested, len(names), strength, seed)
        found.append(Point(int((of_row <= end).sum()), said[end], chosen, drawn))
    return found


def compare(
    rows: Rows, chosen: NDArray[np.bool_], test: Rows | None, num_classes: int, strength: float, seed: int
) -> tuple[float, float]:
    """Accuracy from the chosen rows, and from as many rows at random (the mean of FOLDS draws)."""
    everything = np.arange(len(rows.targets))
    folds = [(everything, everything)] * FOLDS if test else list(probe.stratified(rows.targets, FOLDS, seed))
    sums = np.zeros(3)
    for number, (train, held) in enumerate(folds):
        judged = test if test else rows[held]
        kept = train[chosen[train]]
        drawn = np.random.default_rng([seed, 52, number]).permutation(train)[: len(kept)]
        sums += [judged.right(rows[at], num_classes, strength) for at in (kept, drawn)] + [len(judged.targets)]
    return float(sums[0] / sums[2]), float(sums[1] / sums[2])
