"""Floors of question answering: the first words, and the stretch whose surroundings share the question's words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..data import words
from ..tasks.base import Row
from .base import Learner, Reading

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LONGEST = 10  # words of an answer
QUESTIONS = 5_000  # at most that weights are learned from
RIVALS = 30  # stretches of its own context that each right one is learned against
STRENGTH = 1.0  # of the L2 regularisation
ITERATIONS = 100
ENDS = re.compile(r"[.!?](?=\W*(?:\s|$))")  # of a sentence
OPENS = re.compile(r"(?<!\w[.,:'’])[\w$€£]")  # of a stretch: not within 6.80
CLOSES = re.compile(r"[\w%)](?![.,:]\w)")
ASKED = ("how many", "how much", "how long", "how", "when", "where", "who", "whom", "whose", "why", "which", "what")
REACH = (3, 10)  # words on either side
NONE = np.array([[-1.0, -1.0, 0.0]])  # the score of no answer


class FirstWords(Learner):
    """No answer; where every question of the training data has one, as many first words as most answers have."""

    @classmethod
    def learn(cls, task: Any, train: Sequence[Row], reading: Reading) -> Self:
        sizes = [len(words.split(text)) for row in train for _, text in row.label[:1]]
        return cls(task, reading, {"size": np.array([max(int(np.median(sizes)), 1)])}, {})

    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        found = []
        for row in rows:
            taken = words.split(row.text[1])[: int(self.numbers["size"][0])]
            first = [[taken[0][0], taken[-1][1], -1.0]] if taken and not self.task.no_answer else []
            found.append(np.concatenate([NONE, np.reshape(first, (-1, 3))]))
        return found


class Windows(Learner):
    """The stretch of up to ten words around which most of the question's words stand, and that has the form asked for.

    A conditional logit over stretches, as in Rajpurkar et al. 2016 (section 5), without a parser: the overlap of the
    sentence and of windows beside the stretch with the question, by inverse document frequency (the sliding window of
    Richardson et al. 2013, section 5.1), its length and edges, and its form by the question's word.
    """

    def prepare(self) -> None:
        self.rarity = dict(zip(self.words["words"], self.numbers["rarity"].tolist(), strict=True))
        self.weight = self.numbers["weight"].astype(np.float64)

    @classmethod
    def learn(cls, task: Any, train: Sequence[Row], reading: Reading) -> Self:
        texts = {row.text[1] for row in train}
        spread = Counter(word for text in texts for word in set(lowered(text)))
        rarity = {word: float(np.log((1 + len(texts)) / (1 + count))) for word, count in sorted(spread.items())}
        draw, kept = np.random.default_rng(0), []
        answered = [row for row in train if row.label]
        for place in draw.permutation(len(answered))[:QUESTIONS]:
            edges, seen = stretches(answered[place], rarity)
            golds = {(start, start + len(text)) for start, text in answered[place].label}
            right = np.flatnonzero([tuple(each) in golds for each in edges.tolist()])
            if len(right):
                kept.append(seen[np.r_[right[:1], draw.integers(len(edges), size=RIVALS)]].astype(np.float32))
        weight = conditional_logit(np.stack(kept)) if kept else np.zeros(stretches(train[0], rarity)[1].shape[1])
        numbers = {"weight": weight.astype(np.float32), "rarity": np.array(list(rarity.values()), dtype=np.float32)}
        return cls(task, reading, numbers, {"words": list(rarity)})

    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        found = []
        for row in rows:
            edges, seen = stretches(row, self.rarity)
            scores = seen @ self.weight
            top = np.argsort(-scores, kind="stable")[: self.task.n_best]
            found.append(np.concatenate([NONE, np.column_stack([edges[top], scores[top]])]))
        return found


def conditional_logit(seen: NDArray[np.float32]) -> Floats:
    """(D,) weights by which the first of each group's stretches is chosen (McFadden 1974). seen: (G, 1 + R, D)."""
    from scipy.optimize import minimize

    def objective(weight: Floats) -> tuple[float, Floats]:
        scores = (seen @ weight.astype(np.float32)).astype(np.float64)
        raised = np.exp(scores - scores.max(1, keepdims=True))
        shares = raised / raised.sum(1, keepdims=True)
        loss = -np.log(np.maximum(shares[:, 0], 1e-30)).sum() + STRENGTH / 2 * weight @ weight
        shares[:, 0] -= 1
        return float(loss), np.einsum("gr,grd->d", shares.astype(np.float32), seen) + STRENGTH * weight

    start = np.zeros(seen.shape[2])
    found: Floats = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return found


