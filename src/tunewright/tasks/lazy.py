"""Rows of a table as its task reads them, made anew each time they are asked for: a large file stays on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..data.columns import Roles
from ..data.row import Row
from ..data.table import Table
from .base import Task


class LazyRows(Sequence[Row]):
    """The rows at `places` of a table."""

    def __init__(
        self, table: Table, task: Task, roles: Roles, names: Any, labelled: bool, places: NDArray[np.int64]
    ) -> None:  # fmt: skip
        self.table, self.places, self.how = table, places, (task, roles, names, labelled)

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        task, *how = self.how
        row = task.read(self.table, int(self.places[place]), *how)
        assert isinstance(row, Row)  # its place is here because it was one
        return row

    def taken(self, places: Sequence[int]) -> LazyRows:
        """Those at some places."""
        task, roles, names, labelled = self.how
        return LazyRows(self.table, task, roles, names, labelled, self.places[np.asarray(places, dtype=np.int64)])
