"""Majority: what is most frequent in the training rows, whatever is asked."""

from __future__ import annotations

from typing import Literal

from .base import Floor, Learner


class Majority(Floor):
    """The most frequent label; each word's most frequent tag; no answer; the tokens' frequencies; the longer answer."""

    kind: Literal["majority"] = "majority"

    @classmethod
    def learners(cls) -> dict[str, type[Learner]]:
        from . import classes, pairs, passages, tags, writing

        return {
            "sequence_classification": classes.Shares,
            "token_classification": tags.Dictionary,
            "question_answering": passages.FirstWords,
            "causal_lm": writing.Unigram,
            "seq2seq": writing.Unigram,
            "preference": pairs.Longer,
        }
