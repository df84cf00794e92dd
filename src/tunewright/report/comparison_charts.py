"""What a comparison draws: score against cost, and how validation went over the training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import charts, page, svg
from .analysis import thin
from .charts import Dot, Series
from .comparison_files import Comparison, Contestant
from .markup import Markup
from .words import NARROW, brief, count, duration, finite, listing, memory, score_value, shorten

NAMED = 5  # curves with a colour each, of the best contestants; others are grey
LETTERS = 24  # of a name in a picture


class Point(NamedTuple):
    """A contestant in the plane of cost and score."""

    item: Contestant
    cost: float  # where it is drawn: a log axis has no 0
    score: float
    told: str


def costs(comparison: Comparison) -> Markup:
    """Score against fit time, and against the time of a row, or memory where no time was measured."""

    def per_row(item: Contestant) -> float | None:
        return item.number("milliseconds_per_row", "in_batches")

    def peak(item: Contestant) -> float | None:
        return item.number("peak_memory_mb")

    timed = sum(per_row(item) is not None for item in comparison.scored) > 1
    first = _cost(comparison, "time to train", lambda item: item.number("fit_seconds"), duration, _seconds)
    other = (
        _cost(comparison, "time of a row, in batches", per_row, _milliseconds, _milliseconds)
        if timed
        else _cost(comparison, "peak memory", peak, memory, memory)
    )
    if not first and not other:
        return Markup("")
    better = "higher" if comparison.higher else "lower"
    lead = f"The line joins those that nothing beats in both: no other contestant has a {better} score at a lower cost."
    return page.section("cost", "Score against cost", lead, page.grid(first, other))


def _seconds(value: float) -> str:
    """Of a tick: 100 and 1000 are no round numbers of minutes."""
    return f"{value:g}{NARROW}s"


def _milliseconds(value: float) -> str:
    return f"{brief(value)}{NARROW}ms"


def _cost(
    comparison: Comparison, label: str, of: Callable[[Contestant], float | None], said: Callable[[float], str],
    tick: Callable[[float], str],
) -> Markup:  # fmt: skip
    points = _points(comparison, of, said)
    if len(points) < 2:
        return Markup("")
    near = [point for point in points if point.item in comparison.near]
    shown = near if len(near) > 1 else points
    far = [f"{point.item.name} ({point.told})" for point in points if point not in shown]
    ahead = front(points, comparison.higher)
    title = f"{comparison.metric_name} against {label}"
    described = "; ".join(f"{point.item.name}: {point.told}" for point in points)
    dots = [_dot(comparison, point, point in ahead) for point in shown]
    corners = _corners([point for point in ahead if point in shown])
    drawing = charts.scatter(
        title, title, described, dots, x_label=f"{label} (log)", x_text=tick, log_x=True, steps=corners
    )
    notes = [f"Unbeaten: {listing([point.item.name for point in ahead])}."]
    notes += ["Numbers are places in the table."] if any(dot.label.isdigit() for dot in dots) else []
    notes += [f"Far off, not in the picture: {listing(far)}."] if far else []
    return page.chart(title, drawing, " ".join(notes))


def _points(
    comparison: Comparison, of: Callable[[Contestant], float | None], said: Callable[[float], str]
) -> list[Point]:
    known = [
        (item, cost, value)
        for item in comparison.scored
        if (cost := of(item)) is not None and (value := item.number("score", "value")) is not None
    ]
    least = min((cost for _, cost, _ in known if cost > 0), default=1.0) / 2
    return [
        Point(item, max(cost, least), value, f"{score_value(comparison.metric, value)} at {said(cost)}")
        for item, cost, value in known
    ]


def _dot(comparison: Comparison, point: Point, ahead: bool) -> Dot:
    name, colour = point.item.name, svg.GOOD if ahead else svg.MUTED
    label = name if len(name) <= LETTERS else str(comparison.contestants.index(point.item) + 1)
    wins = name == comparison.verdict.get("winner")
    return Dot(point.cost, point.score, f"{name}: {point.told}", label, colour, point.item.floor, wins,
               point.item.interval)  # fmt: skip


def front(points: Sequence[Point], higher: bool) -> list[Point]:
    """Those to which no other is better at the same cost or less, the cheapest first (Pareto's front)."""
    found: list[Point] = []
    for point in sorted(points, key=lambda item: (item.cost, -item.score if higher else item.score)):
        if not found or (point.score > found[-1].score if higher else point.score < found[-1].score):
            found.append(point)
    return found


def _corners(ahead: Sequence[Point]) -> list[tuple[float, float]]:
    """Steps: between two contestants only the cheaper one can be had."""
    corners = [(point.cost, point.score) for point in ahead[:1]]
    for before, after in itertools.pairwise(ahead):
        corners += [(after.cost, before.score), (after.cost, after.score)]
    return corners


def curves(comparison: Comparison) -> Markup:
    """Scores on validation over the training; those of contestants without a course as dashed lines."""
    moving = [item for item in comparison.contestants if item.evaluations]
    if not moving:
        return Markup("")
    ends = "; ".join(f"{item.name}: {score_value(comparison.metric, item.evaluations[-1][1])}" for item in moving)

    def drawn(name: str, label: str, scales: Sequence[float]) -> Markup:
        lines = [_curve(*one) for one in zip(range(len(moving)), moving, scales, strict=True)]
        lines = [*lines[NAMED:], *lines[:NAMED], *_levels(comparison, max(x for line in lines for x, _ in line.points))]
        title, top = f"{comparison.metric_name} on validation by {name}", 1.0 if comparison.higher else None
        return charts.line_chart(f"curves-{name}", title, f"In the end: {ends}.", lines, x_label=label, top=top)

    steps = page.chart("By steps", drawn("steps", "share of the planned steps", [1.0] * len(moving)))
    time = page.chart("By time", drawn("time", "seconds of training", [_seconds_of(item) for item in moving]))
    note = f"The grey lines are the {count(len(moving) - NAMED)} others." if len(moving) > NAMED else None
    lead = "Each contestant's first seed, its score on the validation rows at every evaluation."
    lead += " Dashed: what has no course over the training."
    return page.section("curves", "Learning curves", lead, page.grid(steps, time), page.note(note))


def _seconds_of(item: Contestant) -> float:
    """What all planned steps take: a step is taken to cost the same over the training."""
    known = {key: finite(item.runs[0].get(key)) or 0.0 for key in ("fit_seconds", "steps", "planned_steps")}
    return known["fit_seconds"] * max(known["planned_steps"], known["steps"]) / max(known["steps"], 1.0)


def _curve(place: int, item: Contestant, scale: float) -> Series:
    name = shorten(item.name, 40) + (", stopped" if item.runs[0].get("status") == "stopped" else "")
    points, named = thin([(share * scale, value) for share, value in item.evaluations]), place < NAMED
    return Series(name, points, faint=not named, colour=place if named else -1)


def _levels(comparison: Comparison, end: float) -> list[Series]:
    """Of those that are not far off; over all of the training."""
    known = [
        (item.name, finite((item.runs[0].get("validation") or {}).get(comparison.metric)))
        for item in comparison.near
        if not item.evaluations and item.runs
    ]
    return [
        Series(f"{name} (dashed)", [(0.0, value), (end, value)], dashed=True, colour=NAMED - 1 - place)
        for place, (name, value) in enumerate(known)
        if value is not None
    ]
