"""A file's content: its bytes unpacked, and its text where it is text."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ..errors import DataError

GZIP = b"\x1f\x8b"
FOREIGN = {  # the first bytes of what people rename, or save under the wrong name
    GZIP: ("gzipped", "add .gz to its name"),
    b"PK\x03\x04": ("a zip archive or an Excel workbook", "unpack it, or save the sheet as csv (UTF-8)"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as csv (UTF-8)"),
    b"PAR1": ("a parquet file", "give its name the suffix .parquet"),
    b"\x89PNG": ("a picture", "give a file of texts"),
    b"\xff\xd8\xff": ("a picture", "give a file of texts"),
    b"%PDF-": ("a PDF document", "give a file of texts"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)"),
}


def content(path: Path) -> bytes:
    """The file's bytes, unpacked where its name ends in .gz."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), fix="check its permissions") from None
    if not path.name.lower().endswith(".gz"):
        return raw
    if not raw.startswith(GZIP):
        raise DataError("is not gzipped, although its name says so", where=str(path), fix="take .gz off its name")
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        fix = "copy or download it again"
        raise DataError(f"is gzipped, but damaged: {error}", where=str(path), fix=fix) from None


def decode(path: Path) -> str:
    """The file's text; UTF-8 with or without a byte order mark, nothing guessed. Old Mac line ends become new ones."""
    raw = content(path)
    for start, (what, fix) in FOREIGN.items():
        if raw.startswith(start):
            raise DataError(f"is {what}, not UTF-8 text", where=str(path), fix=fix)
    if b"\0" in raw:
        fix = "save it as UTF-8 (iconv -f UTF-16LE -t UTF-8 FILE > NEW), or delete them (tr -d '\\000' < FILE > NEW)"
        where = line_of(path, raw, raw.index(b"\0"))
        raise DataError("holds NUL bytes: it is UTF-16, or no text", where=where, fix=fix)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fix = "save it as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW)"
        place = len(raw) - len(error.object) + error.start  # the codec counts from behind the byte order mark
        what = f"byte 0x{raw[place]:02x} is not UTF-8"
        raise DataError(what, where=line_of(path, raw, place), fix=fix) from None
    return text if "\n" in text else text.replace("\r", "\n")


def line_of(path: Path, raw: bytes, place: int) -> str:
    line = raw.count(b"\n", 0, place) + 1
    return f"{path}, line {line}"
