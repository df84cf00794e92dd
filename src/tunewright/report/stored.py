"""What the model's own folder says of how answers are written: the chat template, and where an answer ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from . import privacy


@dataclass(frozen=True)
class Stored:
    """How the stored tokenizer and model write answers.

    Args:
        template: Jinja text, with secrets and absolute paths taken out; None where there is none.
        end: the special token that ends an answer, where it is not the tokenizer's end of sequence.
        closing: what the template writes between an answer and its special token.
        habits: what the checkpoint's own generation_config asks for; None where the folder has none.
    """

    template: str | None = None
    end: str | None = None
    closing: str = ""
    habits: dict[str, Any] | None = None


def read(folder: Path) -> Stored:
    """Of a run's model/; what cannot be read is left out, since a report is still a report without it."""
    template = chat_template(folder)
    habits = _mapping(folder / "generation_config.json")
    end, closing = _ending(folder, template) if template else (None, "")
    return Stored(privacy.scrub(template) if template else None, end, closing, habits)


def chat_template(folder: Path) -> str | None:
    """The template that plain transformers would take: the file, else the one in the tokenizer's configuration."""
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        found = (_mapping(folder / "tokenizer_config.json") or {}).get("chat_template")
    if isinstance(found, list):  # several, by name
        named = {item.get("name"): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _mapping(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _ending(folder: Path, template: str) -> tuple[str | None, str]:
    """(end, closing) as in `Stored`: the tokenizer must be asked, for a template may take its tokens from there."""
    if not (folder / "tokenizer_config.json").is_file():
        return None, ""
    from transformers import AutoTokenizer

    from ..data import templates

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        end, closing = templates.end_of_turn(tokenizer, template), templates.closing(tokenizer, template)
    except (OSError, ValueError, DataError):
        return None, ""
    known = end is None or end == tokenizer.eos_token_id
    return None if known else str(tokenizer.convert_ids_to_tokens(end)), closing
