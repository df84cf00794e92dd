"""Texts to token ids and padded tensors; whole texts to windows, for language modelling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class EncodedText(NamedTuple):
    """Token ids of one text's windows, their types (or None), and how many tokens did not fit."""

    windows: list[list[int]]
    types: list[list[int]] | None
    truncated: int


class TextEncoder:
    """Encodes texts or pairs in bulk.

    Args:
        tokenizer: a Hugging Face tokenizer.
        max_length: tokens per window, special ones included.
        long_text: "head", "head_tail" (a quarter of the head, three of the tail: Sun et al. 2019, section 5.3.1
            found 128 + 382 best) or "windows".
        overlap: tokens that neighbouring windows share.
    """

    def __init__(self, tokenizer: Any, max_length: int, long_text: str = "head", overlap: int = 32) -> None:
        self.tokenizer, self.max_length, self.long_text, self.overlap = tokenizer, max_length, long_text, overlap
        plain = tokenizer("a", add_special_tokens=False)["input_ids"]
        special = tokenizer("a")["input_ids"]
        start = next((at for at in range(len(special)) if special[at : at + len(plain)] == plain), 0)
        self.prefix, self.suffix = special[:start], special[start + len(plain) :]
        self.room = max_length - len(self.prefix) - len(self.suffix)
        if self.room < 1 or (long_text == "windows" and overlap >= self.room):
            what = f"{max_length} tokens leave no room for text"
            raise ConfigError(what, where="data.max_length", fix="raise it (or lower task.window_overlap)")

    def __call__(self, texts: Sequence[tuple[str, ...]]) -> list[EncodedText]:
        if texts and len(texts[0]) == 2:
            return self.pairs(texts)
        made = (
            self.tokenizer([text for (text,) in texts], add_special_tokens=False, **QUIET)["input_ids"] if texts else []
        )
        return [self.fit(ids) for ids in made]

    def fit(self, ids: list[int]) -> EncodedText:
        """One text's ids, cut or windowed to what the model reads."""
        over = max(len(ids) - self.room, 0)
        if over and self.long_text == "windows":
            step = self.room - self.overlap
            starts = range(0, max(len(ids) - self.overlap, 1), step)
            return EncodedText([self.wrap(ids[start : start + self.room]) for start in starts], None, 0)
        if over and self.long_text == "head_tail":
            head = self.room // 4
            ids = ids[:head] + ids[len(ids) - (self.room - head) :]
        return EncodedText([self.wrap(ids[: self.room])], None, over)

    def wrap(self, ids: list[int]) -> list[int]:
        return [*self.prefix, *ids, *self.suffix]

    def pairs(self, texts: Sequence[tuple[str, ...]]) -> list[EncodedText]:
        """Pairs, the longer one cut first."""
        if self.long_text != "head":
            raise ConfigError("text pairs are cut at the end", where="task.long_text", fix="set it to head")
        if self.max_length < self.tokenizer.num_special_tokens_to_add(pair=True) + 2:
            raise ConfigError(
                f"{self.max_length} tokens leave no room for pairs", where="data.max_length", fix="raise it"
            )
        first, second = [text[0] for text in texts], [text[1] for text in texts]
        whole = self.tokenizer(first, second, verbose=False)["input_ids"]
        cut = self.tokenizer(first, second, truncation="longest_first", max_length=self.max_length, verbose=False)
        types = cut.get("token_type_ids")
        return [
            EncodedText([ids], [types[place]] if types else None, len(whole[place]) - len(ids))
            for place, ids in enumerate(cut["input_ids"])
        ]


class EncodedWords(NamedTuple):
    """Windows of one text of words.

    Args:
        places: (T,) for each window: the number of the word that a token stands for, -1 where it stands for none.
            Every word that has tokens is answered in exactly one window: the one where it has most context.
        lost: words of which the tokenizer left nothing.
        truncated: tokens of words that are longer than a window.
    """

    windows: list[list[int]]
    places: list[Any]
    lost: int
    truncated: int


