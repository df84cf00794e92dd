"""A file as its task reads it: the usable rows, and what is wrong with the others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import RunConfig
from ..data import sources
from ..data.columns import Roles
from ..data.row import Row
from ..data.table import Table
from ..errors import DataError
from ..intake import understand
from ..tasks.base import Task
from ..tasks.lazy import LazyRows
from ..training.progress import Listener

KEPT = 50_000  # rows of a table that are kept as they were read; of larger tables only their places


@dataclass(frozen=True)
class Opened:
    """A file, and what a task makes of it.

    Args:
        rows: the usable ones.
        unusable: number and reason of the others.
        notes: what was inferred.
    """

    table: Table
    task: Task
    roles: Roles
    names: Any
    rows: Sequence[Row]
    unusable: Sequence[tuple[int, str]]
    notes: list[str]

    @property
    def classified(self) -> bool:
        """Whether each row has one label."""
        return self.task.kind == "sequence_classification" and not getattr(self.task, "multi_label", False)

    def index(self, row: Row) -> int:
        return bisect_left(self.table.numbers, row.number)


def open_file(config: RunConfig, listener: Listener) -> Opened:
    """The training file of a configuration.

    Raises:
        DataError: it can't be read, serves no task, or has no usable row.
    """
    table = sources.read(config.data.train, config.data.header, progress=listener.progress)
    task, roles, names, notes = understand(config, table)
    rows, unusable = usable_rows(table, task, roles, names)
    if not rows:
        number, reason = unusable[0]
        raise DataError(f"no row is usable: {reason}", where=f"{table.source}, row {number}", fix="fill the columns")
    return Opened(table, task, roles, names, rows, unusable, notes)


def usable_rows(
    table: Table, task: Task, roles: Roles, names: Any, labelled: bool = True
) -> tuple[Sequence[Row], list[tuple[int, str]]]:
    """The rows that a task can use, and (number, reason) of the others. Nothing raises, whatever a row holds."""
    rows: list[Row] = []
    places: list[int] = []
    unusable: list[tuple[int, str]] = []
    for index in range(len(table.rows)):
        found = read(table, index, task, roles, names, labelled)
        if isinstance(found, str):
            unusable.append((table.numbers[index], found))
            continue
        places.append(index)
        if len(table.rows) <= KEPT:
            rows.append(found)
    if len(table.rows) <= KEPT:
        return rows, unusable
    return LazyRows(table, task, roles, names, labelled, np.array(places, dtype=np.int64)), unusable


def read(table: Table, index: int, task: Task, roles: Roles, names: Any, labelled: bool) -> Row | str:
    """One row, or in words why it can't be used."""
    try:
        return task.read(table, index, roles, names, labelled)
    except DataError as error:
        return error.what
