"""Words replaced by what a masked language model expects in their place."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from pydantic import Field

from .base import STOPWORDS, Aids, Edit, Editing, Passage, in_case_of


class MaskedLM(Editing):
    """Some words masked, and one of the likeliest others drawn (Wu et al. 2019, without its training on labels)."""

    title: ClassVar[str] = "words that a masked model expects"
    needs: ClassVar[str] = "masked"
    kind: Literal["masked_lm"] = "masked_lm"
    model: str | None = Field(None, description="a masked language model: a local folder or hub id; else --model")
    top_k: int = Field(10, ge=2, description="predictions from which one is drawn by its probability")
    least_cosine: float | None = 0.7  # a model that sees no label may well write the opposite

    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        assert aids.fill is not None
        text = passage.text
        words = [(a, b) for a, b in passage.free_words() if passage.in_sentence(a)]
        words = [(a, b) for a, b in words if text[a:b].lower() not in STOPWORDS]
        places = sorted(self.some(words, draw))
        edits = []
        for place, expected in zip(places, aids.fill(text, places, self.top_k) if places else [], strict=True):
            old = text[slice(*place)]
            others = [(word, share) for word, share in expected if word.lower() != old.lower()]
            if others:
                (chosen,) = draw.choices([word for word, _ in others], [share for _, share in others])
                edits.append(Edit(*place, in_case_of(chosen, old)))
        return edits
