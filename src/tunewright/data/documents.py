"""Plain texts as windows of tokens, for language modelling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tokens import QUIET

CHARACTERS = 2_000_000  # tokenised at once: a tokenizer's own objects take a hundred bytes a token


def documents(texts: Sequence[str], tokenizer: Any, whole: bool = True) -> Iterator[NDArray[np.int32]]:
    """(T,) ids of each text: the beginning-of-sequence token where the tokenizer has the habit, the text, its end.

    Args:
        whole: False leaves the end out: the text is to be gone on with.
    """
    front, back = boundaries(tokenizer)
    back = back if whole else []
    for part in parts(texts):
        for ids in tokenizer(part, add_special_tokens=False, **QUIET)["input_ids"]:
            yield np.array([*front, *ids, *back], dtype=np.int32)


def boundaries(tokenizer: Any) -> tuple[list[int], list[int]]:
    """([BOS] or [], [EOS] or []): BOS only where the tokenizer itself writes one."""
    begins = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return [tokenizer.bos_token_id] if begins else [], [
        tokenizer.eos_token_id
    ] if tokenizer.eos_token_id is not None else []


def parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Runs of texts of about CHARACTERS together."""
    part, size = [], 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def windows(ids: NDArray[np.int32], max_length: int) -> list[NDArray[np.int32]]:
    """At most `max_length` tokens each; the last of one is the first of the next, so that each is a target once."""
    starts = range(0, max(len(ids) - 1, 1), max_length - 1)
    return [ids[start : start + max_length] for start in starts]
