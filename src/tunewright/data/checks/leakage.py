"""Leakage: rows of the held-out parts that training knows already, so that their scores are too good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from .base import Check, Notebook, Severity
from .duplicates import CLASSIFIED, FEW, Hashes, Places, Prints, best_partners, drawn, prints, room

if TYPE_CHECKING:
    from ..desk import Desk, Part

SAID = {
    "exact": "has the text of",
    "normalised": "differs only in case or punctuation from",
    "near": "differs in few words from",
    "group": "belongs to the group of",
}


def places_in(known: Hashes, wanted: Hashes) -> Places:
    """(N,) for each one wanted its first place among those known, or -1."""
    values, first = np.unique(known, return_index=True)
    if not len(values):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return np.where(values[at] == wanted, first[at], -1)


class Leakage(Check):
    """What is asked in a test but was trained on, or in the test and in the validation that chose the model."""

    kind: Literal["leakage"] = "leakage"
    title: ClassVar[str] = "leakage"
    cost: ClassVar[int] = 1
    share: float = 0.01  # of a part's rows, from which on its scores mean nothing

    def cannot(self, desk: Desk) -> str | None:
        return None if desk.held_out else "no validation or test part: give one (--test FILE)"

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts.setdefault("leakage", {"parts": {}})["parts"]
        names = list(desk.parts)
        for number, part in enumerate(desk.parts.values()):
            for known in [desk.parts[name] for name in names[:number]]:
                counts = facts.setdefault(f"{known.name}/{part.name}", {"rows": len(part.rows)})
                self.compare(desk, known, part, counts, notebook)

    def compare(self, desk: Desk, known: Part, part: Part, counts: dict[str, int], notebook: Notebook) -> None:
        """Rows of a part that a part before it has as well; each is told once, as what it is most of."""
        theirs, own = prints(desk, known), prints(desk, part)
        found: dict[str, dict[int, int]] = {}
        partners = {"exact": places_in(theirs.exact, own.exact)}
        partners["normalised"] = np.where(partners["exact"] < 0, places_in(theirs.normalised, own.normalised), -1)
        grouped = places_in(theirs.group, own.group)
        partners["group"] = np.where(own.group > 0, grouped, -1)
        for rule, other in partners.items():
            found[rule] = {int(at): int(other[at]) for at in np.flatnonzero(other >= 0)}
        severity = self.severity(known, part, len(found["exact"]) + len(found["normalised"]))
        severities = {"exact": severity, "normalised": severity}
        severities["group"] = self.severity(known, part, len(found["group"]))
        for rule in partners:
            self.tell((known, theirs), (part, own), rule, found[rule], severities[rule], notebook)
            counts[rule] = len(found[rule])
        leaked = set(found["exact"]) | set(found["normalised"])
        if known.name == "train":
            notebook.leaked[part.name] |= leaked
        near = self.near(desk, known, part, leaked, counts)
        counts["near"] = len(near)
        one_answer = desk.task.kind in CLASSIFIED  # prompts made from one template ask for different answers
        if known.name == "train" and one_answer:
            notebook.leaked[part.name] |= set(near)
        self.tell((known, theirs), (part, own), "near", near, "warning" if one_answer else "note", notebook)

    def severity(self, known: Part, part: Part, count: int) -> Severity:
        """What validation knows of the test chose no weights, and a split made by us is not the person's fault."""
        theirs = known.name == "train" and part.table is not known.table
        return "severe" if theirs and count >= max(FEW, self.share * len(part.rows)) else "warning"

    def near(self, desk: Desk, known: Part, part: Part, leaked: set[int], counts: dict[str, int]) -> dict[int, int]:
        """Rows that differ in few words from one of a part before it, as far as there is time to compare them."""
        left = np.setdiff1d(np.arange(len(part.rows)), np.array(sorted(leaked), dtype=np.int64))
        rows = room(desk)
        some = drawn(desk, left, rows // 2)
        theirs = drawn(desk, np.arange(len(known.rows)), rows - len(some))
        counts["rows_compared"], counts["known_rows_compared"] = len(some), len(theirs)
        found = best_partners(desk, part, some, known, theirs)
        return {place: partner for place, (partner, _) in found.items()}

    def tell(
        self, known: tuple[Part, Prints], part: tuple[Part, Prints], rule: str, found: Mapping[int, int],
        severity: Severity, notebook: Notebook,
    ) -> None:  # fmt: skip
        """Writes down each row, and how many there are."""
        (other_part, theirs), (own_part, own) = known, part
        remedy = f"take it out of {own_part.name}, or out of {other_part.name}; split anew so that they stay together"
        if own_part.table is other_part.table:
            remedy = "keep such rows in one split: data.split.kind=stratified data.split.near_duplicates=true"
        for place, partner in found.items():
            other = int(theirs.numbers[partner])
            what = f"{SAID[rule]} row {other} of {other_part.name} ({len(found)} such rows of {len(own.numbers)})"
            details = {"other_split": other_part.name, "other_row": other}
            details["same_label"] = bool(theirs.label[partner] == own.label[place])
            notebook.add(f"leakage.{rule}", severity, what, remedy, own_part, int(own.numbers[place]), None, **details)
