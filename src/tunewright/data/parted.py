"""Dialogues as tokens: a text tokenised in parts, so that those of a prompt stay the same whatever follows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class EncodedDialogue(NamedTuple):
    """A dialogue as tokens.

    Args:
        ids: (T,)
        weights: (T,) how much each token counts as a target; it is predicted from the one before it, so the first is 0.
        prompt: tokens before the last answer.
        truncated: tokens of the end that did not fit.
        answer_cut: whether tokens that should be learned are among them.
        faults: a phrase for each fault.
    """

    ids: list[int]
    weights: NDArray[np.float32]
    prompt: int
    truncated: int
    answer_cut: bool
    faults: tuple[str, ...]


class EncodedPreference(NamedTuple):
    """Two answers to one prompt, as tokens. truncated: tokens of both that did not fit."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    truncated: int
    faults: tuple[str, ...]


class Pieces(NamedTuple):
    """The tokens of a text that is parted at bounds, so that at each of them a token ends.

    Args:
        fixed: ids of the parts that had to be tokenised by themselves.
        start: where the part begins that is tokenised together.
        ids: of that part.
        places: for each bound the number of tokens before it.
    """

    fixed: list[int]
    start: int
    ids: list[int]
    places: list[int]

    @property
    def whole(self) -> list[int]:
        return [*self.fixed, *self.ids]


def parted(text: str, bounds: Sequence[int], tokenise: Callable[[str], list[int]]) -> Pieces:
    """Tokens of a text such that those before each bound are the same whatever follows it (D5).

    The text is tokenised as a whole wherever that leaves a token's end at the bound, else anew from the bound on.
    """
    fixed: list[int] = []
    start, places = 0, []
    ids = tokenise(text[: bounds[0]])
    for bound, following in itertools.pairwise(bounds):
        places.append(len(fixed) + len(ids))
        longer = tokenise(text[start:following])
        if longer[: len(ids)] != ids:
            fixed, start = [*fixed, *ids], bound
            longer = tokenise(text[start:following])
        ids = longer
    return Pieces(fixed, start, ids, [*places, len(fixed) + len(ids)])


def shared(first: str, second: str) -> int:
    """Characters that two texts begin with alike."""
    if second.startswith(first):
        return len(first)
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (left, right) in pairs if left != right), len(second))
