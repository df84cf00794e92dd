"""Label cells to label names: strings, integers, booleans, lists, joined strings, one column per label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from .columns import Roles
from .content import decode
from .table import Table, is_missing, shown

PLAIN = "write each label as text, a number, true or false"
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
        if not Path(path).is_file():
            raise DataError("there is no such file", where=path, fix="check data.label_names (--label-names)")
        names = [line.strip() for line in decode(Path(path)).split("\n")]
    except OSError as error:  # a name too long for the disk
        raise DataError(f"cannot be read: {error.strerror}", where=path, fix="give a file, a name a line") from None
    while names and not names[-1]:
        names.pop()
    fix = "write each label's name once, a line each"
    if not names:
        raise DataError("holds no names", where=path, fix=fix)
    for row, name in enumerate(names):
        if not name:
            raise DataError("has no name", where=f"{path}, row {row + 1}", fix=fix)
        if name in names[:row]:
            raise DataError(f"{name!r} is there twice", where=f"{path}, row {row + 1}", fix=fix)
    return tuple(names)


def single(table: Table, index: int, column: str, names: Sequence[str] | None) -> str | None:
    """The label of a row that has one, or None where the cell is empty."""
    value = table.rows[index][column]
    if is_missing(value):
        return None
    fix = "set task.multi_label: true where rows have several labels" if isinstance(value, list) else PLAIN
    return named(name_of(plain(value, table, index, column, fix)), table, index, column, names)


def several(table: Table, index: int, roles: Roles, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """The labels of a row that may have many, in the order given; () is none of them; None where the cell is null."""
    if len(roles.label) > 1:
        return tuple(column for column in roles.label if is_set(table, index, column))
    column = roles.label[0]
    value = table.rows[index][column]
    if value is None or (isinstance(value, float) and is_missing(value)):
        return None
    parts = [name_of(plain(item, table, index, column)) for item in (value if isinstance(value, list) else [value])]
    if roles.delimiter is not None and not isinstance(value, list):
        parts = [part.strip() for part in parts[0].split(roles.delimiter)]
    return tuple(dict.fromkeys(named(part, table, index, column, names) for part in parts if part))


def plain(value: Any, table: Table, index: int, column: str, fix: str = PLAIN) -> Any:
    """The value, where it can be a label: text, a number, true or false."""
    if value is None or isinstance(value, list | tuple | dict | bytes):
        kind = "null" if value is None else f"{shown(value)} ({type(value).__name__})"
        what = f"column {column!r} holds {kind} as a label"
        raise DataError(what, where=table.where(index), fix=fix)
    return value


def is_set(table: Table, index: int, column: str) -> bool:
    """Whether the 0/1 column of a label is set."""
    text = name_of(table.rows[index][column] if table.rows[index][column] is not None else "").lower()
    if text not in TRUE | FALSE:
        fix = "write 1 or 0 in every label column"
        raise DataError(f"column {column!r} holds {shown(text)}", where=table.where(index), fix=fix)
    return text in TRUE


def named(label: str, table: Table, index: int, column: str, names: Sequence[str] | None) -> str:
    """The label's name where it was given as a number into `names`."""
    if names is None or label in names:
        return label
    number = re.fullmatch(r"(\d{1,9})(\.0+)?", label)  # a column with gaps was saved as 3.0 by pandas
    if number is None or int(number[1]) >= len(names):
        fix = f"data.label_names has {len(names)} names, numbered from 0"
        raise DataError(f"column {column!r}: there is no label {shown(label)}", where=table.where(index), fix=fix)
    return names[int(number[1])]
