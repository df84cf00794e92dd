"""Delimited text: its records, and what it does not say itself: the delimiter, and whether it has a header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

from ..errors import DataError

DELIMITERS = ",;\t|"
SNIFFED = 100_000  # characters looked at to tell the delimiter
KNOWN_NAMES = {
    *("text", "label", "labels", "category", "class", "sentence", "message", "content", "target", "topic", "intent"),
    *("id", "idx", "index", "review", "comment", "tweet", "body", "title", "question", "tags", "sentiment", "date"),
    *("sentence1", "sentence2", "premise", "hypothesis", "question1", "question2", "document", "emotion", "score"),
}
NUMBER = re.compile(r"[-+]?\d+([.,]\d+)*")


def guess_delimiter(text: str) -> str:
    """The delimiter that cuts the first lines into equally many cells; else the commonest of the first line."""
    start = text[:SNIFFED]
    whole = start if len(text) <= SNIFFED or "\n" not in start else start[: start.rindex("\n")]
    lines = [line for line in re.sub(r'"[^"]*"', "", whole).split("\n") if line.strip()][:20]

    def fit(character: str) -> tuple[bool, int]:
        counts = [line.count(character) for line in lines] or [0]
        return counts[0] > 0 and len(set(counts)) == 1, counts[0]

    return max(DELIMITERS, key=fit)


def first_data_row(records: list[list[str]], header: bool | None) -> tuple[int, str | None]:
    """(1 where the first record names the columns, else 0; what to tell the person, if it was decided here)."""
    if header is not None:
        return int(header), None
    if not names_columns(records):
        columns = ", ".join(f"column_{place + 1}" for place in range(len(records[0])))
        return 0, f"no header found: the columns are {columns} (data.header: true if the first row is one)"
    if any(map(is_known, records[0])):
        return 1, None
    return 1, f"header: {', '.join(records[0])} (data.header: false if that is a row of data)"


def is_known(cell: str) -> bool:
    return cell.strip().lower() in KNOWN_NAMES


def names_columns(records: list[list[str]]) -> bool:
    """Whether the first record is a header.

    Two known names decide. Else names are no numbers and do not come again as values below; then one known name
    decides. Else names are short and distinct.
    """
    first = [cell.strip() for cell in records[0]]
    named = [cell for cell in first if cell]  # pandas leaves the name of its index empty
    known = sum(map(is_known, named))
    if not named or known > 1:
        return known > 1
    if any(NUMBER.fullmatch(cell) for cell in named) or comes_again(first, records[1:]):
        return False
    distinct = len(set(named)) == len(named)
    return known == 1 or (distinct and not any(len(cell) > 40 or len(cell.split()) > 4 for cell in named))


def comes_again(first: list[str], below: list[list[str]]) -> bool:
    """Whether a cell of the first record is also a value of its column."""
    return any(
        cell == row[place].strip() for row in below for place, cell in enumerate(first) if cell and place < len(row)
    )


def column_names(first: list[str], is_header: bool, where: str) -> list[str]:
    if not is_header:
        return [f"column_{place + 1}" for place in range(len(first))]
    names = [cell.strip() or f"column_{place + 1}" for place, cell in enumerate(first)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"column {twice[0]!r} is there twice", where=f"{where}, row 1", fix="rename one of them")
    return names


def delimited_records(text: str, delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """(number, cells) of each record that is not blank. Tab-separated files have no quoting, as most are written."""
    if delimiter == "\t":
        for number, line in enumerate(text.split("\n"), 1):  # not splitlines: U+2028 is no new row
            if line.strip():
                yield number, [unquoted(cell) for cell in line.rstrip("\r").split("\t")]
        return
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for cells in reader:
            number += 1
            if any(cell.strip() for cell in cells):
                yield number, cells
    except csv.Error as error:
        fix = 'close each quote, and write a quote inside a quoted cell twice ("")'
        raise DataError(f"is no valid csv: {error}", where=f"{where}, row {number + 1}", fix=fix) from None


def unquoted(cell: str) -> str:
    """A tab-separated cell that a spreadsheet wrapped in quotes, without them."""
    inner = cell[1:-1]
    wrapped = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if wrapped else cell
