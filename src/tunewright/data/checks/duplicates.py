"""Duplicates: rows of one part that say the same; and the same text with different labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .. import ledger, near
from ..desk import EVERY
from .base import Check, Notebook, Severity

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
            group = 0 if row.group is None else hashed(row.group)
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


class Duplicates(Check):
    """Rows that come again teach nothing new and count twice; the same text with two labels teaches both."""

    kind: Literal["duplicates"] = "duplicates"
    title: ClassVar[str] = "duplicates"
    cost: ClassVar[int] = 1
    share: float = 0.01  # of a part's rows that come again, from which on it is a warning

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts.setdefault("duplicates", {"parts": {}})["parts"]
        for part in desk.parts.values():
            own = prints(desk, part)
            facts[part.name] = {"rows": len(own.numbers)}
            places = np.arange(len(own.numbers))
            exact, folded = first_alike(own.exact, own.label), first_alike(own.normalised, own.label)
            found = {"exact": exact < places, "normalised": (folded < places) & (exact == places)}
            for rule, first in (("exact", exact), ("normalised", folded)):
                self.tell(part, own, rule, {int(at): int(first[at]) for at in np.flatnonzero(found[rule])}, notebook)
            if desk.task.kind in CLASSIFIED:
                self.conflicts(desk, part, own, notebook)
            # Of texts that are the same only the first is compared, whatever its labels.
            left = drawn(desk, np.unique(first_alike(own.normalised)), room(desk))
            facts[part.name]["rows_compared"] = len(left)
            partners = {at: at_first for at, (at_first, _) in best_partners(desk, part, left).items()}
            self.tell(part, own, "near", partners, notebook, None if desk.task.kind in CLASSIFIED else "note")

    def tell(
        self,
        part: Part,
        own: Prints,
        rule: str,
        first: dict[int, int],
        notebook: Notebook,
        most: Severity | None = None,
    ) -> None:
        """Writes down each repetition, and how many there are; not worse than `most`."""
        count, total = len(first), len(own.numbers)
        notebook.facts["duplicates"]["parts"][part.name][rule] = count
        severity: Severity = most or ("warning" if count >= max(FEW, self.share * total) else "note")
        same = {"exact": "says the same as", "normalised": "differs only in case or punctuation from"}
        for place, at_first in first.items():
            other = int(own.numbers[at_first])
            what = f"{same.get(rule, 'differs in few words from')} row {other} ({count} such rows of {total})"
            remedy = "keep one of them, or split so that both stay in one part (near-duplicate-aware)"
            notebook.add(f"duplicates.{rule}", severity, what, remedy, part, int(own.numbers[place]), other_row=other)

    def conflicts(self, desk: Desk, part: Part, own: Prints, notebook: Notebook) -> None:
        """The same text, other labels. Of tagged words punctuation counts, because it is tagged too."""
        first = first_alike(own.normalised if desk.task.kind == "sequence_classification" else own.exact)
        found = np.flatnonzero(own.label != own.label[first])
        notebook.facts["duplicates"]["parts"][part.name]["conflicting_labels"] = len(found)
        for place in found:
            one, two = part.rows[int(first[place])], part.rows[int(place)]
            labels = [named(desk, row) for row in (one, two)]
            what = f"has the text of row {one.number} but another label: {labels[1]!r}, there {labels[0]!r}"
            details = {"other_row": one.number, "label": labels[1], "other_label": labels[0]}
            remedy = "give both the label that is right"
            notebook.add("duplicates.conflicting_labels", "warning", what, remedy, part, two.number, None, **details)


def named(desk: Desk, row: Row) -> str:
    """A row's labels in words."""
    return ", ".join(map(str, desk.task.counted(row))) if row.label else "none"
