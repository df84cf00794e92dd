"""Scores of texts by what they share with a reference: ROUGE, BLEU, chrF, exact match; distinct-n, which needs none.

None depends on the order of the rows (D9).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import regex

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

ROUGE = ("rouge1", "rouge2", "rougeL")
ROUGE_WORD = re.compile("[a-z0-9]+")
ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}"  # scripts without blanks between words
WORD = regex.compile(rf"[{ALONE}]|[^\s{ALONE}]+")


class Overlap(NamedTuple):
    """Shares from 0 to 1: of the prediction that is in the reference, of the reference that is in it, harmonic mean."""

    precision: float
    recall: float
    f1: float


class Signed(NamedTuple):
    """A score from 0 to 100, and the signature by which sacreBLEU names the settings that it holds for."""

    value: float
    signature: str


def words(text: str) -> list[str]:
    """What stands between blanks; Han characters and kana, which are written without any, each by itself."""
    found: list[str] = WORD.findall(text)
    return found


def mean(values: Iterable[float]) -> float:
    """Exactly the same in any order; 0 of nothing."""
    known = list(values)
    return math.fsum(known) / len(known) if known else 0.0


def rouge_words(text: str) -> list[str]:
    """Lower-case runs of a-z and 0-9, as rouge-score takes them: of other scripts nothing is left."""
    return ROUGE_WORD.findall(text.lower())


def ngrams(tokens: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1))


def shared(common: int, said: int, there: int) -> Overlap:
    """From counts: in both, in the prediction, in the reference; 0 where one of them has none."""
    if not common:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = common / said, common / there
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))


def rouge_n(prediction: str, reference: str, size: int) -> Overlap:
    """ROUGE-N of one pair: n-grams in both, each as often as in the one that has fewer (Lin 2004, section 2)."""
    said, there = (ngrams(rouge_words(text), size) for text in (prediction, reference))
    return shared((said & there).total(), said.total(), there.total())


def rouge_l(prediction: str, reference: str) -> Overlap:
    """ROUGE-L of one pair: the longest common subsequence of words (Lin 2004, section 3.1, beta 1)."""
    said, there = rouge_words(prediction), rouge_words(reference)
    return shared(common_subsequence(said, there), len(said), len(there))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest one; each row of the table is the bits of one integer (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(first)) - 1
    row = everything  # a zero wherever the table's value rises
    for word in second:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & everything
    return len(first) - row.bit_count()


def rouge(name: str, predictions: Sequence[str], references: Sequence[str]) -> Overlap:
    """Means over the pairs; equal to rouge-score's without stemming.

    Args:
        name: rouge1, rouge2 or rougeL.

    Raises:
        ValueError: different numbers of predictions and references.
    """
    pairs = list(zip(predictions, references, strict=True))
    if name == "rougeL":
        found = [rouge_l(said, there) for said, there in pairs]
    else:
        found = [rouge_n(said, there, int(name.removeprefix("rouge"))) for said, there in pairs]
    return Overlap(*(mean(values) for values in zip(*found, strict=True))) if found else shared(0, 0, 0)


def bleu(predictions: Sequence[str], references: Sequence[str]) -> Signed:
    """Corpus BLEU from 0 to 100 with sacreBLEU's defaults (Papineni et al. 2002; Post 2018); one reference a row.

    Raises:
        ValueError: different numbers of predictions and references.
    """
    from sacrebleu.metrics import BLEU

    return corpus_score(BLEU(), predictions, references)


def chrf(predictions: Sequence[str], references: Sequence[str]) -> Signed:
    """Corpus chrF2 from 0 to 100 with sacreBLEU's defaults: letters, up to six in a row (Popović 2015).

    Raises:
        ValueError: different numbers of predictions and references.
    """
    from sacrebleu.metrics import CHRF

    return corpus_score(CHRF(), predictions, references)


def corpus_score(metric: Metric, predictions: Sequence[str], references: Sequence[str]) -> Signed:
    pairs = list(zip(predictions, references, strict=True)) or [("", "")]  # it has no value for no rows
    value = metric.corpus_score([said for said, _ in pairs], [[there for _, there in pairs]]).score
    return Signed(float(value), str(metric.get_signature()))


def normalise(text: str) -> str:
    """Unicode's NFC, without blanks at the ends, and with single ones between words; case stays."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def exact_match(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Share of the predictions that are their reference when both are normalised.

    Raises:
        ValueError: different numbers of predictions and references.
    """
    return mean(normalise(said) == normalise(there) for said, there in zip(predictions, references, strict=True))


def distinct(predictions: Sequence[str], size: int) -> float:
    """Different n-grams of all outputs by the number of all their words, for any n (Li et al. 2016, section 5).

    So outputs that repeat nothing reach 1 as distinct-1, and a little less as distinct-2: each has one pair fewer than
    words. Case and punctuation stay.
    """
    texts = [words(text) for text in predictions]
    different = {gram for text in texts for gram in ngrams(text, size)}
    total = sum(len(text) for text in texts)
    return len(different) / total if total else 0.0
