"""How the training went: loss, scores, rewards, learning rates; of a frozen encoder, the regularisation chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import page
from .analysis import MAIN_SCORES, Point, curve, is_score, smooth, thin
from .charts import Series, line_chart
from .files import Record, RunFiles
from .generation import falls, has_reference, loss_name, score_phrase
from .markup import Markup
from .words import count, finite, score, score_name, score_value

STRICT = ("f1", "exact_match", "precision", "recall")  # of entities or answers: where F1 is there, these are meant
NAMED_GROUPS = 5  # of more learning rates the outer ones have names
FALLING = (
    "The chosen answers became less likely than they were before tuning, only less so than the rejected ones: the "
    "margin grows while both fall. Lower the learning rate, raise beta, or tune on the chosen answers first."
)


def course(files: RunFiles) -> Markup:
    """The section of the curves; nothing where there is no history."""
    if any("regularisation" in line for line in files.evaluations):
        return page.section("course", "Regularisation", *_regularisation(files))
    scores = _both(files, "Pairs ranked right", {"accuracy": ""}, top=1.0)
    scores = scores if files.task == "preference" else _scores(files)
    drawings = [_loss(files), scores, _learning_rates(files), _gradient_norm(files)]
    if not any(drawings):
        return Markup("")
    return page.section("course", "Loss and scores", _said(files), page.grid(*drawings))


def rewards(files: RunFiles) -> Markup:
    """Of preference tuning: margin and rewards over the steps."""
    rewarded = {"chosen_reward": "chosen", "rejected_reward": "rejected"}
    drawings = [_both(files, "Margin of rewards", {"margin": ""}), _both(files, "Rewards", rewarded)]
    if not any(drawings):
        return Markup("")
    reward = "how much likelier an answer became by tuning: 0 before, below 0 where it became less likely"
    if not has_reference(files):
        reward = f"the log-probability a token, since {loss_name(files)} compares with no reference"
    lead = f"A reward is beta times {reward}. A pair is ranked right where the chosen answer has more of it; the "
    warned = page.notice("Falling likelihood", [FALLING] if falls(files) else [])
    return page.section("rewards", "Preferences", f"{lead}margin is how much more.", warned, page.grid(*drawings))


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


def _drawn(files: RunFiles, title: str, series: Sequence[Series], key: str = "", **options: Any) -> Markup:
    """A chart over the steps in which the best one is marked. key: what its heights are, of `score_value`."""
    best = finite(files.metrics.get("best_step"))
    options |= {"marker": best, "marker_text": f"kept: step {count(best)}"}
    described = " ".join(f"{line.name} {_from_to(line.points, key)}." for line in series if not line.faint)
    name = title.lower().replace(" ", "-")
    return page.chart(title, line_chart(name, title, described, series, **options))


def _from_to(points: Sequence[Point], key: str) -> str:
    if not points:
        return "is not recorded"
    (first, start), (last, end) = points[0], points[-1]
    change = f"goes from {score_value(key, start)} at step {count(first)} to {score_value(key, end)}"
    return f"{change} at step {count(last)}"


def _loss(files: RunFiles) -> Markup:
    raw, validation = curve(files.training, "loss"), curve(files.evaluations, "validation", "loss")
    smoothed = smooth(raw)
    series = [
        Series("training, each", thin(raw), faint=True),
        Series("training, smoothed", thin(smoothed)),
        Series("validation", thin(validation), colour=1),
    ]
    log = _spans_decades([*smoothed, *validation])
    return _drawn(files, "Loss (logarithmic)" if log else "Loss", series, "loss", log_y=log)


def _spans_decades(points: Sequence[Point]) -> bool:
    heights = [height for _, height in points if height > 0]
    return bool(heights) and max(heights) > 30 * min(heights)


def _both(files: RunFiles, title: str, keys: dict[str, str], **options: Any) -> Markup:
    """The smoothed training values and those of validation, for each key."""
    series = []
    for place, (key, said) in enumerate(keys.items()):
        each = smooth(curve(files.training, key), 0.12), curve(files.evaluations, "validation", key)
        for which, points in enumerate(each):
            name = ", ".join(filter(None, [said, ("training", "validation")[which]]))
            series.append(Series(name, thin(points), colour=2 * place + which))
    return _drawn(files, title, series, next(iter(keys)), **options)


def _scores(files: RunFiles) -> Markup:
    series = [
        Series(score_name(name), thin(curve(files.evaluations, "validation", name)), colour=index)
        for index, name in enumerate(_score_names(files.evaluations))
    ]
    return _drawn(files, "Scores on validation", series, top=1.0)


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
    lines = [{"step": line.get("step"), **_rates(line)} for line in files.training]
    names = list(dict.fromkeys(name for line in files.training for name in _rates(line)))
    between = names[2:-2] if len(names) > NAMED_GROUPS else []
    outer = [name for name in names if name not in between]
    series = [Series(name, thin(curve(lines, name)), faint=True, colour=1) for name in between]
    series += [Series(name, thin(curve(lines, name)), colour=index) for index, name in enumerate(outer)]
    title = "Learning rates (logarithmic)" if between else "Learning rate" if len(names) < 2 else "Learning rates"
    drawing = line_chart("learning-rate", title, f"{len(names)} groups.", series, log_y=bool(between))
    faint = between and f"The faint lines are the {count(len(between))} groups from {between[0]} to {between[-1]}."
    return page.chart(title, drawing, faint)


def _rates(line: Record) -> Record:
    rate = line.get("learning_rate")
    if isinstance(rate, dict):
        return {str(name): value for name, value in rate.items()}
    return {} if rate is None else {"learning rate": rate}


def _gradient_norm(files: RunFiles) -> Markup:
    raw = curve(files.training, "gradient_norm")
    smoothed = Series("gradient norm, smoothed", thin(smooth(raw)), colour=3)
    series = [Series("each", thin(raw), faint=True, colour=3), smoothed]
    return _drawn(files, "Gradient norm", series, log_y=_spans_decades(raw))


def _regularisation(files: RunFiles) -> tuple[str, Markup]:
    """The sentence and the charts: score and loss against each regularisation that was tried."""
    lines = [{**line["validation"], "at": line.get("regularisation")} for line in files.evaluations]
    kept = _kept_regularisation(files)
    chosen = "none" if kept is None else f"{kept:.3g}"
    said = "The encoder was run once and stays as it is; only a head was trained on its features. "
    said += f"Of {len(lines)} strengths of regularisation, validation chose {chosen}."
    scores = [
        Series(score_name(name), sorted(curve(lines, name, x="at")), colour=index)
        for index, name in enumerate(_score_names(files.evaluations))
    ]
    losses = [
        Series("training", sorted(curve(files.evaluations, "loss", x="regularisation"))),
        Series("validation", sorted(curve(lines, "loss", x="at")), colour=1),
    ]
    axis: dict[str, Any] = {
        "x_label": "regularisation",
        "log_x": True,
        "marker": kept,
        "marker_text": f"kept: {chosen}",
    }
    scored = line_chart("scores", "Score by regularisation", said, scores, top=1.0, **axis)
    lost = line_chart("loss", "Loss by regularisation", said, losses, **axis)
    return said, page.grid(page.chart("Score on validation", scored), page.chart("Loss", lost))


def _kept_regularisation(files: RunFiles) -> float | None:
    best = files.metrics.get("best_step")
    return next((finite(line.get("regularisation")) for line in files.evaluations if line.get("step") == best), None)
