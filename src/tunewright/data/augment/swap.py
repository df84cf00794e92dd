"""Words that change places."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from .base import Aids, Edit, Editing, Passage, in_case_of


class Swap(Editing):
    """Some pairs of words change places (Wei and Zou 2019, section 2: random swap)."""

    title: ClassVar[str] = "words exchanged"
    kind: Literal["swap"] = "swap"
    share: float = 0.05  # of the words, each exchanged with another: twice as many move

    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        found = passage.free_words()
        movers = self.some(found, draw) if len(found) > 1 else []
        others = draw.sample([word for word in found if word not in movers], min(len(movers), len(found) - len(movers)))
        pairs = list(zip(movers, others, strict=False))
        return [edit for one, other in pairs for edit in (put(passage.text, one, other), put(passage.text, other, one))]


def put(text: str, where: tuple[int, int], what: tuple[int, int]) -> Edit:
    """One word in the place of another, capitalised as that one was."""
    old, new = text[slice(*where)], text[slice(*what)]
    return Edit(*where, in_case_of(new.lower() if new.istitle() and len(new) > 1 else new, old))
