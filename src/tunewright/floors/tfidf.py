"""TF-IDF: linear models of words and letters, and their like for tasks that answer with words or spans."""

from __future__ import annotations

from typing import Literal

from .base import Floor, Learner


class Tfidf(Floor):
    """Logistic regression; a tagger of windows; passages by their words; n-grams with the nearest training answer."""

    kind: Literal["tfidf"] = "tfidf"

    @classmethod
    def learners(cls) -> dict[str, type[Learner]]:
        from . import classes, pairs, passages, tags, writing

        return {
            "sequence_classification": classes.Linear,
            "token_classification": tags.Tagger,
            "question_answering": passages.Windows,
            "causal_lm": writing.Trigram,
            "seq2seq": writing.Trigram,
            "preference": pairs.Linear,
        }
