"""What a csv or tsv file does not say itself: its delimiter and whether it starts with column names."""

from __future__ import annotations

import re
from collections import Counter

from ..errors import DataError

DELIMITERS = ",;\t|"
KNOWN_NAMES = {
    *("text", "label", "labels", "category", "class", "sentence", "message", "content", "target", "topic", "intent"),
    *("id", "idx", "index", "review", "comment", "tweet", "body", "title", "question", "tags", "sentiment", "date"),
    *("sentence1", "sentence2", "premise", "hypothesis", "question1", "question2", "document", "emotion", "score"),
}
NUMBER = re.compile(r"[-+]?\d+([.,]\d+)*")


def guess_delimiter(text: str) -> str:
    """The delimiter of the first line outside quotes that occurs most; a comma where there is none."""
    line = re.sub(r'"[^"]*"', "", text.split("\n", 1)[0])
    counts = Counter(character for character in line if character in DELIMITERS)
    return max(DELIMITERS, key=lambda character: counts[character])


def first_data_row(records: list[list[str]], header: bool | None) -> tuple[int, str | None]:
    """(1 where the first record names the columns, else 0; what to tell the person, if it was decided here)."""
    if header is not None:
        return int(header), None
    if names_columns(records):
        return 1, None
    columns = ", ".join(f"column_{place + 1}" for place in range(len(records[0])))
    return 0, f"no header found: the columns are {columns} (data.header: true if the first row is one)"


def names_columns(records: list[list[str]]) -> bool:
    """Whether the first record is a header.

    A known name decides. Else names are short, distinct and no numbers, and do not come again as values below.
    """
    first = [cell.strip() for cell in records[0]]
    named = [cell for cell in first if cell]  # pandas leaves the name of its index empty
    if not named or any(NUMBER.fullmatch(cell) for cell in named) or len(set(named)) < len(named):
        return False
    if any(cell.lower() in KNOWN_NAMES for cell in first):
        return True
    if any(len(cell) > 40 or len(cell.split()) > 4 for cell in first):
        return False
    return not any(
        cell == row[place].strip()
        for row in records[1:]
        for place, cell in enumerate(first)
        if cell and place < len(row)
    )


def column_names(first: list[str], is_header: bool, where: str) -> list[str]:
    if not is_header:
        return [f"column_{place + 1}" for place in range(len(first))]
    names = [cell.strip() or f"column_{place + 1}" for place, cell in enumerate(first)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"column {twice[0]!r} is there twice", where=f"{where}, row 1", fix="rename one of them")
    return names
