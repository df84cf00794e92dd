"""Words left out."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from .base import Aids, Edit, Editing, Passage


class Deletion(Editing):
    """Some words left out, though never a negation and never all (Wei and Zou 2019, section 2: random deletion)."""

    title: ClassVar[str] = "words left out"
    kind: Literal["deletion"] = "deletion"

    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        found = passage.free_words()
        if len(passage.text.split()) < 3:  # what is left would say nothing
            return []
        return [without(passage, start, end) for start, end in self.some(found, draw)[: len(found) - 1]]


def without(passage: Passage, start: int, end: int) -> Edit:
    """A word and the blanks on one side of it."""
    text, last, first = passage.text, end, start
    while last < len(text) and text[last].isspace():
        last += 1
    while first > 0 and text[first - 1].isspace():
        first -= 1
    for one, other in ((start, last), (first, end)):
        if other - one > end - start and passage.free(one, other):
            return Edit(one, other, "")
    return Edit(start, end, "")
