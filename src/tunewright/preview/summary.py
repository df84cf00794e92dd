"""What a split comes to: its entry in data.json, and how long its rows are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import ledger
from ..intake import Split

if TYPE_CHECKING:
    from .prepared import Preview


@dataclass(frozen=True)
class Summary:
    """What a split comes to.

    Args:
        tokens, windows: 50, 90, 99 and 100 of 100 rows have at most so many.
        supervised: (tokens in the loss, all tokens) of rows that are answered in writing; None of others.
        account: the split's entry in data.json.
    """

    split: str
    tokens: dict[str, int]
    windows: dict[str, int]
    supervised: tuple[int, int] | None
    account: dict[str, Any]


def summary(preview: Preview, name: str, split: Split) -> Summary:
    task, encoded = preview.task, preview.encoded[name]
    mended = Counter(phrase for row in split.rows for phrase in row.mended)
    labels = Counter(label for row in split.rows for label in task.counted(row))
    counts = encoded.counts
    return Summary(
        name,
        ledger.percentiles(encoded.num_tokens),
        ledger.percentiles(np.ones_like(encoded.lengths) if task.kind == "preference" else encoded.num_windows),
        (counts["supervised tokens"], counts["tokens"]) if "supervised tokens" in counts else None,
        ledger.entry(split.source, split.sha256, split.rows_in, split.dropped, labels, encoded, mended),
    )
