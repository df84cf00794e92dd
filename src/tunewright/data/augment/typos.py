"""Slips of the finger on a QWERTY keyboard."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from .base import Aids, Edit, Editing, Passage

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def neighbours() -> dict[str, str]:
    """The keys around each key: on its row, and those it touches on the rows above and below."""
    keys = {
        letter: (column + 0.5 * row, row) for row, letters in enumerate(ROWS) for column, letter in enumerate(letters)
    }
    near = lambda a, b: a != b and abs(a[0] - b[0]) <= 1 and abs(a[1] - b[1]) <= 1  # noqa: E731
    return {one: "".join(other for other in keys if near(keys[one], keys[other])) for one in keys}


NEIGHBOURS = neighbours()


class Typos(Editing):
    """One slip in some of the words: a neighbouring key, two letters exchanged, one left out or doubled."""

    title: ClassVar[str] = "typing slips"
    kind: Literal["typos"] = "typos"

    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        long = [(start, end) for start, end in passage.free_words() if end - start > 3]
        return [slip(passage.text, start, end, draw) for start, end in self.some(long, draw)]


def slip(text: str, start: int, end: int, draw: random.Random) -> Edit:
    """One slip in a word; the first letter, by which people read, stays."""
    place = draw.randrange(start + 1, end - 1)
    letter, following = text[place], text[place + 1]
    near = NEIGHBOURS.get(letter.lower(), "")
    ways = [
        "leave out",
        "double",
        *(["exchange"] * 2 if following != letter else []),
        *(["neighbour"] * 2 if near else []),
    ]
    way = draw.choice(ways)
    if way == "exchange":
        return Edit(place, place + 2, following + letter)
    if way == "neighbour":
        key = draw.choice(near)
        return Edit(place, place + 1, key.upper() if letter.isupper() else key)
    return Edit(place, place + 1, "" if way == "leave out" else letter * 2)
