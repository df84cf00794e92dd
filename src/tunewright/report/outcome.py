"""How good the model is: the headline, the figures, classes, confusions, calibration and mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import charts, page
from .analysis import (
    Mistake,
    by_weakness,
    confident_mistakes,
    confused_pairs,
    coverage,
    main_score,
    overconfidence,
    weakest,
    wilson,
)
from .files import Record, RunFiles
from .markup import Markup, element, join
from .words import (
    NARROW,
    compact,
    count,
    date,
    duration,
    finite,
    listing,
    memory,
    percent,
    plural,
    score,
    score_name,
    share,
    shorten,
    strategy_name,
    task_name,
)

MANY_CLASSES = 20  # longer tables show this many rows and fold the others away


def source(files: RunFiles, split: str = "train") -> str:
    """The file name of a split's data."""
    splits = files.ledger.get("splits") or {}
    named = (splits.get(split) or {}).get("source") or files.part("data").get(split)
    return str(named).rstrip("/").rsplit("/", 1)[-1] if named else f"its {split} data"


def headline(files: RunFiles) -> Markup:
    """What was trained on what, how, and when; and in a sentence how it did."""
    model = str(files.config.get("model") or files.metrics.get("model") or "A model")
    kind = task_name(files.task) + (", several labels a text" if files.multi_label else "")
    parts = [kind, plural(len(files.labels), "label") if files.labels else None, _strategy(files)]
    created = files.metrics.get("created")
    about = " · ".join(part for part in [*parts, date(created) if created else None] if part)
    return element(
        "header",
        element("p", "Tunewright run report", class_="about"),
        element("h1", f"{model}, trained on {source(files)}"),
        element("p", verdict(files), class_="lead"),
        element("p", about, class_="about"),
    )


def _strategy(files: RunFiles) -> str:
    rank = files.part("strategy").get("r")
    return strategy_name(files.strategy) + (f" of rank {rank}" if rank is not None else "")


def verdict(files: RunFiles) -> str:
    """How it did, in one sentence."""
    main, rows = main_score(files.scores), finite(files.scores.get("num_rows"))
    if main is None:
        return "It was not evaluated: there are no scores on validation or test data."
    name, value = main
    on = f"{plural(rows, 'row')} of {source(files, 'test')}" if files.split == "test" else "the validation rows"
    caution = "" if files.split == "test" else " They also chose the best step: expect a little less on new text."
    if name != "accuracy":
        return f"On {on} its {score_name(name).lower().replace('f1', 'F1')} is {score(value)}.{caution}"
    if not rows:
        return f"On {on} it is right {percent(value)} of the time.{caution}"
    low, high = wilson(value, int(rows))
    interval = f"95{NARROW}% interval {percent(low)} to {percent(high)}"
    return f"On {on} it is right {percent(value)} of the time ({interval}).{caution}"


def tiles(files: RunFiles) -> Markup:
    """The key figures."""
    scores, on = files.scores, f"on {files.split}"
    main = main_score(scores)
    found = [_main_tile(main, scores, on)] if main else []
    others = (name for name in ("f1_macro", "f1_micro", "exact_match", "mcc") if not main or name != main[0])
    second = next((name for name in others if finite(scores.get(name)) is not None), None)
    if second:
        found.append(_tile(score_name(second), score(scores[second]), on))
    return element("dl", *found, *_cost_tiles(files), class_="tiles", aria_label="Key figures")


