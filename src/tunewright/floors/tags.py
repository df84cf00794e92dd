"""Floors of token classification: a dictionary of words, and a conditional random field on windows of words."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..data import words
from ..tasks.base import Row
from .base import Learner, Reading

Floats = NDArray[np.float64]

STRENGTH = 1.0  # of the L2 regularisation. NCBI, test F1: 0.805, with 0.3 0.803
ITERATIONS = 100  # after 40 NCBI is at 0.783
PARAMETERS = 5_000_000  # at most; L-BFGS keeps about fifteen numbers of eight bytes for each
EDGE = "\n"  # stands for what is before and after a text
RUNS = re.compile(r"(.)\1+")
SIGNS = ((re.compile(r"[^\W\d_a-z]"), "X"), (re.compile(r"[a-z]"), "x"), (re.compile(r"\d"), "0"))


class Dictionary(Learner):
    """Each word has the tag that it most often has in training; one that is not there, the tag that most words have."""

    def prepare(self) -> None:
        self.places = {word: place for place, word in enumerate(self.words["words"])}

    @classmethod
    def learn(cls, task: Any, train: Sequence[Row], reading: Reading) -> Self:
        places: dict[str, int] = {}
        pairs = Counter(
            (places.setdefault(word, len(places)), tag)
            for row in train
            for word, tag in zip(words.pieces(row), task.tags_of(row), strict=True)
        )
        counts = np.zeros((len(places) + 1, len(task.tags)), dtype=np.float32)
        for (place, tag), count in pairs.items():
            counts[place, tag] = count
        counts[-1] = counts.sum(0)
        shares = counts[-1] / counts[-1].sum()
        logits = np.log((counts + 0.1 * shares + 1e-6) / (counts.sum(1, keepdims=True) + 0.2))
        return cls(task, reading, {"logits": logits.astype(np.float32)}, {"words": list(places)})

    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        return [
            self.numbers["logits"][np.array([self.places.get(word, -1) for word in words.pieces(row)], dtype=np.int64)]
            for row in rows
        ]


class Tagger(Learner):
    """A linear-chain conditional random field (Lafferty et al. 2001) over windows of five words.

    Seen of a word: itself, its shape, its first and last letters, and its neighbours. Outputs are the logarithms of
    each tag's probability given the whole text, so the task decodes them as it decodes a model's.
    """

    def prepare(self) -> None:
        self.places = {name: place for place, name in enumerate(self.words["features"])}

    @classmethod
    def learn(cls, task: Any, train: Sequence[Row], reading: Reading) -> Self:
        from scipy.optimize import minimize

        num_tags = len(task.tags)
        counts = Counter(name for row in train for names in seen(words.pieces(row)) for name in names)
        names = [name for name, _ in counts.most_common(max(PARAMETERS // num_tags, 1))]
        inputs, chains = matrix(train, {name: place for place, name in enumerate(names)}), Chains(train)
        tags = np.concatenate([np.asarray(task.tags_of(row), dtype=np.int64) for row in train])
        wanted, pairs = np.eye(num_tags)[tags], np.zeros((num_tags, num_tags))
        np.add.at(pairs, (tags[chains.inner - 1], tags[chains.inner]), 1)
        turned = inputs.T.tocsr()

        def objective(flat: Floats) -> tuple[float, Floats]:
            weight, moves = parted(flat, num_tags)
            scores = inputs @ weight
            totals, shares, expected = chains.marginals(scores, moves)
            loss = totals[chains.first].sum() - (scores * wanted).sum() - (moves * pairs).sum()
            gradient = np.concatenate([(turned @ (shares - wanted)).ravel(), (expected - pairs).ravel()])
            return loss + STRENGTH / 2 * float(flat @ flat), gradient + STRENGTH * flat

        start = np.zeros((len(names) + num_tags) * num_tags)
        options = {"maxiter": ITERATIONS, "maxcor": 5}
        flat = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
        weight, moves = (values.astype(np.float32) for values in parted(flat, num_tags))
        return cls(task, reading, {"weight": weight, "moves": moves}, {"features": names})

    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        if not any(row.words for row in rows):
            return [np.zeros((0, len(self.task.tags)), dtype=np.float32) for _ in rows]
        scores = matrix(rows, self.places) @ self.numbers["weight"].astype(np.float64)
        _, shares, _ = Chains(rows).marginals(scores, self.numbers["moves"].astype(np.float64))
        logs = np.log(np.maximum(shares, 1e-30)).astype(np.float32)
        return np.split(logs, np.cumsum([len(row.words or ()) for row in rows])[:-1])


def parted(flat: Floats, num_tags: int) -> tuple[Floats, Floats]:
    """(F, C) weights of what is seen of a word, (C, C) of going from one tag to the next."""
    table = flat.reshape(-1, num_tags)
    return table[:-num_tags], table[-num_tags:]


class Chains:
    """Texts' words one after another, as chains of which a step of all is taken at once.

    Attributes:
        first: (N,) each text's first word; inner: the words that are not the first of a text.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        sizes = np.array([len(row.words or ()) for row in rows])
        starts, sizes = (np.cumsum(sizes) - sizes)[sizes > 0], sizes[sizes > 0]
        order = np.argsort(-sizes, kind="stable")
        reached = [int(np.searchsorted(-sizes[order], -step, side="left")) for step in range(sizes.max(initial=0))]
        self.steps = [starts[order][:count] + step for step, count in enumerate(reached)]
        self.first = starts

    @cached_property
    def inner(self) -> Any:
        return np.concatenate([np.zeros(0, dtype=np.int64), *self.steps[1:]])

    def marginals(self, scores: Floats, moves: Floats) -> tuple[Floats, Floats, Floats]:
        """The forward-backward algorithm (Rabiner 1989, section III).

        Args:
            scores: (N, C) of tags at words; moves: (C, C) from the row's tag to the column's.

        Returns:
            (N,) logarithm of the sum over all sequences of the word's text; (N, C) probabilities of tags; (C, C)
            expected numbers of moves.
        """
        raised = np.exp(moves)
        before, after, expected = scores.copy(), np.zeros_like(scores), np.zeros_like(moves)
        for at in self.steps[1:]:
            before[at] += logged(before[at - 1], raised)
        for at in reversed(self.steps[1:]):
            after[at - 1] = logged(scores[at] + after[at], raised.T)
            left, right = (scaled(values)[0] for values in (before[at - 1], scores[at] + after[at]))
            each = ((left @ raised) * right).sum(1, keepdims=True)
            expected += raised * ((left / each).T @ right)
        shares, peak = scaled(before + after)
        sums = shares.sum(1, keepdims=True)
        return (np.log(sums) + peak)[:, 0], shares / sums, expected


