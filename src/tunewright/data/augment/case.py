"""Case as people in a hurry use it."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from .base import Aids, Edit, Editing, Passage


class Case(Editing):
    """The text in lower case or in capitals, a few words in capitals, or every word with a capital."""

    title: ClassVar[str] = "lower case, capitals"
    kind: Literal["case"] = "case"

    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        text, found = passage.text, passage.words
        stressed = [(start, end) for start, end in passage.free_words() if end - start > 3]
        lower = [Edit(start, end, text[start:end].lower()) for start, end in found]
        upper = [Edit(start, end, text[start:end].upper()) for start, end in found]
        some = [Edit(start, end, text[start:end].upper()) for start, end in self.some(stressed, draw)]
        titled = [Edit(start, start + 1, text[start].upper()) for start, _ in found]
        ways = [lower, lower, some, some, upper, titled]  # as often as one meets them
        changing = [way for way in ways if any(text[edit.start : edit.end] != edit.text for edit in way)]
        return draw.choice(changing) if changing else []
