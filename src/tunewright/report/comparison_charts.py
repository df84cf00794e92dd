"""What a comparison draws: score against cost, and how validation went over the training."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from . import charts, page, svg
from .analysis import thin
from .comparison_files import Comparison, Contestant
from .markup import Markup, element, join
from .words import brief, count, duration, finite, listing, memory, score_value, shorten

NAMED = 5  # curves with a colour each, of the best contestants; others are grey
LETTERS = 24  # of a name in a picture


class Point(NamedTuple):
    """A contestant in the plane of cost and score. low, high: the ends of its interval."""

    name: str
    cost: float  # where it is drawn: a log axis has no 0
    true_cost: float
    score: float
    low: float
    high: float
    floor: bool
    rank: int  # in the table, from 1
    wins: bool


def costs(comparison: Comparison) -> Markup:
    """Score against fit time, and against the time of a row, or memory where no time was measured."""

    def per_row(item: Contestant) -> float | None:
        return item.number("milliseconds_per_row", "in_batches")

    timed = sum(per_row(item) is not None for item in comparison.scored) > 1
    other = _cost(comparison, "memory", "peak memory", lambda item: item.number("peak_memory_mb"), memory)
    if timed:
        other = _cost(comparison, "inference", "time of a row, in batches", per_row, _milliseconds)
    first = _cost(comparison, "fit", "time to train", lambda item: item.number("fit_seconds"), duration, _seconds)
    if not first and not other:
        return Markup("")
    better = "higher" if comparison.higher else "lower"
    lead = f"The line joins those that nothing beats in both: no other contestant has a {better} score at a lower cost."
    return page.section("cost", "Score against cost", lead, page.grid(first, other))


def _seconds(value: float) -> str:
    """Of a tick: 100 and 1000 are no round numbers of minutes."""
    return f"{value:g}\N{NARROW NO-BREAK SPACE}s"


def _milliseconds(value: float) -> str:
    return f"{brief(value)}\N{NARROW NO-BREAK SPACE}ms"


def _cost(
    comparison: Comparison, name: str, label: str, of: Callable[[Contestant], float | None],
    said: Callable[[float], str], tick: Callable[[float], str] | None = None,
) -> Markup:  # fmt: skip
    known = [found for item in comparison.scored if (found := of(item) or 0.0) > 0]
    least, winner = min(known, default=1.0) / 2, comparison.verdict.get("winner")
    points = [
        Point(item.name, max(cost, least), cost, value, *item.interval, item.floor, rank, item.name == winner)
        for rank, item in enumerate(comparison.contestants, 1)
        if (cost := of(item)) is not None and (value := item.number("score", "value")) is not None
    ]  # fmt: skip
    if len(points) < 2:
        return Markup("")
    near = {item.name for item in comparison.near}
    shown, far = [p for p in points if p.name in near], [p for p in points if p.name not in near]
    shown, far = (shown, far) if len(shown) > 1 else (points, [])
    ahead, metric = front(points, comparison.higher), comparison.metric
    told = {p.name: f"{score_value(metric, p.score)} at {said(p.true_cost)}" for p in points}
    described = "; ".join(f"{name}: {figures}" for name, figures in told.items())
    title, axis = f"{comparison.metric_name} against {label}", (f"{label} (log)", tick or said)
    drawing = scatter(f"cost-{name}", title, described, shown, ahead, told, axis)
    notes = [f"Unbeaten: {listing([p.name for p in ahead])}."]
    if len(shown) > 12 or any(len(p.name) > LETTERS for p in shown):
        notes.append("Numbers are places in the table.")
    if far:
        notes.append(f"Far off, not in the picture: {listing([f'{p.name} ({told[p.name]})' for p in far])}.")
    return page.chart(title, drawing, " ".join(notes))


def front(points: Sequence[Point], higher: bool) -> list[Point]:
    """Those to which no other is better at the same cost or less, the cheapest first (Pareto's front)."""
    found: list[Point] = []
    for point in sorted(points, key=lambda item: (item.cost, -item.score if higher else item.score)):
        if not found or (point.score > found[-1].score if higher else point.score < found[-1].score):
            found.append(point)
    return found


def scatter(
    name: str, title: str, description: str, points: Sequence[Point], ahead: Sequence[Point], told: Mapping[str, str],
    axis: tuple[str, Callable[[float], str]],
) -> Markup:  # fmt: skip
    """Points with their intervals and names; the cost is on a log axis. axis: its name, and how a tick is said."""
    across, heights = [p.cost for p in points], [end for p in points for end in (p.low, p.high)]
    spread = (max(heights) - min(heights)) * 0.08 or 0.05
    low = max(min(heights) - spread, 0.0) if min(heights) >= 0 else min(heights) - spread
    span = (min(across) / 1.35, max(across) * 1.35)
    frame = svg.Frame(46, 10, charts.WIDTH - 20, 280, span, (low, max(heights) + spread), log_x=True)
    names = {p.name for p in ahead}
    content = [
        frame.axes(axis[0], axis[1], svg.tick_text),
        _front_line(frame, [p for p in ahead if p in points]),
        *(_whisker(frame, p) for p in points),
        *(_dot(frame, p, p.name in names, told[p.name]) for p in points),
        *labels(frame, sorted(points, key=lambda p: (not p.wins, p.name not in names, p.rank))),
    ]
    return svg.drawing(name, title, description, charts.WIDTH, frame.bottom + 44, *content)


def _front_line(frame: svg.Frame, ahead: Sequence[Point]) -> Markup:
    """Steps: between two contestants only the cheaper one can be had."""
    corners = [(ahead[0].cost, ahead[0].score)] if ahead else []
    for before, after in itertools.pairwise(ahead):
        corners += [(after.cost, before.score), (after.cost, after.score)]
    if len(corners) < 2:
        return Markup("")
    return element("path", d=frame.path(corners), fill="none", stroke=svg.GOOD, stroke_width=1.6, stroke_opacity=0.55)


def _whisker(frame: svg.Frame, p: Point) -> Markup:
    x = frame.x(p.cost)
    return svg.line(x, frame.y(p.low), x, frame.y(p.high), stroke=svg.MUTED, stroke_opacity=0.4, stroke_width=1.4)


def _dot(frame: svg.Frame, p: Point, ahead: bool, told: str) -> Markup:
    tip = svg.hint(f"{p.name}: {told}")
    x, y = frame.x(p.cost), frame.y(p.score)
    colour = svg.GOOD if ahead else svg.MUTED
    style = {"fill": "var(--surface, #ffffff)" if p.floor else colour, "stroke": colour, "stroke_width": 2}
    ring = element("circle", cx=svg.number(x), cy=svg.number(y), r=9, fill="none", stroke=svg.GOOD) if p.wins else None
    return join([ring, element("circle", tip, cx=svg.number(x), cy=svg.number(y), r=5, **style)])


Box = tuple[float, float, float, float]  # left, top, right, bottom


def labels(frame: svg.Frame, points: Sequence[Point]) -> list[Markup]:
    """A name beside each point where one has room, else its rank in the table, else nothing: no two overlap."""
    taken = [_around(frame.x(p.cost), frame.y(p.score), 6) for p in points]
    found = []
    for p in points:
        for said in (*([p.name] if len(p.name) <= LETTERS else []), str(p.rank)):
            place = _free(frame, p, len(said) * svg.FONT_SIZE * svg.CHARACTER, taken)
            if place:
                box, anchor = place
                x = {"start": box[0], "end": box[2], "middle": (box[0] + box[2]) / 2}[anchor]
                weight = 640 if p.wins else None
                style = {"fill": svg.INK, "font_weight": weight, "text_anchor": anchor, **svg.HALO}
                found.append(svg.text(x, box[3] - 3, said, **style))
                taken.append(box)
                break
    return found


def _free(frame: svg.Frame, p: Point, width: float, taken: Sequence[Box]) -> tuple[Box, str] | None:
    x, y = frame.x(p.cost), frame.y(p.score)
    for left, top, anchor in (  # first where the line of the front does not run
        (x - 10 - width, y - 8, "end"), (x - 6 - width, y - 22, "end"), (x + 10, y - 8, "start"),
        (x + 6, y - 22, "start"), (x + 6, y + 7, "start"), (x - width / 2, y - 26, "middle"),
        (x - 6 - width, y + 7, "end"), (x - width / 2, y + 10, "middle"),
    ):  # fmt: skip
        box = (left, top, left + width, top + 15)
        inside = left > frame.left and box[2] < frame.right + 8 and top > frame.top - 8 and box[3] < frame.bottom
        own = _around(x, y, 6)
        if inside and not any(_overlap(box, other) for other in taken if other != own):
            return box, anchor
    return None


def _around(x: float, y: float, reach: float) -> Box:
    return x - reach, y - reach, x + reach, y + reach


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def curves(comparison: Comparison) -> Markup:
    """Scores on validation over the training, those of contestants without a course as levels."""
    metric = comparison.metric
    moving = [(rank, item) for rank, item in enumerate(comparison.contestants, 1) if item.evaluations]
    if not moving:
        return Markup("")
    heights = [height for _, item in moving for _, height in item.evaluations]
    levels, far = _levels(comparison, min(heights), max(heights))
    ends = "; ".join(f"{item.name}: {score_value(metric, item.evaluations[-1][1])}" for _, item in moving)

    def drawn(name: str, label: str, scales: Sequence[float]) -> Markup:
        lines = [
            _curve(*one, place, scale) for place, (one, scale) in enumerate(zip(moving, scales, strict=True)) if scale
        ]
        top = 1.0 if comparison.higher and max(heights) <= 1 else None
        title, ordered = f"{comparison.metric_name} on validation by {name}", [*lines[NAMED:], *lines[:NAMED]]
        told = f"In the end: {ends}."
        return charts.line_chart(
            f"curves-{name}", title, told, ordered, x_label=label, levels=levels, top=top, from_zero=True
        )

    steps = page.chart("By steps", drawn("steps", "share of the planned steps", [1.0] * len(moving)))
    time = page.chart("By time", drawn("time", "seconds of training", [_seconds_of(item) for _, item in moving]))
    notes = [f"The grey lines are the {count(len(moving) - NAMED)} others."] if len(moving) > NAMED else []
    told = [f"{name} ({score_value(metric, value)})" for name, value in far]
    notes += [f"Outside the picture: {listing(told)}."] if told else []
    lead = "Each contestant's first seed, its score on the validation rows at every evaluation."
    lead += " Dashed: what has no course over the training." if levels else ""
    note = element("p", " ".join(notes), class_="note") if notes else None
    return page.section("curves", "Learning curves", lead, page.grid(steps, time), note)


def _seconds_of(item: Contestant) -> float:
    """What all planned steps take: a step is taken to cost the same over the training."""
    known = {key: finite(item.runs[0].get(key)) or 0.0 for key in ("fit_seconds", "steps", "planned_steps")}
    return known["fit_seconds"] * max(known["planned_steps"], known["steps"]) / max(known["steps"], 1.0)


def _curve(rank: int, item: Contestant, place: int, scale: float) -> charts.Series:
    name = f"{rank} {item.name}" if len(item.name) > 40 else item.name
    name = shorten(name, 40) + (", stopped" if item.runs[0].get("status") == "stopped" else "")
    points, named = thin([(share * scale, value) for share, value in item.evaluations]), place < NAMED
    return charts.Series(name, points, faint=not named, colour=place if named else -1, opacity=0.5)


Levels = list[tuple[str, float]]


def _levels(comparison: Comparison, low: float, high: float) -> tuple[Levels, Levels]:
    """(those to draw, those that would press the curves together)."""
    metric, reach = comparison.metric, max(high - low, 0.02 * abs(high))
    found = [
        (item.name, value)
        for item in comparison.contestants
        if not item.evaluations
        for run in item.runs[:1]
        if (value := finite((run.get("validation") or {}).get(metric))) is not None
    ]
    near = [level for level in found if low - 0.6 * reach <= level[1] <= high + 0.6 * reach]
    return near, [level for level in found if level not in near]
