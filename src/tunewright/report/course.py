"""How the training went: loss, scores, learning rates; for a frozen encoder, the regularisation that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import page, preference_sections
from .analysis import MAIN_SCORES, Point, curve, is_score, smooth, thin
from .charts import Series, line_chart
from .files import Record, RunFiles
from .generation import score_phrase
from .markup import Markup
from .words import count, finite, score, score_name

STRICT = ("f1", "exact_match", "precision", "recall")  # of entities or answers: where F1 is there, these are meant
NAMED_GROUPS = 5  # more lines than this are told apart by their place, not by a colour each


def course(files: RunFiles) -> Markup:
    """The section of the curves; nothing where there is no history."""
    if any("regularisation" in line for line in files.evaluations):
        return page.section("course", "Regularisation", *_regularisation(files))
    drawings = [_loss(files), _scores(files), _learning_rates(files), _gradient_norm(files)]
    if not any(drawings):
        return Markup("")
    return page.section("course", "Loss and scores", _said(files), page.grid(*drawings))


def _said(files: RunFiles) -> str:
    steps, best, metric = files.metrics.get("steps"), files.metrics.get("best_step"), _best_metric(files)
    ended = {"early": "It stopped early, when validation no longer improved", "interrupted": "It was interrupted"}
    said = ended.get(str(files.metrics.get("stopped")), "It ran to its end")
    said += f" after {count(steps)} steps." if finite(steps) else "."
    if finite(best) is None:
        return said
    named = f" ({score_phrase(files, metric[0])} {score(metric[1])} on validation)" if metric else ""
    return f"{said} The weights of step {count(best)}{named} were kept."


def _best_metric(files: RunFiles) -> tuple[str, float] | None:
    found = files.metrics.get("best_metric") or {}
    value = finite(found.get("value"))
    return None if value is None else (str(found.get("name")), value)


def _marker(files: RunFiles) -> dict[str, Any]:
    best = finite(files.metrics.get("best_step"))
    return {"marker": best, "marker_text": f"kept: step {count(best)}"}


def _loss(files: RunFiles) -> Markup:
    raw, validation = curve(files.training, "loss"), curve(files.evaluations, "validation", "loss")
    smoothed = smooth(raw)
    series = [
        Series("training, each", thin(raw), faint=True, colour=0),
        Series("training, smoothed", thin(smoothed), colour=0),
        Series("validation", thin(validation), colour=1),
    ]
    log = _spans_decades([*smoothed, *validation])
    described = f"Training loss {_from_to(smoothed)}. Validation loss {_from_to(validation)}."
    title = "Loss" + (" (logarithmic)" if log else "")
    drawing = line_chart("loss", title, described, series, log_y=log, **_marker(files))
    return page.chart(title, drawing)


def _spans_decades(points: Sequence[Point]) -> bool:
    heights = [height for _, height in points if height > 0]
    return bool(heights) and max(heights) > 30 * min(heights)


def _from_to(points: Sequence[Point]) -> str:
    if not points:
        return "is not recorded"
    return f"goes from {score(points[0][1])} at step {count(points[0][0])} to {score(points[-1][1])}"


def _scores(files: RunFiles) -> Markup:
    if files.task == "preference":
        return preference_sections.accuracy(files)
    names = _score_names(files.evaluations)
    curves = [curve(files.evaluations, "validation", name) for name in names]
    series = [Series(score_name(name), thin(points), colour=index)
              for index, (name, points) in enumerate(zip(names, curves, strict=True))]  # fmt: skip
    described = " ".join(f"{score_name(n)} {_from_to(points)}." for n, points in zip(names, curves, strict=True))
    title = "Scores on validation"
    return page.chart(title, line_chart("scores", title, described, series, top=1.0, **_marker(files)))


def _score_names(evaluations: Sequence[Record]) -> list[str]:
    """At most three scores: the main ones, else the first others. With one label a text, micro F1 is the accuracy."""
    there = {name: None for line in evaluations for name in line["validation"] if is_score(name)}
    strict = [name for name in STRICT if name in there]
    if "f1" in strict:
        return strict
    main = [name for name in MAIN_SCORES if name in there and not (name == "f1_micro" and "accuracy" in there)]
    return (main or [name for name in there if curve(evaluations, "validation", name)])[:3]


def _learning_rates(files: RunFiles) -> Markup:
    """A line for each group of parameters. Of many, only the outer ones have names: the others lie between them."""
    groups = {name: None for line in files.training for name in _rates(line)}
    lines = [{"step": line.get("step"), **_rates(line)} for line in files.training]
    curves = {name: thin(curve(lines, name)) for name in groups}
    series, note = _by_group(curves)
    heights = [height for line in series for _, height in line.points]
    title = "Learning rate" if len(series) < 2 else "Learning rates"
    described = f"The highest rate is {max(heights, default=0.0):.3g}."
    tops = [max(height for _, height in line.points) for line in series if line.points]
    log = len(series) > NAMED_GROUPS and max(tops) > 8 * min(tops)
    title += " (logarithmic)" if log else ""
    return page.chart(title, line_chart("learning-rate", title, described, series, log_y=log), note)


def _by_group(curves: dict[str, list[Point]]) -> tuple[list[Series], str | None]:
    """The lines, and what is to be said of those without a name."""
    names = list(curves)
    if len(names) <= NAMED_GROUPS:
        return [Series(name, curves[name], colour=index) for index, name in enumerate(names)], None
    named = [*names[:2], *names[-2:]]
    between = [Series(name, curves[name], faint=True, colour=1, opacity=0.6) for name in names[2:-2]]
    note = f"The faint lines are the {count(len(between))} groups from {names[2]} to {names[-3]}."
    if len(between) == 1:
        note = f"The faint line is {names[2]}."
    return [*between, *(Series(name, curves[name], colour=index) for index, name in enumerate(named))], note


def _rates(line: Record) -> Record:
    rate = line.get("learning_rate")
    if isinstance(rate, dict):
        return {str(name): value for name, value in rate.items()}
    return {} if rate is None else {"learning rate": rate}


def _gradient_norm(files: RunFiles) -> Markup:
    raw = curve(files.training, "gradient_norm")
    series = [
        Series("each", thin(raw), faint=True, colour=3),
        Series("gradient norm, smoothed", thin(smooth(raw)), colour=3),
    ]
    title = "Gradient norm"
    described = f"The norm of the gradient before clipping {_from_to(raw)}."
    return page.chart(title, line_chart("gradient-norm", title, described, series, log_y=_spans_decades(raw)))


def _regularisation(files: RunFiles) -> tuple[str, Markup]:
    """The sentence and the chart: score on validation against each regularisation that was tried."""
    lines = [{**line["validation"], "at": line.get("regularisation")} for line in files.evaluations]
    names = _score_names(files.evaluations)
    series = [Series(score_name(name), sorted(curve(lines, name, x="at")), colour=i) for i, name in enumerate(names)]
    kept = _kept_regularisation(files, names)
    said = "The encoder was run once and stays as it is; only a head was trained on its features. "
    said += f"Of {len(lines)} strengths of regularisation, validation chose {svg_number(kept)}." if kept else ""
    described = f"{len(lines)} strengths were tried; {svg_number(kept)} was kept."
    losses = [
        Series("training", sorted(curve(files.evaluations, "loss", x="regularisation")), colour=0),
        Series("validation", sorted(curve(lines, "loss", x="at")), colour=1),
    ]
    axis: dict[str, Any] = {"x_label": "regularisation", "log_x": True}
    axis |= {"marker": kept, "marker_text": f"kept: {svg_number(kept)}"}
    scored = line_chart("scores", "Score by regularisation", described, series, top=1.0, **axis)
    lost = line_chart("loss", "Loss by regularisation", described, losses, **axis)
    return said, page.grid(page.chart("Score on validation", scored), page.chart("Loss", lost))


def svg_number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def _kept_regularisation(files: RunFiles, names: Sequence[str]) -> float | None:
    """That of the best step; without one, that with the highest score."""
    best = files.metrics.get("best_step")
    lines = [line for line in files.evaluations if line.get("step") == best] if best is not None else []
    metric = _best_metric(files)
    name = metric[0] if metric else names[0] if names else "loss"
    if not lines:
        scored = [line for line in files.evaluations if finite(line["validation"].get(name)) is not None]
        lines = sorted(scored, key=lambda line: line["validation"][name], reverse=name != "loss")
    return finite(lines[0].get("regularisation")) if lines else None
