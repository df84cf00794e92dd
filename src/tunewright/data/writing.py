"""Writing: records into a file that reads back as the same rows, in the form that the file's name says."""

from __future__ import annotations

import datetime
import gzip
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import groupby, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from ..errors import DataError
from ..files import finite, replacing
from .conll import DOCUMENT
from .conll import SUFFIXES as CONLL
from .delimited import unquoted
from .sources import format_of, unknown_format
from .table import Table, shown

if TYPE_CHECKING:
    import pyarrow

Records = Iterable[Mapping[str, Any]]
QUOTED = re.compile(r'[,;|\t"\r\n]|^\s|\s$')  # every delimiter that a reader may guess
PIECE = 20_000  # records whose types are found together


def write(path: Path, columns: Sequence[str], records: Records, like: Table | None = None) -> int:
    """Writes records to a file in the form its suffix names (.csv .tsv .jsonl .json .parquet .conll, each also .gz).

    The file is there whole or not at all; records are taken one by one. A column that a record lacks is empty.
    In csv and tsv lists and mappings are JSON, and what is None is empty.

    Args:
        like: the table that the records come from; it tells the form where the suffix does not: SQuAD in .json, CoNLL
            in .tsv and .txt.

    Returns:
        how many records were written.

    Raises:
        DataError: the form has no way to write a value (names the record and its column), or the disk refuses.
    """
    written = 0

    def told() -> Iterator[dict[str, Any]]:
        nonlocal written
        for record in records:
            written += 1
            yield {name: record.get(name) for name in columns}

    try:
        with whole(path) as file:
            writer_for(path, like)(file, columns, told())
    except UnicodeEncodeError as error:
        what = f"half a character after {error.object[max(error.start - 20, 0) : error.start]!r} is no text"
        raise DataError(what, where=f"{path}, record {written}", fix="leave it out") from None
    except OSError as error:
        fix = "check the folder's permissions and the free space of its disk"
        raise DataError(f"cannot be written: {error.strerror or error}", where=str(path), fix=fix) from None
    except DataError as error:
        where = error.where or (f"{path}, record {written}" if written else str(path))
        raise DataError(error.what, where=where, fix=error.fix) from None
    return written


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, gzipped where its name says so, which takes its name only when the block ends well."""
    with replacing(path) as beside, open(beside, "wb") as file:
        if not path.name.lower().endswith(".gz"):
            yield file
            return
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:  # no time, no name: the same bytes
            yield packed  # type: ignore[misc]


def writer_for(path: Path, like: Table | None) -> Callable[[IO[bytes], Sequence[str], Iterator[dict[str, Any]]], None]:
    suffix, told = format_of(path), like.notes[0] if like and like.notes else ""
    if suffix == ".parquet":
        return write_parquet
    if suffix in CONLL or (suffix in (".tsv", None) and told.startswith("read as CoNLL")):
        lines: Callable[..., Iterator[str]] = conll_lines
    elif suffix == ".json" and told.startswith("read as SQuAD"):
        lines = squad_lines
    elif suffix is None:
        raise unknown_format(path)
    else:
        lines = {".csv": csv_lines, ".tsv": tsv_lines, ".jsonl": json_lines, ".json": json_list_lines}[suffix]

    def write_lines(file: IO[bytes], columns: Sequence[str], records: Iterator[dict[str, Any]]) -> None:
        file.writelines(line.encode() for line in lines(columns, records))

    return write_lines


def csv_lines(columns: Sequence[str], records: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield ",".join(map(csv_cell, columns)) + "\n"
    for record in records:
        cells = filled_cells(record, "csv")
        yield ",".join(map(csv_cell, cells)) + "\n"


def csv_cell(cell: str) -> str:
    return quoted(cell) if QUOTED.search(cell) else cell


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def tsv_lines(columns: Sequence[str], records: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield "\t".join(map(tsv_cell, columns)) + "\n"
    for record in records:
        yield "\t".join(map(tsv_cell, filled_cells(record, "tsv"), record)) + "\n"


def tsv_cell(cell: str, column: str = "") -> str:
    if any(character in cell for character in "\t\r\n"):
        what = f"column {column!r} holds a tab or a line break ({shown(cell)}), which a tsv cannot"
        raise DataError(what, fix="write csv, jsonl or parquet")
    return cell if unquoted(cell) == cell else quoted(cell)


def filled_cells(record: dict[str, Any], form: str) -> list[str]:
    """The record's cells as text. Raises DataError where reading would drop or refuse them."""
    cells = [cell_text(value) for value in record.values()]
    if not any(map(str.strip, cells)):
        raise DataError(f"is blank in every column; a {form} cannot hold it", fix="drop it, or write jsonl")
    for name, cell in zip(record, cells, strict=True):
        if "\0" in cell:
            raise DataError(f"column {name!r} holds a NUL character, which a {form} cannot", fix="take it out")
    return cells


def cell_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:  # NaN
        return ""
    return as_json(value) if isinstance(value, list | tuple | dict | bytes) else str(value)


def json_lines(columns: Sequence[str], records: Iterator[dict[str, Any]]) -> Iterator[str]:
    for record in records:
        yield as_json(record) + "\n"


