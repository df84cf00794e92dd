"""Label cells to label names: strings, integers, booleans, lists, joined strings, one column per label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .columns import Roles
from .table import Table, is_missing

TRUE, FALSE = {"1", "true", "yes", "1.0"}, {"0", "false", "no", "0.0", ""}


def name_of(value: Any) -> str:
    """One label as text: True is "true", 3 and 3.0 are "3"."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def read_names(path: str) -> tuple[str, ...]:
    """A label name a line; the first line names label 0."""
    try:
        names = [line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot be read: {error}", where=path, fix="give a text file with a label name a line"
        ) from None
    while names and not names[-1]:
        names.pop()
    if not names or not all(names) or len(set(names)) < len(names):
        raise DataError("has empty or repeated names", where=path, fix="write each label's name once, a line each")
    return tuple(names)


def single(table: Table, index: int, column: str, names: Sequence[str] | None) -> str | None:
    """The label of a row that has one, or None where the cell is empty."""
    value = table.rows[index][column]
    if is_missing(value):
        return None
    if isinstance(value, list | dict):
        fix = "a list of labels makes the task multi-label (task.multi_label: true)"
        raise DataError(f"column {column!r} holds a {type(value).__name__}", where=table.where(index), fix=fix)
    return named(name_of(value), table, index, column, names)


def several(table: Table, index: int, roles: Roles, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """The labels of a row that may have many, in the order given; () is none of them; None where the cell is null."""
    if len(roles.label) > 1:
        return tuple(column for column in roles.label if is_set(table, index, column))
    column = roles.label[0]
    value = table.rows[index][column]
    if value is None:
        return None
    if isinstance(value, list):
        parts = [name_of(item) for item in value]
    elif roles.delimiter is not None:
        parts = [part.strip() for part in name_of(value).split(roles.delimiter)]
    else:
        parts = [name_of(value)]
    return tuple(dict.fromkeys(named(part, table, index, column, names) for part in parts if part))


def is_set(table: Table, index: int, column: str) -> bool:
    """Whether the 0/1 column of a label is set."""
    text = name_of(table.rows[index][column] if table.rows[index][column] is not None else "").lower()
    if text not in TRUE | FALSE:
        fix = "write 1 or 0 in every label column"
        raise DataError(f"column {column!r} holds {text!r}", where=table.where(index), fix=fix)
    return text in TRUE


def named(label: str, table: Table, index: int, column: str, names: Sequence[str] | None) -> str:
    """The label's name where it was given as a number into `names`."""
    if names is None or label in names:
        return label
    if not label.isdecimal() or int(label) >= len(names):
        fix = f"data.label_names has {len(names)} names, numbered from 0"
        raise DataError(f"column {column!r}: there is no label {label!r}", where=table.where(index), fix=fix)
    return names[int(label)]
