"""Texts with stretches marked in them: what is labelled is underlined, what was answered is shaded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .markup import Markup, element, join

REACH = 110  # characters that are shown to either side of what an excerpt is about
WHOLE = 420  # texts up to this length are shown as they are

GOLD, RIGHT, WRONG = "gold", "right", "wrong"


class Stretch(NamedTuple):
    """Characters from `start` up to `end`, and what is said of them: GOLD, RIGHT or WRONG."""

    start: int
    end: int
    kind: str


def marked(text: str, stretches: Sequence[Stretch], focus: Iterable[Stretch] | None = None) -> Markup:
    """The text with its stretches marked; of a long text what lies around the stretches in focus (all by default)."""
    parts = excerpts(text, stretches if focus is None else list(focus))
    pieces = [join(_segments(text, stretches, start, end)) for start, end in parts]
    before = "… " if parts[0][0] > 0 else ""
    after = " …" if parts[-1][1] < len(text) else ""
    return join([before, join(pieces, " … "), after])


def excerpts(text: str, focus: Sequence[Stretch]) -> list[tuple[int, int]]:
    """The stretches of a long text to show, in order and apart; all of a short one."""
    if len(text) <= WHOLE:
        return [(0, len(text))]
    around = sorted((max(0, item.start - REACH), min(len(text), item.end + REACH)) for item in focus)
    found: list[tuple[int, int]] = []
    for start, end in around or [(0, WHOLE)]:
        if found and start <= found[-1][1] + 20:  # a gap as short as that is not worth its dots
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return [(_at_blank(text, start), _at_blank(text, end)) for start, end in found]


def _at_blank(text: str, place: int) -> int:
    """The next blank, so that no half word begins or ends an excerpt; a text without blanks is cut where it is."""
    blank = text.find(" ", place, place + 20) if place else -1
    return blank if blank >= 0 else place


def _segments(text: str, stretches: Sequence[Stretch], first: int, last: int) -> Iterable[Markup | str]:
    """The text between two places, cut wherever a stretch begins or ends."""
    inside = [item for item in stretches if item.start < last and item.end > first and item.start < item.end]
    edges = {first, last, *(place for item in inside for place in item[:2] if first < place < last)}
    cuts = sorted(edges)
    for start, end in itertools.pairwise(cuts):
        yield _dressed(text[start:end], {item.kind for item in inside if item.start <= start and item.end >= end})


def _dressed(piece: str, kinds: set[str]) -> Markup | str:
    said = next((kind for kind in (WRONG, RIGHT) if kind in kinds), None)
    inner: Markup | str = element("mark", piece, class_=said) if said else piece
    return element("u", inner, class_=GOLD) if GOLD in kinds else inner


def occurrences(part: str, text: str) -> list[tuple[int, int]]:
    """Where a part stands in a text as words of its own; failing that, anywhere."""
    if not part:
        return []
    for pattern in (rf"(?<!\w){re.escape(part)}(?!\w)", re.escape(part)):
        found = [match.span() for match in re.finditer(pattern, text)]
        if found:
            return found
    return []
