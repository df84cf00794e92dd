"""Texts translated into another language and back."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .base import Aids, Passage, Rewriting
from .prompts import filled

ASK = "Translate the following message into {language}. Answer with the translation alone.\n\n{text}"


class BackTranslation(Rewriting):
    """There and back through two translation models (Sennrich et al. 2016; Yu et al. 2018, section 3)."""

    title: ClassVar[str] = "translated there and back"
    needs: ClassVar[str] = "writers"
    kind: Literal["back_translation"] = "back_translation"
    backward: str | None = Field(None, description="the model that translates back; the second --model")
    prompt: str | None = Field(None, description="with {text} (and {language}); what the model there is fed")
    backward_prompt: str | None = Field(None, description="the same for the model back")
    language: str = Field("German", description="the language between, where a model is asked in words")
    own_language: str = Field("English", description="of the texts")
    least_cosine: float | None = 0.6  # below, it is rarely the same matter

    def ask(self, passage: Passage, leg: int, chats: bool, aids: Aids, seed: int) -> str:
        prompt, language = ((self.prompt, self.language), (self.backward_prompt, self.own_language))[leg]
        return filled(prompt or (ASK if chats else "{text}"), language=language, text=passage.text)
