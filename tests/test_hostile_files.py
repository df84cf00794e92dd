"""Hostile files: each ends in a clear error or a clean result, never in a traceback, without waiting, within bounds."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tunewright import cli
from tunewright.data import sources
from tunewright.data.table import Fault
from tunewright.errors import DataError

MEGABYTE = 1 << 20
HEAD = b"text,label\n"
BODY = b"".join(b"this is text %d,%s\n" % (place, b"xy"[place % 2 :][:1]) for place in range(30))
GOOD = HEAD + BODY


class Case(NamedTuple):
    """One hostile file.

    Args:
        name: of the file.
        content: its bytes, or what gives them (or makes the file itself) when its path is known.
        says: what strict reading says of it; "": it is read.
        mended: whether tolerant reading gets rows out of it all the same.
    """

    name: str
    content: bytes | Callable[[Path], bytes | None]
    says: str = ""
    mended: bool = False


def parquet(*names: str) -> bytes:
    import pyarrow
    import pyarrow.parquet

    raw = io.BytesIO()
    columns = [pyarrow.array([f"text {place}" for place in range(30)])] * len(names)
    pyarrow.parquet.write_table(pyarrow.table(columns, names=names), raw)
    return raw.getvalue()


def zipped() -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("inbox.csv", GOOD)
    return raw.getvalue()


def bomb(content: bytes) -> bytes:
    """640 MB in less than a megabyte: gzip members may follow each other."""
    return gzip.compress(content * (16 * MEGABYTE // len(content))) * 40


def lines(*values: str) -> bytes:
    return "\n".join(values).encode()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


NO_TEXT, NO_FILE, NO_LINK = "NUL bytes|is no text", "a pipe or a device", "a link that leads nowhere"
ROWS = [json.dumps({"text": f"this is text {place}", "label": "xy"[place % 2]}) for place in range(30)]
LONG = b"a" * 40 * MEGABYTE
MANY = b",".join(b"c%d" % place for place in range(100_000)) + b"\n"
CASES = {
    "nul_bytes": Case("a.csv", GOOD + b"a\0b,x\n", "line 32: holds NUL bytes", True),
    "only_nul_bytes": Case("a.csv", b"\0" * 5000, NO_TEXT),
    "a_40_mb_cell": Case("a.csv", lambda _: GOOD + LONG + b",x\n", "row 32: column 'column_1' has 41,943,040", True),
    "a_20_mb_text": Case(
        "a.jsonl", lambda _: b'{"text": "' + LONG + b'"}\n{"text": "a"}', "row 1: column 'text'", True
    ),
    "an_80_mb_line": Case("a.csv", lambda _: GOOD + LONG * 2, "line 32: is longer than 64 MB"),
    "a_quote_never_closed": Case("a.csv", HEAD + b'"open,x\n' + BODY, "row 2: is no valid csv", True),
    "a_quote_in_each_row": Case("a.csv", HEAD + b'"a,x\n' * 40, "row 2: is no valid csv", True),
    "quotes_unbalanced": Case("a.csv", GOOD + b'"so" he "said",x\n"a""",y\n""",x\n', "row 32: is no valid csv", True),
    "quoted_line_breaks": Case("a.csv", GOOD + b'"' + b"\n" * 200_000 + b'",x\n'),
    "quoted_line_breaks_without_end": Case("a.csv", GOOD + b'"' + b"\n" * 200_000, "row 32: is no valid csv", True),
    "utf_16": Case("a.csv", GOOD.decode().encode("utf-16"), "is UTF-16"),
    "utf_16_without_a_mark": Case("a.csv", GOOD.decode().encode("utf-16-be"), "UTF-16"),
    "utf_32": Case("a.csv", GOOD.decode().encode("utf-32"), "UTF-16"),
    "not_utf_8": Case("a.csv", GOOD + b"gr\xfc\xdfe,x\n", "line 32: byte 0xfc is not UTF-8", True),
    "100_000_columns": Case("a.csv", MANY, "has 100,000 columns"),
    "a_million_commas": Case("a.csv", HEAD + b"," * 1_000_000 + b"a\n" + BODY, "row 2: has 1,000,001 cells", True),
    "a_million_commas_first": Case("a.csv", b"," * 1_000_000 + b"a\n", "has 1,000,001 columns"),
    "100_000_keys": Case(
        "a.jsonl", json.dumps({str(n): n for n in range(100_000)}).encode(), "row 1: .*10,000 columns"
    ),
    "mixed_line_ends": Case("a.csv", GOOD + b"a,x\r\nb,y\rc,x\n"),
    "headers_twice": Case("a.csv", b"text,label,label\n" + b"a,x,y\nb,y,x\n" * 20, "'label' is there twice", True),
    "a_folder": Case("a.csv", Path.mkdir, "is not a file"),
    "a_pipe_nobody_writes_to": Case("a.csv", os.mkfifo, NO_FILE),
    "links_in_a_circle": Case("a.csv", loop, NO_LINK),
    "an_endless_device": Case("a.csv", lambda path: path.symlink_to("/dev/zero"), NO_FILE),
    "a_link_to_nothing": Case("a.csv", lambda path: path.symlink_to("gone.csv"), NO_LINK),
    "empty": Case("a.csv", b"", "is empty"),
    "only_a_byte_order_mark": Case("a.csv", b"\xef\xbb\xbf", "no rows"),
    "only_a_header": Case("a.csv", HEAD, "no rows"),
    "one_row": Case("a.csv", HEAD + b"a,x\n"),
    "only_blank_lines": Case("a.csv", b"\n" * 100_000, "no rows"),
    "blank_lines_first": Case("a.csv", b"\n" * 100_000 + GOOD),
    "blank_lines_of_json": Case("a.jsonl", b"\n" * 100_000 + lines(*ROWS)),
    "gzip_cut_off": Case("a.csv.gz", gzip.compress(os.urandom(5000).hex().encode())[:-900], "gzipped, but damaged"),
    "gzip_that_is_none": Case("a.csv.gz", GOOD, "is not gzipped"),
    "a_bomb_of_nul_bytes": Case("a.csv.gz", lambda _: bomb(b"\0"), "300 times its size|is no text"),
    "a_bomb_of_rows": Case("a.tsv.gz", lambda _: bomb(b"%01023d\tx\n" % 0), "300 times its size"),
    "a_bomb_of_one_line": Case("a.jsonl.gz", lambda _: bomb(b"a"), "300 times its size"),
    "a_bomb_of_parquet": Case("a.parquet.gz", lambda _: bomb(b"PAR1"), "300 times its size"),
    "a_zip_archive": Case("a.csv", zipped(), "a zip archive"),
    "a_picture": Case("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10, "a picture"),
    "a_program": Case("a.csv", b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 40, NO_TEXT),
    "parquet_cut_off": Case("a.parquet", lambda _: parquet("text", "label")[:-200], "no whole parquet file"),
    "parquet_that_is_none": Case("a.parquet", GOOD, "no whole parquet file"),
    "parquet_columns_twice": Case("a.parquet", lambda _: parquet("text", "label", "label"), "is there twice", True),
    "deep_json": Case("a.json", b"[" * 1_000_000, "nested too deeply"),
    "deep_jsonl": Case("a.jsonl", lines(*ROWS, "[" * 100_000 + "]" * 100_000), "row 31: .*too deeply", True),
    "huge_numbers": Case(
        "a.jsonl", lines(*ROWS, '{"text": ' + "9" * 5000 + "}"), "row 31: .*thousands of digits", True
    ),
    "half_characters": Case("a.jsonl", lines(*ROWS, r'{"text": "a \ud800"}'), "row 31: .*half a character", True),
    "json_text": Case("a.json", b'"text"', "no list of rows"),
    "json_lists": Case("a.jsonl", lines("[1, 2]", *ROWS), "row 1: is no object", True),
    "json_of_infinity": Case("a.jsonl", lines(*ROWS, '{"text": NaN, "label": -Infinity}')),
    "a_name_with_blanks_and_umlauts": Case("ä ö\u202e\U0001f600.csv", GOOD),
    "a_name_with_a_line_break": Case("a\nb.csv", GOOD),
    "a_name_of_255_bytes": Case("a" * 251 + ".csv", GOOD),
    "control_characters": Case("a.csv", GOOD + b"\x1b[2J\x07\x08,x\n"),
    "right_to_left_overrides": Case("a.csv", GOOD + "a \u202e\u2066cba,x\n".encode()),
    "formulas": Case("a.csv", GOOD + b"=cmd|' /C calc'!A0,x\n"),
}


BIG = [name for name in CASES if re.search("bomb_of_|_mb_", name)]  # read once, within bounds, by a process of its own


def make(case: Case, folder: Path) -> Path:
    path = folder / case.name
    made = case.content if isinstance(case.content, bytes) else case.content(path)
    if made is not None:
        path.write_bytes(made)
    return path


def checked(path: Path) -> tuple[int, str]:
    """(exit code, what was said), as a person who checks the file sees it."""
    cli.add_verbs()
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = cli.run(["data", "check", str(path), "--json", "--out", str(path.parent / "out")])
    return code, said.getvalue()


def refusal(path: Path, faults: list | None = None) -> str:
    """What reading says against a file; "" where it is read."""
    try:
        table = sources.read(str(path), faults=faults)
    except DataError as refused:
        error = refused
    else:
        assert all(list(row) == table.columns for row in table.rows)
        return ""
    assert error.where.startswith(str(path))
    assert error.fix
    assert len(str(error)) < 600 + len(str(path))
    return str(error)


@pytest.mark.parametrize("name", [name for name in CASES if name not in BIG])
def test_a_hostile_file_is_read_or_refused(name, tmp_path):
    case = CASES[name]
    path, faults = make(case, tmp_path), list[Fault]()
    strict, tolerant = refusal(path), refusal(path, faults)
    assert as_expected(case, strict, tolerant)
    assert faults or not case.mended  # what was mended is told


def as_expected(case: Case, strict: str, tolerant: str) -> bool:
    """Whether strict and tolerant reading said of a file what they should; "" where they read it."""
    refused = "" if case.mended else case.says
    told = re.search(case.says, strict) and re.search(refused, tolerant)
    return bool(told) and (bool(strict), bool(tolerant)) == (bool(case.says), bool(refused))


CHECKED = ["nul_bytes", "quotes_unbalanced", "utf_16", "a_million_commas", "headers_twice", "control_characters",
           "deep_jsonl", "json_of_infinity", "a_name_with_a_line_break", "a_pipe_nobody_writes_to"]  # fmt: skip


@pytest.mark.parametrize("name", CHECKED)
def test_a_check_of_a_hostile_file_ends_with_a_result_or_a_line(name, tmp_path):
    case = CASES[name]
    hostile = make(case, tmp_path)
    code, said = checked(hostile)
    assert "Traceback" not in said
    if case.says and not case.mended:
        assert code == 2
        assert re.search(case.says, said)
        assert len(said.replace(str(hostile), "").strip().splitlines()) == 1
    else:
        assert code in (0, 2)


READ = """
import json, resource, sys
from tunewright.data import sources
from tunewright.data.table import Fault
from tunewright.errors import DataError
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for path in sys.argv[1:]:
    said = []
    for faults in (None, []):
        try:
            sources.read(path, faults=faults)
            said.append("")
        except DataError as error:
            said.append(str(error))
    print(json.dumps(said))
"""


def test_the_largest_of_them_are_told_within_two_gigabytes(tmp_path):
    paths = []
    for name in BIG:
        (tmp_path / name).mkdir()
        paths.append(make(CASES[name], tmp_path / name))
    done = subprocess.run([sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, said in zip(BIG, map(json.loads, done.stdout.splitlines()), strict=True):
        assert as_expected(CASES[name], *said), (name, said)


def test_a_pipe_that_somebody_writes_to_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    reader = os.open(tmp_path / "a.csv", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "a.csv", os.O_WRONLY | os.O_NONBLOCK)
    try:
        os.write(writer, GOOD)
        assert "a pipe or a device" in refusal(tmp_path / "a.csv")
        assert os.read(reader, 10) == GOOD[:10]  # nobody took anything out
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_may_not_be_read_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(GOOD)
    path.chmod(0)
    assert "cannot be read: Permission denied" in refusal(path)
