"""Texts said in other words by a model that writes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .base import Aids, Passage, Rewriting
from .prompts import filled

ASK = (
    "Say the following message in other words. Keep its meaning, its language, its tone, and every name, number and "
    "date exactly as written. Answer with the new message alone.\n\n{text}"
)


class Paraphrase(Rewriting):
    """The whole text in other words, by any model that writes."""

    title: ClassVar[str] = "other words"
    needs: ClassVar[str] = "writer"
    kind: Literal["paraphrase"] = "paraphrase"
    prompt: str | None = Field(None, description="with {text} in it; where left out a request, or {text} alone")
    least_cosine: float | None = 0.6  # below, it is rarely the same matter

    def ask(self, passage: Passage, leg: int, chats: bool, aids: Aids, seed: int) -> str:
        return filled(self.prompt or (ASK if chats else "{text}"), text=passage.text)
