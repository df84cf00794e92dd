"""Tag schemes: how one tag a word spells the entities of a sentence.

IOB1 (Ramshaw and Marcus 1995): an entity begins with I, and with B only right after another of its type. IOB2 (named
by Tjong Kim Sang and Veenstra 1999): it always begins with B. BIOES, also written BILOU (Ratinov and Roth 2009) or
BMEWO: it begins with B and ends with E, or is one S. plain: tags without prefixes, such as parts of speech.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int, str]  # first word, one past the last, type
Scheme = Literal["IOB1", "IOB2", "BIOES", "plain"]
Tag = tuple[str, str]  # letter, type; ("O", "") outside
Flags = NDArray[np.bool_]

TAG = re.compile(r"([BIESLUMW])-(.+)", re.DOTALL)
LETTERS = {"L": "E", "U": "S", "W": "S", "M": "I"}  # of BILOU and BMEWO
SPELLED = {"IOB1": "BI", "IOB2": "BI", "BIOES": "BIES"}
OUTSIDE: Tag = ("O", "")
FARTHEST = -1e30  # stands for a score of -inf, which would make legal and illegal paths equal


@lru_cache(maxsize=65536)
def parse(tag: str) -> Tag:
    """`B-person` is ("B", "person"); letters of BILOU and BMEWO become those of BIOES.

    Raises:
        ValueError: neither O nor a capital letter of a scheme, a hyphen and a type.
    """
    if tag == "O":
        return OUTSIDE
    match = TAG.fullmatch(tag)
    if match is None:
        raise ValueError(f"{tag!r} is no tag of a scheme")
    return LETTERS.get(match[1], match[1]), match[2]


def detect(sequences: Sequence[Sequence[str]]) -> Scheme:
    """The scheme in which most of a file is written, so that a few faulty tags don't hide it.

    plain: most tags other than O have no prefix. BIOES: at least half of the entities (as conlleval finds them) end in
    E or S. Of the entities that do not follow another of their type, IOB1 begins all with I and IOB2 all with B: most
    of them decide. Where nothing tells, as in a file of O only, it is IOB2.
    """
    known = {tag: tag == "O" or TAG.fullmatch(tag) is not None for tags in sequences for tag in tags}
    inside = [known[tag] for tags in sequences for tag in tags if tag != "O"]
    if 2 * sum(inside) < len(inside):
        return "plain"
    ends, begins = [], []
    for tags in sequences:
        parsed = [parse(tag) if known[tag] else OUTSIDE for tag in tags]
        for start, end, kind in chunks(parsed):
            ends.append(parsed[end - 1][0] in "ES")
            if start == 0 or parsed[start - 1][1] != kind:
                begins.append(parsed[start][0] == "I")
    if ends and 2 * sum(ends) >= len(ends):
        return "BIOES"
    return "IOB1" if 2 * sum(begins) > len(begins) else "IOB2"


# --- from tags to entities ------------------------------------------------------------------------------------------


def spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The entities that tags spell exactly as the scheme wants, in their order; of plain tags every word with its tag.

    Of IOB2 and BIOES they are those of seqeval's mode="strict".

    Raises:
        ValueError: a tag is not of the scheme.
    """
    if scheme == "plain":
        return [(place, place + 1, tag) for place, tag in enumerate(tags)]
    parsed = parse_all(tags, scheme)
    found = chunks(parsed)
    wanted = [parse(tag) for tag in tags_of(found, len(tags), scheme)]
    return [span for span in found if parsed[slice(*span[:2])] == wanted[slice(*span[:2])]]


def parse_all(tags: Sequence[str], scheme: str) -> list[Tag]:
    """Raises ValueError where a letter is not of this scheme."""
    parsed = [parse(tag) for tag in tags]
    for tag, (letter, _) in zip(tags, parsed, strict=True):
        if letter not in SPELLED[scheme] and letter != "O":
            raise ValueError(f"{tag!r} is no tag of {scheme}")
    return parsed


def conll_spans(tags: Sequence[str]) -> list[Span]:
    """The entities as conlleval reads them, whatever the scheme: no entity is lost, and O alone is outside.

    Its startOfChunk and endOfChunk, CoNLL-2000. That script knows B, I, O, and E as in IOE; here B and S always begin
    and E and S always end, as seqeval's default mode has it, so that BIOES is read as well.

    Raises:
        ValueError: a tag is of no scheme.
    """
    return chunks([parse(tag) for tag in tags])


def chunks(tags: Sequence[Tag]) -> list[Span]:
    found: list[Span] = []
    before = OUTSIDE
    for place, here in enumerate(tags):
        letter, kind = here
        if letter != "O":
            begins = letter in "BS" or before[0] in "OES" or before[1] != kind
            start = place if begins else found.pop()[0]
            found.append((start, place + 1, kind))
        before = here
    return found


