"""Delimited text: its records, and what it does not say itself: the delimiter, and whether it has a header."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain

from ..errors import DataError
from .columns import LABEL_NAMES, PAIR_NAMES, TEXT_NAMES
from .content import TextFile
from .disk_rows import Record
from .tolerance import CELL, COLUMNS, LINE, MEGABYTE, Tolerance

DELIMITERS = ",;\t|"
SNIFFED = 100_000  # characters looked at to tell the delimiter
KNOWN_NAMES = {*TEXT_NAMES, *LABEL_NAMES, *chain(*PAIR_NAMES), "id", "idx", "index", "title", "date", "score"}
REPEATED = 4 * LINE  # characters that wrong quotes may make us read again
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


def column_names(first: list[str], is_header: bool, tolerance: Tolerance) -> list[str]:
    refuse_many(first, tolerance)
    if not is_header:
        return [f"column_{place + 1}" for place in range(len(first))]
    return distinct([cell.strip() or f"column_{place + 1}" for place, cell in enumerate(first)], tolerance, 1)


def refuse_many(columns: list[str], tolerance: Tolerance) -> None:
    if len(columns) > COLUMNS:
        fix = "check its delimiter, or leave columns out"
        raise DataError(f"has {len(columns):,} columns; {COLUMNS:,} are the most", where=tolerance.source, fix=fix)


def distinct(names: list[str], tolerance: Tolerance, number: int | None = None) -> list[str]:
    """Column names, each one once: where reading is tolerant, a second `x` is `x_2`."""
    found, counts, taken = [], Counter[str](), set(names)
    for name in names:
        new = name
        counts[name] += 1
        if counts[name] > 1:
            what = f"column {name!r} is there twice"
            tolerance.step_over("duplicate_column", what, "rename one of them", number, name)
            while (new := f"{name}_{counts[name]}") in taken:
                counts[name] += 1
            taken.add(new)
        found.append(new)
    return found


def delimited_records(file: TextFile, delimiter: str, tolerance: Tolerance) -> Iterator[Record]:
    if delimiter == "\t":
        return tabbed_records(file.lines(), tolerance)
    return quoted_records(file.lines(newline=""), delimiter, tolerance)


def tabbed_records(lines: Iterator[str], tolerance: Tolerance) -> Iterator[Record]:
    """Each record that is not blank. Tab-separated files have no quoting, as most are written."""
    for number, line in enumerate(lines, 1):
        tolerance.row_ends(number)
        if line.strip():
            cells = [unquoted(cell) for cell in line.rstrip("\r\n").split("\t")]
            if len(line) <= CELL or tolerance.fits(named(cells), number):
                yield number, cells, len(line)


def named(cells: list[str]) -> dict[str, str]:
    return {f"column_{place}": cell for place, cell in enumerate(cells, 1)}


class Feed:
    """Lines for the csv reader, which remembers those of the record that is being read."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines, self.again = lines, deque[str]()
        self.record: list[str] = []
        self.size = self.repeated = 0

    def __iter__(self) -> Iterator[str]:
        while True:
            line = self.again.popleft() if self.again else next(self.lines, None)
            if line is None:
                return
            self.record.append(line)
            self.size += len(line)
            if self.size > LINE:
                raise csv.Error(f"a record is longer than {LINE // MEGABYTE} MB")
            yield line

    def step_back(self) -> None:
        """The lines after the record's first one are read again."""
        self.repeated += sum(map(len, self.record[1:]))
        self.again.extendleft(reversed(self.record[1:]))
        del self.record[1:]


def quoted_records(lines: Iterator[str], delimiter: str, tolerance: Tolerance) -> Iterator[Record]:
    """Each record that is not blank. Of one whose quotes are wrong, tolerant reading takes the first line alone."""
    csv.field_size_limit(LINE)  # the reader's own message names no column
    feed, number, width = Feed(lines), 0, 0
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.record, feed.size = [], 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            what, fix = (
                f"is no valid csv: {error}",
                'close each quote, and write a quote inside a quoted cell twice ("")',
            )
            spoilt = f"; it would take in {len(feed.record) - 1:,} more lines" if len(feed.record) > 1 else ""
            tolerance.step_over("unclosed_quote", what + spoilt, fix, number + 1)
            feed.step_back()
            if feed.repeated > REPEATED:
                raise DataError("quotes are unbalanced throughout", where=tolerance.source, fix=fix) from None
            cells = recovered(feed.record[0], delimiter, width)
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
        number += 1
        tolerance.row_ends(number)
        if any(map(str.strip, cells)) and (feed.size <= CELL or tolerance.fits(named(cells), number)):
            width = width or len(cells)
            yield number, cells, feed.size


def recovered(line: str, delimiter: str, width: int) -> list[str]:
    """The cells of a line whose quotes are wrong: `width` of them, if there is a way."""
    line = line.rstrip("\r\n")
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
        try:
            cells = next(csv.reader([line], delimiter=delimiter, quoting=quoting))
        except csv.Error:
            continue
        if len(cells) == width:
            return cells
    return line.split(delimiter)


def unquoted(cell: str) -> str:
    """A tab-separated cell that a spreadsheet wrapped in quotes, without them."""
    inner = cell[1:-1]
    wrapped = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if wrapped else cell
