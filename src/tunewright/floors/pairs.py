"""Floors of preference pairs: by the answers' lengths, and by their words (Bradley and Terry 1952).

What is learned are scores of answers. They stand where a model's log-probabilities stand, over beta and with a
reference of zero, so that dpo's loss is the log loss of "the chosen one scores more", and its accuracy is what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..data import probe
from ..tasks.base import Row
from ..tasks.generative import NOTHING, Said
from ..tasks.preference import Compared
from .base import Learner, Reading
from .classes import NORM
from .terms import Terms
from .writing import Trigram, Unigram

NO_LENGTHS = np.full(2, np.nan, dtype=np.float32)  # so that no score takes these for sums over tokens


class Longer(Learner):
    """The longer answer is the better one, or the shorter, whichever holds for most training pairs."""

    writer: ClassVar[type[Unigram]] = Unigram

    @staticmethod
    def refuses(task: Any) -> str | None:
        return None if task.loss == "dpo" else f"{task.loss} is a loss of likelihoods, which it has none of"

    @classmethod
    def learn(cls, task: Any, train: Sequence[Row], reading: Reading) -> Self:
        more, words = cls.writer.answers([" ".join(row.text) for row in train], [task.reference(row) for row in train])
        numbers, names = cls.scoring(train)
        return cls(task, reading, {**numbers, **{f"writer.{name}": v for name, v in more.items()}},
                   {"scoring": names, "writer": words})  # fmt: skip

    @classmethod
    def scoring(cls, train: Sequence[Row]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Numbers and words that scores are made of."""
        signs = longer(train)
        odds = ((signs > 0).sum() + 0.5) / ((signs < 0).sum() + 0.5)
        return {"odds": np.array([np.log(odds)], dtype=np.float32)}, {}

    def scores(self, rows: Sequence[Row]) -> Any:
        """(N, 2) of the chosen and the rejected answers."""
        return np.stack([longer(rows), np.zeros(len(rows))], axis=1) * self.numbers["odds"]

    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        known = rows[0].label is not None
        most = self.task.score_answers if known else len(rows)
        texts: list[Any] = self.writing.write(rows[:most]) if rows[:most] else []
        if not known:
            return [Said(NOTHING, NOTHING, NOTHING, *self.writing.finished(text)) for text in texts]
        texts += [None] * (len(rows) - len(texts))
        scores = np.asarray(self.scores(rows) / self.task.strength, dtype=np.float32)
        nothing = np.zeros(2, dtype=np.float32)
        return [
            Compared(score, NO_LENGTHS, nothing, *self.writing.finished(text))
            for score, text in zip(scores, texts, strict=True)
        ]

    def prepare(self) -> None:
        numbers = {name[7:]: values for name, values in self.numbers.items() if name.startswith("writer.")}
        self.writing = self.writer(self.task, self.reading, numbers, self.words["writer"])


class Linear(Longer):
    """Logistic regression on what the TF-IDF vectors of the chosen and of the rejected answer differ by."""

    writer: ClassVar[type[Unigram]] = Trigram

    def prepare(self) -> None:
        super().prepare()
        self.terms = Terms.saved(self.numbers, self.words["scoring"])

    @classmethod
    def scoring(cls, train: Sequence[Row]) -> tuple[dict[str, Any], dict[str, Any]]:
        terms = Terms.of([text for row in train for text in sides(row)])
        turned = np.random.default_rng(0).integers(2, size=len(train))  # else one class were all there is
        differences = vectors(terms, train, 0) - vectors(terms, train, 1)
        from scipy.sparse import diags

        fitted = probe.fit(diags(1.0 - 2.0 * turned).astype(np.float32) @ differences, turned, 2)
        return {**terms.numbers(), "weight": fitted.weight[:, 0] - fitted.weight[:, 1]}, terms.names

    def scores(self, rows: Sequence[Row]) -> Any:
        return np.stack([vectors(self.terms, rows, side) @ self.numbers["weight"] for side in (0, 1)], axis=1)


def sides(row: Row) -> tuple[str, str]:
    """The texts of the chosen and of the rejected answer."""
    chosen, rejected = (
        "\n".join(str(turn.get("content") or "") for turn in turns) for turns in (row.label.chosen, row.label.rejected)
    )
    return chosen, rejected


def longer(rows: Sequence[Row]) -> NDArray[np.int64]:
    """(N,) 1 where the chosen answer has more characters than the rejected one, -1 where it has fewer, else 0."""
    return np.sign([len(chosen) - len(rejected) for chosen, rejected in map(sides, rows)])


def vectors(terms: Terms, rows: Sequence[Row], side: int) -> Any:
    """(N, V + 1) sparse: TF-IDF of the chosen (0) or rejected (1) answers, and the logarithm of their length."""
    from scipy.sparse import csr_matrix, hstack

    texts = [sides(row)[side] for row in rows]
    lengths = csr_matrix(np.log1p([[len(text)] for text in texts]) * 3)
    return hstack([terms(texts) * np.float32(NORM), lengths], format="csr", dtype=np.float32)
