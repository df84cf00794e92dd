"""Rows of words: tokens with tags, or texts with spans; and the words of a plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import regex

from ..errors import DataError
from . import tagging
from .columns import Roles, find_text
from .row import Offsets, Row
from .table import Table, is_missing, shown

TOKENS = ("tokens", "words", "token", "word")
TAGS = ("tags", "ner_tags", "labels", "ner", "slots", "tag", "label", "chunk_tags", "pos_tags", "pos")
SPANS = ("entities", "spans", "annotations", "labels", "label")
TYPE_KEYS = ("type", "label", "tag", "entity", "entity_type", "entity_group")
# scripts without blanks between words: each character is one; elsewhere letters and digits with their marks
WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*|[\p{L}\p{N}\p{M}]+"
    r"|[^\s\p{Cc}\p{Cf}]\p{M}*"  # signs that are seen: of the others many tokenizers leave nothing
)
WIDENED = "entities widened to whole words"
NESTED = "entities inside or across another, which is kept"
MENDED = "tags out of scheme, read as conlleval does"
NUMBERED, AS_SPANS = "numbers", "spans"


def split(text: str) -> tuple[Offsets, ...]:
    """Where the words of a text stand: runs of letters and digits, every other sign for itself."""
    return tuple(match.span() for match in WORD.finditer(text))


def pieces(row: Row) -> list[str]:
    """A row's words."""
    return [row.text[0][start:end] for start, end in row.words or ()]


def row_of_tokens(number: int, tokens: Sequence[str], label: Any = None, mended: tuple[str, ...] = ()) -> Row:
    """A row whose text is its tokens, joined by blanks."""
    words, start = [], 0
    for token in tokens:
        words.append((start, start + len(token)))
        start += len(token) + 1
    return Row(number, (" ".join(tokens),), label, tuple(words), mended=mended)


# --- columns --------------------------------------------------------------------------------------------------------


def find(table: Table) -> tuple[str, str] | None:
    """The columns of tokens and tags, or of texts and spans; None where there are none."""
    lower = {name.lower(): name for name in table.columns}
    tokens = next((lower[name] for name in TOKENS if name in lower and holds_lists(table, lower[name])), None)
    if tokens:
        tags = [lower[name] for name in TAGS if name in lower and holds_lists(table, lower[name])]
        return (tokens, tags[0]) if tags else None
    spans = next((lower[name] for name in SPANS if name in lower and holds_spans(table, lower[name])), None)
    texts = [name for name in table.columns if any(isinstance(row[name], str) for row in table.rows[:20])]
    if not spans or not texts:
        return None
    return find_text(table, [name for name in table.columns if name not in texts])[0][0], spans


def first_filled(table: Table, name: str) -> Any:
    """The first cell with something in it."""
    return next((row[name] for row in table.rows if row[name] not in (None, [], "")), None)


def holds_lists(table: Table, name: str) -> bool:
    value = first_filled(table, name)
    return isinstance(value, list) and all(isinstance(item, str | int) for item in value)


def holds_spans(table: Table, name: str) -> bool:
    value = first_filled(table, name)
    if not isinstance(value, list) or not value:
        return False
    first = value[0]
    as_mapping = isinstance(first, dict) and "start" in first and "end" in first
    return as_mapping or (isinstance(first, list) and len(first) == 3 and isinstance(first[0], int))


def assign(table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None) -> Roles:
    """Roles of a table's columns.

    Raises:
        DataError: a named column is missing, nothing fits, or a delimiter was given.
    """
    table.require_all(text, label)
    for names, setting in ((text, "data.text"), (label, "data.label")):
        if len(names or ()) > 1:
            raise DataError("one column is read", where=setting, fix=f"name one, not {len(names or ())}")
    if delimiter is not None:
        raise DataError("tags are not joined", where="data.label_delimiter", fix="leave it out")
    found = find(table)
    if found is None and not (text and label):
        what = f"no column of tokens and tags, or of texts and spans; there are {', '.join(map(repr, table.columns))}"
        raise DataError(what, where=table.source, fix="name them with data.text and data.label")
    chosen = ((text or found or ("",))[0], (label or (found or ("", ""))[1:])[0])
    form = form_of(table, chosen[1])
    notes = [f"text column: {chosen[0]}; label column: {chosen[1]} ({said(form)})"] if not (text and label) else []
    return Roles((chosen[0],), (chosen[1],), None, tuple(notes), form)


def said(form: str) -> str:
    return {AS_SPANS: "spans of characters", NUMBERED: "numbered tags", "plain": "plain tags"}.get(form, f"{form} tags")


def form_of(table: Table, name: str) -> str:
    """How a column writes its labels: spans, numbers, or the scheme of its tags."""
    if holds_spans(table, name):
        return AS_SPANS
    cells = [row[name] for row in table.rows if isinstance(row[name], list)]
    if any(isinstance(item, int) for item in next(filter(None, cells), [])):
        return NUMBERED
    if not cells:
        value = shown(first_filled(table, name))
        fix = 'write a list of tags per row, or of spans: [{"start": 0, "end": 4, "type": "person"}]'
        raise DataError(f"column {name!r} holds {value}, not tags or spans", where=table.source, fix=fix)
    return str(tagging.detect([[str(tag) for tag in cell] for cell in cells]))


