"""What writers are asked, and what of their answers is the text."""

from __future__ import annotations

import re

import regex

QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "«": "»", "`": "`"}
THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)  # of models that think aloud
UNWRITABLE = regex.compile(r"[\p{Cs}\p{Cc}--[\n\t]]", regex.VERSION1)  # no file holds half characters and NUL
BULLET = re.compile(r"^(?:[-*•]|\d{1,2}[.)])\s+")


def filled(template: str, **fields: str) -> str:
    """The template with each field in the place of its name in braces; give {text} last: its own braces stay."""
    for name, value in fields.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def answer_in(said: str, before: str) -> str:
    """The text in an answer: without quotes and bullets around it; one line where it was one line before."""
    said = THOUGHTS.sub("", UNWRITABLE.sub("", said)).strip()
    lines = [line.strip() for line in said.splitlines()]
    text = said if "\n" in before.strip() else next(filter(None, lines), "")
    text = BULLET.sub("", text) if not BULLET.match(before) else text
    if len(text) > 1 and QUOTES.get(text[0]) == text[-1] and text[0] != before.strip()[:1]:
        text = text[1:-1].strip()
    return text
