"""grouped: rows of one customer (or author, or source) are never parted."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ...errors import ConfigError
from .base import Subject
from .drawing import Drawn, Places


class Grouped(Drawn):
    """Whole groups, the largest first, each where its labels are lacking most."""

    column_holds: ClassVar[Literal["", "groups", "times"]] = "groups"

    kind: Literal["grouped"] = "grouped"
    column: str | None = Field(
        None, min_length=1, description="its values are the groups (an empty cell: a group of its own)"
    )

    def assign(self, subject: Subject, shares: list[float], seed: int) -> Places:
        if subject.blocks is None:
            fix = "name the column of the groups (data.split.column, --column)"
            raise ConfigError("the rows have no groups of their own", where="data.split", fix=fix)
        return super().assign(subject, shares, seed)
