"""What augmentation works on: one job, the row that comes of it, and the count of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..data.augment.base import Augmenter, Changed
from ..data.augment.slots import Record, Slot, slots_of
from ..data.row import Row
from ..data.table import Table
from ..errors import DataError
from .reading import Opened


def slots(opened: Opened, row: Row) -> list[Slot]:
    return slots_of(opened.task, opened.table, opened.index(row), opened.roles, row, opened.names)


def read_back(opened: Opened, record: Record, row: Row) -> Row | None:
    """What the task reads in a record that was made of a row; None where it can't, or where the label changed."""
    made = Table(opened.table.source, opened.table.columns, [record], [row.number], "")
    try:
        found = opened.task.read(made, 0, opened.roles, opened.names, True)
    except DataError:
        return None
    return found if isinstance(found, Row) and decoded(found) == decoded(row) else None


def decoded(row: Row) -> Any:
    """A row's label by what it says: of entities and answers their words, wherever they stand."""
    if row.words is not None:
        edges = [(row.words[first][0], row.words[last - 1][1], kind) for first, last, kind in row.label if kind != "O"]
        return [(row.text[0][start:end], kind) for start, end, kind in edges]
    if isinstance(row.label, tuple) and all(isinstance(item, tuple) for item in row.label):
        return [text for _, text in row.label]
    return row.label


class Job(NamedTuple):
    """One new row to be made of the row at `place`."""

    place: int
    technique: Augmenter
    turn: int


@dataclass
class Tally:
    """Of one technique: rows made, kept, and dropped by reason; and rows in which it found nothing to change."""

    made: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"made": self.made, "kept": self.kept, "dropped": dict(self.dropped), "unchanged": self.unchanged}


@dataclass
class Made:
    """A new row on its way: `changed` in the order of `slots`, None for a text that stays."""

    job: Job
    row: Row
    slots: list[Slot]
    changed: list[Changed | None]
    record: Record = field(default_factory=dict)
    read: Row | None = None

    @property
    def texts(self) -> list[tuple[str, str]]:
        """(before, after) of the texts that changed."""
        pairs = zip(self.slots, self.changed, strict=True)
        return [(slot.passage.text, changed.text) for slot, changed in pairs if changed is not None]
