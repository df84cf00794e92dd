"""The ledger: what happened to the rows, before the first step. It becomes data.json."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..tasks.encoded import Encoded


def normalised(text: tuple[str, ...]) -> str:
    """What counts as the same text: case, width, accents' encoding and blanks do not matter."""
    return " ".join(unicodedata.normalize("NFKC", " \0 ".join(text)).casefold().split())


def duplicates_across(splits: Mapping[str, Iterable[tuple[str, ...]]]) -> dict[str, int]:
    """`{"train/test": rows of the second split whose text the first one has}` (D8); pairs without any are left out.

    Of the first split, which is the large one, texts are not held.
    """
    later = {name: Counter(map(normalised, texts)) for name, texts in list(splits.items())[1:]}
    shared = {pair: set[str]() for pair in combinations(splits, 2)}
    for first, texts in splits.items():
        others = [(later[second], found) for (name, second), found in shared.items() if name == first]
        for text in later[first] if first in later else map(normalised, texts):
            for rows, found in others:
                if text in rows:
                    found.add(text)
    return {"/".join(pair): sum(later[pair[1]][text] for text in found) for pair, found in shared.items() if found}


def percentiles(lengths: Sequence[int] | NDArray[np.int64]) -> dict[str, int]:
    """Token lengths below which 50, 90, 99 and 100 % of the rows lie."""
    return {str(share): int(np.percentile(lengths, share, method="higher")) for share in (50, 90, 99, 100)}


def entry(
    source: str,
    sha256: str,
    rows_in: int,
    dropped: Counter[str],
    labels: Counter[str],
    encoded: Encoded,
    mended: Counter[str] | None = None,
) -> dict[str, Any]:
    """One split's account.

    Args:
        mended: what was mended in reading, by its phrase.
    """
    return {
        "source": source,
        "sha256": sha256,
        "rows_in": rows_in,
        "rows_kept": len(encoded.features),
        "dropped": dict(dropped),
        "faults": dict((mended or Counter()) + encoded.faults),
        "truncated": encoded.truncated,
        "tokens_cut": int(encoded.cut.sum()),
        "tokens": int(encoded.num_tokens.sum()),
        "windows": int(encoded.num_windows.sum()),
        "label_counts": dict(sorted(labels.items())),
        **{name.replace(" ", "_"): number for name, number in encoded.counts.items() if name != "tokens"},
    }
