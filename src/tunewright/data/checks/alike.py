"""Rows that are alike: hashes of what they ask, and near-duplicates; made once for all checks that compare rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import ledger, near
from ..desk import EVERY

if TYPE_CHECKING:
    from ..desk import Desk, Part
    from ..row import Row

CLASSIFIED = ("sequence_classification", "token_classification")  # one text has one right answer
PATIENCE = 0.2  # share of the time left that near-duplicates of one part may take
PER_SECOND = 4000  # rows that are surely compared in a second of one core
MOST = 1_000_000  # rows that are compared
CHARACTERS = 20_000  # of a text that are compared: near-duplicates differ nowhere much
FEW = 5  # rows; fewer are never worth more than a note
Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Prints:
    """Of each row 8 bytes each: its number, and hashes of its text, its text as normalised, its label, its group."""

    numbers: Places
    exact: Hashes
    normalised: Hashes
    label: Hashes
    group: Hashes  # 0: none


def prints(desk: Desk, part: Part) -> Prints:
    """Made once for all checks."""

    def make() -> Prints:
        found = np.empty((5, len(part.rows)), dtype=np.uint64)
        for place, row in enumerate(desk.each(part, "hashes of texts")):
            texts = asked(row)
            own = desk.group_of(part, row)
            group = 0 if own is None else hashed(own)
            found[:, place] = row.number, hashed("\0".join(texts)), hashed(normalised(texts)), answer(row), group
        return Prints(found[0].astype(np.int64), *found[1:])

    known: Prints = desk.once(("prints", part.name), make)
    return known


def asked(row: Row) -> tuple[str, ...]:
    """What a row asks: its texts, or every turn of a dialogue but the answer."""
    if row.dialogue is None:
        return row.text
    messages = row.dialogue.messages
    if messages and messages[-1].get("role") == "assistant":
        messages = messages[:-1]
    return tuple(str(message.get("content") or "") for message in messages)


def answer(row: Row) -> int:
    """A hash of the label; the order of several labels does not matter."""
    label = row.label
    return hashed(repr(sorted(label, key=repr) if type(label) is tuple else label))


def normalised(texts: Sequence[str]) -> str:
    """Without case, width, punctuation and blanks; a text of nothing else keeps its punctuation."""
    return "\0".join(" ".join(near.words(text)) or ledger.normalised((text,)) for text in texts)


def hashed(text: str) -> int:
    """8 bytes; never 0."""
    raw = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "little") or 1


def first_alike(*keys: Hashes) -> Places:
    """(N,) for each row the first one that is the same in all of these."""
    joined = keys[0].copy()
    for key in keys[1:]:
        joined = joined * np.uint64(0x9E3779B97F4A7C15) ^ key
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    return first[inverse]


def places_in(known: Hashes, wanted: Hashes) -> Places:
    """(N,) for each one wanted its first place among those known, or -1."""
    values, first = np.unique(known, return_index=True)
    if not len(values):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    return np.where(values[at] == wanted, first[at], -1)


def room(desk: Desk) -> int:
    """Rows that may be compared in the time left."""
    return int(max(0, min(MOST, desk.seconds_left() * PATIENCE * PER_SECOND)))


def drawn(desk: Desk, places: Places, count: int) -> Places:
    """At most `count` of these places, ascending: the same for the same seed."""
    if len(places) <= count:
        return places
    return np.sort(np.random.default_rng([desk.seed, 42]).choice(places, count, replace=False))


def texts_at(desk: Desk, part: Part, places: Places) -> Iterator[str]:
    for done, place in enumerate(places.tolist()):
        if done % EVERY == 0:
            desk.progress(f"near-duplicates: {part.name}", done, len(places))
        yield " ".join(asked(part.rows[place]))[:CHARACTERS]


def near_in_each(one: Row, other: Row) -> bool:
    """Of rows with several texts: whether each is near, so that two questions on one long context are not."""
    if one.dialogue is not None or len(one.text) < 2:
        return True
    return all(
        normalised((first,)) == normalised((second,)) or near.similarity(first, second) >= near.THRESHOLD
        for first, second in zip(one.text, other.text, strict=False)
    )


def best_partners(
    desk: Desk, part: Part, places: Places, known: Part | None = None, known_places: Places | None = None
) -> dict[int, tuple[int, float]]:
    """`{place: (the place that it is nearest to, similarity)}`, of the same part or of a `known` one."""

    def progress(done: int, total: int) -> None:
        desk.progress(f"near-duplicates: {part.name}", done, total)

    texts, source, found = texts_at(desk, part, places), known or part, dict[int, tuple[int, float]]()
    if known is None or known_places is None:
        firsts, pairs = places, near.pairs(texts, progress=progress)
    else:
        firsts, pairs = known_places, near.pairs(texts_at(desk, known, known_places), texts, progress=progress)
    for first, second, share in pairs:
        place, partner = int(places[second]), int(firsts[first])
        better = share > found.get(place, (0, 0.0))[1]
        if better and near_in_each(source.rows[partner], part.rows[place]):
            found[place] = partner, share
    return found
