"""Scores of a split from its prediction lines, each row with a weight: what drawing rows anew needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .classification import Floats, averages

CHUNK = 2**22  # numbers of a table that are dense at once: 32 MB
Items = set[tuple[Any, ...]]  # of a row: each starts with its class
Values = dict[str, Any]  # (...) float64 by score


@dataclass(frozen=True)
class Scorer:
    """The scores of N rows that count so often; of many weightings at once.

    Args:
        table: (N, M) sparse: what each row adds to the sums that scores are made of.
        of_sums: from (..., M) sums to scores of (...).
        shares: whether the scores lie between 0 and 1 by their nature, as losses don't.
    """

    table: Any
    of_sums: Callable[[Floats], Values]
    shares: bool = True

    def __call__(self, weights: Any) -> Values:
        """Args: weights: (..., N)."""
        return self.of_sums(np.asarray(weights, dtype=np.float64) @ self.table)

    def pseudo_values(self, name: str) -> Floats:
        """(N,) what each row contributes to a score (the jackknife's; Efron and Tibshirani 1993, section 11.5).

        Of a mean these are the rows' own values.
        """
        count, width = self.table.shape
        total, step = self.table.sum(axis=0), max(1, CHUNK // max(width, 1))
        without = [self.of_sums(total - self.table[at : at + step].toarray())[name] for at in range(0, count, step)]
        return np.asarray(count * self.of_sums(total)[name] - (count - 1) * np.concatenate(without))


def scorer(lines: Sequence[dict[str, Any]]) -> Scorer | None:
    """What predictions/SPLIT.jsonl tells: by classes, entities, tags, answers, or losses; None: nothing.

    With each row once, a score is the one that the task itself gives.
    """
    first = lines[0] if lines else {}
    if "probability" in first:
        pairs = [({(line["label"],)}, {(line["predicted"],)}) for line in lines]
        return by_class(pairs, {"accuracy": "f1_micro", "f1_macro": "f1_macro"})  # one of each: the same number
    if "probabilities" in first:
        pairs = [({(name,) for name in line["label"]}, {(name,) for name in line["predicted"]}) for line in lines]
        return by_class(pairs, {"f1_macro": "f1_macro", "f1_micro": "f1_micro"}, list(first["probabilities"]))
    if "confidence" in first:
        return by_answer(lines)
    if isinstance(first.get("label"), list):
        pairs = [(spans(line["label"]), spans(line["predicted"])) for line in lines]
        plain = first.get("scheme") == "plain"  # each word has a tag: those found are those that are right
        return by_class(pairs, {"accuracy" if plain else "f1": "recall_micro" if plain else "f1_micro",
                                "f1_macro": "f1_macro"})  # fmt: skip
    return by_loss(lines)


def spans(entities: Sequence[dict[str, Any]]) -> Items:
    return {(item["type"], item["start"], item["end"]) for item in entities}


def by_answer(lines: Sequence[dict[str, Any]]) -> Scorer:
    """Exact match and F1 of extracted answers; "" and [] are no answer."""
    from .squad import scores_of

    exact, shared = zip(*(scores_of(line["predicted"] or "", line["label"]) for line in lines), strict=True)
    return by_mean({"exact_match": exact, "f1": shared})


def by_loss(lines: Sequence[dict[str, Any]]) -> Scorer | None:
    """Cross-entropy a supervised token (rows count by their tokens), or a pair's loss; null where it is no number."""
    weights = np.array([line.get("scored_tokens", 1) for line in lines], dtype=np.float64)
    if not weights.any() or "loss" not in lines[0]:
        return None
    losses = np.array([line["loss"] for line in lines], dtype=np.float64)  # None becomes nan
    return by_mean({"loss": np.where(weights > 0, losses, 0.0)}, weights, shares=False)


def by_mean(values: dict[str, Any], weights: Any = None, shares: bool = True) -> Scorer:
    """Means over rows, each by its own weight.

    Args:
        values: (N,) by score.
        weights: (N,); None: all alike.
    """
    from scipy.sparse import csr_array

    each = np.stack([np.asarray(value, dtype=np.float64) for value in values.values()], axis=1)
    own = np.ones(len(each)) if weights is None else np.asarray(weights, dtype=np.float64)

    def of_sums(sums: Floats) -> Values:
        total = np.maximum(sums[..., -1], np.finfo(np.float64).tiny)
        return {name: sums[..., place] / total for place, name in enumerate(values)}

    return Scorer(csr_array(np.column_stack([each * own[:, None], own])), of_sums, shares)


def by_class(pairs: Sequence[tuple[Items, Items]], names: dict[str, str], every: Sequence[str] = ()) -> Scorer:
    """Scores from counts by class of what is there and what was said.

    Args:
        names: of the scores, and what `averages` calls them.
        every: classes that macro averages count although they may not occur.
    """
    from scipy.sparse import csr_array

    kinds = sorted({*every, *(item[0] for pair in pairs for items in pair for item in items)})
    place, count = {kind: at for at, kind in enumerate(kinds)}, len(kinds)
    entries = [
        (row, part * count + place[item[0]])
        for row, (there, said) in enumerate(pairs)
        for part, items in enumerate((there & said, said, there))
        for item in items
    ]
    rows, columns = np.array(entries, dtype=np.int64).reshape(-1, 2).T
    table = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(pairs), 3 * count))

    def of_sums(sums: Floats) -> Values:
        found = averages(*np.split(sums, 3, axis=-1), every=bool(every))
        return {name: found[source] for name, source in names.items()}

    return Scorer(table, of_sums)