class WordEncoder:
    """Encodes texts that are given word by word.

    Args:
        overlap: tokens that neighbouring windows share, at most, and never more than half; no word is cut in two.
        every: whether all pieces of a word stand for it, or the first alone.
    """

    def __init__(self, tokenizer: Any, max_length: int, overlap: int, every: bool) -> None:
        plain = TextEncoder(tokenizer, max_length)
        self.prefix, self.suffix, self.room = plain.prefix, plain.suffix, plain.room
        self.tokenizer, self.overlap, self.every = tokenizer, min(overlap, self.room // 2), every

    def __call__(self, texts: Sequence[Sequence[str]]) -> list[EncodedWords]:
        distinct = list(dict.fromkeys(word for text in texts for word in text))
        alone = [[word] for word in distinct]  # words are tokenised apart from each other, so each needs it once
        made = (
            self.tokenizer(alone, is_split_into_words=True, add_special_tokens=False, **QUIET)["input_ids"]
            if alone
            else []
        )
        ids = dict(zip(distinct, made, strict=True))
        return [self.fit([ids[word] for word in text]) for text in texts]

    def fit(self, whole: list[list[int]]) -> EncodedWords:
        """One text's words as windows that begin and end between words."""
        pieces = [piece[: self.room] for piece in whole]
        sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
        ends = np.cumsum(sizes)
        parts = self.parts(ends)
        owners = owning(parts, ends)
        windows, places = [], []
        for number, (first, last) in enumerate(parts):
            windows.append([*self.prefix, *(token for piece in pieces[first:last] for token in piece), *self.suffix])
            places.append(self.places(range(first, last), sizes, owners == number))
        return EncodedWords(windows, places, int((sizes == 0).sum()), sum(map(len, whole)) - int(sizes.sum()))

    def parts(self, ends: NDArray[np.int64]) -> list[tuple[int, int]]:
        """(first word, one past the last) of each window."""
        found, first = [], 0
        while True:
            before = int(ends[first - 1]) if first else 0
            last = int(np.searchsorted(ends, before + self.room, side="right"))
            found.append((first, last))
            if last >= len(ends):
                return found
            back = int(np.searchsorted(ends, ends[last - 1] - self.overlap, side="left")) + 1
            first = min(max(back, first + 1), last)

    def places(self, words: range, sizes: NDArray[np.int64], owned: NDArray[np.bool_]) -> NDArray[np.int64]:
        marks = [NOTHING] * len(self.prefix)
        for word in words:
            mark = word if owned[word] else NOTHING
            marks += (
                [mark] * int(sizes[word])
                if self.every
                else ([mark] + [NOTHING] * (int(sizes[word]) - 1))[: int(sizes[word])]
            )
        return np.array([*marks, *([NOTHING] * len(self.suffix))], dtype=np.int64)


def owning(parts: list[tuple[int, int]], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """(words,) the window in which each word is farthest from a cut; the text's own ends are no cuts."""
    best = np.full(len(ends), -1, dtype=np.int64)
    context = np.full(len(ends), -1, dtype=np.int64)
    edges = np.concatenate(([0], ends))  # the words lie between them
    whole = int(edges[-1])
    for number, (first, last) in enumerate(parts):
        words = np.arange(first, last)
        left = edges[words] - edges[first] + (0 if first else whole)
        right = edges[last] - edges[words + 1] + (0 if last < len(ends) else whole)
        here = np.minimum(left, right)
        better = here > context[words]
        best[words[better]], context[words[better]] = number, here[better]
    return best


NOTHING = -1
QUIET = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}


def padded(rows: Sequence[Any], filling: int, left: bool = False) -> Tensor:
    """(B, T) of rows of numbers, filled up on the right, or on the left."""
    import torch

    tensors = [torch.as_tensor(row, dtype=torch.long) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, True, filling, "left" if left else "right")


def pad(features: Sequence[Any], tokenizer: Any) -> tuple[dict[str, Tensor], Tensor | None]:
    """Windows of the features as (W, T) tensors padded on the right, and who owns each window.

    The mask is left in even where nothing is padded: the model must not tell batches apart.
    """
    import torch

    windows = [window for item in features for window in item.windows]
    sizes = np.array([len(window) for window in windows])
    mask = np.arange(sizes.max()) < sizes[:, None]

    def filled(padding: int, lists: list[Any]) -> Tensor:
        values = np.full(mask.shape, padding, dtype=np.int64)
        values[mask] = np.fromiter(chain.from_iterable(lists), np.int64, sizes.sum())
        return torch.from_numpy(values)

    inputs = {"input_ids": filled(tokenizer.pad_token_id or 0, windows)}
    inputs["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
    if features[0].types is not None:
        inputs["token_type_ids"] = filled(0, [types for item in features for types in item.types])
    if len(windows) == len(features):
        return inputs, None
    return inputs, torch.tensor([owner for owner, item in enumerate(features) for _ in item.windows])


# --- whole texts, for language modelling ----------------------------------------------------------------------------

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
    ends = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return [tokenizer.bos_token_id] if begins else [], ends


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


def document_windows(ids: NDArray[np.int32], max_length: int) -> list[NDArray[np.int32]]:
    """At most `max_length` tokens each; the last of one is the first of the next, so that each is a target once."""
    starts = range(0, max(len(ids) - 1, 1), max_length - 1)
    return [ids[start : start + max_length] for start in starts]
