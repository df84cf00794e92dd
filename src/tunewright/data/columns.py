"""Which column is the text and which the label: by name first, then by what the values look like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import DataError
from .table import Table, is_missing, shown

TEXT_NAMES = ("text", "message", "sentence", "content", "review", "comment", "tweet", "body", "document", "utterance")
PAIR_NAMES = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text1", "text2"),
              ("text_a", "text_b"), ("question", "sentence"), ("query", "passage"))  # fmt: skip
LABEL_NAMES = ("label", "labels", "category", "class", "target", "topic", "intent", "sentiment", "emotion", "tags", "y")
SAMPLE = 2000  # rows looked at; enough to tell a text from a label
ID_LIST = re.compile(r"\d+(,\d+)+")


@dataclass(frozen=True)
class Roles:
    """What the columns are for.

    Args:
        text: one column, or two for text pairs.
        label: one column, or one per label (0/1 values); empty where there are none (prediction).
        delimiter: what joins several labels in one cell, or None.
        notes: what was inferred, for the person to see.
        form: how this file writes its labels (a tag scheme, spans), where there are several ways.
    """

    text: tuple[str, ...]
    label: tuple[str, ...]
    delimiter: str | None = None
    notes: tuple[str, ...] = ()
    form: str = ""


@dataclass(frozen=True)
class Facts:
    """One column, measured on its first rows. `length` is the mean number of characters."""

    name: str
    length: float
    words: float
    distinct: int
    filled: int
    lists: bool
    nested: bool

    @property
    def constant_or_unique(self) -> bool:
        return self.distinct < 2 or (self.distinct == self.filled and self.filled > 20)


def facts(table: Table, name: str) -> Facts:
    values = [row[name] for row in table.rows[:SAMPLE] if not is_missing(row[name])]
    texts = [str(value) for value in values]
    count = max(len(values), 1)
    return Facts(
        name=name,
        length=sum(map(len, texts)) / count,
        words=sum(len(text.split()) for text in texts) / count,
        distinct=len(set(texts)),
        filled=len(values),
        lists=bool(values) and all(isinstance(value, list) for value in values),
        nested=bool(values) and all(isinstance(value, list | dict | bytes) for value in values),
    )


def find_text(table: Table, taken: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The text column or columns that nobody named, and why."""
    lower = {name.lower(): name for name in table.columns if name not in taken}
    for pair in PAIR_NAMES:
        if all(name in lower for name in pair):
            return tuple(lower[name] for name in pair), "a known pair of names"
    for known in TEXT_NAMES:
        if known in lower:
            return (lower[known],), "by its name"
    candidates = [fact for fact in (facts(table, name) for name in lower.values()) if not fact.nested and fact.filled]
    if not candidates:
        raise DataError("no column can be the text", where=table.source, fix="name it with data.text (--text)")
    return (max(candidates, key=lambda fact: fact.length).name,), "the longest texts"


def find_label(table: Table, text: Sequence[str]) -> tuple[str, str]:
    """The label column that nobody named, and why; other likely ones are named in the reason."""
    lower = {name.lower(): name for name in table.columns if name not in text}
    named = [lower[known] for known in LABEL_NAMES if known in lower]
    if named:
        others = f"; also possible: {', '.join(named[1:])} (--label)" if named[1:] else ""
        return named[0], f"by its name{others}"
    measured = [facts(table, name) for name in lower.values()]
    candidates = [fact for fact in measured if not fact.constant_or_unique and (fact.lists or not fact.nested)]
    if not candidates:
        what = f"no column can be the label; the columns are {', '.join(map(repr, table.columns))}"
        raise DataError(what, where=table.source, fix="name it with data.label (--label)")
    return min(candidates, key=lambda fact: fact.distinct).name, "the fewest distinct values"


