"""Learning curves of labelling: round by round of a labelled file, and of a strategy tried out on labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import probe
from ..data.acquisition.base import Acquisition, Floats
from ..data.acquisition.random import Random
from ..data.desk import Encoder
from ..errors import DataError
from .labelled import read_rounds
from .labelling import (
    FOLDS,
    Judge,
    ProbeJudge,
    Show,
    Source,
    features_of,
    fingerprint,
    pick,
    situate,
)  # fmt: skip

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


def simulate(
    rows: Rows, test: Rows, num_classes: int, how: Acquisition, start: int | Ints, count: int, rounds: int,
    seed: int = 0, strength: float | None = None, show: Show = lambda what, done, total: None,
) -> list[tuple[int, float]]:  # fmt: skip
    """(labelled rows, accuracy on `test`) had the labels of `rows` been asked for as `how` chooses them.

    Args:
        start: rows to begin with, chosen without labels by `how` or by k-means; or their places.
        strength: of the probe; None: chosen anew whenever the labelled rows have doubled.
    """
    generator = np.random.default_rng([seed, 53])
    names = list(map(str, range(num_classes)))
    chosen = np.zeros(0, dtype=np.int64) if isinstance(start, int) else start
    curve: list[tuple[int, float]] = []
    judge, used, looked_at = None, strength, 0
    for number in range(rounds + 1):
        show(how.kind, number, rounds + 1)
        if number or isinstance(start, int):
            chosen = np.concatenate([chosen, ask(rows, chosen, judge, how, count if number else int(start), generator)])
        known = rows[chosen]
        if strength is None and len(chosen) >= 2 * looked_at:
            used, looked_at = probe.choose(known.features, known.targets, num_classes, seed), len(chosen)
        judge = ProbeJudge(names, known.features, known.targets, used)
        said = judge.probabilities([], test.features).argmax(1)
        curve.append((len(chosen), float((said == test.targets).mean())))
        if len(chosen) == len(rows.targets):
            break
    show(how.kind, rounds + 1, rounds + 1)
    return curve


def ask(
    rows: Rows, chosen: Ints, judge: Judge | None, how: Acquisition, count: int, generator: np.random.Generator
) -> Ints:
    """Places of the next rows, chosen without a look at their labels."""
    left = np.setdiff1d(np.arange(len(rows.targets)), chosen)
    situation = situate([], rows.features[left], rows.features[chosen], judge, generator)
    return left[pick(how, situation, count)[1][0]]


def against_random(
    full: Source, test: Source | None, how: Acquisition, start: int, count: int, rounds: int, encoder: Encoder,
    seed: int, show: Show,
) -> dict[str, Any]:  # fmt: skip
    """The curve of a strategy beside that of random choice, on rows whose labels are all known.

    Args:
        test: None holds a fifth of the rows out.

    Raises:
        DataError: too few rows or labels.
    """
    names, targets = full.classes()
    if len(names) < 2 or len(targets) < start + count:
        what = f"{len(targets)} labelled rows of {len(names)} labels are too few to choose {start} and then {count} of"
        raise DataError(what, where=full.table.source, fix="give more rows, or a smaller --start and --next")
    rows = encoded(full, names, encoder, "features of the rows", show)
    if test:
        tested, said = encoded(test, names, encoder, "features of the test rows", show), test.table.source
    else:
        train, held = next(iter(probe.stratified(targets, FOLDS, seed)))
        rows, tested, said = rows[train], rows[held], f"{len(held):,} rows held out"
    chosen, drawn = (simulate(rows, tested, len(names), item, start, count, rounds, seed, show=show)
                     for item in (how, Random()))  # fmt: skip
    pairs = zip(chosen, drawn, strict=True)
    curve = [asdict(Point(size, how.kind, accuracy, random)) for (size, accuracy), (_, random) in pairs]
    return {"measured_on": said, "curve": curve, "saves": saved(how.kind, chosen, drawn)}


def saved(how: str, chosen: Sequence[tuple[int, float]], drawn: Sequence[tuple[int, float]]) -> str:
    """How many labels the last accuracy of random choice costs either way."""
    rows, accuracy = drawn[-1]
    needed = reached(chosen, accuracy)
    if needed is None:
        return f"{how} does not reach the {accuracy:.4f} of random choice with {rows:,} rows"
    return f"{how} reaches the {accuracy:.4f} of random choice with {rows:,} rows at about {needed:,.0f}"


def reached(curve: Sequence[tuple[int, float]], accuracy: float) -> float | None:
    """Labelled rows at which a curve first has an accuracy, between two points on a straight line; None: never."""
    before: tuple[int, float] | None = None
    for rows, found in curve:
        if found >= accuracy:
            if before is None:
                return float(rows)
            return before[0] + (rows - before[0]) * (accuracy - before[1]) / (found - before[1])
        before = (rows, found)
    return None
