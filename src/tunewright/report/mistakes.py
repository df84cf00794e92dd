"""The mistakes of which a model was surest, with their texts: of a classifier, and what all tasks share."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from . import page
from .files import Record, RunFiles
from .markup import Markup, element, join
from .words import finite, percent, plural, shorten

SHOWN = 20
Named = list[tuple[str, float | None]]  # labels, each with its probability


class Mistake(NamedTuple):
    """One row that a classifier got wrong."""

    row: Any
    text: str
    missed: Named  # labels that were not given
    wrong: Named  # labels that were given and are not true
    confidence: float  # 0 ... 1: how sure the model was of its worst error


def mistake(line: Record) -> Mistake | None:
    """What is wrong in one prediction, single label or several; None where nothing is."""
    true, predicted = label_names(line.get("label")), label_names(line.get("predicted"))
    if line.get("label") is None or set(true) == set(predicted):
        return None
    chances = line.get("probabilities") or dict.fromkeys(predicted, line.get("probability"))
    missed = [(name, finite(chances.get(name))) for name in true if name not in predicted]
    wrong = [(name, finite(chances.get(name))) for name in predicted if name not in true]
    sureness = [chance for _, chance in wrong if chance is not None]
    sureness += [1 - chance for _, chance in missed if chance is not None]
    text = line.get("text") or ""
    return Mistake(line.get("row"), str(text), missed, wrong, max(sureness, default=0.0))


def label_names(value: Any) -> list[str]:
    """One label or several as a list."""
    return [str(name) for name in value] if isinstance(value, list) else [] if value is None else [str(value)]


def confident_mistakes(predictions: Iterable[Record]) -> list[Mistake]:
    found = (mistake(line) for line in predictions)
    return heapq.nlargest(SHOWN, (one for one in found if one), key=lambda one: one.confidence)


def mistakes(files: RunFiles) -> Markup:
    found = confident_mistakes(files.predictions or [])
    lead = f"Rows of {files.predictions_split} where it was surest and wrong."
    return section(files, f"{lead} Some may be wrong labels, not wrong answers.", map(_card, found))


def section(files: RunFiles, lead: str, cards: Iterable[Markup], key: Markup | None = None) -> Markup:
    """The section of mistakes of any task: it also says that there are none, or that none can be shown."""
    title, shown = "Most confident mistakes", list(cards)
    if files.predictions is None:
        reason = "The run kept no predictions, so its mistakes cannot be shown."
        return page.section("mistakes", title, reason) if files.scores else Markup("")
    if not shown:
        seen = f"{plural(len(files.predictions), 'row')} of {files.predictions_split}"
        return page.section("mistakes", title, f"There is none in {seen}.")
    return page.section("mistakes", title, lead, key, element("ul", *shown, class_="mistakes"))


def place(row: Any, name: str | None = None) -> Markup | None:
    """Where a person finds the row."""
    said = [f"row {row}" if row is not None else None, name]
    return element("span", ", ".join(part for part in said if part), class_="place") if any(said) else None


def _card(found: Mistake) -> Markup:
    text = element("blockquote", shorten(found.text, 600) or "(empty text)", dir="auto")
    parts = [_said("right", "labelled", found.missed), _said("wrong", "answered", found.wrong), place(found.row)]
    return element("li", text, element("p", *parts, class_="verdict"), class_="card")


def _said(kind: str, how: str, names: Sequence[tuple[str, float | None]]) -> Markup | None:
    """`answered billing 93 %`; names with or without their probability."""
    if not names:
        return None
    said = (join([element("b", name, dir="auto"), f" {percent(p, 0)}" if p is not None else None]) for name, p in names)
    return element("span", f"{how} ", join(said, ", "), class_=kind)
