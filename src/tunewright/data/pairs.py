"""Questions with contexts to token ids: long contexts in windows, each after the whole question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError


class EncodedPair(NamedTuple):
    """Windows of one pair.

    Args:
        types: of the tokens, or None where the model has none.
        places: for each window (T, 2) characters of the context that a token stands for; -1 where for none.
        truncated: tokens of the question that did not fit.
    """

    windows: list[list[int]]
    types: list[list[int]] | None
    places: list[NDArray[np.int64]]
    truncated: int


class ContextEncoder:
    """Encodes (question, context) pairs in bulk; contexts are tokenised once each.

    Args:
        max_length: tokens per window, special ones included; a question takes at most half of it.
        overlap: context tokens that neighbouring windows share; less where windows are small.
    """

    def __init__(self, tokenizer: Any, max_length: int, overlap: int) -> None:
        self.tokenizer, self.overlap = tokenizer, overlap
        self.prefix, self.middle, self.suffix = template(tokenizer)
        types = tokenizer("a", "b").get("token_type_ids")  # RoBERTa's are all 0
        self.types = (types[len(self.prefix)], types[-1 - len(self.suffix)]) if types else None
        self.room = max_length - len(self.prefix) - len(self.middle) - len(self.suffix)
        if self.room < 4:
            what = f"{max_length} tokens leave no room for a question and a context"
            raise ConfigError(what, where="data.max_length", fix="raise it")

    def __call__(self, texts: Sequence[tuple[str, ...]]) -> list[EncodedPair]:
        questions = self.tokens([text[0] for text in texts])
        distinct = list(dict.fromkeys(text[1] for text in texts))
        contexts = dict(zip(distinct, self.tokens(distinct), strict=True))
        return [self.fit(ids, *contexts[text[1]]) for (ids, _), text in zip(questions, texts, strict=True)]

    def tokens(self, texts: list[str]) -> list[tuple[list[int], NDArray[np.int64]]]:
        """(ids, (T, 2) characters) of each text."""
        if not texts:
            return []
        made = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets = [np.array(item, dtype=np.int64).reshape(-1, 2) for item in made["offset_mapping"]]
        return list(zip(made["input_ids"], map(without_blanks, offsets, texts), strict=True))

    def fit(self, question: list[int], context: list[int], offsets: NDArray[np.int64]) -> EncodedPair:
        """One pair as windows over its context."""
        asked = question[: self.room // 2]
        room = self.room - len(asked)
        step = room - min(self.overlap, room // 2)
        starts = range(0, max(len(context) - room, 0) + step, step) if len(context) > room else (0,)
        windows, types, places = [], [], []
        for start in starts:
            part = slice(start, start + room)
            head, tail = [*self.prefix, *asked, *self.middle], self.suffix
            windows.append([*head, *context[part], *tail])
            if self.types:
                types.append([self.types[0]] * len(head) + [self.types[1]] * (len(context[part]) + len(tail)))
            places.append(np.pad(offsets[part], ((len(head), len(tail)), (0, 0)), constant_values=-1))
        return EncodedPair(windows, types if self.types else None, places, len(question) - len(asked))


def template(tokenizer: Any) -> tuple[list[int], list[int], list[int]]:
    """The special tokens before, between and behind a pair of texts."""
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", "b"))
    whole = tokenizer("a", "b")["input_ids"]
    start = next(at for at in range(len(whole)) if whole[at : at + len(first)] == first)
    end = next(at for at in range(len(whole), 0, -1) if whole[at - len(second) : at] == second)
    return whole[:start], whole[start + len(first) : end - len(second)], whole[end:]


def without_blanks(offsets: NDArray[np.int64], text: str) -> NDArray[np.int64]:
    """Some tokenizers count the blank before a word to the word; an answer does not begin with one (D6)."""
    for place, (start, end) in enumerate(offsets):
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        offsets[place] = start, end
    return offsets
