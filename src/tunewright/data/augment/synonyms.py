"""Words replaced by others of the same sense."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from .base import STOPWORDS, Aids, Edit, Editing, Passage, in_case_of

VOWELS = "aeiou"
ALTERNATIVES = 4  # for a word, of which the one that suits the words around it is taken
Bend = Callable[[str], str]


class Synonyms(Editing):
    """Some words replaced from a table (Wei and Zou 2019, section 2), by what suits the words around them."""

    title: ClassVar[str] = "words of the same sense"
    needs: ClassVar[str] = "table"
    kind: Literal["synonyms"] = "synonyms"
    least_cosine: float | None = 0.9  # docs/augmentation.md shows what lies below and above

    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        found = [(start, end) for start, end in passage.free_words() if passage.in_sentence(start)]
        able = [(*span, others) for span in found if (others := synonyms_of(passage.text[slice(*span)], aids.synonyms))]
        chosen = draw.sample(able, min(len(able), max(1, round(self.share * len(found)))))
        return [
            replaced(passage, start, end, in_case_of(word, passage.text[start:end]))
            for start, end, others in chosen
            for word in draw.sample(others, min(len(others), ALTERNATIVES))
        ]


def synonyms_of(word: str, table: Mapping[str, Sequence[str]]) -> list[str]:
    """Words for a word: its own, else those of its stem, bent as it is (naively: the filter is to judge)."""
    word = word.lower()
    if word in STOPWORDS or len(word) < 3:
        return []
    ways: list[tuple[str, Bend]] = [(word, str), *stems(word)]
    for stem, bend in ways:
        if stem in table and stem not in STOPWORDS:
            others = [other for other in table[stem] if not forms_of_one(other, stem)]
            plain = others if bend is str else [other for other in others if not other.endswith(("s", "ed", "ing"))]
            return [bend(other) for other in plain]
    return []


def forms_of_one(one: str, other: str) -> bool:
    """Whether two words look like one, bent in two ways: tables have arrive for arrived."""
    least = max(3, min(len(one), len(other)) - 2)
    return one[:least] == other[:least]


def stems(word: str) -> list[tuple[str, Bend]]:
    """(stem, how to bend another word alike) for regular English endings."""
    found: list[tuple[str, Bend]] = []
    if word.endswith("ies"):
        found.append((word[:-3] + "y", with_s))
    if word.endswith("s") and not word.endswith("ss"):
        found += [(word[:-1], with_s), (word[:-2], with_s)]
    endings: tuple[tuple[str, Bend], ...] = (("ed", with_ed), ("ing", with_ing))
    for ending, bend in endings:
        stem = word.removesuffix(ending)
        if len(stem) > 2 and stem != word:
            found += [(stem, bend), (stem + "e", bend), *([(stem[:-1], bend)] if stem[-1] == stem[-2] else [])]
    return found


def with_s(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in VOWELS:
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


def with_ed(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in VOWELS:
        return word[:-1] + "ied"
    return word + ("d" if word.endswith("e") else "ed")


def with_ing(word: str) -> str:
    return (word[:-1] if word.endswith("e") and not word.endswith("ee") else word) + "ing"


def replaced(passage: Passage, start: int, end: int, word: str) -> Edit:
    """The word in the place of another; an article right before it as the new one wants it."""
    before = next((span for span in passage.words if span[1] == start - 1), (start, start))
    old, wanted = passage.text[slice(*before)], "an" if word[:1].lower() in VOWELS else "a"
    if old.lower() in ("a", "an") and old.lower() != wanted:
        return Edit(before[0], end, f"{in_case_of(wanted, old)} {word}")
    return Edit(start, end, word)