def json_list_lines(columns: Sequence[str], records: Iterator[dict[str, Any]]) -> Iterator[str]:
    start = "[\n"
    for record in records:
        yield start + as_json(record)
        start = ",\n"
    yield "[]\n" if start == "[\n" else "\n]\n"


def as_json(value: Any) -> str:
    """Strict JSON in whole characters; NaN and infinity are null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=plain)
    except ValueError:
        return json.dumps(finite(value), ensure_ascii=False, allow_nan=False, default=plain)


def plain(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | datetime.timedelta):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy's
        return value.tolist()
    fix = "write parquet, or leave the column out"
    raise DataError(f"{shown(value)} ({type(value).__name__}) has no form in JSON", fix=fix)


def conll_lines(columns: Sequence[str], records: Iterator[dict[str, Any]]) -> Iterator[str]:
    others = [name for name in columns if name not in ("tokens", "tags") and not re.fullmatch(r"column_\d+", name)]
    if others or "tokens" not in columns or "tags" not in columns:
        what = f"CoNLL has cells for tokens and tags, not for {', '.join(map(repr, others or columns))}"
        raise DataError(what, fix="write jsonl or parquet")
    order = sorted(columns, key=lambda name: (name == "tags", name != "tokens"))  # stable: the rest as they were
    for record in records:
        cells = [record[name] for name in order]
        if not all(isinstance(cell, list | tuple) for cell in cells) or not cells[0]:
            raise DataError("has no list of tokens with their tags", fix="drop it, or write jsonl")
        if len({len(cell) for cell in cells}) > 1:
            counts = ", ".join(f"{name}: {len(cell)}" for name, cell in zip(order, cells, strict=True))
            raise DataError(f"has lists of different length ({counts})", fix="give each token one tag")
        yield "".join(map(conll_line, zip(*cells, strict=True))) + "\n"


def conll_line(cells: tuple[str, ...]) -> str:
    line = "\t".join(cells)
    if line.count("\t") >= len(cells) or "\n" in line or "\r" in line or "\0" in line:
        raise DataError(f"a token holds a tab or a line break: {shown(line)}", fix="write jsonl")
    if not cells[-1] or cells[-1] != cells[-1].strip() or line.startswith(DOCUMENT):
        raise DataError(f"{shown(line)} would be read as something else", fix="change that token or its tag")
    return line + "\n"


def squad_lines(columns: Sequence[str], records: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Consecutive rows of one title are an article again, those of one context a paragraph."""
    lacking = [name for name in ("question", "context", "answers") if name not in columns]
    if lacking:
        raise DataError(f"SQuAD needs the column {lacking[0]!r}", fix="write jsonl, or keep that column")
    start = '{"version": "v2.0", "data": [\n'
    for title, article in groupby(records, lambda record: record.get("title") or ""):
        yield start + f'{{"title": {as_json(title)}, "paragraphs": ['
        start, between = ",\n", "\n"
        for context, rows in groupby(article, lambda record: record["context"]):
            questions = [{key: row[key] for key in row if key not in ("title", "context")} for row in rows]
            yield between + as_json({"context": context, "qas": questions})
            between = ",\n"
        yield "]}"
    yield f"{start}]}}\n" if start.startswith("{") else "\n]}\n"


def write_parquet(file: IO[bytes], columns: Sequence[str], records: Iterator[dict[str, Any]]) -> None:
    """Pieces on disk first: only the last record settles what types the columns have."""
    import pyarrow
    import pyarrow.feather
    import pyarrow.parquet

    schema, num_pieces = pyarrow.schema([(name, pyarrow.null()) for name in columns]), 0
    with tempfile.TemporaryDirectory(prefix="tunewright-") as folder:
        while batch := list(islice(records, PIECE)):
            piece = typed(columns, batch)
            schema = unified(schema, piece.schema)
            pyarrow.feather.write_feather(piece, f"{folder}/{num_pieces}", compression="uncompressed")
            num_pieces += 1
        try:
            with pyarrow.parquet.ParquetWriter(file, schema) as writer:
                for number in range(num_pieces):
                    writer.write_table(pyarrow.feather.read_table(f"{folder}/{number}").cast(schema))
        except pyarrow.ArrowException as error:
            raise unfit(error) from None


def typed(columns: Sequence[str], batch: Sequence[dict[str, Any]]) -> pyarrow.Table:
    import pyarrow

    made = {}
    for name in columns:
        try:
            made[name] = pyarrow.array([record[name] for record in batch])
        except (pyarrow.ArrowException, OverflowError) as error:
            raise unfit(error, f"column {name!r}: ") from None
    return pyarrow.table(made)


def unified(schema: pyarrow.Schema, other: pyarrow.Schema) -> pyarrow.Schema:
    import pyarrow

    try:
        return pyarrow.unify_schemas([schema, other], promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise unfit(error) from None


def unfit(error: Exception, where: str = "") -> DataError:
    what = f"{where}parquet wants one type in a column ({str(error).splitlines()[0]})"
    return DataError(what, fix="write jsonl, or make the values of each column alike")
