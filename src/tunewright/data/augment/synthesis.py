"""New texts of a label, written after a few examples of it."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from pydantic import Field

from .base import Aids, Passage, Rewriting
from .prompts import filled

ASK = (
    "Here are messages of one kind, which is called {label}. Write one more of this kind, about another occasion, in "
    "the same language and style and of similar length. Answer with the new message alone."
)


class Synthesis(Rewriting):
    """New rows of a label (few-shot prompting, as Yoo et al. 2021, section 3, with one label at a time)."""

    title: ClassVar[str] = "new texts of a label"
    needs: ClassVar[str] = "writer"
    labelled: ClassVar[bool] = True
    kind: Literal["synthesis"] = "synthesis"
    prompt: str = Field(ASK, description="what is asked; {label} is replaced, the examples follow")
    least_cosine: float | None = 0.1  # to the row's own text: of two texts of one topic rarely less, of nonsense mostly
    num_examples: int = Field(4, ge=1, description="texts of the label that are shown; the first is the row's own")

    def ask(self, passage: Passage, leg: int, chats: bool, aids: Aids, seed: int) -> str:
        """The request and the examples, each on a line that the new text is to continue."""
        draw = random.Random(f"{seed}|{passage.text}")
        known = [text for text in aids.examples.get(passage.label, ()) if text != passage.text]
        shown = [passage.text, *draw.sample(known, min(len(known), self.num_examples - 1))]
        lines = [f"- {' '.join(text.split())}" for text in shown]
        return "\n".join([filled(self.prompt, label=str(passage.label)), "", *lines, "- "])
