"""Sources: csv, tsv, jsonl, json (also SQuAD), parquet, CoNLL and parallel files, each also gzipped, and hub ids."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError, suggest
from ..files import digest, sha256
from .conll import SUFFIXES, from_conll, from_parallel, is_conll, parallel_files
from .content import content, decode
from .delimited import column_names, delimited_records, first_data_row, guess_delimiter
from .squad import from_squad, is_squad
from .table import Table

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", *SUFFIXES)
HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that must come in pairs


def read(source: str, header: bool | None = None, split: str = "train") -> Table:
    """Reads one source whole.

    Args:
        source: a file, a folder of parallel files (`seq.in`, `seq.out`), or a hub id (`org/name`) where neither exists.
        header: whether a csv, tsv or CoNLL file starts with column names; None decides by its first rows and says so.
        split: of a hub data set.

    Raises:
        DataError: naming file, row and column.
    """
    path = Path(source)
    if is_hub_id(source):
        return from_hub(source, split)
    if not exists(path):
        near = suggest(path.name, [item.name for item in path.parent.glob("*")] if exists(path.parent) else [])
        raise DataError("there is no such file", where=source, fix=near if near.startswith("did") else "check the path")
    parallel = parallel_files(path)
    if not parallel and not path.is_file():
        inside = sorted(str(item) for item in path.glob("*") if format_of(item) or item.match("*.tokens*"))
        fix = f"name one data file, such as {inside[0] if inside else path / 'train.csv'}"
        raise DataError("is not a file", where=source, fix=fix)
    if not parallel and path.stat().st_size == 0:
        raise DataError("the file is empty", where=source, fix="give a file with rows")
    table = from_parallel(parallel) if parallel else read_file(path, header)
    if not table.rows:
        raise DataError("the file has no rows", where=source, fix="give a file with at least one row of data")
    return table


def exists(path: Path) -> bool:
    """Whether something is there; a name that no disk can hold is not."""
    try:
        return path.exists()
    except OSError:
        return False


def is_hub_id(source: str) -> bool:
    """`org/name` or `name` that is no file here and has no suffix."""
    return HUB_ID.fullmatch(source) is not None and not Path(source).suffix and not exists(Path(source))


def format_of(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in FORMATS if name.endswith(suffix)), None)


def read_file(path: Path, header: bool | None) -> Table:
    suffix = format_of(path)
    if suffix is None and not is_plain_text(path):
        raise unknown_format(path)
    if suffix == ".parquet":
        return from_records(str(path), parquet_records(path), sha256(path))
    text = decode(path)
    if suffix == ".jsonl":
        return from_records(str(path), json_lines(text, str(path)), sha256(path))
    if suffix == ".json":
        value = parsed(text, str(path), "check the brackets; for one object a line use the suffix .jsonl")
        if is_squad(value):
            return from_squad(path, value)
        return from_records(str(path), enumerate(json_records(value, str(path)), 1), sha256(path))
    if suffix in SUFFIXES or (suffix in (".tsv", None) and is_conll(text)):
        return from_conll(path, text, header)
    if suffix is None:
        raise unknown_format(path)
    return from_delimited(path, text, suffix, header)


def is_plain_text(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".txt")


def unknown_format(path: Path) -> DataError:
    fix = f"use one of {', '.join(FORMATS)} (each also .gz), or a .txt with a token and its tag on each line"
    return DataError(f"unknown format {path.suffix!r}", where=str(path), fix=fix)


def from_delimited(path: Path, text: str, suffix: str, header: bool | None) -> Table:
    delimiter = "\t" if suffix == ".tsv" else guess_delimiter(text)
    records = list(delimited_records(text, delimiter, str(path)))
    if not records:
        raise DataError("the file has no rows", where=str(path), fix="give a file with at least one row of data")
    start, note = first_data_row([cells for _, cells in records[:200]], header)
    columns = column_names(records[0][1], start == 1, str(path))
    for number, cells in records:
        if len(cells) != len(columns):
            what = f"has {len(cells)} cells, not one for each column ({', '.join(columns)})"
            fix = mend_cells(columns[len(cells) :], delimiter)
            raise DataError(what, where=f"{path}, row {number}", fix=fix)
    body = records[start:]
    rows = [dict(zip(columns, cells, strict=True)) for _, cells in body]
    return Table(str(path), columns, rows, [number for number, _ in body], sha256(path), [note] if note else [])


def mend_cells(lacking: list[str], delimiter: str) -> str:
    """The remedy for a row that lacks the cells of these last columns, or has too many."""
    if delimiter == "\t":
        return "take tabs and line breaks out of the cells, or save it as csv, which can quote them"
    return f"fill in {', '.join(map(repr, lacking))}" if lacking else f"quote cells that contain {delimiter!r}"


def json_lines(text: str, where: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            fix = "write one JSON object a line (a whole JSON document has the suffix .json)"
            yield number, parsed(line, f"{where}, row {number}", fix)


def json_records(value: Any, where: str) -> list[Any]:
    """The rows of a list of objects, `{"data": [...]}`, or a mapping from column to its list of values."""
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


def parsed(text: str, where: str, fix: str) -> Any:
    """One JSON value of whole characters: half a surrogate pair is in no tokenizer's alphabet."""
    try:
        value = json.loads(text)
        if HALF_CHARACTER.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise DataError(f"is no JSON: {error.msg} at {place}character {error.colno}", where=where, fix=fix) from None
    except UnicodeEncodeError as error:
        start, half = error.start, f"\\u{ord(error.object[error.start]):04x}"
        what = f"{half} after {error.object[max(start - 20, 0) : start]!r} is half a character"
        raise DataError(what, where=where, fix="write both halves of the character, or leave it out") from None
    except RecursionError:
        fix = "leave that value out, or close the brackets"
        raise DataError("brackets are nested too deeply", where=where, fix=fix) from None
    except ValueError:
        raise DataError("a number has thousands of digits", where=where, fix="write it as a text") from None
    return value


def parquet_records(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow
    import pyarrow.parquet

    raw = content(path)
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(raw))
        names = file.schema_arrow.names
        rows = file.read().to_pylist()
    except (pyarrow.ArrowException, OSError, EOFError, ValueError, OverflowError) as error:
        first = str(error).split("\n", 1)[0]
        raise DataError(f"is no whole parquet file: {first}", where=str(path), fix="write it again") from None
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"column {twice[0]!r} is there twice", where=str(path), fix="rename one of them")
    yield from enumerate(rows, 1)


def from_records(source: str, records: Any, fingerprint: str) -> Table:
    """A table from (number, mapping) pairs; a column that some rows lack is None there."""
    numbers, rows = [], []
    for number, record in records:
        if not isinstance(record, dict):
            fix = 'write each row as an object: {"text": ..., "label": ...}'
            raise DataError(
                f"is no object, but of type {type(record).__name__}", where=f"{source}, row {number}", fix=fix
            )
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
