"""Where the model is good and where it is weak: scores by class or entity type, by split, and what it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import charts, page
from .analysis import by_weakness, confused_pairs, weakest
from .files import Record, RunFiles
from .markup import Markup, element
from .words import count, finite, listing, percent, plural, score, score_name, score_value

MANY_CLASSES = 20  # longer tables show this many rows and fold the others away


def classes(files: RunFiles) -> Markup:
    """The scores by split, and by class or entity type."""
    groups = files.groups
    overall = _splits_table(files)
    if not groups and not overall:
        return Markup("")
    weak = weakest(groups)
    lead = f"Scores on {files.split}, the weakest {files.group_noun} first." if groups else "Scores by split."
    if weak:
        lead += f" Look first at {listing(weak)}."
    body = [page.card(None, *_group_tables(files, groups, weak))] if groups else []
    every = page.card(None, page.details("All scores of the evaluation", overall) if groups else overall)
    title = _plural(files.group_noun).capitalize() if groups else "Scores"
    return page.section("classes", title, lead, *body, every if overall else None)


def _plural(noun: str) -> str:
    return noun + ("es" if noun.endswith("s") else "s")


def _group_tables(files: RunFiles, groups: dict[str, Record], weak: Sequence[str]) -> list[Markup]:
    ordered = by_weakness(groups)
    extra = [name for name in ("average_precision", "threshold") if any(name in row for _, row in ordered)]
    first, others = ordered[:MANY_CLASSES], ordered[MANY_CLASSES:]
    parts = [_group_table(files, first, extra, weak)]
    if others:
        summary = f"The other {count(len(others))} {_plural(files.group_noun)}"
        parts.append(page.details(summary, _group_table(files, others, extra, weak)))
    return parts


def _group_table(
    files: RunFiles, rows: Sequence[tuple[str, Record]], extra: Sequence[str], weak: Sequence[str]
) -> Markup:
    names = (name.replace("_", " ") for name in extra)
    head = [files.group_noun, "F1", "precision", "recall", *names, files.counted_noun]
    body = [
        [
            label,
            page.measure(finite(row.get("f1")), score(row.get("f1"))),
            *(score(row.get(name)) for name in ("precision", "recall", *extra)),
            count(row.get("support")),
        ]
        for label, row in rows
    ]
    standing_out = [index for index, (label, _) in enumerate(rows) if label in weak]
    return page.table(f"Scores by {files.group_noun}", head, body, weak=standing_out)


def _splits_table(files: RunFiles) -> Markup | None:
    splits = [name for name in ("validation", "test") if files.metrics.get(name)]
    scores = {split: files.metrics[split] for split in splits}
    names = {name: None for split in splits for name, value in scores[split].items() if finite(value) is not None}
    if not names:
        return None
    body = [[score_name(name), *(score_value(name, scores[split].get(name)) for split in splits)] for name in names]
    return page.table("Scores by split", ["score", *splits], body)


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
    rows = [[page.taken(pair.true, pair.predicted), pair.num_rows, percent(pair.share, 0)] for pair in pairs]
    return page.table("Most confused pairs", ["true class, taken for", "rows", "of its class"], rows)