def _cost_tiles(files: RunFiles) -> list[Markup]:
    """What went in: rows, time, memory, parameters."""
    metrics = files.metrics
    trained = (files.ledger.get("splits") or {}).get("train", {}).get("rows_kept")
    evaluated = f"{count(files.scores.get('num_rows'))} to {files.split}" if files.scores else ""
    total_time = f"{duration(metrics.get('total_seconds'))} in all"
    found = [_tile("Training rows", count(trained), evaluated)] if trained is not None else []
    found.append(_tile("Time to train", duration(metrics.get("fit_seconds")), total_time))
    found.append(
        _tile(
            "Peak memory",
            memory(metrics.get("peak_memory_mb")),
            f"on {metrics['device']}" if metrics.get("device") else "",
        )
    )
    trainable, total = finite(metrics.get("trainable_parameters")), finite(metrics.get("total_parameters"))
    if trainable is not None and total:
        amount = f"{compact(trainable)} of {compact(total)} parameters"
        found.append(_tile("Trained share", share(trainable / total), amount))
    return found


def _main_tile(main: tuple[str, float], scores: Record, on: str) -> Markup:
    name, value = main
    rows = finite(scores.get("num_rows"))
    if name != "accuracy":
        return _tile(score_name(name), score(value), on, main=True)
    if not rows:
        return _tile(score_name(name), percent(value), on, main=True)
    low, high = wilson(value, int(rows))
    interval = f"95{NARROW}%: {percent(low)} to {percent(high)}"
    return _tile(f"{score_name(name)} {on}", percent(value), interval, main=True)


def _tile(name: str, value: str, more: str, main: bool = False) -> Markup:
    kind = "tile main" if main else "tile"
    parts = [element("dt", name), element("dd", value, class_="value"), element("dd", more, class_="more")]
    return element("div", *parts, class_=kind)


def warnings(files: RunFiles) -> Markup:
    """What the run warned of, and that it was cut short if it was."""
    said = [str(warning) for warning in files.metrics.get("warnings") or []]
    if files.metrics.get("stopped") == "interrupted":
        said.insert(0, "The training was interrupted: these are the scores of an unfinished run; --resume goes on.")
    return page.notice("Worth knowing", said)


def classes(files: RunFiles) -> Markup:
    """The scores by split and by class."""
    per_class = files.scores.get("per_class") or {}
    overall = _splits_table(files)
    if not per_class and not overall:
        return Markup("")
    weak = weakest(per_class)
    lead = f"Scores on {files.split}, the weakest class first." if per_class else "Scores by split."
    if weak:
        lead += f" Look first at {listing(weak)}."
    body = [page.card(None, *_class_tables(per_class, weak))] if per_class else []
    every = page.card(None, page.details("All scores of the evaluation", overall) if per_class else overall)
    return page.section("classes", "Classes" if per_class else "Scores", lead, *body, every if overall else None)


def _class_tables(per_class: dict[str, Record], weak: Sequence[str]) -> list[Markup]:
    ordered = by_weakness(per_class)
    extra = [name for name in ("average_precision", "threshold") if any(name in row for _, row in ordered)]
    first, others = ordered[:MANY_CLASSES], ordered[MANY_CLASSES:]
    parts = [_class_table(first, extra, weak)]
    if others:
        parts.append(page.details(f"The other {count(len(others))} classes", _class_table(others, extra, weak)))
    return parts


def _class_table(rows: Sequence[tuple[str, Record]], extra: Sequence[str], weak: Sequence[str]) -> Markup:
    head = ["class", "F1", "precision", "recall", *(name.replace("_", " ") for name in extra), "rows"]
    body = [
        [
            label,
            page.measure(finite(row.get("f1")), score(row.get("f1"))),
            *(score(row.get(name)) for name in ("precision", "recall", *extra)),
            count(row.get("support")),
        ]
        for label, row in rows
    ]
    return page.table("Scores by class", head, body, weak=[i for i, (label, _) in enumerate(rows) if label in weak])


def _splits_table(files: RunFiles) -> Markup | None:
    splits = [name for name in ("validation", "test") if files.metrics.get(name)]
    scores = {split: files.metrics[split] for split in splits}
    names = {name: None for split in splits for name, value in scores[split].items() if finite(value) is not None}
    if not names:
        return None
    body = [[_score_label(name), *(_score_cell(name, scores[split].get(name)) for split in splits)] for name in names]
    return page.table("Scores by split", ["score", *splits], body)


