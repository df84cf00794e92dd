"""What the numbers of a run say: intervals, confused pairs, weak classes, mistakes. Pure functions."""

from __future__ import annotations

import collections
import heapq
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .words import finite

Point = tuple[float, float]
Record = dict[str, Any]

MAIN_SCORES = ("accuracy", "f1_macro", "f1_micro", "exact_match", "average_precision_macro")


class Pair(NamedTuple):
    """One class taken for another."""

    true: str
    predicted: str
    num_rows: int
    share: float  # of the rows of the true class


class Mistake(NamedTuple):
    """One row that the model got wrong, and how sure it was."""

    row: Any
    text: str
    true: list[str]
    predicted: list[str]
    missed: list[tuple[str, float | None]]  # labels that were not given, with their probability
    wrong: list[tuple[str, float | None]]  # labels that were given and are not true
    confidence: float  # 0 ... 1: how sure the model was of its worst error


def wilson(share: float, num_rows: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share, both ends in 0 ... 1 (Wilson 1927): honest for few rows and near 0 or 1."""
    centre = share + z * z / (2 * num_rows)
    spread = z * math.sqrt(share * (1 - share) / num_rows + z * z / (4 * num_rows * num_rows))
    scale = 1 + z * z / num_rows
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def ratio_interval(rows: Sequence[tuple[float, float]], draws: int = 2000, seed: int = 0) -> Point | None:
    """The 95 % interval of sum(first) / sum(second): percentiles of a seeded bootstrap over rows (Efron 1979).

    What goes wrong within one row is not independent; so rows are drawn, not entities or words. None where that says
    nothing: fewer than 20 rows, or rows that are all right or all wrong, of which every draw is the same.
    """
    import numpy as np

    kinds = collections.Counter(rows)
    if len(rows) < 20 or len({first / second for first, second in kinds if second}) < 2:
        return None
    shares = np.array(list(kinds.values())) / len(rows)
    drawn = np.random.default_rng(seed).multinomial(len(rows), shares, size=draws) @ np.array(list(kinds), dtype=float)
    ratios = drawn[:, 0] / np.where(drawn[:, 1] > 0, drawn[:, 1], np.inf)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(low), float(high)


def surest(answers: Iterable[tuple[float, bool]]) -> list[tuple[float, float, float]]:
    """What keeping only the surest quarter, half, ... would give: (share kept, lowest confidence, share of them right).

    Nothing for fewer than 20 answers.
    """
    ordered = sorted(answers, key=lambda answer: -answer[0])
    if len(ordered) < 20:
        return []
    cuts = [(share, ordered[: math.ceil(share * len(ordered))]) for share in (0.25, 0.5, 0.75, 1.0)]
    return [(share, kept[-1][0], sum(right for _, right in kept) / len(kept)) for share, kept in cuts]


def main_score(scores: Record) -> tuple[str, float] | None:
    """The score that stands for the whole: accuracy, else macro F1, else the first number that is no loss."""
    names = [*MAIN_SCORES, *(name for name in scores if is_score(name))]
    return next(((name, value) for name in names if (value := finite(scores.get(name))) is not None), None)


def is_score(name: str) -> bool:
    """Whether a higher value means a better model: no loss, and no number of things."""
    return name not in ("loss", "perplexity", "answers") and not name.startswith("num_")


def curve(lines: Iterable[Record], *path: str, x: str = "step") -> list[Point]:
    """The points (x, value at the path) of the lines in which both are finite numbers."""
    points = []
    for line in lines:
        value: Any = line
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        at, height = finite(line.get(x)), finite(value)
        if at is not None and height is not None:
            points.append((at, height))
    return points


def smooth(points: Sequence[Point], share: float = 0.08) -> list[Point]:
    """The mean over the nearest `share` of the points, as many before as after: unlike a running average it does not
    lag behind a falling curve. Towards both ends the window shrinks."""
    reach = round(len(points) * share / 2)
    sums = [0.0, *itertools.accumulate(height for _, height in points)]
    smoothed = []
    for index, (at, _) in enumerate(points):
        side = min(reach, index, len(points) - 1 - index)
        smoothed.append((at, (sums[index + side + 1] - sums[index - side]) / (2 * side + 1)))
    return smoothed


def thin(points: Sequence[Point], limit: int = 400) -> list[Point]:
    """At most about `limit` points that look the same: the lowest and the highest of every bucket, in order."""
    if len(points) <= limit:
        return list(points)
    size = math.ceil(2 * len(points) / limit)
    kept: list[Point] = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        extremes = {min(bucket, key=lambda point: point[1]), max(bucket, key=lambda point: point[1])}
        kept.extend(sorted(extremes))
    return [points[0], *(point for point in kept if point not in (points[0], points[-1])), points[-1]]


def confused_pairs(matrix: Sequence[Sequence[int]], labels: Sequence[str], limit: int = 10) -> list[Pair]:
    """The pairs (true, predicted) that are confused most often, the most frequent first; matrix: (true, predicted)."""
    pairs = [
        Pair(labels[row], labels[column], number, number / sum(counts))
        for row, counts in enumerate(matrix)
        for column, number in enumerate(counts)
        if row != column and number > 0
    ]
    return heapq.nsmallest(limit, pairs, key=lambda pair: (-pair.num_rows, -pair.share, pair.true, pair.predicted))


def by_weakness(per_class: dict[str, Record]) -> list[tuple[str, Record]]:
    """The classes, weakest F1 first; those without an F1 last."""
    return sorted(per_class.items(), key=lambda item: (finite(item[1].get("f1")) is None, finite(item[1].get("f1"))))


def weakest(per_class: dict[str, Record], limit: int = 3) -> list[str]:
    """Up to `limit` classes whose F1 is lowest: below 0.9 and below the mean over the classes."""
    known = {label: value for label, row in per_class.items() if (value := finite(row.get("f1"))) is not None}
    if len(known) < 2:
        return []
    bound = min(0.9, statistics.fmean(known.values()))
    return [label for label in sorted(known, key=lambda name: known[name]) if known[label] < bound][:limit]


def overconfidence(bins: Iterable[Record]) -> float | None:
    """Mean confidence minus mean accuracy over all rows: above 0 the model promises more than it holds."""
    filled = [bin_ for bin_ in bins if finite(bin_.get("count")) and finite(bin_.get("accuracy")) is not None]
    total = sum(bin_["count"] for bin_ in filled)
    if not total:
        return None
    return float(sum(bin_["count"] * (bin_["confidence"] - bin_["accuracy"]) for bin_ in filled) / total)


def coverage(bins: Iterable[Record], limit: int = 5) -> list[tuple[float, float, float]]:
    """What answering only from a confidence on would give: (confidence, share of rows answered, share of them right),
    for the lower edges of the filled bins, lowest first."""
    filled = sorted((bin_ for bin_ in bins if finite(bin_.get("count"))), key=lambda bin_: -bin_["lower"])
    total = sum(bin_["count"] for bin_ in filled)
    answered, right, found = 0.0, 0.0, []
    for bin_ in filled:
        answered += bin_["count"]
        right += bin_["count"] * (finite(bin_.get("accuracy")) or 0.0)
        found.append((float(bin_["lower"]), answered / total, right / answered))
    return found[:limit][::-1]


def confident_mistakes(predictions: Iterable[Record], limit: int = 20) -> list[Mistake]:
    """The mistakes of which the model was surest, the surest first."""
    mistakes = (mistake(row) for row in predictions)
    return heapq.nlargest(limit, (found for found in mistakes if found), key=lambda found: found.confidence)


def mistake(row: Record) -> Mistake | None:
    """What is wrong in one prediction, single label or several; None where nothing is."""
    true, predicted = _names(row.get("label")), _names(row.get("predicted"))
    if (not true and row.get("label") is None) or set(true) == set(predicted):
        return None
    chances = row.get("probabilities") or {}
    chance = {name: finite(chances.get(name)) for name in {*true, *predicted}}
    if len(predicted) == 1 and chance[predicted[0]] is None:
        chance[predicted[0]] = finite(row.get("probability"))
    missed = [(name, chance[name]) for name in true if name not in predicted]
    wrong = [(name, chance[name]) for name in predicted if name not in true]
    sureness = [value for _, value in wrong if value is not None]
    sureness += [1 - value for _, value in missed if value is not None]
    return Mistake(row.get("row"), _text(row.get("text")), true, predicted, missed, wrong, max(sureness, default=0.0))


def _names(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(name) for name in value] if isinstance(value, list | tuple) else [str(value)]


def _text(value: Any) -> str:
    return " ⏐ ".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value or "")


def median(lines: Iterable[Record], key: str) -> float | None:
    """The median of a column of the history, None where it has no number."""
    values = [value for line in lines if (value := finite(line.get(key))) is not None]
    return statistics.median(values) if values else None
