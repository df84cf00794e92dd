"""Answers as spans of tokens: from characters to tokens, and from scores to the best spans. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NULL = (0, 0)  # the first token stands for "no answer" (Devlin et al. 2019, section 4.3)


def target_span(offsets: NDArray[np.int64], start: int, end: int) -> tuple[int, int]:
    """The tokens that hold characters [start, end) of the context; NULL where the window does not hold all of them.

    Args:
        offsets: (T, 2) characters of each token; -1 where a token is not of the context.
    """
    inside = np.flatnonzero((offsets[:, 0] >= 0) & (offsets[:, 1] > offsets[:, 0]))
    if not len(inside) or offsets[inside[0], 0] > start or offsets[inside[-1], 1] < end:
        return NULL
    held = inside[(offsets[inside, 1] > start) & (offsets[inside, 0] < end)]
    return (int(held[0]), int(held[-1])) if len(held) else NULL


def reach(places: Sequence[NDArray[np.int64]]) -> tuple[int, int]:
    """Characters of a context that tokens stand for: the first, and one past the last; (0, 0) where there are none."""
    told = np.concatenate([offsets[(offsets[:, 0] >= 0) & (offsets[:, 1] > offsets[:, 0])] for offsets in places])
    return (int(told[:, 0].min()), int(told[:, 1].max())) if len(told) else (0, 0)


def best_spans(
    first: NDArray[np.float32], last: NDArray[np.float32], places: Sequence[Any], longest: int, count: int
) -> NDArray[np.float64]:
    """The best spans of one row over all of its windows.

    Args:
        first, last: (W, T) logits of the first and the last token.
        places: for each window (T, 2) characters of its tokens, -1 outside the context.
        longest: tokens that a span may have.
        count: spans wanted.

    Returns:
        (1 + n, 3) first character, one past the last, score: of no answer (-1, -1; the least of the windows' scores
        for it, because each must agree), then the n <= count best spans, best first.
    """
    found: dict[tuple[int, int], float] = {}
    for window, offsets in enumerate(places):
        for start, end, score in window_spans(first[window], last[window], offsets, longest, count):
            found[start, end] = max(score, found.get((start, end), -np.inf))
    null = min((float(first[window, 0] + last[window, 0]) for window in range(len(places))), default=0.0)
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count]
    return np.array([(-1, -1, null), *((start, end, score) for (start, end), score in ordered)], dtype=np.float64)


def window_spans(
    first: NDArray[np.float32], last: NDArray[np.float32], offsets: NDArray[np.int64], longest: int, count: int
) -> list[tuple[int, int, float]]:
    """(first character, one past the last, score) of one window's best spans."""
    inside = np.flatnonzero((offsets[:, 0] >= 0) & (offsets[:, 1] > offsets[:, 0]))
    size = len(inside)
    if not size:
        return []
    reach = min(longest, size)
    begin, end = first[inside].astype(np.float64), last[inside].astype(np.float64)
    ends = np.arange(size)[:, None] + np.arange(reach)  # (size, reach) the last token of every span
    scores = np.where(ends < size, begin[:, None] + end[np.minimum(ends, size - 1)], -np.inf).ravel()
    kept = min(count, int(np.isfinite(scores).sum()))
    top = np.argpartition(-scores, kept - 1)[:kept] if kept else np.array([], dtype=np.int64)
    begins = inside[top // reach]
    chars = np.stack([offsets[begins, 0], offsets[inside[np.minimum(top // reach + top % reach, size - 1)], 1]], 1)
    return [(int(start), int(end), float(scores[place])) for (start, end), place in zip(chars, top, strict=True)]
