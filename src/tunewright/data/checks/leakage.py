"""Leakage: rows of the held-out parts that training knows already, so that their scores are too good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from .alike import CLASSIFIED, FEW, Prints, best_partners, drawn, places_in, prints, room
from .base import Check, Notebook, Page, Severity

if TYPE_CHECKING:
    from ..desk import Desk, Part

SAID = {
    "exact": "has the text of",
    "normalised": "differs only in case or punctuation from",
    "near": "differs in few words from",
    "group": "belongs to the group of",
}


class Leakage(Check):
    """What is asked in a test but was trained on, or in the test and in the validation that chose the model."""

    kind: Literal["leakage"] = "leakage"
    title: ClassVar[str] = "leakage"
    cost: ClassVar[int] = 1
    share: float = 0.01  # of a part's rows, from which on its scores mean nothing

    def cannot(self, desk: Desk) -> str | None:
        return None if desk.held_out else "no validation or test part: give one (--test FILE)"

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts[self.kind] = {}
        names = list(desk.parts)
        for number, part in enumerate(desk.parts.values()):
            for known in [desk.parts[name] for name in names[:number]]:
                page = Page(notebook, self.kind, part)
                facts[f"{known.name}/{part.name}"] = self.compare(desk, known, page)

    def compare(self, desk: Desk, known: Part, page: Page) -> dict[str, Any]:
        """Rows of a part that a part before it has as well; each is told once, as what it is most of."""
        part, one_answer = page.part, desk.task.kind in CLASSIFIED  # prompts of one template ask for different answers
        theirs, own = prints(desk, known), prints(desk, part)
        exact = places_in(theirs.exact, own.exact)
        folded = np.where(exact < 0, places_in(theirs.normalised, own.normalised), -1)
        group = np.where(own.group > 0, places_in(theirs.group, own.group), -1)
        found = {rule: {int(at): int(other[at]) for at in np.flatnonzero(other >= 0)}
                 for rule, other in (("exact", exact), ("normalised", folded), ("group", group))}  # fmt: skip
        leaked = {*found["exact"], *found["normalised"]}
        severity = self.severity(known, part, len(leaked))
        tell(known, theirs, own, "exact", found["exact"], severity, page)
        tell(known, theirs, own, "normalised", found["normalised"], severity, page)
        tell(known, theirs, own, "group", found["group"], self.severity(known, part, len(found["group"])), page)
        left_out = page.notebook.leaked[part.name] if known.name == "train" else set[int]()
        left_out |= leaked
        found["near"], compared = near(desk, known, part, leaked)  # the time may be up here: what is known is told
        tell(known, theirs, own, "near", found["near"], "warning" if one_answer else "note", page)
        left_out |= set(found["near"]) if one_answer else set()
        return {"rows": len(part.rows), **{rule: len(places) for rule, places in found.items()}, **compared}

    def severity(self, known: Part, part: Part, count: int) -> Severity:
        """What validation knows of the test chose no weights, and a split made by us is not the person's fault."""
        theirs = known.name == "train" and part.table is not known.table
        return "severe" if theirs and count >= max(FEW, self.share * len(part.rows)) else "warning"


def near(desk: Desk, known: Part, part: Part, leaked: set[int]) -> tuple[dict[int, int], dict[str, int]]:
    """Rows that differ in few words from one of a part before it, as far as there is time; how many were compared."""
    left = np.setdiff1d(np.arange(len(part.rows)), np.array(sorted(leaked), dtype=np.int64))
    rows = room(desk)
    some = drawn(desk, left, rows // 2)
    theirs = drawn(desk, np.arange(len(known.rows)), rows - len(some))
    found = best_partners(desk, part, some, known, theirs)
    compared = {"rows_compared": len(some), "known_rows_compared": len(theirs)}
    return {place: partner for place, (partner, _) in found.items()}, compared


def tell(
    known: Part, theirs: Prints, own: Prints, rule: str, found: Mapping[int, int], severity: Severity, page: Page
) -> None:
    """Writes down each row, and how many there are."""
    remedy = f"take it out of {page.part.name}, or out of {known.name}; split anew so that they stay together"
    if page.part.table is known.table:
        remedy = "keep such rows in one split: data.split.kind=stratified data.split.near_duplicates=true"
    for place, partner in found.items():
        other = int(theirs.numbers[partner])
        what = f"{SAID[rule]} row {other} of {known.name} ({len(found)} such rows of {len(own.numbers)})"
        page.add(rule, severity, what, remedy, int(own.numbers[place]), other_split=known.name, other_row=other,
                 same_label=bool(theirs.label[partner] == own.label[place]))  # fmt: skip
