"""enough_data: what more rows would bring, by the learning curve of a linear probe and the power law through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .. import probe
from ..desk import Desk
from .base import Check, Notebook, Page, too_few

Values = NDArray[np.float64]

SIZES = 7  # points of the curve
STARTS = range(4)  # points that may be left out at the small end, where the law need not hold yet
RESAMPLES = 300  # of the bootstrap
EXPONENTS = np.linspace(0.1, 1.5, 29)  # c of the law; published curves lie between 0.1 and 1
GROWTH = (0.2, 0.5, 1.0, 2.0)  # of the rows that there are
INTERVAL = (5, 95)  # percentiles


class EnoughData(Check):
    """Fits a - b * n^-c to the probe's scores on rows it did not see (Figueroa et al. 2012), and looks ahead."""

    title: ClassVar[str] = "enough data"
    tasks: ClassVar[tuple[str, ...]] = ("sequence_classification",)
    cost: ClassVar[int] = 3

    kind: Literal["enough_data"] = "enough_data"
    min_rows: int = Field(100, ge=50, description="of train; fewer make no curve")
    folds: int = Field(5, ge=2, description="each is held out once; the curve grows on the others")
    little: float = Field(0.01, gt=0, description="gain of twice the rows below which more hardly help")

    def cannot(self, desk: Desk) -> str | None:
        return "there is no encoder" if desk.encoder is None else too_few(desk, self.min_rows)

    def run(self, desk: Desk, notebook: Notebook) -> None:
        task: Any = desk.task
        targets = np.array([task.target(desk.train.rows[place]) for place in desk.sample(desk.train)], dtype=np.int64)
        sizes, folds = self.grow(desk, targets, len(task.labels))
        count, rows = len(desk.train.rows), np.asarray(sizes, dtype=float)
        generator = np.random.default_rng(desk.seed)
        scores = np.array([score(folds), *(score(resampled(folds, generator)) for _ in range(RESAMPLES))])
        more = [rounded(count * growth) for growth in GROWTH]
        starts = [STARTS, *([start] for start in generator.integers(0, len(STARTS), RESAMPLES))]
        ahead = np.array([gains(rows, line, count, more, start) for line, start in zip(scores, starts, strict=True)])
        metric = "micro F1" if targets.ndim == 2 else "accuracy"
        told = [spread(extra, ahead[:, at], "gain") for at, extra in enumerate(more)]
        a, b, c = law(rows, scores[0])
        notebook.facts[self.kind] = {
            "metric": metric, "rows": count, "by": desk.encoder.name if desk.encoder else None,
            "curve": [spread(size, scores[:, at], "score") for at, size in enumerate(sizes)],
            "law": {"a": a, "b": b, "c": c}, "more": told,
        }  # fmt: skip
        line = "; ".join(f"{entry['rows']:,} more rows: about {points(entry)}" for entry in (told[0], told[2]))
        remedy = "label more rows; `tunewright data label` says which"
        if told[2]["high"] < self.little:
            remedy = "more rows of this kind will hardly help a linear model; look at the labels, or tune more weights"
        page = Page(notebook, self.kind, desk.train)
        page.note("curve", f"{line} of {metric}, by a linear probe", remedy, more=told)

    def grow(self, desk: Desk, targets: probe.Ints, num_classes: int) -> tuple[list[int], list[Values]]:
        """The sizes, and for each fold (3, S, N) counts of its N rows: right labels, labels said, labels there.

        Smaller sets lie within larger ones. The regularisation is chosen once, and kept in sum over the rows.
        """
        features = desk.features(desk.train)
        parts = list(probe.stratified(targets, self.folds, desk.seed))
        largest = min(len(train) for train, _ in parts)
        sizes = [int(size) for size in np.geomspace(max(20, largest // 16), largest, SIZES)]
        strength = probe.choose(features, targets, num_classes, desk.seed)
        made = []
        for number, (train, held) in enumerate(parts):
            order = np.random.default_rng([desk.seed, number]).permutation(train)
            found = []
            for place, size in enumerate(sizes):
                desk.progress("learning curve", number * SIZES + place, len(parts) * SIZES)
                part = order[:size]
                fitted = probe.fit(features[part], targets[part], num_classes, strength * len(train) / size)
                found.append(counted(fitted.probabilities(features[held]), targets[held]))
            made.append(np.stack(found, axis=1))
        return sizes, made


def counted(probabilities: probe.Floats, targets: probe.Ints) -> Values:
    """(3, N): labels that are right, said and there. With one label a row their micro F1 is the accuracy."""
    if targets.ndim == 1:
        right, ones = probabilities.argmax(1) == targets, np.ones(len(targets))
        return np.stack([right, ones, ones])
    said = probabilities > 0.5
    return np.stack([(said & (targets > 0)).sum(1), said.sum(1), targets.sum(1)]).astype(float)


def score(folds: list[Values]) -> Values:
    """(S,) micro F1 at each size."""
    right, said, there = np.sum([fold.sum(2) for fold in folds], axis=0)
    return np.asarray(2 * right / np.maximum(said + there, 1))


def resampled(folds: list[Values], generator: np.random.Generator) -> list[Values]:
    """Folds drawn with replacement, and in each its rows: both the training sets and the held-out rows are chance."""
    drawn = [folds[at] for at in generator.integers(0, len(folds), len(folds))]
    return [fold[:, :, generator.integers(0, fold.shape[2], fold.shape[2])] for fold in drawn]


def law(sizes: Values, scores: Values) -> tuple[float, float, float]:
    """a, b, c of a - b * n^-c by least squares, b >= 0, a <= 1; larger sets weigh more, by their place in the row."""
    weights = np.arange(1, len(sizes) + 1) / len(sizes)
    best, least = (0.0, 0.0, 0.0), np.inf
    for c in EXPONENTS:
        power = sizes**-c
        mean_x, mean_y = np.average(power, weights=weights), np.average(scores, weights=weights)
        b = -np.average((power - mean_x) * (scores - mean_y), weights=weights)
        b = max(b / np.average((power - mean_x) ** 2, weights=weights), 0.0)
        a = mean_y + b * mean_x
        if a > 1:  # through the weighted mean no more; the best b of the law that ends at 1
            a, b = 1.0, float(np.average((1 - scores) * power, weights=weights) / np.average(power**2, weights=weights))
        error = float(np.average((a - b * power - scores) ** 2, weights=weights))
        if error < least:
            best, least = (float(a), float(b), float(c)), error
    return best


def gains(sizes: Values, scores: Values, count: int, more: list[int], starts: Sequence[int] = STARTS) -> Values:
    """What the laws of the points from each start on promise beyond `count` rows, in the mean."""
    laws = [law(sizes[start:], scores[start:]) for start in starts]
    return np.mean([[b * (count**-c - (count + extra) ** -c) for extra in more] for _, b, c in laws], axis=0)


def spread(rows: int, values: Values, name: str) -> dict[str, Any]:
    """The first of the values, and between which nine tenths of the others lie."""
    low, high = np.percentile(values[1:], INTERVAL)
    return {"rows": rows, name: float(values[0]), "low": float(low), "high": float(high)}


def points(entry: dict[str, Any]) -> str:
    return f"{100 * entry['gain']:+.1f} points ({100 * entry['low']:.1f} to {100 * entry['high']:.1f})"


def rounded(count: float) -> int:
    """To one leading digit: 243 is 200."""
    digit = 10 ** int(np.log10(max(count, 10)))
    return int(max(round(count / digit), 1) * digit)
