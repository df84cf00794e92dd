"""How `preview` shows rows that are answered in writing: the text as it is fed, what is learned of it marked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from ..preview import Passage, Stretch, WrittenRow

OPENING, CLOSING = "⟦", "⟧"
LEARNED = "bold green"


def written(row: WrittenRow, coloured: bool) -> Iterator[Text]:
    """A row's lines; what is learned is in colour on a terminal, and between ⟦ and ⟧ elsewhere."""
    yield Text(harmless(f"{Path(row.source).name}, row {row.number} ({row.split})"), "bold underline")
    if row.mended:
        yield Text(f"mended: {'; '.join(row.mended)}", "yellow")
    for phrase in row.faults:
        yield Text(f"fault: {phrase}", "yellow")
    for passage in row.passages:
        yield Text(f"{passage.name}: {facts(passage)}", "bold" if coloured else "")
        yield from lines(passage, coloured)
    if row.truncated:
        what = "the answer is cut" if row.answer_cut else "cut"
        yield Text(f"{what}: {row.truncated:,} tokens did not fit", "red")


def facts(passage: Passage) -> str:
    """How many tokens, and how many of them are learned."""
    tokens = f"{passage.num_tokens:,} token{'' if passage.num_tokens == 1 else 's'}"
    if passage.num_learned in (0, passage.num_tokens):
        return f"{tokens}, {'learned' if passage.num_learned else 'not learned'}"
    return f"{tokens}, {passage.num_learned:,} learned"


def lines(passage: Passage, coloured: bool) -> Iterator[Text]:
    """The text, indented, its own line breaks kept."""
    whole = Text("").join(marked(stretch, coloured) for stretch in passage.stretches)
    for line in whole.split("\n", allow_blank=True):
        yield Text("  ") + line


def marked(stretch: Stretch, coloured: bool) -> Text:
    text, weight = harmless(stretch.text), f"{stretch.weight:g} x " if stretch.weight not in (0, 1) else ""
    if not stretch.weight:
        return Text(text, "dim" if coloured else "")
    if not coloured:
        return Text(f"{OPENING}{weight}{text}{CLOSING}")
    return Text.assemble((weight, "dim green"), (text, "green" if weight else LEARNED))


def harmless(text: str) -> str:
    """Text that commands no terminal: line breaks stay, other signs that nobody sees are spelled out."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode() for sign in text
    )
