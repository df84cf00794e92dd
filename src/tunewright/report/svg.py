"""What every chart is built from: a frame with axes, ticks, legends. Colours are CSS variables with fallbacks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .markup import Markup, element, join

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
INK = "var(--ink, #1c2230)"
MUTED = "var(--muted, #5b6474)"
GRID = "var(--grid, #e4e7ec)"
GOOD = "var(--series-1, #2257c5)"
BAD = "var(--series-2, #c2560c)"
COLOURS = (GOOD, BAD, "var(--series-3, #12805c)", "var(--series-4, #8445b8)", "var(--series-5, #b5305a)")

FONT_SIZE = 12.5
TICKS = 5  # about so many on an axis
# Around a text that may cross a line.
HALO = {"paint_order": "stroke", "stroke": "var(--surface, #ffffff)", "stroke_width": 3.5, "stroke_linejoin": "round"}
CHARACTER = 0.62  # width of a character as a share of the font size, in a wide system font


def drawing(name: str, title: str, description: str, width: float, height: float, *content: object) -> Markup:
    """A whole SVG: scales with its box, and is read out by title and description. `name` is unique on the page."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", description, id=f"{name}-description"),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-description",
        font_family=FONT,
    )


def number(value: float) -> str:
    """A coordinate: at most two decimals, no trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text(x: float, y: float, content: object, **attributes: object) -> Markup:
    attributes = {"font_size": FONT_SIZE, "fill": MUTED} | attributes
    return element("text", content, x=number(x), y=number(y), **attributes)


def text_width(content: str) -> float:
    return len(content) * FONT_SIZE * CHARACTER


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> Markup:
    attributes = {"stroke": GRID} | attributes
    return element("line", x1=number(x1), y1=number(y1), x2=number(x2), y2=number(y2), **attributes)


def rectangle(x: float, y: float, width: float, height: float, *content: object, **attributes: object) -> Markup:
    size = {"x": number(x), "y": number(y), "width": number(max(width, 0)), "height": number(max(height, 0))}
    return element("rect", *content, **size, **attributes)


def circle(x: float, y: float, radius: float, tip: str, **attributes: object) -> Markup:
    """A dot that says something where the pointer rests on it."""
    return element("circle", hint(tip), cx=number(x), cy=number(y), r=radius, **attributes)


def hint(content: str) -> Markup:
    """What a browser shows while the pointer rests on the parent element."""
    return element("title", content)


@dataclass(frozen=True)
class Frame:
    """The plotting area and how data becomes coordinates."""

    left: float
    top: float
    right: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log_x: bool = False
    log_y: bool = False

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * _position(value, self.x_range, self.log_x)

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * _position(value, self.y_range, self.log_y)

    def axes(self, x_label: str, x_text: Callable[[float], str], y_text: Callable[[float], str]) -> Markup:
        """Horizontal grid lines, and the ticks of both axes with their texts."""
        parts: list[Markup] = []
        for value in ticks(self.y_range, self.log_y):
            parts.append(line(self.left, self.y(value), self.right, self.y(value)))
            parts.append(text(self.left - 7, self.y(value) + 4, y_text(value), text_anchor="end"))
        for value in ticks(self.x_range, self.log_x):
            parts.append(text(self.x(value), self.bottom + 18, x_text(value), text_anchor="middle"))
        parts.append(line(self.left, self.bottom, self.right, self.bottom, stroke=MUTED, stroke_opacity="0.6"))
        parts.append(text((self.left + self.right) / 2, self.bottom + 36, x_label, text_anchor="middle"))
        return join(parts)

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{number(self.x(x))} {number(self.y(y))}" for x, y in points)


def _position(value: float, span: tuple[float, float], log: bool) -> float:
    low, high = (math.log(end) for end in span) if log else span
    return ((math.log(value) if log else value) - low) / (high - low) if high > low else 0.5


def ticks(span: tuple[float, float], log: bool = False) -> list[float]:
    """Round values inside the span: steps of 1, 2 or 5 times a power of ten, powers of ten on a log axis."""
    return _log_ticks(*span) if log else _linear_ticks(*span)


def _linear_ticks(low: float, high: float) -> list[float]:
    if high <= low:
        return [low]
    rough = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        found = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(found) >= 3:
            break
    return found[:: math.ceil(len(found) / 7)] if found else [low, high]


def tick_text(value: float) -> str:
    """0.0005 is `5e-4`, 12000 is `12k`, 0.25 is `0.25`."""
    if value and abs(value) < 0.01:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k" if abs(value) < 1e6 else f"{value / 1e6:g}M"
    return f"{value:.4g}"


def legend(entries: Sequence[tuple[str, str]], left: float, right: float) -> tuple[Markup, float]:
    """Swatches and names in rows from left to right; gives the markup and the height that it takes."""
    parts, x, row = [], left, 0
    for name, colour in entries:
        width = 20 + text_width(name) + 16
        if x > left and x + width > right:
            x, row = left, row + 1
        y = 14 + row * 18
        parts.append(rectangle(x, y - 6, 14, 4, rx=2, fill=colour))
        parts.append(text(x + 20, y, name, fill=INK))
        x += width
    return join(parts), 18.0 * (row + 1) if entries else 0.0