def lowered(text: str) -> list[str]:
    return [text[start:end].lower() for start, end in words.split(text)]


def stretches(row: Row, rarity: dict[str, float]) -> tuple[Floats, Floats]:
    """(S, 2) characters of every stretch of a sentence, (S, D) what is seen of it."""
    question, context = row.text
    offsets, asked = np.array(words.split(context)).reshape(-1, 2), lowered(question)
    pieces = [context[start:end] for start, end in offsets.tolist()]
    unknown, size = max(rarity.values(), default=1.0), len(pieces)
    rare = np.array([rarity.get(word.lower(), unknown) for word in pieces])
    whole = sum(rarity.get(word, unknown) for word in sorted(set(asked)))
    hits = rare * np.isin([word.lower() for word in pieces], asked) / max(whole, 1e-9)
    sentence = np.cumsum([0, *(ENDS.match(context, start) is not None for start, _ in offsets.tolist()[:-1])])[:size]
    first = np.repeat(np.arange(size), LONGEST)
    last = first + np.tile(np.arange(LONGEST), size)
    kept = last < size
    first, last = first[kept], last[kept]
    edges = np.array([(OPENS.match(context, start) is not None, CLOSES.match(context, end - 1) is not None)
                      for start, end in offsets.tolist()], dtype=bool).reshape(-1, 2)  # fmt: skip
    kept = (sentence[first] == sentence[last]) & edges[first, 0] & edges[last, 1]
    first, last = first[kept], last[kept]
    near = around(hits, sentence, first, last)
    forms = form(pieces, rare, first, last)
    kind = next((place for place, name in enumerate(ASKED) if f" {name} " in f" {' '.join(asked)} "), len(ASKED))
    crossed = np.zeros((len(ASKED) + 1, *forms.shape))
    crossed[kind] = forms
    found = np.column_stack([offsets[first, 0], offsets[last, 1]]).astype(np.float64)
    return found, np.concatenate([near, forms, *crossed], axis=1)


def around(hits: Floats, sentence: Ints, first: Ints, last: Ints) -> Floats:
    """(S, 7) shares of the question, by rarity: in the stretch, its sentence and the one before, and beside it."""
    reached = np.concatenate([[0.0], np.cumsum(hits)])
    within = lambda start, end: reached[np.minimum(end, len(hits))] - reached[np.maximum(start, 0)]  # noqa: E731
    sums = np.append(np.bincount(sentence, hits), 0.0)  # the last: what is before the first sentence
    own = within(first, last + 1)
    sides = [side for reach in REACH for side in (within(first - reach, first), within(last + 1, last + 1 + reach))]
    return np.column_stack([own, sums[sentence[first]] - own, sums[sentence[first] - 1], *sides])


def form(pieces: Sequence[str], rare: Floats, first: Ints, last: Ints) -> Floats:
    """(S, F) of a stretch: its length, digits, capitals, rarity, and the words at its edges."""
    length = last - first + 1
    facts = np.array([(word[0].isdigit(), word[0].isupper(), word[0].isalnum(), word in "$€£%") for word in pieces])
    facts = facts.reshape(-1, 4)
    reached = np.concatenate([np.zeros((1, 5)), np.cumsum(np.column_stack([facts, rare]), axis=0)])
    digits, capitals, solid, money, sums = (reached[last + 1] - reached[first]).T
    before, after = np.concatenate([[0.0], rare])[first], np.concatenate([rare, [0.0]])[last + 1]
    return np.column_stack([
        np.ones(len(first)), length == 1, length == 2, length == 3, length > 4, length > 7,
        digits > 0, capitals > 0, capitals == solid, money > 0, solid < length,
        sums / length, rare[first], rare[last], before, after,
    ])  # fmt: skip
