"""The rows of a table that a task can use, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data.columns import Roles
from ..data.row import Row
from ..data.table import Table
from ..errors import DataError
from ..tasks.base import Task
from ..tasks.lazy import LazyRows

KEPT = 50_000  # rows of a table that are kept as they were read; of larger tables only their places


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
