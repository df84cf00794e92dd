"""Sources: csv, tsv, jsonl, json (also SQuAD), parquet, CoNLL and parallel files, each also gzipped, and hub ids."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import DataError, suggest
from ..files import digest, sha256
from .conll import SUFFIXES, from_conll, from_parallel, is_conll, parallel_files
from .content import Progress, TextFile, decode
from .delimited import column_names, delimited_records, first_data_row, guess_delimiter
from .disk_rows import BLOCK_SIZE, Record, gather
from .parquet import from_parquet
from .squad import from_squad, is_squad
from .table import Fault, Table
from .tolerance import CELL, COLUMNS, Tolerance

FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", *SUFFIXES)
HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # an escape that must come in pairs


def read(
    source: str,
    header: bool | None = None,
    split: str = "train",
    faults: list[Fault] | None = None,
    progress: Progress | None = None,
) -> Table:
    """Reads one source. The rows of large csv, tsv, jsonl and parquet files stay on disk, in the temporary folder.

    Args:
        source: a file, a folder of parallel files (`seq.in`, `seq.out`), or a hub id (`org/name`) where neither exists.
        header: whether a csv, tsv or CoNLL file starts with column names; None decides by its first rows and says so.
        split: of a hub data set.
        faults: takes what is wrong with single rows, which are then mended or stepped over; None: the first one raises.
        progress: hears (what, bytes read, bytes in all).

    Raises:
        DataError: naming file, row and column.
    """
    if is_hub_id(source):
        return from_hub(source, split)
    path, parallel = Path(source), None
    if exists(path):
        parallel = parallel_files(path)
    if not parallel:
        refuse_no_file(path, source)
    tolerance = Tolerance(source, faults)
    table = from_parallel(parallel) if parallel else read_file(path, header, tolerance, progress)
    tolerance.close()
    if not table.rows:
        first = f"; the first of {tolerance.count:,} faults: {faults[-1].what}" if faults and tolerance.count else ""
        what = f"the file has no rows{first}"
        raise DataError(what, where=source, fix="give a file with at least one row of data")
    return table


def refuse_no_file(path: Path, source: str) -> None:
    """Raises DataError where there is nothing that could be read without waiting."""
    if os.path.islink(path) and not exists(path):
        raise DataError("is a link that leads nowhere", where=source, fix="look where it leads (readlink FILE)")
    if not exists(path):
        near = suggest(path.name, [item.name for item in path.parent.glob("*")] if exists(path.parent) else [])
        raise DataError("there is no such file", where=source, fix=near if near.startswith("did") else "check the path")
    if path.is_dir():
        inside = sorted(str(item) for item in path.glob("*") if format_of(item) or item.match("*.tokens*"))
        fix = f"name one data file, such as {inside[0] if inside else path / 'train.csv'}"
        raise DataError("is not a file", where=source, fix=fix)
    if not path.is_file():
        fix = "save what it gives into a file, and name that"
        raise DataError("is not a file, but a pipe or a device", where=source, fix=fix)
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=source, fix="give a file with rows")


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


def read_file(path: Path, header: bool | None, tolerance: Tolerance, progress: Progress | None = None) -> Table:
    suffix = format_of(path)
    if suffix is None and not is_plain_text(path):
        raise unknown_format(path)
    if suffix == ".parquet":
        return from_parquet(path, tolerance, progress)
    if suffix == ".json":
        text = decode(path, tolerance, progress)
        value = parsed(text, str(path), "check the brackets; for one object a line use the suffix .jsonl")
        if is_squad(value):
            return from_squad(path, value)
        records = ((number, value, 0) for number, value in enumerate(json_records(value, str(path)), 1))
        return from_objects(path, records, tolerance)
    file = TextFile(path, tolerance, progress)
    if suffix == ".jsonl":
        return from_objects(path, json_lines(file.lines(), tolerance), tolerance)
    if suffix in SUFFIXES or (suffix in (".tsv", None) and is_conll(file.beginning)):
        return from_conll(path, decode(path, tolerance, progress), header)
    if suffix is None:
        raise unknown_format(path)
    return from_delimited(path, file, suffix, header, tolerance)


def is_plain_text(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".txt")


def unknown_format(path: Path) -> DataError:
    fix = f"use one of {', '.join(FORMATS)} (each also .gz), or a .txt with a token and its tag on each line"
    return DataError(f"unknown format {path.suffix!r}", where=str(path), fix=fix)


def from_delimited(path: Path, file: TextFile, suffix: str, header: bool | None, tolerance: Tolerance) -> Table:
    delimiter = "\t" if suffix == ".tsv" else guess_delimiter(file.beginning)
    records = delimited_records(file, delimiter, tolerance)
    first = beginning(records)
    if not first:
        return Table(str(path), [], [], [], "")
    start, note = first_data_row([cells for _, cells, _ in first], header)
    columns = column_names(first[0][1], start == 1, tolerance)
    body = even_records(chain(first[start:], records), columns, delimiter, tolerance)
    rows, numbers = gather(str(path), body, columns)
    return Table(str(path), columns, rows, numbers, sha256(path), [note] if note else [])


def beginning(records: Iterator[Record]) -> list[Record]:
    """The first 200 records, or as many as are held together."""
    found, size = list[Record](), 0
    for record in records:
        found.append(record)
        size += record[2]
        if len(found) == 200 or size > BLOCK_SIZE:
            break
    return found


def even_records(
    records: Iterable[Record], columns: list[str], delimiter: str, tolerance: Tolerance
) -> Iterator[Record]:
    """The records that have a cell for each column, as mappings."""
    for number, cells, size in records:
        if len(cells) == len(columns):
            yield number, dict(zip(columns, cells, strict=True)), size
            continue
        named = f" ({', '.join(columns)})" if len(columns) <= 20 else ""
        what = f"has {len(cells):,} cells, not one for each column{named}"
        tolerance.step_over("ragged_row", what, mend_cells(columns[len(cells) :], delimiter), number)


def mend_cells(lacking: list[str], delimiter: str) -> str:
    """The remedy for a row that lacks the cells of these last columns, or has too many."""
    if delimiter == "\t":
        return "take tabs and line breaks out of the cells, or save it as csv, which can quote them"
    return f"fill in {', '.join(map(repr, lacking))}" if lacking else f"quote cells that contain {delimiter!r}"


def json_lines(lines: Iterator[str], tolerance: Tolerance) -> Iterator[Record]:
    """(number, value, size) of each line that is not blank."""
    for number, line in enumerate(lines, 1):
        tolerance.row_ends(number)
        if not line.strip():
            continue
        try:
            fix = "write one JSON object a line (a whole JSON document has the suffix .json)"
            yield number, parsed(line.rstrip("\n"), "", fix), len(line)
        except DataError as error:
            tolerance.step_over("bad_json", error.what, error.fix, number)


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


def from_objects(path: Path, records: Iterable[Record], tolerance: Tolerance) -> Table:
    """A table from (number, mapping, size) records; a column that some rows lack is None there."""
    columns: dict[str, None] = {}
    rows, numbers = gather(str(path), objects(records, columns, tolerance), columns)
    return Table(str(path), list(columns), rows, numbers, sha256(path))


def objects(records: Iterable[Record], columns: dict[str, None], tolerance: Tolerance) -> Iterator[Record]:
    """The records that are mappings; their keys are added to `columns`."""
    for number, value, size in records:
        if not isinstance(value, dict):
            fix = 'write each row as an object: {"text": ..., "label": ...}'
            tolerance.step_over("no_object", f"is no object, but of type {type(value).__name__}", fix, number)
        elif size <= CELL or tolerance.fits(value, number):
            columns.update(dict.fromkeys(value))
            if len(columns) > COLUMNS:
                fix = "write what varies as a list of names and values"
                raise DataError(
                    f"there are more than {COLUMNS:,} columns", where=f"{tolerance.source}, row {number}", fix=fix
                )
            yield number, value, size


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
    return Table(f"{source}@{split}", list(loaded.features), rows, list(range(1, len(rows) + 1)), digest(rows))


@contextmanager
def hub_errors(source: str) -> Iterator[None]:
    """Turns whatever the hub's client raises into a DataError with a remedy."""
    try:
        yield
    except Exception as error:
        fix = "if a file was meant, check its path and suffix; else check the id and the network"
        what = f"is no file here, and the hub did not give it ({type(error).__name__}: {str(error)[:200]})"
        raise DataError(what, where=source, fix=fix) from error
