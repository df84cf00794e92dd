"""Whether the probabilities of a classifier can be believed."""

from __future__ import annotations

from collections.abc import Sequence

from . import charts, page
from .analysis import coverage, overconfidence
from .files import Record, RunFiles
from .markup import Markup, element
from .words import finite, percent, score


def calibration(files: RunFiles) -> Markup:
    """The reliability diagram, and what it means in a sentence; nothing without bins."""
    bins, error = files.scores.get("calibration_bins") or [], finite(files.scores.get("calibration_error"))
    said = calibration_sentence(bins, error, files.multi_label)
    drawing = charts.calibration("calibration", "Reliability diagram", said, bins)
    if not drawing:
        return Markup("")
    rated = "labels rated 80 %, 80 % apply" if files.multi_label else "answers given with 80 %, 80 % are right"
    figure = page.card(
        "Expected calibration error",
        element("p", score(error), class_="figure"),
        element("p", f"A bar that ends on the dashed line is a promise kept: of the {rated}."),
        element("p", "Faint bars rest on fewer than ten rows and say little.", class_="note"),
        _coverage(bins) if not files.multi_label else None,
    )
    lead = f"Whether its probabilities can be believed. {said}"
    picture = page.chart("Confidence against truth", drawing)
    return page.section("calibration", "Calibration", lead, page.grid(picture, figure))


def _coverage(bins: Sequence[Record]) -> Markup:
    """What is gained by leaving unsure answers to a person."""
    rows = [[f"{percent(edge, 0)} or more", percent(kept, 0), percent(right)] for edge, kept, right in coverage(bins)]
    return page.table("Accuracy by confidence", ["confidence", "rows answered", "right"], rows)


def calibration_sentence(bins: Sequence[Record], error: float | None, multi_label: bool = False) -> str:
    """What the calibration error means in plain words."""
    gap = overconfidence(bins)
    if error is None or gap is None:
        return "The calibration was not measured."
    said = f"On average its confidence is {100 * error:.1f} points away from how often it is right"
    if multi_label:
        said = f"On average a probability is {100 * error:.1f} points away from how often the label applies"
    if abs(gap) < 0.5 * error or abs(gap) < 0.005:
        said += ", sometimes too high, sometimes too low"
    else:
        said += ", mostly too high" if gap > 0 else ", mostly too low"
    return said + ("." if error < 0.05 else ". Do not read its probabilities as frequencies.")