def assign(table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None) -> Roles:
    """Roles of a table's columns: as named, the rest inferred.

    Raises:
        DataError: a named column is missing, or nothing fits.
    """
    table.require_all(text, label)
    refuse_contradictions(table, text or (), label or (), delimiter)
    notes = []
    if not text:
        text, why = find_text(table, label or ())
        notes.append(f"text column: {' and '.join(text)} ({why})")
    if not label:
        found, why = find_label(table, text)
        label = (found,)
        notes.append(f"label column: {found} ({why})")
    if len(label) == 1 and delimiter is None and joins_ids(table, label[0]):
        delimiter = ","
        notes.append(f"several labels a row: {label[0]} joins numbers with a comma")
    elif delimiter is not None and not any(delimiter in str(row[label[0]]) for row in table.rows):
        notes.append(f"label_delimiter: no cell of {label[0]!r} contains {delimiter!r}")
    check_texts(table, text)
    return Roles(tuple(text), tuple(label), delimiter, tuple(notes))


def refuse_contradictions(table: Table, text: Sequence[str], label: Sequence[str], delimiter: str | None) -> None:
    """Raises DataError where a column was given two roles, or a delimiter has nothing to cut."""
    named = [*text, *label]
    for name in named:
        if named.count(name) > 1:
            fix = "give each column one role (data.text, data.label)"
            raise DataError(f"column {name!r} is named twice", where=table.source, fix=fix)
    if delimiter is not None and len(label) > 1:
        what = f"data.label_delimiter is {delimiter!r}, but data.label names {len(label)} columns, one per label"
        raise DataError(what, where=table.source, fix="leave out the delimiter, or name the one column that it joins")


def check_texts(table: Table, names: Sequence[str]) -> None:
    """Raises DataError where a text column holds something that is no text (and no number, date or truth value)."""
    for name in names:
        for index, row in enumerate(table.rows):
            if isinstance(row[name], list | tuple | dict | bytes):
                what = f"column {name!r} holds {shown(row[name])} ({type(row[name]).__name__}), not a text"
                fix = "write a text, or name another column with data.text (--text)"
                raise DataError(what, where=table.where(index), fix=fix)


def joins_ids(table: Table, name: str) -> bool:
    """Whether a column holds numbers joined by commas, as in `4,27`."""
    values = [str(row[name]) for row in table.rows[:SAMPLE] if not is_missing(row[name])]
    return any(map(ID_LIST.fullmatch, values)) and all(re.fullmatch(r"\d+(,\d+)*", value) for value in values)


def reassign(table: Table, roles: Roles, *, labelled: bool = True) -> Roles:
    """The same roles in another file, whose columns may have other names.

    A missing column is looked for among the columns that play no role yet; that is said in the notes.

    Raises:
        DataError: none of them looks like it.
    """
    found = renamed(table, roles, labelled)
    check_texts(table, found.text)
    return found


def renamed(table: Table, roles: Roles, labelled: bool) -> Roles:
    missing = [name for name in (*roles.text, *roles.label) if name not in table.columns]
    if not missing or (not labelled and not set(missing) & set(roles.text)):
        return Roles(roles.text, roles.label, roles.delimiter)
    if len(roles.text) > 1 or len(roles.label) > 1:
        raise lacking(table, missing[0])
    free = [name for name in table.columns if name not in (*roles.text, *roles.label)]
    kept_text = tuple(name for name in roles.text if name in table.columns)
    if not kept_text and not any(looks_like_text(table, name) for name in free):
        raise lacking(table, roles.text[0])
    text = kept_text or find_text(table, [name for name in table.columns if name not in free])[0][:1]
    if not labelled:
        return Roles(text, roles.label, roles.delimiter, (f"{table.source}: text column: {' and '.join(text)}",))
    if roles.label[0] in table.columns:
        label = roles.label[0]
    else:
        candidates = [facts(table, name) for name in free if name not in text]
        if not candidates or not kept_text:
            raise lacking(table, roles.label[0])
        label = min(candidates, key=lambda fact: fact.distinct).name
    note = f"{table.source}: no column {missing[0]!r}; used {text[0]!r} as text and {label!r} as label"
    return Roles(text, (label,), roles.delimiter, (note,))


def lacking(table: Table, name: str) -> DataError:
    """What to raise where another file has no such column, and none that looks like it."""
    fix = f"name one of its columns {name!r} as in the training file; it has {', '.join(map(repr, table.columns))}"
    return DataError(f"there is no column {name!r}", where=table.source, fix=fix)


def looks_like_text(table: Table, name: str) -> bool:
    """By its name, or because its cells have more than a word: an id or a date in place of a text would go unseen."""
    return name.lower() in TEXT_NAMES or facts(table, name).words >= 1.5
