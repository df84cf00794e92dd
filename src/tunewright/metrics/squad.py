"""Exact match and F1 of answers, as SQuAD's official scripts count them (Rajpurkar et al. 2016, section 6.1; 2018).

Scores are shares from 0 to 1 as everywhere here; the scripts print them times 100. The scripts of v1.1 and v2.0 differ
in nothing but the empty case, where v2.0 is followed: a gold answer of which nothing is left (an article, a full stop)
is no answer; if none is left, the right answer is "", and of two empty answers exact match and F1 are 1.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)  # of ASCII only, as the scripts have it


def normalise(text: str) -> str:
    """Lower case, then without punctuation, without articles, and with single blanks."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1 where the normalised prediction is one of the golds, else 0; golds are [] or [""] where there is no answer."""
    return scores_of(prediction, golds)[0]


def f1(prediction: str, golds: Sequence[str]) -> float:
    """The largest overlap with one of the golds, as F1 of words; golds are [] or [""] where there is no answer."""
    return scores_of(prediction, golds)[1]


def scores_of(prediction: str, golds: Sequence[str]) -> tuple[float, float]:
    """(exact match, F1); each text is normalised once."""
    said = normalise(prediction).split()
    right = [words for words in (normalise(gold).split() for gold in golds) if words] or [[]]
    return float(said in right), max(overlap(said, words) for words in right)


def overlap(said: list[str], right: list[str]) -> float:
    """F1 of two bags of words."""
    if not said or not right:
        return float(said == right)
    common = (Counter(said) & Counter(right)).total()
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(right)
    return 2 * precision * recall / (precision + recall)  # the scripts' order of operations, equal to the last bit


def has_answer(golds: Sequence[str]) -> bool:
    """Whether a text was given, even one that normalises to nothing, as v2.0's script decides it."""
    return any(golds)


def answer_scores(predictions: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Means over all rows; and apart for those with and without an answer where there are both.

    Args:
        predictions: a text each, "" for no answer.
        golds: all accepted texts of each row; [] or [""] where there is no answer.

    Raises:
        ValueError: different numbers of predictions and golds.
    """
    pairs = [scores_of(said, right) for said, right in zip(predictions, golds, strict=True)]
    scores = np.array(pairs, dtype=float).reshape(-1, 2)
    answered = np.array([has_answer(right) for right in golds], dtype=bool)
    found = {**means(scores), "num_rows": len(scores)}
    if answered.any() and not answered.all():
        for name, chosen in (("has_answer", answered), ("no_answer", ~answered)):
            found |= {**means(scores[chosen], f"{name}_"), f"num_{name}": int(chosen.sum())}
    return found


def means(scores: Any, prefix: str = "") -> dict[str, Any]:
    """Of (N, 2) exact match and F1; 0 where there is no row."""
    exact, shared = scores.mean(0) if len(scores) else (0.0, 0.0)
    return {f"{prefix}exact_match": float(exact), f"{prefix}f1": float(shared)}


def best_null_threshold(
    predictions: Sequence[str], null_odds: Sequence[float], golds: Sequence[Sequence[str]]
) -> float:
    """The threshold of the highest mean F1, where "no answer" is said if null_odds > threshold.

    The sweep of the official find_best_thresh: rows are answered one after another, in the order of their odds; of
    equal scores the lowest threshold wins, so it is deterministic. In three cases the script counts a score that its
    threshold does not reach; here it is the score reached. Rows of equal odds are answered together. An answer of which
    nothing is left when normalised is no answer. And where it is best to answer none, 0 is returned only if it does
    that, else the next number below all odds (the script takes odds for probabilities, which are not below 0).

    Args:
        predictions: the best answer of each row that is not "no answer".
        null_odds: how much surer "no answer" is than that, on any scale.
        golds: all accepted texts of each row; [] or [""] where there is no answer.

    Raises:
        ValueError: different numbers of predictions, odds and golds.
    """
    silent = [f1("", right) for right in golds]
    gains = [f1(said, right) - least for said, right, least in zip(predictions, golds, silent, strict=True)]
    ordered = sorted(zip(null_odds, gains, strict=True), key=lambda row: row[0])
    current = best = sum(silent)
    lowest = ordered[0][0] if ordered else math.inf
    threshold = 0.0 if lowest > 0 else math.nextafter(lowest, -math.inf)
    for place, (odds, gain) in enumerate(ordered, 1):
        current += gain
        if current > best and (place == len(ordered) or ordered[place][0] > odds):
            best, threshold = current, float(odds)
    return threshold
