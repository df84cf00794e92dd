"""Charts as SVG text: data in, drawing out. They need no script, follow the page's colours and read out aloud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import svg
from .markup import Markup, element, join
from .words import NOTHING, count, finite, percent, plural, shorten

WIDTH = 420  # of a chart, in its own units: two fit side by side, and one on a phone stays readable
LABELLED_CLASSES = 14  # a heat map of more classes than this has neither labels nor numbers

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A named line. Faint: without an entry in the legend, as the raw values behind a smoothed line."""

    name: str
    points: Sequence[Point]
    faint: bool = False
    dashed: bool = False
    colour: int = 0  # which of the page's five series colours; below 0: grey

    @property
    def stroke(self) -> str:
        return svg.COLOURS[self.colour % 5] if self.colour >= 0 else svg.MUTED


def line_chart(
    name: str,
    title: str,
    description: str,
    series: Sequence[Series],
    *,
    x_label: str = "step",
    log_x: bool = False,
    log_y: bool = False,
    marker: float | None = None,
    marker_text: str = "best",
    top: float | None = None,
) -> Markup:
    """Lines over one x axis. On a log axis only values above 0 are drawn. `marker`: the x that is marked; `top`: the
    y that is never exceeded (1 for a score). Without any point: an empty text."""
    series = [_drawable(line, log_x, log_y) for line in series]
    series = [line for line in series if line.points]
    if not series:
        return Markup("")
    key, taken = svg.legend([(line.name, line.stroke) for line in series if not line.faint], 46, WIDTH - 8)
    frame = _line_frame(series, taken + 26, log_x, log_y, top)
    content = [
        key,
        frame.axes(x_label, svg.tick_text, svg.tick_text),
        _marker(frame, marker, marker_text),
        *(_line(frame, line, x_label) for line in series),
    ]
    return svg.drawing(name, title, description, WIDTH, frame.bottom + 44, *content)


def _drawable(line: Series, log_x: bool, log_y: bool) -> Series:
    points = [point for point in line.points if (point[0] > 0 or not log_x) and (point[1] > 0 or not log_y)]
    return replace(line, points=points)


def _line_frame(series: Sequence[Series], above: float, log_x: bool, log_y: bool, top: float | None) -> svg.Frame:
    across = [x for line in series for x, _ in line.points]
    heights = [y for line in series for _, y in line.points]
    x_range = _padded(min(across), max(across), 0.0, log_x)
    low, high = _padded(min(heights), max(heights), 0.06, log_y)
    if not log_y and min(heights) >= 0:
        low = 0.0 if min(heights) < 0.45 * max(heights) else max(low, 0.0)
    if top is not None:
        high = min(high, top)
    return svg.Frame(46, above, WIDTH - 12, above + 190, x_range, (low, high), log_x, log_y)


def _padded(low: float, high: float, padding: float, log: bool) -> tuple[float, float]:
    if log:
        return (low / 1.5, high * 1.5) if low == high else (low * 0.9, high * 1.1)
    extra = (high - low) * padding if high > low else abs(high) * 0.1 or 1.0
    return low - extra, high + extra


def _line(frame: svg.Frame, line: Series, x_label: str) -> Markup:
    """With a dot at each of few points, which says its values."""
    style = {"stroke_width": 1.2, "stroke_opacity": 0.4} if line.faint else {"stroke_width": 2.2}
    dashes = "5 4" if line.dashed else None
    path = element("path", d=frame.path(line.points), fill="none", stroke=line.stroke, stroke_linejoin="round",
                   stroke_dasharray=dashes, **style)  # fmt: skip
    if line.faint or line.dashed or len(line.points) > 30:
        return path
    dots = (
        svg.circle(frame.x(x), frame.y(y), 3, f"{x_label} {svg.tick_text(x)}: {line.name} {y:.4g}", fill=line.stroke)
        for x, y in line.points
    )
    return join([path, *dots])


def _marker(frame: svg.Frame, at: float | None, content: str) -> Markup:
    if at is None or not frame.x_range[0] <= at <= frame.x_range[1]:
        return Markup("")
    x = frame.x(at)
    anchor = "end" if x > frame.right - 60 else "start" if x < frame.left + 60 else "middle"
    dashed = svg.line(x, frame.top - 4, x, frame.bottom, stroke=svg.INK, stroke_dasharray="3 4", stroke_opacity=0.7)
    return join([dashed, svg.text(x, frame.top - 9, content, text_anchor=anchor, fill=svg.INK)])


@dataclass(frozen=True)
class Dot:
    """A point of a scatter: `tip` is said where the pointer rests; `label` stands beside it where there is room."""

    x: float
    y: float
    tip: str
    label: str = ""
    colour: str = svg.GOOD
    hollow: bool = False
    large: bool = False
    interval: Point | None = None  # of y