def match(table: Table, roles: Roles, labelled: bool) -> Roles:
    """The same roles in another file, which may have other names or another form."""
    text, label = roles.text[0], roles.label[0]
    found = find(table)
    if not labelled:
        if text in table.columns:
            return roles
        known = found[0] if found else table.named(*TOKENS) or find_text(table, [])[0][0]
        return Roles((known,), roles.label)
    if text in table.columns and label in table.columns:
        return Roles(roles.text, roles.label, None, (), form_of(table, label))
    if found is None:
        fix = f"name its columns {text!r} and {label!r} as in the training file"
        raise DataError("no column of tokens and tags, or of texts and spans", where=table.source, fix=fix)
    note = f"{table.source}: text column: {found[0]}; label column: {found[1]}"
    return Roles((found[0],), (found[1],), None, (note,), form_of(table, found[1]))


def scheme_of(roles: Roles, names: Sequence[str] | None) -> str:
    """The tag scheme of a file; that of the names where its tags are numbers."""
    if roles.form == AS_SPANS:
        return AS_SPANS
    if roles.form != NUMBERED:
        return roles.form
    return str(tagging.detect([list(names)])) if names else "plain"


# --- rows -----------------------------------------------------------------------------------------------------------


def read(table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
    """One row of words, or the reason why it is unusable.

    Raises:
        DataError: tokens and tags, or text and spans, do not fit together.
    """
    cell, name = table.rows[index][roles.text[0]], roles.text[0]
    if is_missing(cell) or cell == []:
        return f"column {name!r} is empty"
    number = table.numbers[index]
    if isinstance(cell, list):
        tokens = [str(token) for token in cell]
        if not labelled:
            return row_of_tokens(number, tokens)
        label, mended = spans_of_tags(table, index, roles, names, len(tokens))
        return row_of_tokens(number, tokens, label, mended)
    text = str(cell)
    words = split(text)
    if not words:
        return f"column {name!r} is empty"
    if not labelled:
        return Row(number, (text,), None, words)
    spans, mended = spans_of_characters(table, index, roles, text, words)
    return Row(number, (text,), spans, words, mended=mended)


def spans_of_tags(
    table: Table, index: int, roles: Roles, names: Sequence[str] | None, count: int
) -> tuple[tuple[tagging.Span, ...], tuple[str, ...]]:
    column = roles.label[0]
    cell = table.rows[index][column]
    if not isinstance(cell, list) or len(cell) != count:
        what = f"column {column!r} has {len(cell) if isinstance(cell, list) else 'no'} tags for {count} tokens"
        raise DataError(what, where=table.where(index), fix="give each token one tag")
    tags = [tag_name(tag, table, index, column, names) for tag in cell]
    scheme = scheme_of(roles, names)
    try:
        spans, wrong = tagging.mended_spans(tags, scheme)
    except ValueError as error:
        fix = "write O, or a prefix and a type, as in B-person"
        raise DataError(f"column {column!r}: {error}", where=table.where(index), fix=fix) from None
    return tuple(spans), (MENDED,) if wrong else ()


def tag_name(tag: Any, table: Table, index: int, column: str, names: Sequence[str] | None) -> str:
    if names is None or not isinstance(tag, int):
        return str(tag)
    if not 0 <= tag < len(names):
        fix = f"data.label_names has {len(names)} names, numbered from 0"
        raise DataError(f"column {column!r}: there is no label {tag}", where=table.where(index), fix=fix)
    return names[tag]


def spans_of_characters(
    table: Table, index: int, roles: Roles, text: str, words: tuple[Offsets, ...]
) -> tuple[tuple[tagging.Span, ...], tuple[str, ...]]:
    """Word spans of a row's character spans: the longer of two that meet is kept, and all reach to whole words."""
    mended: set[str] = set()
    kept: list[tagging.Span] = []
    for start, end, kind in sorted(given_spans(table, index, roles, text), key=lambda span: span[0] - span[1]):
        inside = [place for place, (first, last) in enumerate(words) if first < end and last > start]
        if not inside:
            fix = "mark some characters of the text"
            raise DataError(f"the {kind} at {start} to {end} holds no word", where=table.where(index), fix=fix)
        if any(first <= inside[-1] and last > inside[0] for first, last, _ in kept):
            mended.add(NESTED)
            continue
        if text[start:end].strip() != text[words[inside[0]][0] : words[inside[-1]][1]]:
            mended.add(WIDENED)
        kept.append((inside[0], inside[-1] + 1, kind))
    return tuple(sorted(kept)), tuple(sorted(mended))


def given_spans(table: Table, index: int, roles: Roles, text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, type) of each span in the cell, checked against the text."""
    column = roles.label[0]
    cell = table.rows[index][column]
    for item in cell if isinstance(cell, list) else ():
        start, end, kind = parts_of(item, table, index, column)
        if not 0 <= start < end <= len(text):
            what = f"column {column!r}: {shown(item)} is no stretch of a text of {len(text)} characters"
            raise DataError(what, where=table.where(index), fix="count characters from 0; end is one past the last")
        yield start, end, kind


def parts_of(item: Any, table: Table, index: int, column: str) -> tuple[int, int, str]:
    found = item
    if isinstance(item, dict):
        kind = next((item[key] for key in TYPE_KEYS if key in item), None)
        found = [item.get("start"), item.get("end"), kind]
    good = isinstance(found, list | tuple) and len(found) == 3 and all(type(value) is int for value in found[:2])
    if not good or is_missing(found[2]):
        fix = 'write {"start": 0, "end": 4, "type": "person"} or [0, 4, "person"]'
        raise DataError(f"column {column!r} holds {shown(item)} as a span", where=table.where(index), fix=fix)
    return found[0], found[1], str(found[2])
