"""Rows that are answered in writing: the rendered text, and which of its tokens are learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.row import Row
from ..tasks.base import Features
from ..tasks.causal_lm import per_window

if TYPE_CHECKING:
    from .prepared import Preview


@dataclass(frozen=True)
class Stretch:
    """Neighbouring tokens that count alike in the loss.

    Args:
        text: what they stand for, special tokens spelled out.
        ids: of the vocabulary.
        weight: of each in the loss; 0 is read and not learned.
    """

    text: str
    ids: tuple[int, ...]
    weight: float


@dataclass(frozen=True)
class Passage:
    """What is read or written in one go. name: row, window 1 of 2, read, written, prompt, chosen or rejected."""

    name: str
    stretches: tuple[Stretch, ...]

    @property
    def num_tokens(self) -> int:
        return sum(len(stretch.ids) for stretch in self.stretches)

    @property
    def num_learned(self) -> int:
        return sum(len(stretch.ids) for stretch in self.stretches if stretch.weight)


@dataclass(frozen=True)
class WrittenRow:
    """A row as it is fed.

    Args:
        number: its number in the file.
        passages: one, or a text's windows; a text and its target; a prompt and both answers.
        truncated: tokens that did not fit.
        answer_cut: whether some of them should have been learned.
        mended: what reading had to put right.
        faults: what the template or the tokenizer could not do with it.
    """

    source: str
    number: int
    split: str
    passages: tuple[Passage, ...]
    truncated: int
    answer_cut: bool
    mended: tuple[str, ...]
    faults: tuple[str, ...]


def describe(preview: Preview, split: str, row: Row, item: Features) -> WrittenRow:
    """One row, from the features that a batch is made of."""
    alone = preview.task.encode([row], preview.tokenizer, preview.max_length)
    passages = {"seq2seq": read_and_written, "preference": compared}.get(preview.task.kind, weighted)
    return WrittenRow(
        source=preview.intake.splits[split].source,
        number=row.number,
        split=split,
        passages=tuple(passages(item, preview.tokenizer)),
        truncated=item.truncated,
        answer_cut=bool(alone.counts["answers cut"]),
        mended=row.mended,
        faults=tuple(alone.faults),
    )


def weighted(item: Features, tokenizer: Any) -> Iterator[Passage]:
    """A dialogue, or the windows of a text."""
    several = len(item.windows) > 1
    for number, (ids, weights) in enumerate(zip(item.windows, per_window(item), strict=True), 1):
        yield passage(f"window {number} of {len(item.windows)}" if several else "row", ids, weights, tokenizer)


def read_and_written(item: Features, tokenizer: Any) -> Iterator[Passage]:
    """A text and its target."""
    yield passage("read", item.windows[0], np.zeros(len(item.windows[0])), tokenizer)
    yield passage("written", item.label, np.ones(len(item.label)), tokenizer)


def compared(item: Features, tokenizer: Any) -> Iterator[Passage]:
    """A prompt and both answers."""
    prompt = item.windows[0][: item.prompt]
    yield passage("prompt", prompt, np.zeros(len(prompt)), tokenizer)
    for name, window in zip(("chosen", "rejected"), item.windows, strict=True):
        yield passage(name, window, np.ones(len(window)), tokenizer, start=item.prompt)


def passage(name: str, ids: Sequence[int], weights: Any, tokenizer: Any, start: int = 0) -> Passage:
    """Tokens from `start` on, in stretches of one weight; their text is what they add to that before them."""
    listed = [int(token) for token in ids]
    found, known, first = [], text_of(listed[:start], tokenizer), start
    for weight, group in groupby(weights[start:]):
        last = first + len(list(group))
        text = text_of(listed[:last], tokenizer)
        found.append(Stretch(text[len(known) :], tuple(listed[first:last]), round(float(weight), 4)))
        known, first = text, last
    return Passage(name, tuple(found))


def text_of(ids: list[int], tokenizer: Any) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
