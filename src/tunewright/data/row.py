"""Row: one row that has a meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Offsets = tuple[int, int]  # first character, one past the last


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns, as chat templates take them.

    Args:
        messages: mappings with `role` (system, user, assistant, tool) and `content`, and what else a template reads
            (`tool_calls`, `name`); an answer that is known is the last.
        tools: JSON schemas of the functions that may be called, as chat templates take them.
    """

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row that has a meaning.

    Args:
        number: its number in the file, as a person counts.
        text: what is read: one text or two.
        label: as the task's `read` made it; None where unknown.
        words: where the words of `text[0]` stand in it, for tasks that answer word by word.
        id: its name in its own file, where it has one.
        group: rows of one group are never parted by a split (questions on one paragraph, say).
        mended: what reading had to put right, one phrase for each kind; counted in the ledger.
        dialogue: for tasks that read turns: all of them, the answer included where it is known.
    """

    number: int
    text: tuple[str, ...]
    label: Any = None
    words: tuple[Offsets, ...] | None = None
    id: str | None = None
    group: str | None = None
    mended: tuple[str, ...] = ()
    dialogue: Dialogue | None = None
