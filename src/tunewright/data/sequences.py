"""Rows of sequence-to-sequence tasks: which column is read and which is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import DataError
from .columns import Roles
from .row import Row
from .table import Table, is_missing, shown

PAIRS = (("source", "target"), ("document", "summary"), ("article", "highlights"), ("article", "summary"),
         ("dialogue", "summary"), ("text", "summary"), ("text", "highlights"), ("abstract", "summary"),
         ("input", "target"), ("original", "rewritten"), ("src", "tgt"))  # fmt: skip
TRANSLATION = "translation"  # Hugging Face's form: one column with a text for each language


def find(table: Table) -> Roles | None:
    """Roles by the columns' names, or None where nothing says that one text becomes another."""
    for pair in PAIRS:
        source, target = map(table.named, pair)
        if source and target:
            return Roles((source,), (target,), notes=(f"rows: {source} -> {target}",))
    name = table.named(TRANSLATION)
    if name and len(known := languages(table, name)) > 1:
        first, second = known[:2]
        return Roles((name,), (name,), delimiter=f"{first}->{second}", notes=(f"rows: {name}, {first} -> {second}",))
    return None


def languages(table: Table, column: str) -> list[str]:
    """Of a column of translations, by its first row; none of any other column."""
    cell = table.rows[0][column]
    return list(cell) if isinstance(cell, dict) else []


def assign(
    table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None = None
) -> Roles:
    """Roles as named, the rest inferred.

    Raises:
        DataError: a named column is missing, or nothing says what is read and what is written.
    """
    table.require_all(text, label)
    found = find(table)
    if found and text and label and (tuple(text), tuple(label)) == (found.text, found.label):
        roles = found
    elif text and label:
        roles = Roles(tuple(text), tuple(label))
    elif found is None or text or label:
        fix = "name both, with data.text (--text) and data.label (--label)"
        raise DataError(f"what is read and what is written is not clear from {', '.join(map(repr, table.columns))}",
                        where=table.source, fix=fix)  # fmt: skip
    else:
        roles = found
    if len(roles.text) > 1 or len(roles.label) > 1:
        raise DataError(
            "one text is read and one is written", where="data.text, data.label", fix="name one column each"
        )
    return roles if delimiter is None else directed(table, roles, delimiter)


def directed(table: Table, roles: Roles, delimiter: str) -> Roles:
    """The same roles of translations from one language to another: `de->en`."""
    known = languages(table, roles.text[0])
    if not known:
        raise DataError("targets are not joined", where="data.label_delimiter", fix="leave it out")
    first, _, second = delimiter.partition("->")
    if first not in known or second not in known:
        fix = f"write two of {', '.join(known)}, as in {known[0]}->{known[-1]}"
        raise DataError(f"{delimiter!r} is no direction of translation", where="data.label_delimiter", fix=fix)
    return Roles(roles.text, roles.label, delimiter, (f"rows: {roles.text[0]}, {first} -> {second}",))


def match(table: Table, roles: Roles, labelled: bool = True) -> Roles:
    """The same roles in another file.

    Raises:
        DataError: a column is missing.
    """
    table.require(roles.text[0], "data.text")
    if labelled:
        table.require(roles.label[0], "data.label")
    return roles


def read(table: Table, index: int, roles: Roles, labelled: bool) -> Row | str:
    """One row, or why it is unusable."""
    record = table.rows[index]
    source: Any = record[roles.text[0]]
    target: Any = record.get(roles.label[0])
    if roles.delimiter is not None and isinstance(source, dict):
        first, _, second = roles.delimiter.partition("->")
        source, target = source.get(first), source.get(second)
    text = plain(table, index, roles.text[0], source)
    answer = plain(table, index, roles.label[0], target) if labelled else None
    if not text:
        return f"column {roles.text[0]!r} is empty"
    if labelled and not answer:
        return f"column {roles.label[0]!r} is empty"
    return Row(table.numbers[index], (text,), answer)


def plain(table: Table, index: int, column: str, value: Any) -> str:
    """A text; a list of sentences is joined, as SciTLDR and other sets write documents."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " ".join(part.strip() for part in value)
    if is_missing(value):
        return ""
    if isinstance(value, list | dict | bytes):
        fix = "write a text, or a list of sentences"
        raise DataError(f"column {column!r} holds {shown(value)}, which is no text", where=table.where(index), fix=fix)
    return str(value).strip()