def _score_label(name: str) -> str:
    return "Rows" if name == "num_rows" else score_name(name)


def _score_cell(name: str, value: Any) -> str:
    return count(value) if name == "num_rows" else score(value)


def confusion(files: RunFiles) -> Markup:
    """The heat map and the pairs that are confused most often; nothing without a matrix."""
    matrix, labels = files.scores.get("confusion_matrix"), files.labels
    if not matrix or len(matrix) != len(labels):
        return Markup("")
    pairs = confused_pairs(matrix, labels)
    total = sum(map(sum, matrix))
    wrong = total - sum(row[index] for index, row in enumerate(matrix))
    described = f"{plural(len(labels), 'class', 'classes')}, {plural(wrong, 'confusion')} in {plural(total, 'row')}. "
    described += "; ".join(f"{pair.true} taken for {pair.predicted}: {pair.num_rows}" for pair in pairs[:5])
    drawing = charts.heat_map("confusion", "Confusion matrix", described, labels, matrix)
    errors = f"{count(wrong)} of {plural(total, 'row')} went wrong"
    lead = f"Each line of the picture is a true class and shows what the model made of it. {errors}."
    map_note = "Blue: right. Orange: confused. The stronger, the larger the share of the true class."
    heat = page.chart("True class against prediction", drawing, map_note)
    listed = page.card("Confused most often", _pairs(pairs))
    return page.section("confusion", "Confusions", lead, page.grid(heat, listed))


def _pairs(pairs: Sequence[Any]) -> Markup:
    if not pairs:
        return element("p", "Nothing was confused.", class_="note")
    taken = element("span", " taken for ", class_="small")
    rows = [
        [
            join([page.breakable(pair.true), taken, page.breakable(pair.predicted)]),
            pair.num_rows,
            percent(pair.share, 0),
        ]
        for pair in pairs
    ]
    return page.table("Most confused pairs", ["true class, taken for", "rows", "of its class"], rows)


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


def mistakes(files: RunFiles) -> Markup:
    """The most confident mistakes with their texts; without kept predictions it says so."""
    title = "Most confident mistakes"
    if files.predictions is None:
        reason = "The run kept no predictions, so its mistakes cannot be shown."
        return page.section("mistakes", title, reason) if files.scores else Markup("")
    found = confident_mistakes(files.predictions)
    if not found:
        seen = f"{plural(len(files.predictions), 'row')} of {files.predictions_split}"
        return page.section("mistakes", title, f"There is none in {seen}.")
    lead = (
        f"Rows of {files.predictions_split} where it was surest and wrong. Some may be wrong labels, not wrong answers."
    )
    return page.section("mistakes", title, lead, element("ul", *map(_mistake, found), class_="mistakes"))


def _mistake(found: Mistake) -> Markup:
    text = element("blockquote", shorten(found.text, 600) or "(empty text)", dir="auto")
    if len(found.true) == 1 and len(found.predicted) == 1:
        parts = [_said("right", "labelled", found.true), _said("wrong", "answered", found.wrong)]
    else:
        missed = _said("right", "labelled, not given", found.missed)
        parts = [_said("wrong", "given, not labelled", found.wrong), missed]
    row = element("span", f"row {found.row}") if found.row is not None else None
    return element("li", text, element("p", *parts, row, class_="verdict"), class_="card")


def _said(kind: str, how: str, names: Sequence[Any]) -> Markup | None:
    """`answered billing 93 %`; names with or without their probability."""
    if not names:
        return None
    pairs = [name if isinstance(name, tuple) else (name, None) for name in names]
    said = (join([element("b", name, dir="auto"), f" {percent(p, 0)}" if p is not None else None]) for name, p in pairs)
    return element("span", f"{how} ", join(said, ", "), class_=kind)
