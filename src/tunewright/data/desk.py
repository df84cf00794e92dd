"""Desk: what a check may look at. Work that several checks need is done once, on one sample, within one time."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .row import Row
from .table import Fault, Table, is_missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tasks.base import Task
    from .columns import Roles

SAMPLE = 20_000  # rows whose features and lengths are looked at; more would tell little more
EVERY = 256  # rows between two looks at the clock


class TimeIsUp(Exception):
    """The time given for checking is over. The check that hears of it has said what it found so far."""


class Encoder(Protocol):
    """What turns texts into features."""

    name: str

    def __call__(
        self, texts: Sequence[tuple[str, ...]], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """(N, d) features of N texts (or pairs); cached on disk."""


@dataclass(frozen=True)
class Part:
    """One split: what its file says, and what its task makes of it.

    Args:
        name: train, validation or test.
        table: the file as it was read; its `rows` may lie on disk, so go through them, do not copy them.
        rows: the usable ones, in the file's order; may be made anew each time they are asked for.
        roles: what this file's columns are for.
        faults: what reading had to step over or to guess.
        unusable: numbers of the rows that the task cannot use, and why.
    """

    name: str
    table: Table
    rows: Sequence[Row]
    roles: Roles
    faults: Sequence[Fault] = ()
    unusable: Sequence[tuple[int, str]] = ()

    def index(self, row: Row) -> int:
        """Where a row stands in the table; those of a split made here may stand in another order."""
        return bisect_left(self.table.numbers, row.number)


@dataclass
class Desk:
    """What a check may look at.

    Args:
        task: with what it learned from train; knows `kind`, and what its rows' labels mean.
        parts: by name, train first.
        production: texts that a model will meet, without labels; only looked at for shift.
        encoder: None where there is none (no model, no time).
        tokenizer: of the model that will be trained; None where nobody knows it.
        max_length: tokens that this model will read at once.
        group_column: of the groups that a person named (data.split.column); the task may know groups of its own.
        seconds: for all checks together; None: as long as it takes.
        sample_size: rows of a part that expensive checks look at.
        show: hears (what, done, total) of long work.
    """

    task: Task
    parts: Mapping[str, Part]
    encoder: Encoder | None = None
    production: Part | None = None
    tokenizer: Any = None
    max_length: int | None = None
    group_column: str | None = None
    seed: int = 0
    seconds: float | None = None
    sample_size: int = SAMPLE
    show: Callable[[str, int, int], None] = lambda what, done, total: None
    started: float = field(default_factory=time.monotonic)
    _known: dict[Any, Any] = field(default_factory=dict)

    @property
    def train(self) -> Part:
        return self.parts["train"]

    @property
    def held_out(self) -> list[Part]:
        """Validation and test, as far as they are there."""
        return [part for name, part in self.parts.items() if name != "train"]

    def seconds_left(self) -> float:
        return float("inf") if self.seconds is None else self.seconds - (time.monotonic() - self.started)

    def progress(self, what: str, done: int, total: int) -> None:
        """To be called every few hundred rows of long work. Raises TimeIsUp."""
        self.show(what, done, total)
        if self.seconds_left() < 0:
            raise TimeIsUp

    def each(self, part: Part, what: str) -> Iterator[Row]:
        """Every usable row, under the eyes of the clock."""
        for place, row in enumerate(part.rows):
            if place % EVERY == 0:
                self.progress(f"{what}: {part.name}", place, len(part.rows))
            yield row

    def chunks(self, part: Part, what: str) -> Iterator[list[Row]]:
        """The rows of the sample, EVERY at a time, under the eyes of the clock."""
        places = self.sample(part)
        for start in range(0, len(places), EVERY):
            self.progress(f"{what}: {part.name}", start, len(places))
            yield [part.rows[place] for place in places[start : start + EVERY]]

    def group_of(self, part: Part, row: Row) -> str | None:
        """What may not be parted from the row; None where it stands alone."""
        if self.group_column is None or self.group_column not in part.table.columns:
            return row.group
        cell = part.table.rows[part.index(row)][self.group_column]
        return row.group if is_missing(cell) else str(cell)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once for all checks."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def sample(self, part: Part) -> list[int]:
        """Places in `part.rows` that expensive checks look at: the same for all of them, ascending."""
        count = len(part.rows)
        if count <= self.sample_size:
            return list(range(count))
        drawn = np.random.default_rng([self.seed, 40]).choice(count, self.sample_size, replace=False)
        return sorted(map(int, drawn))

    def features(self, part: Part) -> NDArray[np.float32]:
        """(N, d) features of the N rows of `sample(part)`. Ask only where there is an encoder. Raises TimeIsUp."""

        def make() -> NDArray[np.float32]:
            assert self.encoder is not None
            texts = [part.rows[place].text for place in self.sample(part)]
            return self.encoder(texts, lambda done, total: self.progress(f"features of {part.name}", done, total))

        found: NDArray[np.float32] = self.once(("features", part.name), make)
        return found
