"""Parquet files: their rows as a list while they are few, else batch by batch on disk."""

from __future__ import annotations

import mmap
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..files import sha256
from .content import Progress, blocks
from .delimited import distinct, refuse_many
from .disk_rows import BLOCK, BLOCK_SIZE, LARGE, MANY, Disk, guarded
from .table import Table
from .tolerance import CELL, Tolerance

if TYPE_CHECKING:
    import pyarrow


def from_parquet(path: Path, tolerance: Tolerance, progress: Progress | None = None) -> Table:
    """The rows of a parquet file. Raises DataError where it is damaged, or has a column twice."""
    import pyarrow.parquet

    with whole(path):
        file = pyarrow.parquet.ParquetFile(unpacked(path) if path.name.lower().endswith(".gz") else path)
        names, num_rows = file.schema_arrow.names, file.metadata.num_rows
        size = sum(file.metadata.row_group(place).total_byte_size for place in range(file.num_row_groups))
    refuse_many(names, tolerance)
    columns = distinct(names, tolerance)
    rows, numbers = list[dict[str, Any]](), array("q")
    disk = Disk(str(path)) if size > LARGE or num_rows > MANY else None
    at_once = min(BLOCK, max(1, BLOCK_SIZE * num_rows // max(size, 1)))
    for start, batch in batches(path, file, columns, at_once):
        places, batch = fitting(batch, start, tolerance)
        numbers.extend(places)
        if disk:
            disk.write(batch)
        else:
            with whole(path):
                rows += batch.to_pylist()
        if progress:
            progress(f"reading {path.name}", size * (start + batch.num_rows) // max(num_rows, 1), size)
    if disk and numbers:
        return Table(str(path), columns, disk.rows(lambda batch: batch.to_pylist()), numbers, sha256(path))
    return Table(str(path), columns, rows, numbers.tolist(), sha256(path))


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Turns what a damaged file raises into a DataError."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, EOFError, ValueError, OverflowError) as error:
        first = str(error).split("\n", 1)[0]
        raise DataError(f"is no whole parquet file: {first}", where=str(path), fix="write it again") from None


def unpacked(path: Path) -> pyarrow.BufferReader:
    """A gzipped file, unpacked into the temporary folder: parquet is read from its end."""
    import pyarrow

    with guarded(str(path)):
        file = tempfile.TemporaryFile(prefix="tunewright-")  # noqa: SIM115  (lives as long as it is mapped)
    with file:
        for block in blocks(path):
            with guarded(str(path)):
                file.write(block)
        with guarded(str(path)):
            file.flush()
        return pyarrow.BufferReader(pyarrow.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def batches(path: Path, file: Any, columns: list[str], at_once: int) -> Iterator[tuple[int, pyarrow.RecordBatch]]:
    """(rows before it, batch) of the whole file; columns that are coded by a dictionary are written out."""
    import pyarrow

    start = 0
    with whole(path):
        for batch in file.iter_batches(at_once):
            arrays = [
                column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
                for column in batch.columns
            ]
            yield start, pyarrow.record_batch(arrays, columns)
            start += batch.num_rows


def fitting(
    batch: pyarrow.RecordBatch, start: int, tolerance: Tolerance
) -> tuple[range | list[int], pyarrow.RecordBatch]:
    """(numbers, batch) of the rows without an absurdly long cell."""
    numbers = range(start + 1, start + batch.num_rows + 1)
    if batch.nbytes <= CELL:
        return numbers, batch
    fit = [tolerance.fits(row, number) for number, row in zip(numbers, batch.to_pylist(), strict=True)]
    return [number for number, fits in zip(numbers, fit, strict=True) if fits], batch.filter(fit)