def mended_spans(tags: Sequence[str], scheme: str) -> tuple[list[Span], int]:
    """The entities of a file's tags as conlleval reads them, and how many tags the scheme would have spelled otherwise.

    Raises:
        ValueError: a tag is of no scheme.
    """
    if scheme == "plain":
        return spans(tags, scheme), 0
    found = conll_spans(tags)
    respelled = tags_of(found, len(tags), scheme)
    return found, sum(parse(tag) != parse(other) for tag, other in zip(tags, respelled, strict=True))


# --- from entities to tags ------------------------------------------------------------------------------------------


def tags_of(spans: Sequence[Span], length: int, scheme: str) -> list[str]:
    """The tags of a sentence of `length` words that spell these entities, given in any order; O elsewhere.

    Raises:
        ValueError: two overlap, one is empty or outside of the sentence, or a plain tag has several words.
    """
    tags, reached, last = ["O"] * length, 0, ""
    for start, end, kind in sorted(spans):
        if not 0 <= start < end <= length or (scheme == "plain" and end - start > 1):
            raise ValueError(f"words {start} to {end} of {length} can't be {kind!r} as {scheme}")
        if start < reached:
            raise ValueError(f"two entities overlap at word {start}")
        tags[start:end] = spelled(kind, end - start, scheme, start == reached and kind == last)
        reached, last = end, kind
    return tags


def spelled(kind: str, length: int, scheme: str, follows: bool) -> list[str]:
    """The tags of one entity; `follows`: another of its type ends right before it."""
    if scheme == "plain":
        return [kind]
    if scheme == "BIOES":
        letters = "S" if length == 1 else f"B{'I' * (length - 2)}E"
    else:
        first = {"IOB1": "B" if follows else "I", "IOB2": "B"}[scheme]
        letters = first + "I" * (length - 1)
    return [f"{letter}-{kind}" for letter in letters]


def tag_names(types: Sequence[str], scheme: str) -> tuple[str, ...]:
    """Every tag: O, then those of each type in the given order; plain tags are the types themselves."""
    if scheme == "plain":
        return tuple(types)
    return ("O", *(f"{letter}-{kind}" for kind in types for letter in SPELLED[scheme]))


# --- legal sequences ------------------------------------------------------------------------------------------------


def transitions(names: Sequence[str], scheme: str) -> tuple[Flags, Flags, Flags]:
    """Which sequences of tags the scheme can have spelled.

    Returns:
        (C,) may be first; (C, C) from the row's tag to the column's; (C,) may be last.

    Raises:
        ValueError: a name is no tag of the scheme.
    """
    size = len(names)
    if scheme == "plain":
        return np.ones(size, bool), np.ones((size, size), bool), np.ones(size, bool)
    tags = parse_all(names, scheme)
    start = np.array([may_follow(OUTSIDE, tag, scheme) for tag in tags], dtype=bool)
    follow = np.array([[may_follow(before, after, scheme) for after in tags] for before in tags], dtype=bool)
    return start, follow.reshape(size, size), np.array([may_follow(tag, OUTSIDE, scheme) for tag in tags], dtype=bool)


def may_follow(before: Tag, after: Tag, scheme: str) -> bool:
    same = before[1] == after[1] and before[0] != "O"
    if scheme == "IOB2":
        return after[0] != "I" or same
    if before[0] in "BI":  # an entity is open
        return after[0] in "IE" and same
    return after[0] in "OBS"


def best_legal_path(scores: NDArray[Any], start: Flags, follow: Flags, end: Flags) -> NDArray[np.int64]:
    """(T,) the legal sequence of tags whose (T, C) scores have the largest sum: Viterbi's algorithm (Forney 1973).

    Exact. Scores may be -inf: a sequence that needs them is chosen only where every legal one does.

    Args:
        start, follow, end: of `transitions`.

    Raises:
        ValueError: no sequence of that length is legal.
    """
    greedy = scores.argmax(1) if len(scores) else np.zeros(0, dtype=np.int64)
    if not len(greedy) or (start[greedy[0]] and end[greedy[-1]] and follow[greedy[:-1], greedy[1:]].all()):
        return greedy  # the best of all sequences is legal
    floored = np.maximum(scores.astype(np.float64), FARTHEST)
    barred = np.where(follow.T, 0.0, -np.inf)  # (to, from), so that the reduction runs along memory
    best, back = np.where(start, floored[0], -np.inf), []
    for row in floored[1:]:
        reached = barred + best
        back.append(reached.argmax(1))
        best = reached.max(1) + row
    best = np.where(end, best, -np.inf)
    if not np.isfinite(best).any():
        raise ValueError(f"no sequence of {len(scores)} tags is legal")
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return np.array(path[::-1], dtype=np.int64)