def scaled(values: Floats) -> tuple[Floats, Floats]:
    """Exponentials of logarithms over the largest of each row, and that one's logarithm."""
    peak = values.max(axis=1, keepdims=True)
    return np.exp(values - peak), peak


def logged(values: Floats, raised: Floats) -> Floats:
    """The logarithms of what exponentials become by a matrix."""
    shares, peak = scaled(values)
    found: Floats = np.log(shares @ raised) + peak
    return found


def matrix(rows: Sequence[Row], places: dict[str, int]) -> Any:
    """(N, F) sparse zeros and ones: what is seen of each word."""
    from scipy.sparse import csr_matrix

    found, ends = array("i"), [0]
    for row in rows:
        for names in seen(words.pieces(row)):
            found.extend(places[name] for name in names if name in places)
            ends.append(len(found))
    return csr_matrix((np.ones(len(found)), found, ends), shape=(len(ends) - 1, len(places)))


def seen(pieces: Sequence[str]) -> Iterator[list[str]]:
    """What a tag is decided by, for each word of a text."""
    lower = [EDGE, EDGE, *(word.lower() for word in pieces), EDGE, EDGE]
    shapes = [EDGE, EDGE, *map(shape, pieces), EDGE, EDGE]
    short = [RUNS.sub(r"\1", form) for form in shapes]
    for place in range(2, len(pieces) + 2):
        left, word, right = lower[place - 1 : place + 2]
        ends = [(f"{size}<{word[:size]}", f"{size}>{word[-size:]}") for size in range(1, min(len(word), 5))]
        yield [
            "", f"w {word}", f"s {shapes[place]}", f"h {short[place]}", *(name for pair in ends for name in pair),
            f"-1 {left}", f"+1 {right}", f"-2 {lower[place - 2]}", f"+2 {lower[place + 2]}",
            f"-h {short[place - 1]}", f"+h {short[place + 1]}", f"-w {left} {word}", f"+w {word} {right}",
            f"-> {left[-3:]}", f"+> {right[-3:]}",
        ]  # fmt: skip


def shape(word: str) -> str:
    """`Larkpost-24` is `Xxxxxxxx-00`."""
    for signs, letter in SIGNS:
        word = signs.sub(letter, word)
    return word
