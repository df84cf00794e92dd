"""Intake: from data files to the rows of each split, with every row accounted for. No model is needed for it (D10)."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from .component import members
from .config import DataConfig, RunConfig
from .data import sources
from .data.columns import Roles
from .data.disk_rows import DiskRows
from .data.labels import read_names
from .data.splits.base import Splitter, Subject, joined, subset
from .data.splits.by_time import read_times
from .data.table import Table, is_missing, shown
from .errors import ConfigError, DataError
from .files import digest_of_all
from .tasks.base import Row, Task
from .tasks.lazy import LazyRows

HELD = 2**28  # characters of rows that are held in memory, where they could stay on disk


@dataclass(frozen=True)
class Split:
    """The rows of one split, and where they came from: a table and what its columns are for."""

    rows: Sequence[Row]
    source: str
    sha256: str
    rows_in: int
    dropped: Counter[str]
    table: Table
    roles: Roles

    @cached_property
    def content(self) -> str:
        """Names what the rows say: texts, labels, words and turns."""
        return digest_of_all((row.text, row.label, row.words, row.dialogue) for row in self.rows)

    def part(self, places: list[int]) -> Split:
        """Some of the rows; what was dropped stays with the split they were taken from."""
        return replace(self, rows=taken(self.rows, places), rows_in=len(places), dropped=Counter())

    def limited(self, places: list[int]) -> Split:
        """Some of the rows; the others are counted as dropped."""
        dropped = self.dropped + Counter({"over data.limit": len(self.rows) - len(places)})
        return replace(self, rows=taken(self.rows, places), dropped=dropped)


def taken(rows: Sequence[Row], places: Sequence[int]) -> Sequence[Row]:
    return rows.taken(places) if isinstance(rows, LazyRows) else [rows[place] for place in places]


@dataclass(frozen=True)
class Intake:
    """Splits by name (train first), the task that learned its labels, the roles of the columns, and notes."""

    splits: dict[str, Split]
    task: Task
    roles: Roles
    notes: list[str] = field(default_factory=list)


def take_in(config: RunConfig) -> Intake:
    """Reads, understands and splits the data of a run.

    Raises:
        DataError: naming file, row, column and remedy.
    """
    data = config.data
    table = sources.read(data.train, data.header)
    task, roles, names, notes = understand(config, table)
    train = read_rows(table, task, roles, names, data.on_bad_row)
    if data.limit is not None and data.limit < len(train.rows):
        train = train.limited(subset(len(train.rows), data.limit, data.split_seed))
        notes.append(f"limit: {data.limit} of the training file's rows")
    found = {"train": train}
    for name, source in hub_siblings(data, notes).items():
        other = sources.read(source, data.header, name)
        own = task.match(other, roles)
        notes += own.notes
        found[name] = read_rows(other, task, own, names, data.on_bad_row)
    task.learn(train.rows, train.source, roles, names)  # labels that teach nothing: said as such, not as "too few rows"
    found = make_missing(found, task, data, notes)
    task = task.learn(found["train"].rows, found["train"].source, roles, names)
    for split in found.values():
        task.check(split.rows, split.source, roles)
    return Intake(found, task, roles, notes)


def understand(config: RunConfig, table: Table) -> tuple[Task, Roles, Any, list[str]]:
    """The task, the roles of the columns, the names of numbered labels, and notes; before any row is read."""
    data = config.data
    names = read_names(data.label_names) if data.label_names else None
    seen = without_column(table, data)
    task = config.task or infer_task(seen)
    roles = task.roles(seen, data.text, data.label, data.label_delimiter)
    if names and len(roles.label) > 1:
        fix = "leave out data.label_names: the columns' names are the labels"
        raise ConfigError(f"there are {len(roles.label)} label columns", where="data.label_names", fix=fix)
    inferred = [] if config.task else [f"task: {task.kind} (the only one that these columns allow)"]
    return task.learn_form(table, roles, names), roles, names, [*table.notes, *inferred, *roles.notes]


def without_column(table: Table, data: DataConfig) -> Table:
    """The table without the column of the splitter, which nobody should take for a text or a label.

    Raises:
        DataError: there is no such column.
    """
    column = getattr(data.split, "column", None)
    if column is None or column in (*(data.text or ()), *(data.label or ())):
        return table
    table.require(column, "data.split.column")
    return replace(table, columns=[name for name in table.columns if name != column])


def infer_task(table: Table) -> Task:
    """The task that these columns were made for, else one that they can serve."""
    known = members(Task).values()  # type: ignore[type-abstract]
    best = max(known, key=lambda member: member.infer(table))
    if best.infer(table):
        return best(kind=best.model_fields["kind"].default)
    fix = "give one column of texts and one of labels"
    raise DataError(f"no task fits the columns {', '.join(map(repr, table.columns))}", where=table.source, fix=fix)


def read_rows(
    table: Table, task: Task, roles: Roles, names: Any = None, on_bad_row: str = "error", labelled: bool = True
) -> Split:
    """Every usable row; an unusable one is an error, or counted under its reason where `on_bad_row` is "drop".

    Once they have many characters, rows that lie on disk are left there, and read again as they are asked for.
    """
    rows, dropped, places, size = [], Counter[str](), array("q"), 0
    for index in range(len(table.rows)):
        row = task.read(table, index, roles, names, labelled)
        if isinstance(row, Row):
            rows.append(row)
            places.append(index)
            size += sum(map(len, row.text))
            if size > HELD and isinstance(table.rows, DiskRows):
                rows.clear()
            continue
        if on_bad_row == "error":
            fix = "fill it, or drop such rows (data.on_bad_row=drop)"
            raise DataError(row, where=table.where(index), fix=fix)
        dropped[row] += 1
    if not places:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.items())
        raise DataError(f"no row is usable: {reasons}", where=table.source, fix="fill the columns")
    kept: Sequence[Row] = rows
    if len(rows) < len(places):
        kept = LazyRows(table, task, roles, names, labelled, np.array(places, dtype=np.int64))
    return Split(kept, table.source, table.sha256, len(table.rows), dropped, table, roles)


def hub_siblings(data: DataConfig, notes: list[str]) -> dict[str, str]:
    """Sources of validation and test: as given, or the splits of the same names of a hub data set."""
    given = {name: source for name in ("validation", "test") if (source := getattr(data, name))}
    if not given and sources.is_hub_id(data.train):
        present = sources.hub_splits(data.train)
        given = {name: data.train for name in ("validation", "test") if name in present}
        notes += [f"{name}: the data set's own split" for name in given]
    return given


def make_missing(found: dict[str, Split], task: Task, data: DataConfig, notes: list[str]) -> dict[str, Split]:
    """Takes a validation and a test split out of train where they were not given, as data.split says."""
    shares = {} if "validation" in found else {"validation": data.validation_share}
    if len(found) == 1:
        shares["test"] = data.test_share
    if sum(shares.values()) >= 1:
        settings = " + ".join(f"data.{name}_share" for name in reversed(shares))
        raise ConfigError("leaves no row to train on", where=settings, fix="choose shares of less than 1 together")
    shares = {name: share for name, share in shares.items() if share}
    if not shares:
        return in_order(found)
    train = found["train"]
    subject = subject_of(data.split, task, train.rows, train.table)
    parts = data.split.split(subject, shares, data.split_seed)
    for name, share in reversed(shares.items()):
        if not parts[name]:
            fix = "give more rows, a file for it, or switch it off (data.validation_share=0, data.test_share=0)"
            raise ConfigError(f"{amount(subject)} are too few for a {name} split", where=train.source, fix=fix)
        how = how_drawn(data.split, subject, data.split_seed)
        notes.append(f"{name}: {len(parts[name])} rows of the training file ({share:.0%}, {how})")
        found[name] = train.part(parts[name])
    rest = train.part(parts["train"])
    rows_in = rest.rows_in + train.dropped.total()
    return in_order({**found, "train": replace(rest, rows_in=rows_in, dropped=train.dropped)})


def amount(subject: Subject) -> str:
    groups = f" in {len(set(subject.blocks)):,} groups" if subject.blocks is not None else ""
    return f"{len(subject)} rows{groups}"


def in_order(found: dict[str, Split]) -> dict[str, Split]:
    return {name: found[name] for name in ("train", "validation", "test") if name in found}


def how_drawn(splitter: Splitter, subject: Subject, seed: int) -> str:
    """In a few words for a person."""
    if splitter.column_holds == "times":
        return f"the latest, {splitter.told}"
    if splitter.kind != "auto":
        return f"{splitter.told}, seed {seed}"
    return f"{'stratified' if subject.blocks is None else 'groups kept together'}, seed {seed}"


def subject_of(splitter: Splitter, task: Task, rows: Sequence[Row], table: Table) -> Subject:
    """What a splitter is told of rows.

    Raises:
        DataError: naming the file, row and column of a time that can't be read.
    """
    labels, groups, numbers = [], [], []
    for row in rows:
        labels.append(tuple(dict.fromkeys(task.counted(row))))
        groups.append(row.group)
        numbers.append(row.number)
    keys: list[Sequence[Any]] = [groups] if any(group is not None for group in groups) else []
    values = column_of(table, numbers, getattr(splitter, "column", None))
    if splitter.column_holds == "groups" and values:
        keys.append([None if is_missing(value) else str(value) for value in values])
    if splitter.near_duplicates:
        from .data.near import clusters

        keys.append(clusters(" ".join(row.text) for row in rows).tolist())
    if splitter.column_holds != "times":
        return Subject(labels, joined(*keys) if keys else None)
    if keys:
        what = f"{task.kind} keeps rows of one group together, which time would part"
        raise ConfigError(what, where="data.split.kind", fix="choose another kind")
    times, bad, form = read_times(values)
    if bad is not None:
        raise unreadable(values[bad], bad, form, f"{table.source}, row {numbers[bad]}", getattr(splitter, "column", ""))
    return Subject(labels, times=times)


def places_in(table: Table, numbers: Sequence[int]) -> list[int]:
    """Where the rows of these numbers stand in their table."""
    return [int(place) for place in np.searchsorted(np.asarray(table.numbers), numbers)]


def column_of(table: Table, numbers: Sequence[int], column: str | None) -> list[Any]:
    return [table.rows[place][column] for place in places_in(table, numbers)] if column else []


def unreadable(value: Any, place: int, form: str, where: str, column: str) -> DataError:
    """Of a time: it has another form than those before it, or nobody knows which number is the month."""
    if not form:
        what = f"column {column!r}: {shown(value)} and every other date may be day first or month first"
        return DataError(what, where=where, fix="write dates as 2024-12-31")
    other = f" in the form of the rows above ({form})" if place else ""
    fix = "write dates as 2024-12-31, or numbers, in every row"
    return DataError(f"column {column!r}: {shown(value)} is no time{other}", where=where, fix=fix)
