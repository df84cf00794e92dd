"""Tag schemes: how a sequence of tags spells entities (Ramshaw and Marcus 1995; Tjong Kim Sang and Veenstra 1999)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int, str]  # first word, one past the last, type
Scheme = Literal["IOB1", "IOB2", "BIOES", "plain"]
TAG = re.compile(r"([A-Z])-(.+)", re.DOTALL)
LETTERS = {"L": "E", "U": "S", "W": "S", "M": "I"}  # BILOU and BMEWO


def parts(tag: str) -> tuple[str, str]:
    """(prefix, type): `("O", "")`, or B, I, E, S and a type. Raises ValueError for what is no tag of a scheme."""
    if tag == "O":
        return "O", ""
    match = TAG.fullmatch(tag)
    letter = LETTERS.get(match[1], match[1]) if match else ""
    if match is None or letter not in "BIES":
        raise ValueError(f"{tag!r} is no tag of a scheme")
    return letter, match[2]


def detect(sequences: Sequence[Sequence[str]]) -> Scheme:
    """The scheme that these tags are of.

    BIOES by its letters; IOB1 where more entities begin with I than with B (there B only parts neighbours of one type);
    IOB2 else; plain where a tag has no prefix at all.
    """
    letters, with_i, with_b = set[str](), 0, 0
    for tags in sequences:
        before = ""
        for tag in tags:
            try:
                letter, kind = parts(tag)
            except ValueError:
                return "plain"
            letters.add(letter)
            with_i += letter == "I" and kind != before
            with_b += letter == "B" and kind != before
            before = kind
    if letters & {"E", "S"}:
        return "BIOES"
    return "IOB1" if with_i > with_b else "IOB2"


def spans(tags: Sequence[str], scheme: str, strict: bool = True) -> list[Span]:
    """The entities that tags spell; strict: what does not fit the scheme spells nothing (seqeval's strict mode)."""
    if not strict:
        return mended_spans(tags, scheme)[0]
    return {"IOB1": _iob1, "IOB2": _iob2, "BIOES": _bioes}[scheme]([parts(tag) for tag in tags])


def _iob2(tags: list[tuple[str, str]]) -> list[Span]:
    found: list[Span] = []
    for place, (letter, kind) in enumerate(tags):
        if letter == "B":
            found.append((place, place + 1, kind))
        elif letter == "I" and found and found[-1][1] == place and found[-1][2] == kind:
            found[-1] = (found[-1][0], place + 1, kind)
    return found


def _iob1(tags: list[tuple[str, str]]) -> list[Span]:
    found: list[Span] = []
    before = ""
    for place, (letter, kind) in enumerate(tags):
        if letter == "I" and before == kind:
            found[-1] = (found[-1][0], place + 1, kind)
        elif letter == "I" or (letter == "B" and before == kind):
            found.append((place, place + 1, kind))
        before = kind if letter != "O" and found and found[-1][1] == place + 1 else ""
    return found


def _bioes(tags: list[tuple[str, str]]) -> list[Span]:
    found: list[Span] = []
    start, inside = 0, ""
    for place, (letter, kind) in enumerate(tags):
        if letter == "S":
            found.append((place, place + 1, kind))
        elif letter == "E" and inside == kind:
            found.append((start, place + 1, kind))
        if letter == "B":
            start, inside = place, kind
        elif letter != "I" or inside != kind:
            inside = ""
    return found


def conll_spans(tags: Sequence[str]) -> list[Span]:
    """The entities as conlleval reads them, whatever the scheme: I after O or after another type begins one too."""
    found: list[Span] = []
    before = ("O", "")
    for place, tag in enumerate(tags):
        letter, kind = parts(tag)
        begins = letter in "BS" or (letter in "IE" and (before[0] in "OES" or before[1] != kind))
        if letter != "O":
            if begins:
                found.append((place, place + 1, kind))
            else:
                found[-1] = (found[-1][0], place + 1, kind)
        before = (letter, kind)
    return found


def mended_spans(tags: Sequence[str], scheme: str) -> tuple[list[Span], int]:
    """The entities of a file's tags read as conlleval does, and how many tags are not as its scheme would have them."""
    found = conll_spans(tags)
    wanted = tags_of(found, len(tags), scheme)
    return found, sum(parts(tag) != parts(other) for tag, other in zip(tags, wanted, strict=True))


def tags_of(spans: Sequence[Span], length: int, scheme: str) -> list[str]:
    """The tags that spell entities. Raises ValueError where two overlap."""
    tags = ["O"] * length
    ends: dict[int, str] = {}
    for start, end, kind in sorted(spans):
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"two entities overlap at word {start}")
        letters = spelled(end - start, scheme, ends.get(start) == kind)
        tags[start:end] = [f"{letter}-{kind}" for letter in letters]
        ends[end] = kind
    return tags


def spelled(length: int, scheme: str, follows: bool) -> str:
    """The letters of one entity; `follows`: another of its type ends right before it."""
    if scheme == "BIOES":
        return "S" if length == 1 else f"B{'I' * (length - 2)}E"
    return ("B" if scheme == "IOB2" or follows else "I") + "I" * (length - 1)


def tag_names(types: Sequence[str], scheme: str) -> tuple[str, ...]:
    """All tags, O first."""
    letters = "BIES" if scheme == "BIOES" else "BI"
    return ("O", *(f"{letter}-{kind}" for kind in types for letter in letters))


def transitions(names: Sequence[str], scheme: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """What IOB2 or BIOES allows: (C,) may start, (C, C) may follow (from, to), (C,) may end."""
    known = [parts(name) for name in names]
    closed = {"O", "E", "S"} if scheme == "BIOES" else {"O", "B", "I"}  # after these an entity may be over
    opens = {"O", "B", "S"}

    def follows(before: tuple[str, str], after: tuple[str, str]) -> bool:
        if after[0] in opens:
            return before[0] in closed
        return before[0] in "BI" and before[1] == after[1]

    start = np.array([letter in opens for letter, _ in known])
    follow = np.array([[follows(before, after) for after in known] for before in known])
    return start, follow, np.array([letter in closed for letter, _ in known])


def best_legal_path(scores: NDArray[Any], start: Any, follow: Any, end: Any) -> NDArray[np.int64]:
    """(T,) the sequence of the largest sum of (T, C) scores among the legal ones (Viterbi; Forney 1973)."""
    barred = np.where(follow, 0.0, -np.inf)
    best = np.where(start, scores[0], -np.inf)
    back = np.zeros(scores.shape, dtype=np.int64)
    for place in range(1, len(scores)):
        reached = best[:, None] + barred
        back[place] = reached.argmax(0)
        best = reached.max(0) + scores[place]
    path = np.zeros(len(scores), dtype=np.int64)
    path[-1] = int(np.where(end, best, -np.inf).argmax())
    for place in range(len(scores) - 1, 0, -1):
        path[place - 1] = back[place, path[place]]
    return path
