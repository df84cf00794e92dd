"""Duplicates: rows of one part that say the same; and the same text with different labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from .alike import CLASSIFIED, FEW, Prints, best_partners, drawn, first_alike, prints, room
from .base import Check, Page, Severity

if TYPE_CHECKING:
    from ..desk import Desk


class Duplicates(Check):
    """Rows that come again teach nothing new and count twice; the same text with two labels teaches both."""

    kind: Literal["duplicates"] = "duplicates"
    title: ClassVar[str] = "duplicates"
    cost: ClassVar[int] = 1
    share: float = 0.01  # of a part's rows that come again, from which on it is a warning

    def look(self, desk: Desk, page: Page) -> dict[str, Any]:
        part, classified = page.part, desk.task.kind in CLASSIFIED
        own = prints(desk, part)
        facts: dict[str, Any] = {"rows": len(own.numbers)}
        places = np.arange(len(own.numbers))
        exact, folded = first_alike(own.exact, own.label), first_alike(own.normalised, own.label)
        for rule, first, again in (("exact", exact, exact < places),
                                   ("normalised", folded, (folded < places) & (exact == places))):  # fmt: skip
            facts[rule] = self.tell(own, rule, {int(at): int(first[at]) for at in np.flatnonzero(again)}, page)
        if classified:
            facts["conflicting_labels"] = conflicts(desk, own, page)
        # Of texts that are the same only the first is compared, whatever its labels.
        left = drawn(desk, np.unique(first_alike(own.normalised)), room(desk))
        partners = {at: at_first for at, (at_first, _) in best_partners(desk, part, left).items()}
        facts["near"] = self.tell(own, "near", partners, page, None if classified else "note")
        return facts | {"rows_compared": len(left)}

    def tell(
        self, own: Prints, rule: str, first: dict[int, int], page: Page, severity: Severity | None = None
    ) -> int:  # fmt: skip
        """Writes down each repetition; how many there are."""
        count, total = len(first), len(own.numbers)
        severity = severity or ("warning" if count >= max(FEW, self.share * total) else "note")
        same = {"exact": "says the same as", "normalised": "differs only in case or punctuation from"}
        for place, at_first in first.items():
            other = int(own.numbers[at_first])
            what = f"{same.get(rule, 'differs in few words from')} row {other} ({count} such rows of {total})"
            remedy = "keep one of them, or split so that both stay in one part (near-duplicate-aware)"
            page.add(rule, severity, what, remedy, int(own.numbers[place]), other_row=other)
        return count


def conflicts(desk: Desk, own: Prints, page: Page) -> int:
    """The same text, other labels. Of tagged words punctuation counts, because it is tagged too."""
    first = first_alike(own.normalised if desk.task.kind == "sequence_classification" else own.exact)
    found = np.flatnonzero(own.label != own.label[first])
    for place in found:
        one, two = page.part.rows[int(first[place])], page.part.rows[int(place)]
        there, here = (", ".join(map(str, desk.task.counted(row))) if row.label else "none" for row in (one, two))
        what = f"has the text of row {one.number} but another label: {here!r}, there {there!r}"
        page.warn("conflicting_labels", what, "give both the label that is right", two.number, other_row=one.number,
                  label=here, other_label=there)  # fmt: skip
    return len(found)
