"""Where a model is good and where it is weak: scores by split and by class, what it confuses, and its probabilities."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from . import charts, page
from .analysis import by_weakness, surest, weakest
from .files import Record, RunFiles
from .generation import about, lead_of_scores, score_title
from .markup import Markup, element, join
from .words import count, finite, listing, percent, plural, score, score_value

MANY_CLASSES = 20  # longer tables show this many rows and fold the others away


def scores(files: RunFiles) -> Markup:
    """The scores by class or entity type, and all scores by split; those of generated answers with what they mean."""
    groups, overall = files.groups, _splits_table(files)
    if not groups:
        shown = page.card(None, overall) if overall else None
        return page.section("scores", "Scores", lead_of_scores(files), shown) if shown else Markup("")
    weak = weakest(groups)
    lead = f"Scores on {files.split}, the weakest {files.label_noun} first."
    lead += f" Look first at {listing(weak)}." if weak else ""
    every = page.card(None, page.details("All scores of the evaluation", overall))
    title = f"{files.label_noun}s"
    tables = _group_tables(files, title, weak)
    return page.section("classes", title.capitalize(), lead, page.card(None, *tables), every)


def _group_tables(files: RunFiles, title: str, weak: Sequence[str]) -> list[Markup]:
    ordered = by_weakness(files.groups)
    first, others = ordered[:MANY_CLASSES], ordered[MANY_CLASSES:]
    rest = _group_table(files, others, weak)
    folded = [page.details(f"The other {count(len(others))} {title}", rest)] if others else []
    return [_group_table(files, first, weak), *folded]


def _group_table(files: RunFiles, rows: Sequence[tuple[str, Record]], weak: Sequence[str]) -> Markup:
    extra = [name for name in ("average_precision", "threshold") if any(name in row for _, row in rows)]
    keys = ["precision", "recall", *extra]
    head = [files.label_noun, "F1", *(name.replace("_", " ") for name in keys), files.counted_noun]
    body = [
        [label, page.measure(finite(row.get("f1")), score(row.get("f1"))), *(score(row.get(name)) for name in keys),
         count(row.get("support"))]
        for label, row in rows
    ]  # fmt: skip
    standing_out = [index for index, (label, _) in enumerate(rows) if label in weak]
    return page.table(f"Scores by {files.label_noun}", head, body, weak=standing_out)


def _splits_table(files: RunFiles) -> Markup | None:
    columns = files.splits | ({"before tuning": files.before} if files.before else {})

    def named(name: str) -> object:
        told = about(files, name)
        return join([score_title(files, name), element("span", told, class_="told") if told else None])

    body = [[named(name), *(score_value(name, found.get(name)) for found in columns.values())]
            for name in files.score_names]  # fmt: skip
    return page.table("Scores by split", ["score", *columns], body) if body else None


class Pair(NamedTuple):
    """One class taken for another."""

    true: str
    predicted: str
    num_rows: int
    share: float  # of the rows of the true class


def confused_pairs(matrix: Sequence[Sequence[int]], labels: Sequence[str], limit: int = 10) -> list[Pair]:
    """The pairs (true, predicted) that are confused most often, the most frequent first; matrix: (true, predicted)."""
    pairs = [
        Pair(labels[row], labels[column], number, number / sum(counts))
        for row, counts in enumerate(matrix)
        for column, number in enumerate(counts)
        if row != column and number > 0
    ]
    return heapq.nsmallest(limit, pairs, key=lambda pair: (-pair.num_rows, -pair.share, pair.true, pair.predicted))


def confusion(files: RunFiles) -> Markup:
    """The heat map and the pairs that are confused most often; nothing without a matrix."""
    matrix, labels = files.scores.get("confusion_matrix"), files.labels
    if not matrix or len(matrix) != len(labels):
        return Markup("")
    pairs, total = confused_pairs(matrix, labels), sum(map(sum, matrix))
    wrong = total - sum(row[index] for index, row in enumerate(matrix))
    errors = f"{count(wrong)} of {plural(total, 'row')} went wrong"
    drawing = charts.heat_map("confusion", "Confusion matrix", f"{errors}.", labels, matrix)
    lead = f"Each line of the picture is a true class and shows what the model made of it. {errors}."
    map_note = "Blue: right. Orange: confused. The stronger, the larger the share of the true class."
    heat = page.chart("True class against prediction", drawing, map_note)
    rows = [[page.taken(pair.true, pair.predicted), pair.num_rows, percent(pair.share, 0)] for pair in pairs]
    listed = page.sheet("Confused most often", ["true class, taken for", "rows", "of its class"], rows)
    return page.section("confusion", "Confusions", lead, page.grid(heat, listed))


def calibration(files: RunFiles) -> Markup:
    """The reliability diagram, and what it means in a sentence; nothing without bins."""
    said, error = calibration_sentence(files), finite(files.scores.get("calibration_error"))
    drawing = charts.calibration("calibration", "Reliability diagram", said, files.scores.get("calibration_bins") or [])
    if not drawing:
        return Markup("")
    rated = "labels rated 80 %, 80 % apply" if files.multi_label else "answers given with 80 %, 80 % are right"
    figure = page.card(
        "Expected calibration error",
        element("p", score(error), class_="figure"),
        element("p", f"A bar that ends on the dashed line is a promise kept: of the {rated}."),
        page.note("Faint bars rest on fewer than ten rows and say little."),
    )
    answers = ((finite(line.get("probability")), line.get("label") == line.get("predicted"))
               for line in files.predictions or [])  # fmt: skip
    sure = by_confidence(((chance, right) for chance, right in answers if chance is not None), "answers")
    lead = f"Whether its probabilities can be believed. {said}"
    picture = page.chart("Confidence against truth", drawing)
    return page.section("calibration", "Calibration", lead, page.grid(picture, page.stack(figure, sure)))


def by_confidence(answers: Iterable[tuple[float, bool]], noun: str) -> Markup:
    """What keeping only the surest answers would give. answers: (confidence, whether it is right)."""
    rows = [[percent(kept, 0), percent(least), percent(right)] for kept, least, right in surest(answers)]
    return page.sheet(f"If only the surest {noun} were kept", [f"{noun} kept", "confidence from", "right"], rows)


def overconfidence(bins: Iterable[Record]) -> float | None:
    """Mean confidence minus mean accuracy over all rows: above 0 the model promises more than it holds."""
    filled = [bin_ for bin_ in bins if finite(bin_.get("count")) and finite(bin_.get("accuracy")) is not None]
    total = sum(bin_["count"] for bin_ in filled)
    gaps = (bin_["count"] * (bin_["confidence"] - bin_["accuracy"]) for bin_ in filled)
    return float(sum(gaps) / total) if total else None


def calibration_sentence(files: RunFiles) -> str:
    """What the calibration error means in plain words."""
    error = finite(files.scores.get("calibration_error"))
    gap = overconfidence(files.scores.get("calibration_bins") or [])
    if error is None or gap is None:
        return "The calibration was not measured."
    what = ("a probability is", "the label applies") if files.multi_label else ("its confidence is", "it is right")
    said = f"On average {what[0]} {100 * error:.1f} points away from how often {what[1]}, "
    mostly = "mostly too high" if gap > 0 else "mostly too low"
    said += "sometimes too high, sometimes too low" if abs(gap) < max(0.5 * error, 0.005) else mostly
    return said + ("." if error < 0.05 else ". Do not read its probabilities as frequencies.")
