"""Corrections: what a person wrote into the list of suspects, checked against the file that it was made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError, suggest
from . import labels, sources
from .columns import Roles
from .table import Table, is_missing, shown

Record = dict[str, Any]
CLASSIFICATION = "sequence_classification"
DROP = "drop"


class Correction(NamedTuple):
    """A line of the list that says something.

    Args:
        given: the label that the file had when it was checked.
        label: what it should be; "drop" takes the row out.
        where: file and row of the line itself.
    """

    given: str
    label: str
    where: str


def read_corrections(path: str | Path) -> dict[int, Correction]:
    """By the row's number in the training file; lines without a correction, and those of other splits, are left out.

    Raises:
        DataError: a column is missing, a row is no number, or is there twice with different corrections.
    """
    table = sources.read(str(path), header=True)
    for column in ("row", "given", "correction"):
        if column not in table.columns:
            fix = "give the file that data check wrote, with the column correction filled in"
            raise DataError(f"there is no column {column!r}", where=table.source, fix=fix)
    found: dict[int, Correction] = {}
    for index, record in enumerate(table.rows):
        if is_missing(record["correction"]) or (record.get("split") or "train") != "train":
            continue
        number, where = str(record["row"]).strip(), table.where(index)
        if not number.isdecimal():
            raise DataError(
                f"{shown(number)} is no row's number", where=where, fix="write the number that data check gave"
            )
        said = Correction(str(record["given"]).strip(), str(record["correction"]).strip(), where)
        if found.setdefault(int(number), said).label != said.label:
            what = f"row {number} is corrected twice: {found[int(number)].label!r} and {said.label!r}"
            raise DataError(what, where=where, fix="keep one of them")
    return found


def given_labels(table: Table, index: int, roles: Roles, names: Sequence[str] | None) -> tuple[str, ...]:
    """The labels of a row of a classification's file."""
    if may_be_several(table, index, roles):
        return labels.several(table, index, roles, names) or ()
    found = labels.single(table, index, roles.label[0], names)
    return () if found is None else (found,)


def may_be_several(table: Table, index: int, roles: Roles) -> bool:
    return len(roles.label) > 1 or bool(roles.delimiter) or isinstance(table.rows[index][roles.label[0]], list)


def parts_of(text: str, table: Table, index: int, roles: Roles) -> tuple[str, ...]:
    """The labels that a line of corrections names: several are joined by a bar, or as the file joins them."""
    several = may_be_several(table, index, roles)
    parts = text.replace(roles.delimiter or "|", "|").split("|") if several else [text]
    return tuple(part.strip() for part in parts if part.strip())


def checked(
    corrections: Mapping[int, Correction], table: Table, roles: Roles, kind: str, names: Sequence[str] | None
) -> list[str]:
    """What a person should know of the corrections before they are made.

    Raises:
        DataError: a row that is not there, one whose label is no longer the one given, or one that has no single label.
    """
    places = {number: index for index, number in enumerate(table.numbers) if number in corrections}
    new: dict[str, None] = {}
    for number, said in corrections.items():
        if number not in places:
            fix = f"correct the list that was made of {table.source} as it is now"
            raise DataError(f"{table.source} has no row {number}", where=said.where, fix=fix)
        if kind != CLASSIFICATION:
            if said.label != DROP:
                what = f"row {number}: only rows of {CLASSIFICATION} take another label"
                raise DataError(what, where=said.where, fix=f"write {DROP}, or correct the file itself")
            continue
        index = places[number]
        now = given_labels(table, index, roles, names)
        if sorted(now) != sorted(parts_of(said.given, table, index, roles)):
            what = f"has the label {' | '.join(now)!r}, not {said.given!r}: the file changed since it was checked"
            raise DataError(what, where=table.where(index), fix="run data check again, and correct its new list")
        new |= dict.fromkeys(() if said.label == DROP else parts_of(said.label, table, index, roles))
    known = known_labels(table, roles, names) if new else set()
    unknown = [name for name in new if name not in known]
    if unknown and len(roles.label) > 1:
        fix = f"use {', '.join(roles.label)}"
        raise DataError(f"there is no column of the label {unknown[0]!r}", where=table.source, fix=fix)
    return [f"{name!r} is a new label ({suggest(name, known)})" for name in unknown]


def known_labels(table: Table, roles: Roles, names: Sequence[str] | None) -> set[str]:
    if len(roles.label) > 1:
        return set(roles.label)
    return {name for index in range(len(table.rows)) for name in given_labels(table, index, roles, names)}


def numbers_of(record: Record, roles: Roles) -> list[str]:
    """A cell's labels as they stand there, which are numbers where a file of names goes with it."""
    cell = record[roles.label[0]]
    parts = cell if isinstance(cell, list) else str(cell).split(roles.delimiter) if roles.delimiter else [cell]
    return [str(part).strip() for part in parts]


def corrected(table: Table, index: int, record: Record, roles: Roles, text: str, names: Sequence[str] | None) -> Record:
    """A record with another label, written as the file writes its labels."""
    parts = parts_of(text, table, index, roles)
    if names and not isinstance(record[roles.label[0]], int) and all(map(str.isdigit, numbers_of(record, roles))):
        parts = tuple(str(list(names).index(part)) if part in names else part for part in parts)
        text = "".join(parts) if len(parts) == 1 else text
    if len(roles.label) > 1:
        kinds = {name: type(record[name]) for name in roles.label}
        return record | {
            name: kinds[name](int(name in parts)) if kinds[name] in (int, bool, float) else str(int(name in parts))
            for name in roles.label
        }
    column = roles.label[0]
    old = record[column]
    if isinstance(old, list):
        return record | {column: list(parts)}
    if roles.delimiter:
        return record | {column: roles.delimiter.join(parts)}
    if isinstance(old, bool) and text in ("true", "false"):
        return record | {column: text == "true"}
    if isinstance(old, int) and names and text in names:
        return record | {column: list(names).index(text)}
    number = isinstance(old, int) and re.fullmatch(r"-?\d{1,18}", text)
    return record | {column: int(text) if number else text}