def scatter(
    name: str,
    title: str,
    description: str,
    dots: Sequence[Dot],
    *,
    x_label: str,
    x_text: Callable[[float], str] = svg.tick_text,
    log_x: bool = False,
    steps: Sequence[Point] = (),
) -> Markup:
    """Dots with their intervals and labels, the first above all others. `steps`: corners of a line through some."""
    across = [dot.x for dot in dots]
    heights = [end for dot in dots for end in (dot.interval or (dot.y, dot.y))]
    x_range = (min(across) / 1.35, max(across) * 1.35) if log_x else _padded(min(across), max(across), 0.04, False)
    room = (max(heights) - min(heights)) * 0.08 or 0.01
    frame = svg.Frame(46, 12, WIDTH - 20, 280, x_range, (min(heights) - room, max(heights) + room), log_x=log_x)
    path = element("path", d=frame.path(steps), fill="none", stroke=svg.GOOD, stroke_width=1.6, stroke_opacity=0.55)
    content = [
        frame.axes(x_label, x_text, svg.tick_text),
        path if len(steps) > 1 else None,
        *(_dot(frame, dot) for dot in reversed(dots)),
        *_labels(frame, dots),
    ]
    return svg.drawing(name, title, description, WIDTH, frame.bottom + 44, *content)


def _dot(frame: svg.Frame, dot: Dot) -> Markup:
    x, y = frame.x(dot.x), frame.y(dot.y)
    low, high = dot.interval or (dot.y, dot.y)
    style = {"fill": "var(--surface, #ffffff)" if dot.hollow else dot.colour, "stroke": dot.colour, "stroke_width": 2}
    whisker = svg.line(x, frame.y(low), x, frame.y(high), stroke=svg.MUTED, stroke_opacity=0.4, stroke_width=1.4)
    return join([whisker, svg.circle(x, y, 7.5 if dot.large else 5, dot.tip, **style)])


def _labels(frame: svg.Frame, dots: Sequence[Dot]) -> list[Markup]:
    """A label beside each dot where one has room: no two overlap."""
    taken = [(frame.x(dot.x) - 6, frame.y(dot.y) - 6, frame.x(dot.x) + 6, frame.y(dot.y) + 6) for dot in dots]
    found = []
    for dot in dots:
        x, y, width = frame.x(dot.x), frame.y(dot.y), svg.text_width(dot.label)
        places = [(x - 10 - width, y - 8), (x + 10, y - 8), (x - width / 2, y - 26), (x - width / 2, y + 10)]
        boxes = [(left, top, left + width, top + 15) for left, top in places]
        free = [box for box in boxes if frame.left < box[0] and box[2] < frame.right + 8 and box[3] < frame.bottom
                and not any(_overlap(box, other) for other in taken)]  # fmt: skip
        if dot.label and free:
            style = {"fill": svg.INK, "font_weight": 640 if dot.large else None, **svg.HALO}
            found.append(svg.text(free[0][0], free[0][3] - 3, dot.label, **style))
            taken.append(free[0])
    return found


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def heat_map(name: str, title: str, description: str, labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> Markup:
    """A confusion matrix, (true, predicted): right answers in one colour, confusions in another, shaded by their
    share of the true class. Up to 14 classes are labelled and numbered; more are drawn without text."""
    named = len(labels) <= LABELLED_CLASSES
    longest = max((len(shorten(label, 18)) for label in labels), default=1)
    margin = 26 + longest * 12 * svg.CHARACTER if named else 26.0
    size = (WIDTH - margin - 4) / max(len(labels), 1)
    top = 8.0 if named else 26.0
    side = size * len(labels)
    cells = [
        _cell(margin + column * size, top + row * size, size, number, sum(counts), labels[row], labels[column], named)
        for row, counts in enumerate(matrix)
        for column, number in enumerate(counts)
        if number or named
    ]
    box = svg.rectangle(margin, top, side, side, fill="none", stroke=svg.GRID)
    texts, below = _heat_map_texts(labels, margin, top, size, named)
    return svg.drawing(name, title, description, WIDTH, top + side + below, *cells, box, texts)


def _cell(x: float, y: float, size: float, number: int, total: int, true: str, predicted: str, named: bool) -> Markup:
    share = number / total if total else 0.0
    right = true == predicted
    opacity = share if right else min(1.0, 0.15 + 0.85 * share**0.5) if number else 0.0
    tip = svg.hint(f"{true}{'' if right else f' taken for {predicted}'}: {number} of {total}")
    gap = 1.5 if named else 0.0
    fill = {"fill": svg.GOOD if right else svg.BAD, "fill_opacity": svg.number(opacity)}
    if not number:
        fill = {"fill": svg.GRID, "fill_opacity": "0.35"}
    box = svg.rectangle(x + gap / 2, y + gap / 2, size - gap, size - gap, tip, rx=3 if named else None, **fill)
    if not named or not number:
        return box
    ink = "var(--on-strong, #ffffff)" if opacity > 0.7 else svg.INK
    font = min(15.0, size * 0.42)
    style = {"font_size": svg.number(font), "fill": ink, "text_anchor": "middle", "pointer_events": "none"}
    return join([box, svg.text(x + size / 2, y + size / 2 + font * 0.36, number, **style)])


def _heat_map_texts(labels: Sequence[str], margin: float, top: float, size: float, named: bool) -> tuple[Markup, float]:
    """The texts around the matrix, and the height that they take below it."""
    side = size * len(labels)
    bottom, middle = top + side, top + side / 2
    if not named:
        across = svg.text(margin, top - 9, "predicted class →")
        down = svg.text(14, bottom, "← true class", transform=f"rotate(-90 14 {svg.number(bottom)})")
        return join([across, down]), 6.0
    parts = [svg.text(12, middle, "true", text_anchor="middle", transform=f"rotate(-90 12 {svg.number(middle)})")]
    angle, font = -38, min(12.0, max(8.0, size * 0.8))
    for index, label in enumerate(labels):
        short, place = shorten(label, 18), (index + 0.5) * size
        style = {"font_size": svg.number(font), "fill": svg.INK, "text_anchor": "end"}
        parts.append(svg.text(margin - 7, top + place + font * 0.35, short, **style))
        x, y = margin + place + font * 0.35, bottom + 14
        turn = f"rotate({angle} {svg.number(x)} {svg.number(y)})"
        parts.append(svg.text(x, y, short, transform=turn, **style))
    longest = max(len(shorten(label, 18)) for label in labels)
    below = 20 + longest * font * svg.CHARACTER * 0.62
    parts.append(svg.text(margin + side / 2, bottom + below + 10, "predicted", text_anchor="middle"))
    return join(parts), below + 16


def calibration(name: str, title: str, description: str, bins: Sequence[dict[str, Any]]) -> Markup:
    """A reliability diagram: how often the model was right (height) at each confidence (place), and the gap to the
    confidence it had. Without a filled bin: an empty text."""
    filled = [bin_ for bin_ in bins if finite(bin_.get("count")) and finite(bin_.get("accuracy")) is not None]
    if not filled:
        return Markup("")
    key, taken = svg.legend([("was right", svg.GOOD), ("gap to its confidence", svg.BAD)], 46, WIDTH)
    top = taken + 12
    frame = svg.Frame(46, top, WIDTH - 22, top + 230, (0.0, 1.0), (0.0, 1.0))
    ideal = svg.line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), stroke=svg.INK, stroke_dasharray="3 4")
    axes = frame.axes("confidence of the model", _percent_tick, _percent_tick)
    content = [key, axes, *(_reliability(frame, bin_) for bin_ in filled), ideal]
    return svg.drawing(name, title, description, WIDTH, frame.bottom + 44, *content)


