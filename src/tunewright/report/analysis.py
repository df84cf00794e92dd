"""Curves, shares and orders that several pages need. Pure functions."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from .words import finite

Point = tuple[float, float]
Record = dict[str, Any]

MAIN_SCORES = ("accuracy", "f1_macro", "f1_micro", "exact_match", "average_precision_macro")


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


def smooth(points: Sequence[Point], share: float = 0.1) -> list[Point]:
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
    """At most about `limit` points that look the same: the ends, and the lowest and the highest of every bucket."""
    if len(points) <= limit:
        return list(points)
    size = math.ceil(2 * len(points) / limit)
    kept = {points[0], points[-1]}
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        kept |= {min(bucket, key=lambda point: point[1]), max(bucket, key=lambda point: point[1])}
    return sorted(kept)


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


def median(lines: Iterable[Record], key: str) -> float | None:
    """The median of a column of the history, None where it has no number."""
    values = [value for line in lines if (value := finite(line.get(key))) is not None]
    return statistics.median(values) if values else None
