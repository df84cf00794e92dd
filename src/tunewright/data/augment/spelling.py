"""Spelling mistakes that people make, in English."""

from __future__ import annotations

import random
import re
from typing import ClassVar, Literal

from .base import Aids, Edit, Editing, Passage, in_case_of

HEARD_ALIKE = (
    "their there they're", "your you're", "its it's", "to too", "then than", "were where", "lose loose", "whose who's",
    "weather whether", "affect effect", "accept except", "quite quiet", "passed past", "here hear", "brake break",
    "right write", "piece peace", "whole hole", "waste waist", "mail male", "sent cent", "week weak", "wait weight",
)  # fmt: skip
RULES = (  # (what is written, what people write), on words in lower case
    (r"cei", "cie"), (r"(?<=[a-z])ie(?=[a-z])", "ei"), (r"(?<=[a-z])ei(?=[a-z])", "ie"),
    (r"ible\b", "able"), (r"able\b", "ible"), (r"ance\b", "ence"), (r"ence\b", "ance"), (r"ant\b", "ent"),
    (r"ally\b", "aly"), (r"tely\b", "tly"), (r"ely\b", "ly"), (r"ful\b", "full"), (r"tion\b", "sion"),
    (r"(?<=[a-z])([bcdfglmnprst])\1(?=[a-z])", r"\1"), (r"(?<=[aeiou])([lmnprst])(?=[aeiou][a-z])", r"\1\1"),
    (r"(?<=[a-z])ou(?=r)", "o"), (r"ph(?=[a-z])", "f"), (r"(?<=[a-z])gh", "g"), (r"y(?=s\b)", "ie"),
)  # fmt: skip
ALIKE = {word: [other for other in group.split() if other != word] for group in HEARD_ALIKE for word in group.split()}


class Spelling(Editing):
    """Some words misspelt by rule: words that sound alike, ie for ei, letters doubled or single, endings."""

    title: ClassVar[str] = "misspelt words"
    kind: Literal["spelling"] = "spelling"

    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        found = [(start, end, misspelt(passage.text[start:end])) for start, end in passage.free_words()]
        able = [item for item in found if item[2]]
        count = round(self.share * len(found))
        return [
            Edit(start, end, draw.choice(ways)) for start, end, ways in draw.sample(able, min(len(able), max(1, count)))
        ]


def misspelt(word: str) -> list[str]:
    """The ways in which a word is likely to be misspelt."""
    lower = word.lower().replace("’", "'")
    if lower in ALIKE:
        return [in_case_of(other, word) for other in ALIKE[lower]]
    if len(lower) < 5 or not lower.isascii():
        return []
    ways = {re.sub(pattern, wrong, lower, count=1) for pattern, wrong in RULES}
    return sorted(in_case_of(way, word) for way in ways - {lower})
