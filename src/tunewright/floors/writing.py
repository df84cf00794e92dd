"""Floors of tasks that write: n-grams of the answers' tokens, and answers that stand in the training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..tasks.base import Row
from ..tasks.causal_lm import per_window
from ..tasks.encoded import Encoded
from ..tasks.encoding import portions
from ..tasks.generative import NOTHING, Said
from .base import Learner, Reading
from .terms import Terms

Ints = NDArray[np.int64]


class Unigram(Learner):
    """The frequencies of the answers' tokens; in writing, the answer that most training rows have."""

    order: ClassVar[int] = 1

    @classmethod
    def learn(cls, task: Any, train: Sequence[Row], reading: Reading) -> Self:
        grams = targets(task, train, reading, cls.order)[0]
        numbers = counts_of(grams, cls.order, len(reading.tokenizer) + 1)
        shape = getattr(task, "shape", "")
        kept = [row for row in train if shape != "text" and task.reference(row)]
        more, words = cls.answers([" ".join(row.text) for row in kept], [task.reference(row) for row in kept])
        return cls(task, reading, {**numbers, **more}, words)

    @classmethod
    def answers(cls, prompts: list[str], answers: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is kept of the training rows to write answers."""
        return {}, {"answers": [answer for answer, _ in Counter(answers).most_common(1)]}

    def write(self, rows: Sequence[Row]) -> list[str]:
        return [(self.words["answers"] or [""])[0]] * len(rows)

    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        known = rows[0].label is not None
        most = len(rows) if not known else 0 if getattr(self.task, "shape", "") == "text" else self.task.score_answers
        texts: list[Any] = self.write(rows[:most]) if rows[:most] else []
        texts += [None] * (len(rows) - len(texts))
        likelihoods = self.likelihoods(rows) if known else [(NOTHING, NOTHING, NOTHING)] * len(rows)
        return [Said(*parts, *self.finished(text)) for parts, text in zip(likelihoods, texts, strict=True)]

    def finished(self, text: str | None) -> tuple[str | None, int, bool]:
        """(text, tokens, whether it ended) of an answer, or of none."""
        return text, len(self.reading.tokenizer(text)["input_ids"]) if text else 0, text is not None

    def likelihoods(self, rows: Sequence[Row]) -> list[tuple[Any, Any, Any]]:
        """(log-probabilities, weights, hits) of each row's supervised tokens."""
        grams, weights, owners = targets(self.task, rows, self.reading, self.order)
        logs = np.log(self.probabilities(grams, self.order)).astype(np.float32)
        hits = (self.likeliest(grams, self.order) == grams[:, -1]).astype(np.float32)
        cuts = np.searchsorted(owners, np.arange(1, len(rows)))
        return list(zip(*(np.split(values, cuts) for values in (logs, weights, hits)), strict=True))

    @property
    def base(self) -> int:
        """Numbers below it stand for tokens; the last of them for what is before a text."""
        return len(self.reading.tokenizer) + 1

    def probabilities(self, grams: Ints, order: int) -> NDArray[np.float64]:
        """(M,) of the last of each gram's tokens, given up to `order` - 1 before it: Kneser-Ney, interpolated.

        Chen and Goodman 1999, section 2.7. What no order knows has its share of a uniform distribution.
        """
        found = np.full(len(grams), 1 / self.base)
        for size in range(1, order + 1):
            keys, counts = self.numbers[f"keys_{size}"], self.numbers[f"counts_{size}"]
            key = key_of(grams, size, self.base)
            first, last = self.followers(key // self.base, size)
            reached = np.concatenate([[0], np.cumsum(counts)])
            total = reached[last] - reached[first]
            place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            count = np.where(keys[place] == key, counts[place], 0)
            discount = discount_of(counts)
            spread = discount * (last - first) * found
            found = np.where(total > 0, (np.maximum(count - discount, 0) + spread) / np.maximum(total, 1), found)
        return found

    def followers(self, context: Ints, size: int) -> tuple[Ints, Ints]:
        """Where the grams with each context begin and end among the keys."""
        keys = self.numbers[f"keys_{size}"]
        return np.searchsorted(keys, context * self.base), np.searchsorted(keys, (context + 1) * self.base)

    def likeliest(self, grams: Ints, order: int) -> Ints:
        """(M,) the likeliest last token after each context.

        Exact: what does not follow a context has a fixed share of its probability in the next shorter one.
        """
        best = np.full(len(grams), self.best[0][0])
        for size in range(2, order + 1):
            first, last = self.followers(key_of(grams, size, self.base) // self.base, size)
            other = self.best[size - 1][np.minimum(first, len(self.best[size - 1]) - 1)]
            tried = [np.column_stack([grams[:, :-1], token]) for token in (best, other)]
            wins = self.probabilities(tried[1], size) > self.probabilities(tried[0], size)
            best = np.where((last > first) & wins, other, best)
        return best

    @cached_property
    def best(self) -> list[Ints]:
        """Of each size: at the first key of each context, its likeliest follower."""
        found = []
        for size in range(1, self.order + 1):
            keys = self.numbers[f"keys_{size}"]
            digits = [keys // self.base**power % self.base for power in range(self.order - 1, -1, -1)]
            values = self.probabilities(np.column_stack(digits), size)
            context = keys // self.base
            ranked = np.lexsort((values, context))
            tops = ranked[np.searchsorted(context[ranked], context, side="right") - 1]
            found.append(keys[tops] % self.base)
        return found


class Trigram(Unigram):
    """Interpolated Kneser-Ney of order three over the answers' tokens; in writing, the nearest training row's answer.

    Nearest by the cosine of TF-IDF vectors of the prompts.
    """

    order: ClassVar[int] = 3

    def prepare(self) -> None:
        from scipy.sparse import csr_matrix

        if self.words["answers"]:
            self.terms = Terms.saved(self.numbers, self.words)
            parts = tuple(self.numbers[f"prompts_{name}"] for name in ("data", "indices", "indptr"))
            width = sum(map(len, self.terms.weights.values()))
            self.prompts = csr_matrix(parts, shape=(len(self.words["answers"]), width))

    @classmethod
    def answers(cls, prompts: list[str], answers: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        if not answers:
            return {}, {"answers": []}
        terms = Terms.of(prompts)
        made = terms(prompts)
        parts = {f"prompts_{name}": getattr(made, name) for name in ("data", "indices", "indptr")}
        return {**terms.numbers(), **parts}, {**terms.names, "answers": answers}

    def write(self, rows: Sequence[Row]) -> list[str]:
        if not self.words["answers"]:
            return [""] * len(rows)
        near = (self.terms([" ".join(row.text) for row in rows]) @ self.prompts.T).toarray().argmax(1)
        return [self.words["answers"][place] for place in near]


def targets(task: Any, rows: Sequence[Row], reading: Reading, order: int) -> tuple[Ints, NDArray[Any], Ints]:
    """(M, order) each supervised token behind those before it, (M,) its weight, (M,) the place of its row."""
    encoded = Encoded.of_parts(task.encode(part, reading.tokenizer, reading.max_length) for part in portions(rows))
    grams, weights, owners = [], [], []
    for item in encoded.features:
        for ids, each in documents(task, item):
            chosen = np.flatnonzero(each)
            padded = np.concatenate([np.full(order - 1, len(reading.tokenizer)), ids])
            grams.append(np.column_stack([padded[chosen + back] for back in range(order)]).astype(np.int64))
            weights.append(np.asarray(each, dtype=np.float32)[chosen])
            owners.append(np.full(len(chosen), item.row))
    return np.concatenate(grams), np.concatenate(weights), np.concatenate(owners)


def documents(task: Any, item: Any) -> Iterator[tuple[Any, Any]]:
    """Token ids and weights of each text of a row that is scored: of an encoder and decoder the target."""
    if task.kind == "seq2seq":
        yield item.label, np.ones(len(item.label), dtype=np.float32)
    else:
        yield from zip(item.windows, per_window(item), strict=True)


def key_of(grams: Ints, size: int, base: int) -> Ints:
    """The last `size` tokens of each gram as one number."""
    found = np.zeros(len(grams), dtype=np.int64)
    for column in range(grams.shape[1] - size, grams.shape[1]):
        found = found * base + grams[:, column]
    return found


def counts_of(grams: Ints, order: int, base: int) -> dict[str, NDArray[Any]]:
    """Sorted keys and counts of each size: how often, and of the shorter ones after how many different tokens."""
    keys, counts = np.unique(key_of(grams, order, base), return_counts=True)
    found = {f"keys_{order}": keys, f"counts_{order}": counts.astype(np.int64)}
    for size in range(order - 1, 0, -1):
        keys, counts = np.unique(keys % base**size, return_counts=True)
        found |= {f"keys_{size}": keys, f"counts_{size}": counts.astype(np.int64)}
    return found


def discount_of(counts: Ints) -> float:
    """What is taken from every count (Ney et al. 1994, section 3)."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return min(max(once / max(once + 2 * twice, 1), 0.1), 0.9)
