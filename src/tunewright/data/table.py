"""Table: the rows of one source as they were read, before anybody knows what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DataError, suggest


@dataclass(frozen=True)
class Fault:
    """What tolerant reading stepped over or guessed, where strict reading raises.

    Args:
        number: of the row as a person counts; None where it concerns the file.
        rule: a stable name: ragged_row, not_utf8, nul_bytes, bad_json, unclosed_quote, duplicate_column, ...
        what: in words, as the DataError would say it.
        remedy: what a person can do.
        column: where one is to blame.
    """

    number: int | None
    rule: str
    what: str
    remedy: str
    column: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows as mappings from column to value.

    Args:
        source: what a message calls it: the path or hub id.
        columns: names in the order of the source.
        rows: one mapping per row; every row has every column (None where a jsonl object lacks it). Of large files they
            lie on disk and are read as they are asked for.
        numbers: the number of each row as a person would count it: the header is row 1 of a csv,
            the first line of a jsonl is row 1.
        sha256: of the file's bytes, or of the content where there is no file.
        notes: what reading decided by itself, for the person to see.
    """

    source: str
    columns: list[str]
    rows: Sequence[dict[str, Any]]
    numbers: Sequence[int]
    sha256: str
    notes: list[str] = field(default_factory=list)

    def where(self, index: int) -> str:
        return f"{self.source}, row {self.numbers[index]}"

    def named(self, *names: str) -> str | None:
        """The first of these columns that there is, in whatever case it is written."""
        lower = {name.lower(): name for name in self.columns}
        return next((lower[name] for name in names if name in lower), None)

    def require_all(self, text: Sequence[str] | None, label: Sequence[str] | None) -> None:
        """Raises DataError where a column that data.text or data.label names is not there."""
        for names, setting in ((text, "data.text"), (label, "data.label")):
            for name in names or ():
                self.require(name, setting)

    def require(self, column: str, setting: str) -> str:
        """The column's name, or an error that names the ones there are."""
        if column not in self.columns:
            fix = f"set {setting} to one of {', '.join(map(repr, self.columns))}"
            raise DataError(
                f"there is no column {column!r} ({suggest(column, self.columns)})", where=self.source, fix=fix
            )
        return column


def is_missing(value: Any) -> bool:
    """None, NaN, or a text of blanks."""
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, str) and not value.strip()


def own_id(record: Mapping[str, Any]) -> str | None:
    """The name that a row gives itself, in a column `id`."""
    return None if is_missing(record.get("id")) else str(record["id"])


def shown(value: Any) -> str:
    """A value as a message quotes it: one line, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
