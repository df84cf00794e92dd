"""Strict scores of entities: an entity counts where its borders and its type are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .classification import precision_recall_f1

Span = tuple[int, int, str]


def entity_scores(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """Precision, recall and F1: micro, macro and weighted over types, and per type; 0 where undefined, as seqeval.

    Args:
        gold, predicted: entities of each sentence.
    """
    there, said, hits = Counter[str](), Counter[str](), Counter[str]()
    for right, answered in zip(gold, predicted, strict=True):
        there.update(kind for _, _, kind in right)
        said.update(kind for _, _, kind in answered)
        hits.update(kind for _, _, kind in set(right) & set(answered))
    types = sorted({*there, *said})
    counts = [np.array([counter[kind] for kind in types], dtype=float) for counter in (hits, said, there)]
    each = precision_recall_f1(*counts)
    micro = precision_recall_f1(*(values.sum(keepdims=True) for values in counts))
    support = counts[2]
    weights = support / support.sum() if support.sum() else support
    return {
        "precision": float(micro[0][0]),
        "recall": float(micro[1][0]),
        "f1": float(micro[2][0]),
        "f1_macro": float(each[2].mean()) if types else 0.0,
        "f1_weighted": float((each[2] * weights).sum()),
        "num_entities": int(support.sum()),
        "per_type": {
            kind: {"precision": float(each[0][i]), "recall": float(each[1][i]), "f1": float(each[2][i]),
                   "support": int(support[i])}
            for i, kind in enumerate(types)
        },
    }  # fmt: skip
