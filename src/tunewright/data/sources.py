"""Sources: csv, tsv, jsonl, json and parquet files, each also gzipped, and hub ids."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError, suggest
from ..files import digest, sha256
from .delimited import column_names, first_data_row, guess_delimiter
from .table import Table

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


def read(source: str, header: bool | None = None, split: str = "train") -> Table:
    """Reads one source whole.

    Args:
        source: a file, or a hub id (`org/name`) where no such file exists.
        header: whether a csv or tsv starts with column names; None decides by its first rows and says so.
        split: of a hub data set.

    Raises:
        DataError: naming file, row and column.
    """
    path = Path(source)
    if is_hub_id(source):
        return from_hub(source, split)
    if not path.exists():
        near = suggest(path.name, [item.name for item in path.parent.glob("*")] if path.parent.is_dir() else [])
        raise DataError("there is no such file", where=source, fix=near if near.startswith("did") else "check the path")
    if not path.is_file():
        raise DataError(
            "is not a file", where=source, fix="name one data file, such as " + source.rstrip("/") + "/train.csv"
        )
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=source, fix="give a file with rows")
    table = read_file(path, header)
    if not table.rows:
        raise DataError("the file has no rows", where=source, fix="give a file with at least one row of data")
    return table


def is_hub_id(source: str) -> bool:
    """`org/name` or `name` that is no file here and has no suffix of a data file."""
    looks_like_path = source.startswith((".", "/", "~")) or source.count("/") > 1 or format_of(Path(source)) is not None
    return not looks_like_path and not Path(source).exists() and not Path(source).suffix


def format_of(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in FORMATS if name.endswith(suffix)), None)


def read_file(path: Path, header: bool | None) -> Table:
    suffix = format_of(path)
    if suffix is None:
        raise DataError(
            f"unknown format {path.suffix!r}", where=str(path), fix=f"use one of {', '.join(FORMATS)} (each also .gz)"
        )
    fingerprint = sha256(path)
    if suffix == ".parquet":
        return from_records(str(path), parquet_records(path), fingerprint)
    text = decode(path)
    if suffix == ".jsonl":
        return from_records(str(path), json_lines(text, str(path)), fingerprint)
    if suffix == ".json":
        return from_records(str(path), enumerate(json_records(text, str(path)), 1), fingerprint)
    return from_delimited(path, text, suffix, header, fingerprint)


def decode(path: Path) -> str:
    """The file's text; UTF-8 with or without a byte order mark, nothing guessed."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), fix="check the file, or unpack it") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        fix = "save it as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 FILE)"
        raise DataError(f"byte 0x{raw[error.start]:02x} is not UTF-8", where=f"{path}, row {row}", fix=fix) from None


def from_delimited(path: Path, text: str, suffix: str, header: bool | None, fingerprint: str) -> Table:
    delimiter = "\t" if suffix == ".tsv" else guess_delimiter(text)
    records = list(delimited_records(text, delimiter, str(path)))
    if not records:
        raise DataError("the file has no rows", where=str(path), fix="give a file with at least one row of data")
    start, note = first_data_row([cells for _, cells in records[:200]], header)
    columns = column_names(records[0][1], start == 1, str(path))
    for number, cells in records:
        if len(cells) != len(columns):
            wanted = f"{len(columns)} columns ({', '.join(columns)})"
            fix = "quote cells that contain the delimiter" if len(cells) > len(columns) else "fill in the missing cells"
            raise DataError(f"has {len(cells)} cells, not {wanted}", where=f"{path}, row {number}", fix=fix)
    body = records[start:]
    rows = [dict(zip(columns, cells, strict=True)) for _, cells in body]
    return Table(str(path), columns, rows, [number for number, _ in body], fingerprint, [note] if note else [])


def delimited_records(text: str, delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """(number, cells) of each record that is not blank. Tab-separated files have no quoting, as most are written."""
    if delimiter == "\t":
        for number, line in enumerate(text.split("\n"), 1):  # not splitlines: U+2028 is no new row
            if line.strip():
                yield number, [unquoted(cell) for cell in line.rstrip("\r").split("\t")]
        return
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for cells in reader:
            number += 1
            if any(cell.strip() for cell in cells):
                yield number, cells
    except csv.Error as error:
        fix = 'close each quote, and write a quote inside a quoted cell twice ("")'
        raise DataError(f"is no valid csv: {error}", where=f"{where}, row {number + 1}", fix=fix) from None


def unquoted(cell: str) -> str:
    """A tab-separated cell that a spreadsheet wrapped in quotes, without them."""
    inner = cell[1:-1]
    wrapped = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if wrapped else cell


def json_lines(text: str, where: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                fix = "write one JSON object a line (a whole JSON document has the suffix .json)"
                raise DataError(f"is no JSON: {error}", where=f"{where}, row {number}", fix=fix) from None


def json_records(text: str, where: str) -> list[Any]:
    """A list of objects, `{"data": [...]}`, or a mapping from column to its list of values."""
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        fix = "check the brackets; for one object a line use the suffix .jsonl"
        raise DataError(f"is no JSON: {error}", where=where, fix=fix) from None
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if isinstance(value, dict) and value and all(isinstance(item, list) for item in value.values()):
        if len({len(item) for item in value.values()}) > 1:
            lengths = ", ".join(f"{key}: {len(item)}" for key, item in value.items())
            raise DataError(f"columns of different length ({lengths})", where=where, fix="make them equal")
        return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
    if not isinstance(value, list):
        raise DataError("holds no list of rows", where=where, fix='write [{"text": ..., "label": ...}, ...]')
    return value


def parquet_records(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        raw = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(raw))
    except (pyarrow.ArrowException, OSError, EOFError) as error:
        raise DataError(f"is no parquet file: {error}", where=str(path), fix="write it again") from None
    yield from enumerate(table.to_pylist(), 1)


def from_records(source: str, records: Any, fingerprint: str) -> Table:
    """A table from (number, mapping) pairs; a column that some rows lack is None there."""
    numbers, rows = [], []
    for number, record in records:
        if not isinstance(record, dict):
            fix = 'write each row as an object: {"text": ..., "label": ...}'
            raise DataError(f"is a {type(record).__name__}, not an object", where=f"{source}, row {number}", fix=fix)
        numbers.append(number)
        rows.append(record)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return Table(source, columns, [{key: row.get(key) for key in columns} for row in rows], numbers, fingerprint)


def hub_splits(source: str) -> list[str]:
    """The names of a hub data set's splits."""
    import datasets

    with hub_errors(source):
        return list(datasets.get_dataset_split_names(source))


def from_hub(source: str, split: str) -> Table:
    """One split of a hub data set; class labels become their names. Loading scripts are never run."""
    import datasets

    with hub_errors(source):
        loaded = datasets.load_dataset(source, split=split)
    names = {key: value.names for key, value in loaded.features.items() if isinstance(value, datasets.ClassLabel)}
    rows = [
        {
            key: names[key][value] if key in names and value is not None and value >= 0 else value
            for key, value in row.items()
        }
        for row in loaded
    ]
    return from_records(f"{source}@{split}", enumerate(rows, 1), digest(rows))


class hub_errors:
    """Turns whatever the hub's client raises into a DataError with a remedy."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception):
            fix = "if a file was meant, check its path and suffix; else check the id and the network"
            what = f"is no file here, and the hub did not give it ({type(error).__name__}: {str(error)[:200]})"
            raise DataError(what, where=self.source, fix=fix) from error
