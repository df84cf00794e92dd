"""Scores of entities: one counts where its first word, its last word and its type are right (Tjong Kim Sang 2002)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .classification import Floats, precision_recall_f1

Span = tuple[int, int, str]  # first word, one past the last, type


def entity_scores(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """Precision, recall and F1, from 0 to 1: over all entities (micro), and per type.

    `f1_macro` is the mean over the types that occur or are predicted, `f1_weighted` the mean by support. What is
    undefined is 0. All as seqeval has it (zero_division=0).

    Args:
        gold, predicted: the entities of each sentence, in any order; one that is there twice counts once.

    Raises:
        ValueError: different numbers of sentences.
    """
    there, said, hits = Counter[str](), Counter[str](), Counter[str]()
    for right, found in zip(map(set, gold), map(set, predicted), strict=True):
        there.update(types_of(right))
        said.update(types_of(found))
        hits.update(types_of(right & found))
    types = sorted(there | said)
    counted = [np.array([counts[kind] for kind in types], dtype=float) for counts in (hits, said, there)]
    each, support = precision_recall_f1(*counted), counted[2]
    micro = precision_recall_f1(*(counts.sum() for counts in counted))
    return {
        **{name: float(value) for name, value in zip(("precision", "recall", "f1"), micro, strict=True)},
        "f1_macro": float(each[2].mean()) if types else 0.0,
        "f1_weighted": float(each[2] @ support / support.sum()) if support.any() else 0.0,
        "num_entities": int(support.sum()),
        "per_type": per_type(types, each, support),
    }


def types_of(spans: Iterable[Span]) -> list[str]:
    return [kind for _, _, kind in spans]


def per_type(types: Sequence[str], scores: Sequence[Floats], support: Floats) -> dict[str, dict[str, float | int]]:
    return {
        kind: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(count)}
        for kind, p, r, f, count in zip(types, *scores, support, strict=True)
    }
