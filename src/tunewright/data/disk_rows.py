"""Rows of a source: a list while they are few, else on disk, from where they come a block at a time."""

from __future__ import annotations

import json
import mmap
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, Any, overload

from ..errors import DataError
from .tolerance import MEGABYTE

if TYPE_CHECKING:
    import pyarrow

LARGE = 64 * MEGABYTE  # characters of a source whose rows go to disk
MANY = 500_000  # rows that do so too, however short; as Python objects they take some 300 MB
BLOCK = 1024  # rows that are read from disk together
BLOCK_SIZE = 4 * MEGABYTE  # characters of them


Record = tuple[int, Any, int]  # a row's number as a person counts, its cells or mapping, its characters


class DiskRows(Sequence[dict[str, Any]]):
    """Rows of an Arrow file. In order they come a block at a time; one here and there alone.

    Args:
        reader: of the file, memory-mapped.
        ends: for each block one past its last row.
    """

    def __init__(self, reader: Any, ends: Sequence[int], unpack: Callable[[Any], list[dict[str, Any]]]) -> None:
        self.reader, self.ends, self.unpack = reader, ends, unpack
        self._held: tuple[int, list[dict[str, Any]]] = (0, [])  # one value: threads may share these rows
        self._asked = -1

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for block in range(len(self.ends)):
            yield from self.unpack(self.reader.get_batch(block))

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        start, rows = self._held
        if start <= place < start + len(rows):
            return rows[place - start]
        return self._fetch(range(len(self))[index(place)])

    def _fetch(self, place: int) -> dict[str, Any]:
        block = bisect_right(self.ends, place)
        start = self.ends[block - 1] if block else 0
        batch = self.reader.get_batch(block)
        if block != self._asked:  # the first of its block may be the only one that is asked for
            self._asked = block
            return self.unpack(batch.slice(place - start, 1))[0]
        rows = self.unpack(batch)
        self._held = (start, rows)
        return rows[place - start]


@contextmanager
def guarded(source: str) -> Iterator[None]:
    """Turns what the temporary folder refuses into a DataError."""
    try:
        yield
    except OSError as error:
        what = f"does not fit into {tempfile.tempdir or 'the temporary folder'}: {error.strerror or error}"
        fix = "free space there, or set TMPDIR to a folder on a larger disk"
        raise DataError(what, where=source, fix=fix) from None


class Disk:
    """An Arrow file without a name in the temporary folder: it goes with the last who reads it, however that ends."""

    def __init__(self, source: str) -> None:
        self.source, self.ends = source, array("q")
        with guarded(self.source):
            self.file = tempfile.TemporaryFile(prefix="tunewright-")  # noqa: SIM115  (lives as long as its rows)
        self.writer: Any = None

    def write(self, batch: pyarrow.RecordBatch) -> None:
        import pyarrow

        with guarded(self.source):
            if self.writer is None:
                self.writer = pyarrow.ipc.new_file(pyarrow.PythonFile(self.file, "w"), batch.schema)
            self.writer.write_batch(batch)
        self.ends.append((self.ends[-1] if self.ends else 0) + batch.num_rows)

    def rows(self, unpack: Callable[[Any], list[dict[str, Any]]]) -> DiskRows:
        import pyarrow

        with guarded(self.source):
            self.writer.close()
            self.file.flush()
            mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
            self.file.close()
        return DiskRows(pyarrow.ipc.open_file(pyarrow.BufferReader(pyarrow.py_buffer(mapped))), self.ends, unpack)


def gather(
    source: str, records: Iterable[Record], columns: Iterable[str]
) -> tuple[Sequence[dict[str, Any]], Sequence[int]]:
    """The rows of a source, and their numbers; on disk, as lines of JSON, once they are many or large.

    Args:
        records: numbers, mappings of what JSON can hold, and sizes.
        columns: of every row; may grow until the records are through.

    Raises:
        DataError: the temporary folder is full.
    """

    def row(item: dict[str, Any]) -> dict[str, Any]:
        return {key: item.get(key) for key in columns}

    def unpack(batch: pyarrow.RecordBatch) -> list[dict[str, Any]]:
        return [row(json.loads(line)) for line in batch.column(0).to_numpy(zero_copy_only=False)]

    numbers, kept, disk, size = array("q"), list[Any](), None, 0
    limit, most = LARGE, MANY
    for number, item, length in records:
        numbers.append(number)
        kept.append(item)
        size += length
        if size > limit or len(kept) >= most:
            disk = disk or Disk(source)
            lay_out(kept, disk)
            size, limit, most = 0, BLOCK_SIZE, BLOCK
    if disk is None:
        return [row(item) for item in kept], numbers.tolist()
    lay_out(kept, disk)
    return disk.rows(unpack), numbers


def lay_out(kept: list[dict[str, Any]], disk: Disk) -> None:
    import pyarrow

    for start in range(0, len(kept), BLOCK):
        lines = [json.dumps(item, ensure_ascii=False) for item in kept[start : start + BLOCK]]
        disk.write(pyarrow.record_batch([pyarrow.array(lines, pyarrow.string())], ["json"]))
    kept.clear()
