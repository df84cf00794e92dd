"""What a split comes to, counted over the batches in which it will be read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import ledger
from ..data.sampler import by_length, epoch_steps, micro_batches, num_steps
from ..data.spans import NULL
from ..intake import Split
from ..tasks.base import Batch
from ..tasks.generative import Generative
from ..tasks.token_classification import IGNORED
from ..training.features import BATCH_TOKENS
from .rows import answers

if TYPE_CHECKING:
    from .prepared import Preview


@dataclass(frozen=True)
class Summary:
    """What a split comes to.

    Args:
        tokens, windows: 50, 90, 99 and 100 of 100 rows have at most so many.
        supervised: (positions with a target, all positions): tokens with a tag or in the loss, or windows with an
            answer; None where rows as a whole are answered.
        of: what targets are of: "row", "tokens", "span" or "answer".
        padding: share of padded positions: of train in its first epoch, of others in evaluation; None where rows are
            packed.
        unknown: tokens that stand for what the tokenizer does not know.
        account: the split's entry in data.json.
    """

    split: str
    tokens: dict[str, int]
    windows: dict[str, int]
    supervised: tuple[int, int] | None
    of: str
    padding: float | None
    unknown: int
    account: dict[str, Any]


def summary(preview: Preview, name: str, split: Split) -> Summary:
    """One split's account, counted over the batches in which it will be read."""
    task, encoded = preview.task, preview.encoded[name]
    mended = Counter(phrase for row in split.rows for phrase in row.mended)
    labels = Counter(label for row in split.rows for label in task.counted(row))
    writes, counts = isinstance(task, Generative), Counter[str]()
    for rows in batches(preview, name):
        counts += counted(task.collate([encoded.features[row] for row in rows], preview.tokenizer), preview.tokenizer)
    if writes:
        counts["supervised"], counts["targets"] = encoded.counts["supervised tokens"], encoded.counts["tokens"]
    return Summary(
        name,
        ledger.percentiles(encoded.num_tokens),
        ledger.percentiles(np.ones_like(encoded.lengths) if task.kind == "preference" else encoded.num_windows),
        (counts["supervised"], counts["targets"]) if counts["targets"] else None,
        "answer" if writes else answers(encoded.features[0]),
        None if task.packs else 1 - counts["tokens"] / counts["positions"],
        counts["unknown"],
        ledger.entry(split.source, split.sha256, split.rows_in, split.dropped, labels, encoded, mended),
    )


def batches(preview: Preview, name: str) -> list[Any]:
    """The rows of each forward pass: of the first epoch, or of evaluation."""
    encoded, training = preview.encoded[name], preview.config.training
    if name != "train" or preview.config.strategy.solves(preview.task):
        return by_length(encoded.num_tokens, BATCH_TOKENS)
    batch_size, capacity = (int(size or 0) or None for size in (training.batch_size, training.micro_batch_tokens))
    count = num_steps(encoded.lengths, batch_size, training.batch_tokens)
    steps = epoch_steps(encoded.lengths, batch_size, training.seed, 0, count)
    micro = (int(training.micro_batch_size), 0, 1, capacity, encoded.num_windows)
    return [rows for step in steps for rows in micro_batches(step, encoded.lengths, *micro)]


def counted(batch: Batch, tokenizer: Any) -> Counter[str]:
    """Positions, tokens, unknown ones and targets of a batch."""
    ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"]
    also = (tokenizer.bos_token_id, tokenizer.eos_token_id)  # GPT-2 has one token for everything
    sign = tokenizer.unk_token_id if tokenizer.unk_token_id not in also else None
    unknown = (ids == (-1 if sign is None else sign)) & (mask == 1)
    found = Counter(positions=mask.numel(), tokens=int(mask.sum()), unknown=int(unknown.sum()))
    kind = answers(batch.features[0])
    if batch.labels is not None and kind == "tokens":
        found += Counter(targets=int(mask.sum()), supervised=int((batch.labels != IGNORED).sum()))
    if batch.labels is not None and kind == "span":
        held = (batch.labels != batch.labels.new_tensor(NULL)).any(1)
        found += Counter(targets=len(held), supervised=int(held.sum()))
    return found
