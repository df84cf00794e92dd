"""A file's content: its bytes unpacked, and its text where it is text; a block at a time."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError
from .tolerance import LINE, MEGABYTE, WHOLE, Tolerance

GZIP = b"\x1f\x8b"
FOREIGN = {  # the first bytes of what people rename, or save under the wrong name
    GZIP: ("gzipped", "add .gz to its name"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as csv (UTF-8)"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as csv (UTF-8)"),
    b"PAR1": ("a parquet file", "give its name the suffix .parquet"),
    b"\x89PNG": ("a picture", "give a file of texts"),
    b"\xff\xd8\xff": ("a picture", "give a file of texts"),
    b"%PDF-": ("a PDF document", "give a file of texts"),
    codecs.BOM_UTF16_LE: ("UTF-16", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)"),
    codecs.BOM_UTF16_BE: ("UTF-16", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)"),
}
NUL_FIX = "save it as UTF-8 (iconv -f UTF-16LE -t UTF-8 FILE > NEW), or delete them (tr -d '\\000' < FILE > NEW)"
LATIN_FIX = "save it as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW)"
CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
BOMB = 300  # times its size, on the way to 256 MB: no data set packs so well
Progress = Callable[[str, int, int], None]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what reading a file raises into a DataError."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        fix = "copy or download it again"
        raise DataError(f"is gzipped, but damaged: {error}", where=str(path), fix=fix) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), fix="check its permissions") from None


def blocks(path: Path, progress: Progress | None = None) -> Iterator[bytes]:
    """The file's bytes, unpacked where its name ends in .gz, a megabyte at a time."""
    with readable(path), path.open("rb") as raw:
        size, done = path.stat().st_size, 0
        file: Any = raw
        if path.name.lower().endswith(".gz"):
            file = gzip.GzipFile(fileobj=raw)
            if raw.peek(2)[:2] != GZIP:
                raise DataError(
                    "is not gzipped, although its name says so", where=str(path), fix="take .gz off its name"
                )
        while block := file.read(MEGABYTE):
            done += len(block)
            ratio = done / (raw.tell() or 1)
            if ratio > BOMB and done > 4 * MEGABYTE and size * ratio > 256 * MEGABYTE:
                fix = "look into it (zcat FILE | head), and unpack it if it is meant"
                raise DataError(f"unpacks to more than {BOMB} times its size", where=str(path), fix=fix)
            if progress:
                progress(f"reading {path.name}", raw.tell(), size)
            yield block


class TextFile:
    """A text file, whose lines are decoded as they are asked for.

    UTF-8 with or without a byte order mark; strict reading guesses nothing. Tolerant reading reads single lines as
    Windows-1252, and drops NUL bytes. Old Mac line ends become new ones.

    Args:
        limit: bytes of a line.

    Raises:
        DataError: it can't be read, or is no text.
    """

    def __init__(self, path: Path, tolerance: Tolerance, progress: Progress | None = None, limit: int = LINE) -> None:
        self.path, self.tolerance, self.progress, self.limit = path, tolerance, progress, limit
        head = next(blocks(path), b"")
        refuse_no_text(path, head, tolerance.strict)
        text = head.decode("utf-8-sig", "replace")
        self.old_mac = "\n" not in text and "\r" in text
        self.beginning = text.replace("\r", "\n") if self.old_mac else text  # to tell what it is, not to keep

    def lines(self, newline: str = "\n") -> Iterator[str]:
        """Each line with its end; `newline` as io.StringIO has it ("" cuts at a lone carriage return too).

        What a line needed to be read is in `tolerance.mended` when it comes.
        """
        number = 0  # lines before this block
        for block in self.whole_lines():
            text = None if b"\0" in block else decoded(block)
            yield from self.mended(block, number, newline) if text is None else io.StringIO(text, newline)
            number += block.count(b"\n")

    def whole_lines(self) -> Iterator[bytes]:
        """Blocks that end where a line ends, without a byte order mark."""
        end, carried, number = b"\r" if self.old_mac else b"\n", list[bytes](), 1
        for place, block in enumerate(blocks(self.path, self.progress)):
            block = block.removeprefix(codecs.BOM_UTF8) if place == 0 else block
            cut = block.rfind(end) + 1
            if cut:
                whole = b"".join((*carried, block[:cut]))
                number += whole.count(end)
                carried = []
                yield whole.replace(b"\r", b"\n") if self.old_mac else whole
            carried.append(block[cut:])
            if sum(map(len, carried)) > self.limit:
                fix = "break it into lines, or leave that row out"
                what = f"is longer than {self.limit // MEGABYTE} MB"
                raise DataError(what, where=f"{self.path}, line {number}", fix=fix)
        rest = b"".join(carried)
        yield rest.replace(b"\r", b"\n") if self.old_mac else rest

    def mended(self, block: bytes, number: int, newline: str) -> Iterator[str]:
        """The lines of a block that is not all UTF-8, one by one."""
        for place, raw in enumerate(io.BytesIO(block), number + 1):
            if b"\0" in raw:
                self.mend("nul_bytes", "holds NUL bytes: it is UTF-16, or no text", NUL_FIX, place)
                raw = raw.replace(b"\0", b"")
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                self.mend("not_utf8", f"byte 0x{raw[error.start]:02x} is not UTF-8", LATIN_FIX, place)
                text = guessed(raw)
            yield from io.StringIO(text, newline)

    def mend(self, rule: str, what: str, fix: str, number: int) -> None:
        if self.tolerance.strict:
            raise DataError(what, where=f"{self.path}, line {number}", fix=fix)
        self.tolerance.mended.append((rule, what, fix))


def refuse_no_text(path: Path, head: bytes, strict: bool) -> None:
    """Raises DataError where a file that starts so is no text; strict reading names the line of its first fault."""
    for start, (what, fix) in FOREIGN.items():
        if head.startswith(start):
            raise DataError(f"is {what}, not UTF-8 text", where=str(path), fix=fix)
    if not strict and len(head) - len(head.translate(None, CONTROL)) > max(32, len(head) // 10):
        raise DataError("is no text, or UTF-16: it is full of control characters", where=str(path), fix=NUL_FIX)


def decoded(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def guessed(raw: bytes) -> str:
    """A line that is not UTF-8: Windows-1252, unless some of it is UTF-8, which then was damaged."""
    damaged = raw.decode(errors="replace")
    if all(character.isascii() or character == "\ufffd" for character in damaged):
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode("cp1252")
    return damaged


def decode(path: Path, tolerance: Tolerance | None = None, progress: Progress | None = None) -> str:
    """The text of a file that must be read at once. Raises DataError where it is too large, or no text."""
    tolerance = tolerance or Tolerance(str(path))
    lines, size = [], 0
    for number, line in enumerate(TextFile(path, tolerance, progress, WHOLE).lines(), 1):
        lines.append(line)
        size += len(line)
        if size > WHOLE:
            fix = "break it into parts; jsonl, csv and parquet files may be of any size"
            raise DataError(
                f"is larger than {WHOLE // MEGABYTE} MB, and must be read at once", where=str(path), fix=fix
            )
        tolerance.row_ends(number)
    return "".join(lines)
