"""What only preference tuning has: how pairs were ranked, margins and rewards over the steps."""

from __future__ import annotations

from typing import Any

from . import generation, page
from .analysis import Point, curve, smooth, thin
from .charts import Series, line_chart
from .files import RunFiles
from .markup import Markup
from .words import count, finite, score_value

FALLING = (
    "The chosen answers became less likely than they were before tuning, only less so than the rejected ones: the "
    "margin grows while both fall. Lower the learning rate, raise beta, or tune on the chosen answers first."
)


def rewards(files: RunFiles) -> Markup:
    """Margin and rewards over the steps; nothing where no line has them."""
    drawings = [_margin(files), _rewards(files)]
    if not any(drawings):
        return Markup("")
    reward = "how much likelier an answer became by tuning: 0 before, below 0 where it became less likely"
    if not generation.has_reference(files):
        reward = f"the log-probability a token, since {generation.loss_name(files)} compares with no reference"
    lead = (
        f"A reward is beta times {reward}. A pair is ranked right where the chosen answer has more of it; the margin "
    )
    lead += "is how much more."
    warned = page.notice("Falling likelihood", [FALLING] if generation.falls(files) else [])
    return page.section("rewards", "Preferences", lead, warned, page.grid(*drawings))


def accuracy(files: RunFiles) -> Markup:
    """How many pairs were ranked right over the steps."""
    return _chart(files, "ranked", "Pairs ranked right", {"accuracy": ""}, top=1.0)


def _margin(files: RunFiles) -> Markup:
    return _chart(files, "margin", "Margin of rewards", {"margin": ""})


def _rewards(files: RunFiles) -> Markup:
    return _chart(files, "reward", "Rewards", {"chosen_reward": "chosen", "rejected_reward": "rejected"})


def _chart(files: RunFiles, name: str, title: str, keys: dict[str, str], **options: Any) -> Markup:
    """The smoothed training values and those of validation, for each key."""
    series, described = [], []
    for place, (key, said) in enumerate(keys.items()):
        parts = {
            "training": smooth(curve(files.training, key), 0.12),
            "validation": curve(files.evaluations, "validation", key),
        }
        for which, (part, points) in enumerate(parts.items()):
            full = f"{said}, {part}" if said else part
            series.append(Series(full, thin(points), colour=2 * place + which))
            described.append(f"{full} {_from_to(key, points)}.")
    best = finite(files.metrics.get("best_step"))
    options |= {"marker": best, "marker_text": f"kept: step {count(best)}"}
    drawing = line_chart(name, title, " ".join(described), series, **options)
    return page.chart(title, drawing)


def _from_to(key: str, points: list[Point]) -> str:
    if not points:
        return "is not recorded"
    (first, start), (last, end) = points[0], points[-1]
    said = f"goes from {score_value(key, start)} at step {count(first)} to {score_value(key, end)}"
    return f"{said} at step {count(last)}"
