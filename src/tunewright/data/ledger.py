"""The ledger: what happened to the rows, before the first step. It becomes data.json."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np


def normalised(text: tuple[str, ...]) -> str:
    """What counts as the same text: case, width, accents' encoding and blanks do not matter."""
    return " ".join(unicodedata.normalize("NFKC", " \0 ".join(text)).casefold().split())


def duplicates_across(splits: Mapping[str, Sequence[tuple[str, ...]]]) -> dict[str, int]:
    """`{"train/test": rows of the second split whose text the first one has}` (D8); pairs without any are left out."""
    known = {name: [normalised(text) for text in texts] for name, texts in splits.items()}
    counts = {}
    for first, second in combinations(known, 2):
        seen = set(known[first])
        shared = sum(text in seen for text in known[second])
        if shared:
            counts[f"{first}/{second}"] = shared
    return counts


def percentiles(lengths: Sequence[int]) -> dict[str, int]:
    """Token lengths below which 50, 90, 99 and 100 % of the rows lie."""
    return {str(share): int(np.percentile(lengths, share, method="higher")) for share in (50, 90, 99, 100)}


def entry(
    source: str,
    sha256: str,
    rows_in: int,
    dropped: Counter[str],
    labels: Counter[str],
    features: Sequence[Any],
    faults: Counter[str] | None = None,
    counts: Counter[str] | None = None,
) -> dict[str, Any]:
    """One split's account.

    Args:
        faults: what was mended in reading or could not be encoded, by its phrase.
        counts: what else the task counted (supervised tokens, answers cut).
    """
    return {
        "source": source,
        "sha256": sha256,
        "rows_in": rows_in,
        "rows_kept": len(features),
        "dropped": dict(dropped),
        "faults": dict(faults or {}),
        "truncated": sum(item.truncated > 0 for item in features),
        "tokens_cut": sum(item.truncated for item in features),
        "tokens": sum(item.num_tokens for item in features),
        "windows": sum(len(item.windows) for item in features),
        "label_counts": dict(sorted(labels.items())),
        **{name.replace(" ", "_"): number for name, number in (counts or {}).items() if name != "tokens"},
    }