def _percent_tick(value: float) -> str:
    return percent(value, 0)


def _reliability(frame: svg.Frame, bin_: dict[str, Any]) -> Markup:
    right, sure = float(bin_["accuracy"]), finite(bin_.get("confidence"))
    left, width = frame.x(bin_["lower"]) + 1, frame.x(bin_["upper"]) - frame.x(bin_["lower"]) - 2
    faint = 0.35 if bin_["count"] < 10 else 0.8  # few rows: the height is mostly chance
    tip = svg.hint(f"confidence {percent(sure, 0)}, right {percent(right, 0)}, {plural(bin_['count'], 'row')}")
    bar = svg.rectangle(left, frame.y(right), width, frame.bottom - frame.y(right), fill=svg.GOOD, fill_opacity=faint)
    if sure is None:
        return element("g", tip, bar)
    above, below = min(frame.y(right), frame.y(sure)), max(frame.y(right), frame.y(sure))
    style = {"fill": svg.BAD, "fill_opacity": 0.35, "stroke": svg.BAD, "stroke_width": 1}
    return element("g", tip, bar, svg.rectangle(left + 0.5, above, width - 1, below - above, **style))


def bars(name: str, title: str, description: str, items: Sequence[tuple[str, Any]], good: int | None = None) -> Markup:
    """Horizontal bars with their names and counts, in the order given. `good`: how many of the first count something
    right, where the others count mistakes."""
    if not items:
        return Markup("")
    longest = max(len(shorten(label, 24)) for label, _ in items)
    left = 12 + longest * 12.5 * svg.CHARACTER
    most = max((finite(value) or 0.0 for _, value in items), default=0.0) or 1.0
    colours = [svg.GOOD if good is None or index < good else svg.BAD for index in range(len(items))]
    rows = [_bar(index, *item, left, most, colours[index]) for index, item in enumerate(items)]
    return svg.drawing(name, title, description, WIDTH, 24 * len(items) + 4, *rows)


def _bar(index: int, label: str, value: Any, left: float, most: float, colour: str) -> Markup:
    y, known = 24 * index + 2, finite(value)
    width = (WIDTH - left - 56) * min((known or 0.0) / most, 1.0)
    said = count(value) if known is not None else NOTHING
    return element(
        "g",
        svg.hint(f"{label}: {said}"),
        svg.text(left - 8, y + 15, shorten(label, 24), text_anchor="end", fill=svg.INK, font_size=12.5),
        svg.rectangle(left, y + 3, max(width, 1.5), 16, rx=3, fill=colour, fill_opacity=0.8),
        svg.text(left + width + 8, y + 15, said, font_size=12.5),
    )
