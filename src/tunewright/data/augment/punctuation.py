"""Punctuation as people in a hurry use it."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

import regex

from .base import Aids, Edit, Editing, Passage

SIGN = regex.compile(r"(?<=[\p{L}\p{N}])[,;:.!?…]+(?=\s|$)")  # not in numbers, addresses and abbreviations
APOSTROPHE = regex.compile(r"(?<=\p{L})['’](?=\p{L})")
OTHERWISE = {".": ("", "", "!", "...", " ."), "!": ("", "!!", "."), "?": ("", "??", "?!"), ",": ("", "", " ,", ";"),
             "'": ("", "", "´", " "), "’": ("", "", "´", " ")}  # fmt: skip


class Punctuation(Editing):
    """Signs left out, doubled or changed; dont for don't."""

    title: ClassVar[str] = "punctuation left out or changed"
    kind: Literal["punctuation"] = "punctuation"
    share: float = 0.5  # of the signs: there are fewer of them than words

    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        found = [*SIGN.finditer(passage.text), *APOSTROPHE.finditer(passage.text)]
        edits = [Edit(match.start(), match.end(), draw.choice(OTHERWISE.get(match[0], ("",)))) for match in found
                 if passage.free(*match.span())]  # fmt: skip
        return self.some(edits, draw)
