"""Intake: from data files to the rows of each split, with every row accounted for. No model is needed for it (D10)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from .component import members
from .config import DataConfig, RunConfig
from .data import sources, splits
from .data.columns import Roles
from .data.labels import read_names
from .data.table import Table
from .errors import ConfigError, DataError
from .tasks.base import Row, Task


@dataclass(frozen=True)
class Split:
    """The rows of one split, and where they came from: a table and what its columns are for."""

    rows: list[Row]
    source: str
    sha256: str
    rows_in: int
    dropped: Counter[str]
    table: Table
    roles: Roles

    def part(self, places: list[int]) -> Split:
        """Some of the rows; what was dropped stays with the split they were taken from."""
        rows = [self.rows[place] for place in places]
        return replace(self, rows=rows, rows_in=len(places), dropped=Counter())

    def limited(self, places: list[int]) -> Split:
        """Some of the rows; the others are counted as dropped."""
        dropped = self.dropped + Counter({"over data.limit": len(self.rows) - len(places)})
        return replace(self, rows=[self.rows[place] for place in places], dropped=dropped)


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
    names = read_names(data.label_names) if data.label_names else None
    table = sources.read(data.train, data.header)
    task = config.task or infer_task(table)
    roles = task.roles(table, data.text, data.label, data.label_delimiter)
    if names and len(roles.label) > 1:
        fix = "leave out data.label_names: the columns' names are the labels"
        raise ConfigError(f"there are {len(roles.label)} label columns", where="data.label_names", fix=fix)
    task = task.learn_form(table, roles, names)
    notes = [
        *table.notes,
        *([] if config.task else [f"task: {task.kind} (the only one that these columns allow)"]),
        *roles.notes,
    ]
    train = read_rows(table, task, roles, names, data.on_bad_row)
    if data.limit is not None and data.limit < len(train.rows):
        train = train.limited(splits.subset(len(train.rows), data.limit, data.split_seed))
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
    """Every usable row; an unusable one is an error, or counted under its reason where `on_bad_row` is "drop"."""
    rows, dropped = [], Counter[str]()
    for index in range(len(table.rows)):
        row = task.read(table, index, roles, names, labelled)
        if isinstance(row, Row):
            rows.append(row)
            continue
        if on_bad_row == "error":
            fix = "fill it, or drop such rows (data.on_bad_row=drop)"
            raise DataError(row, where=table.where(index), fix=fix)
        dropped[row] += 1
    if not rows:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.items())
        raise DataError(f"no row is usable: {reasons}", where=table.source, fix="fill the columns")
    return Split(rows, table.source, table.sha256, len(table.rows), dropped, table, roles)


def hub_siblings(data: DataConfig, notes: list[str]) -> dict[str, str]:
    """Sources of validation and test: as given, or the splits of the same names of a hub data set."""
    given = {name: source for name in ("validation", "test") if (source := getattr(data, name))}
    if not given and sources.is_hub_id(data.train):
        present = sources.hub_splits(data.train)
        given = {name: data.train for name in ("validation", "test") if name in present}
        notes += [f"{name}: the data set's own split" for name in given]
    return given


def make_missing(found: dict[str, Split], task: Task, data: DataConfig, notes: list[str]) -> dict[str, Split]:
    """Takes a test and a validation split out of train where they were not given; stratified and seeded."""
    shares = {}
    if "test" not in found and "validation" not in found:
        shares["test"] = data.test_share
    if "validation" not in found:
        shares["validation"] = data.validation_share
    if sum(shares.values()) >= 1:
        settings = " + ".join(f"data.{name}_share" for name in shares)
        raise ConfigError("leaves no row to train on", where=settings, fix="choose shares of less than 1 together")
    whole = len(found["train"].rows)
    for name, share in shares.items():
        train = found["train"]
        wanted = share * whole / len(train.rows)
        if share == 0:
            continue
        kept, taken = take_out(train.rows, task, wanted, data.split_seed)
        if not taken:
            fix = "give more rows, a file for it, or switch it off (data.validation_share=0, data.test_share=0)"
            raise ConfigError(f"{whole} rows are too few for a {name} split", where=train.source, fix=fix)
        rest = train.part(kept)
        found = {**found, name: train.part(taken)}
        rows_in = rest.rows_in + train.dropped.total()
        found["train"] = replace(rest, rows_in=rows_in, dropped=train.dropped)
        how = "groups kept together" if grouped(train.rows) else "stratified"
        notes.append(f"{name}: {len(taken)} rows of the training file ({share:.0%}, {how}, seed {data.split_seed})")
    return {name: found[name] for name in ("train", "validation", "test") if name in found}


def grouped(rows: list[Row]) -> bool:
    return any(row.group is not None for row in rows)


def take_out(rows: list[Row], task: Task, share: float, seed: int) -> tuple[list[int], list[int]]:
    """(kept, taken) places of rows: whole groups where rows have them, else of every stratum alike."""
    if grouped(rows):
        return splits.by_group([row.group if row.group is not None else row.number for row in rows], share, seed)
    return splits.stratified([task.stratum(row) for row in rows], share, seed)
