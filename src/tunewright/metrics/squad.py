"""Exact match and F1 of answers, by the rules of SQuAD's official scripts (Rajpurkar et al. 2016, 2018)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = set(string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and superfluous blanks."""
    bare = "".join(letter for letter in text.lower() if letter not in PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1 where the prediction is one of the golds; no golds, or no text, means "no answer"."""
    said = normalise(prediction)
    return float(any(said == normalise(gold) for gold in golds or [""]))


def f1(prediction: str, golds: Sequence[str]) -> float:
    """The best overlap of words with one of the golds; no golds, or no text, means "no answer"."""
    return max(overlap(normalise(prediction).split(), normalise(gold).split()) for gold in golds or [""])


def overlap(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    common = (Counter(said) & Counter(gold)).total()
    return 2 * common / (len(said) + len(gold))


def real(golds: Sequence[str]) -> list[str]:
    """The golds that say something, as the official scripts keep them."""
    return [gold for gold in golds if normalise(gold)]


def answer_scores(predictions: Sequence[str], golds: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Means, from 0 to 1; of questions with and without an answer apart where there are both.

    Args:
        predictions: "" where there is said to be no answer.
        golds: all right answers of each question; none where there is no answer.
    """
    kept = [real(item) for item in golds]
    exact = np.array([exact_match(said, right) for said, right in zip(predictions, kept, strict=True)])
    shared = np.array([f1(said, right) for said, right in zip(predictions, kept, strict=True)])
    has = np.array([bool(right) for right in kept])
    found: dict[str, Any] = {"exact_match": mean(exact), "f1": mean(shared), "num_rows": len(exact)}
    if has.any() and not has.all():
        for name, part in (("has_answer", has), ("no_answer", ~has)):
            found[f"{name}_exact_match"] = mean(exact[part])
            found[f"{name}_f1"] = mean(shared[part])
            found[f"num_{name}"] = int(part.sum())
    return found


def mean(values: Any) -> float:
    return float(values.mean()) if len(values) else 0.0


def best_null_threshold(
    predictions: Sequence[str], null_odds: Sequence[float], golds: Sequence[Sequence[str]]
) -> float:
    """The threshold with the best F1, where an answer is withheld if its `null_odds` exceed it.

    As `find_best_thresh` of the official v2.0 script: one sweep over the questions in the order of their odds.
    """
    kept = [real(item) for item in golds]
    current = best = float(sum(not right for right in kept))
    threshold = 0.0
    for place in np.argsort(np.asarray(null_odds), kind="stable"):
        if kept[place]:
            current += f1(predictions[place], kept[place])
        elif predictions[place]:
            current -= 1
        if current > best:
            best, threshold = current, float(null_odds[place])
    return threshold
