"""The section of preference tuning: how pairs were ranked, margins and rewards over the steps."""

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
    """Accuracy, margin and rewards over the steps; nothing where no line has them."""
    drawings = [_accuracy(files), _margin(files), _rewards(files)]
    if not any(drawings):
        return Markup("")
    lead = (
        "A reward is beta times how much likelier an answer became by tuning: 0 before, below 0 where it became less "
    )
    lead += "likely. A pair is ranked right where the chosen answer has more of it; the margin is how much more."
    if not generation.has_reference(files):
        lead = (
            f"{generation.loss_name(files)} compares with no reference: a reward is beta times the log-probability a "
        )
        lead += "token. A pair is ranked right where the chosen answer has more of it; the margin is how much more."
    warned = page.notice("Falling likelihood", [FALLING] if generation.falls(files) else [])
    return page.section("rewards", "Preferences", lead, warned, page.grid(*drawings))


def _accuracy(files: RunFiles) -> Markup:
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
    marker = {"marker": finite(files.metrics.get("best_step"))}
    marker_text = f"kept: step {count(marker['marker'])}"
    drawing = line_chart(name, title, " ".join(described), series, marker_text=marker_text, **marker, **options)
    return page.chart(title, drawing)


def _from_to(key: str, points: list[Point]) -> str:
    if not points:
        return "is not recorded"
    (first, start), (last, end) = points[0], points[-1]
    return (
        f"goes from {score_value(key, start)} at step {count(first)} to {score_value(key, end)} at step {count(last)}"
    )
