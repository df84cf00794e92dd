"""Tolerance: what is done with a row that can't be taken as it is; and how large things may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import DataError
from .table import Fault

MEGABYTE = 1 << 20
CELL = 16 * MEGABYTE  # characters; a book has one to two million
LINE = 4 * CELL  # characters of a row
COLUMNS = 10_000
WHOLE = 256 * MEGABYTE  # bytes of a file that is read at once; as Python objects they take several times that
FAULTS = 10_000  # of one file that are kept


@dataclass
class Tolerance:
    """Raises what is wrong with a source, or collects it.

    Args:
        source: what a message calls it.
        faults: where to collect; None: the first one raises.
        mended: what the lines of the row that is being read needed: (rule, what, fix).
    """

    source: str
    faults: list[Fault] | None = None
    mended: list[tuple[str, str, str]] = field(default_factory=list)
    count: int = 0

    @property
    def strict(self) -> bool:
        return self.faults is None

    def step_over(self, rule: str, what: str, fix: str, number: int | None = None, column: str | None = None) -> None:
        """Notes a fault. Raises DataError where reading is strict."""
        if self.faults is None:
            raise DataError(what, where=self.source + (f", row {number}" if number else ""), fix=fix)
        self.count += 1
        if self.count <= FAULTS:
            self.faults.append(Fault(number, rule, what, fix, column))

    def fits(self, row: Mapping[str, Any], number: int) -> bool:
        """Whether no cell is absurdly long, which else is told."""
        for column, value in row.items():
            size = len(value) if isinstance(value, str | bytes | list | dict) else 0
            if size > CELL:
                what, fix = f"column {column!r} has {size:,} characters; {CELL:,} are the most", "shorten it"
                self.step_over("long_cell", what, fix, number, column)
                return False
        return True

    def row_ends(self, number: int | None) -> None:
        """What its lines needed is now known to concern this row; the file where it is None."""
        for rule, what, fix in self.mended:
            self.step_over(rule, what, fix, number)
        self.mended.clear()

    def close(self) -> None:
        """Says what concerns the file, and how many faults were not kept."""
        if self.faults is None:
            return
        self.row_ends(None)  # a last line of nothing else gave no row
        if self.count > FAULTS:
            what = f"{self.count - FAULTS:,} more faults, beyond the {FAULTS:,} that are told"
            self.faults.append(Fault(None, "more_faults", what, "mend those first, then read the file again"))
