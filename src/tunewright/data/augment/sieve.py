"""What of the new rows is kept: near-copies, texts that drifted away and flipped labels are found here."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ledger import normalised
from .base import Edit, Passage

ALIKE = 0.95  # share of the words that a rewritten text may have in common, in their order, with the one it was made of
SURE = 0.8  # probability of another label from which the probe's word counts
WINDOW = 40  # characters on either side of an edit by which its sense is judged
COMPARED = 2000  # words of a text that are compared one by one


class Copies:
    """Which texts there are already: 8 bytes for each of the file, more only for new ones."""

    def __init__(self, texts: Iterable[tuple[str, ...]]) -> None:
        self.originals = np.unique(np.fromiter(map(fingerprint, texts), dtype=np.uint64))
        self.made: set[int] = set()

    def has(self, text: tuple[str, ...]) -> bool:
        """Whether a text is there, blanks and the encoding of accents apart."""
        key = fingerprint(text)
        place = np.searchsorted(self.originals, np.uint64(key))
        return key in self.made or bool(place < len(self.originals) and int(self.originals[place]) == key)

    def add(self, text: tuple[str, ...]) -> None:
        self.made.add(fingerprint(text))


def fingerprint(text: tuple[str, ...]) -> int:
    content = " \0 ".join(" ".join(unicodedata.normalize("NFC", part).split()) for part in text)
    return int.from_bytes(hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def hardly_rewritten(before: str, after: str) -> bool:
    """Whether a rewritten text is the old one but for case, punctuation and a word or two of many."""
    one, other = (
        [word.strip(".,;:!?…'\"") for word in normalised((text,)).split()][:COMPARED] for text in (before, after)
    )
    return one == other or SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE


def around(passage: Passage, edit: Edit) -> tuple[str, str]:
    """The words around an edit, before it and after it: of a whole text one word would hardly change the features."""
    start, end = max(0, edit.start - WINDOW), min(len(passage.text), edit.end + WINDOW)
    head, tail = passage.text[start : edit.start], passage.text[edit.end : end]
    head = head.partition(" ")[2] if start and " " in head else head
    tail = tail.rpartition(" ")[0] if end < len(passage.text) and " " in tail else tail
    return f"{head}{passage.text[edit.start : edit.end]}{tail}", f"{head}{edit.text}{tail}"


def cosines(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) of (N, d) and (N, d)."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    found: NDArray[np.float32] = (first * second).sum(1) / np.maximum(lengths, 1e-12)
    return found


class Judge:
    """The probe, fitted on the originals: says of new rows whether they still look like their label."""

    def __init__(self, features: NDArray[np.float32], labels: Sequence[Any], known: Sequence[Any]) -> None:
        from .. import probe

        self.places = {label: place for place, label in enumerate(known)}
        targets = np.array([self.places[label] for label in labels])
        self.probe = probe.fit(features, targets, len(known))

    def flipped(
        self, features: NDArray[np.float32], labels: Sequence[Any], strict: Sequence[bool] | None = None
    ) -> list[bool]:
        """Whether another label is most probable, and surely so; strict: for these rows also where it is not sure."""
        found = self.probe.probabilities(features)
        own = np.array([self.places[label] for label in labels])
        enough = np.where(strict if strict is not None else False, 0.0, SURE)
        return [bool(flip) for flip in (found.argmax(1) != own) & (found.max(1) > enough)]
