"""The mistakes of a classifier of which it was surest, with their texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import page
from .analysis import Mistake, confident_mistakes
from .files import RunFiles
from .markup import Markup, element, join
from .words import percent, plural, shorten


def mistakes(files: RunFiles) -> Markup:
    """The most confident mistakes with their texts; without kept predictions it says so."""
    found = confident_mistakes(files.predictions or [])
    lead = (
        f"Rows of {files.predictions_split} where it was surest and wrong. Some may be wrong labels, not wrong answers."
    )
    return section(files, lead, listed(map(_mistake, found)))


def section(files: RunFiles, lead: str, *lists: Markup) -> Markup:
    """The section of mistakes of any task: it also says that there are none, or that none can be shown."""
    title = "Most confident mistakes"
    if files.predictions is None:
        reason = "The run kept no predictions, so its mistakes cannot be shown."
        return page.section("mistakes", title, reason) if files.scores else Markup("")
    if not any(lists):
        seen = f"{plural(len(files.predictions), 'row')} of {files.predictions_split}"
        return page.section("mistakes", title, f"There is none in {seen}.")
    return page.section("mistakes", title, lead, *lists)


def listed(items: Iterable[Markup]) -> Markup:
    """Mistakes as cards; nothing where there is none."""
    cards = list(items)
    return element("ul", *cards, class_="mistakes") if cards else Markup("")


def place(row: Any, name: str | None = None) -> Markup | None:
    """Where a person finds the row."""
    said = [f"row {row}" if row is not None else None, name]
    return element("span", ", ".join(part for part in said if part), class_="place") if any(said) else None


def _mistake(found: Mistake) -> Markup:
    text = element("blockquote", shorten(found.text, 600) or "(empty text)", dir="auto")
    if len(found.true) == 1 and len(found.predicted) == 1:
        parts = [_said("right", "labelled", found.true), _said("wrong", "answered", found.wrong)]
    else:
        missed = _said("right", "labelled, not given", found.missed)
        parts = [_said("wrong", "given, not labelled", found.wrong), missed]
    return element("li", text, element("p", *parts, place(found.row), class_="verdict"), class_="card")


def _said(kind: str, how: str, names: Sequence[Any]) -> Markup | None:
    """`answered billing 93 %`; names with or without their probability."""
    if not names:
        return None
    pairs = [name if isinstance(name, tuple) else (name, None) for name in names]
    said = (join([element("b", name, dir="auto"), f" {percent(p, 0)}" if p is not None else None]) for name, p in pairs)
    return element("span", f"{how} ", join(said, ", "), class_=kind)
