"""Tolerant reading mends or steps over what strict reading raises for, and says so with the row's number."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.data import sources, tolerance
from tunewright.data.table import Fault
from tunewright.errors import DataError

HEAD = b"text,label\n"
GOOD = b"hello,x\n"


def read(folder, raw: bytes, name: str = "inbox.csv"):
    """(rows as tuples, numbers, faults as (number, rule))."""
    path = folder / name
    path.write_bytes(raw)
    faults: list[Fault] = []
    table = sources.read(str(path), faults=faults)
    assert all(list(row) == table.columns for row in table.rows)
    assert all(fault.what and fault.remedy for fault in faults)
    rows = [tuple(row.values()) for row in table.rows]
    return rows, list(table.numbers), [(fault.number, fault.rule) for fault in faults]


def test_ragged_rows_are_stepped_over(tmp_path):
    rows, numbers, faults = read(tmp_path, HEAD + b"a,b,c\n" + GOOD + b"alone\n")
    assert (rows, numbers, faults) == ([("hello", "x")], [3], [(2, "ragged_row"), (4, "ragged_row")])


def test_a_row_with_a_tab_too_many_is_stepped_over(tmp_path):
    rows, numbers, faults = read(tmp_path, b"text\tlabel\na\tb\tc\nd\te\n", "inbox.tsv")
    assert (rows, numbers, faults) == ([("d", "e")], [3], [(2, "ragged_row")])


BYTES = {
    "windows_1252": ("größer".encode("cp1252"), "größer"),
    "no_character_there": (b"\x81 \xe4", "\ufffd \ufffd"),
    "damaged_utf_8": ("größer, ä".replace(",", "").encode()[:-1], "größer \ufffd"),
}


@pytest.mark.parametrize("name", BYTES)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_line_that_is_not_utf_8_is_guessed_and_its_neighbours_are_not(tmp_path, name, suffix):
    raw, text = BYTES[name]
    made = {
        "csv": HEAD + "fünf,x\n".encode() + raw + b",y\n",
        "tsv": b"text\tlabel\n" + "fünf\tx\n".encode() + raw + b"\ty\n",
        "jsonl": b'\n{"text": "f\xc3\xbcnf", "label": "x"}\n{"text": "' + raw + b'", "label": "y"}\n',
    }
    rows, _, faults = read(tmp_path, made[suffix], f"inbox.{suffix}")
    assert (rows, faults) == ([("fünf", "x"), (text, "y")], [(3, "not_utf8")])


def test_nul_bytes_are_taken_out(tmp_path):
    assert read(tmp_path, HEAD + GOOD + b"a\0b\0,y\n") == ([("hello", "x"), ("ab", "y")], [2, 3], [(3, "nul_bytes")])


def test_faults_of_lines_are_told_by_the_number_of_their_row(tmp_path):
    _, numbers, faults = read(tmp_path, HEAD + b'"one\ntwo\nthree",x\n"four\n\xe4\0",y\nshort\n')
    assert (numbers, faults) == ([2, 3], [(3, "nul_bytes"), (3, "not_utf8"), (4, "ragged_row")])


def test_lines_that_are_no_json_or_no_object_are_stepped_over(tmp_path):
    lines = ['{"text": "a"}', "{'text'}", "[1]", '"so"', "", '{"text": "\\ud800"}', "[" * 100_000, '{"text": "b"}']
    rows, numbers, faults = read(tmp_path, "\n".join(lines).encode(), "inbox.jsonl")
    assert (rows, numbers) == ([("a",), ("b",)], [1, 8])
    assert faults == [(2, "bad_json"), (3, "no_object"), (4, "no_object"), (6, "bad_json"), (7, "bad_json")]


def test_entries_of_a_json_list_that_are_no_objects_are_stepped_over(tmp_path):
    rows, numbers, faults = read(tmp_path, b'[{"a": 1}, 3, {"b": 2}]', "inbox.json")
    assert (rows, numbers, faults) == ([(1, None), (None, 2)], [1, 3], [(2, "no_object")])


QUOTES = {
    "swallows_the_rest": (b'"never closed,y\n' + GOOD * 3, [('"never closed', "y"), *[("hello", "x")] * 3]),
    "in_the_last_cell": (b'open,"y\n' + GOOD, [("open", "y"), ("hello", "x")]),
    "closed_too_early": (b'"so" he said,y\n' + GOOD, [("so he said", "y"), ("hello", "x")]),
    "closed_by_the_next_one": (b'"open,y\n"so, he",x\n', [('"open', "y"), ("so, he", "x")]),
    "at_the_end_of_the_file": (GOOD + b'"', [("hello", "x")]),
}


@pytest.mark.parametrize("name", QUOTES)
def test_of_a_row_whose_quote_is_wrong_the_first_line_is_read_alone(tmp_path, name):
    raw, expected = QUOTES[name]
    rows, numbers, faults = read(tmp_path, HEAD + raw)
    assert rows == expected
    assert numbers == list(range(2, len(rows) + 2))
    assert faults[0] == (3 if raw.startswith(GOOD) else 2, "unclosed_quote")


def test_quotes_that_are_wrong_throughout_do_not_take_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("tunewright.data.delimited.LINE", 10_000)
    monkeypatch.setattr("tunewright.data.delimited.REPEATED", 100_000)
    with pytest.raises(DataError, match="unbalanced throughout"):
        read(tmp_path, HEAD + b'"\n' + b'a","\n' * 40_000)


def test_a_second_column_of_a_name_is_numbered(tmp_path):
    path = tmp_path / "inbox.csv"
    path.write_bytes(b"text,label,label,label_2,label\n1,2,3,4,5\n")
    faults: list[Fault] = []
    table = sources.read(str(path), faults=faults)
    assert table.columns == ["text", "label", "label_3", "label_2", "label_4"]
    assert [(fault.number, fault.rule, fault.column) for fault in faults] == [(1, "duplicate_column", "label")] * 2


def test_a_second_parquet_column_of_a_name_is_numbered(tmp_path):
    import pyarrow
    import pyarrow.parquet

    made = pyarrow.table([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    pyarrow.parquet.write_table(made, tmp_path / "made.parquet")
    rows, _, faults = read(tmp_path, (tmp_path / "made.parquet").read_bytes(), "inbox.parquet")
    assert (rows, faults) == ([("a", "b")], [(None, "duplicate_column")])
    with pytest.raises(DataError, match="'text' is there twice"):
        sources.read(str(tmp_path / "inbox.parquet"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_with_the_way_out(tmp_path, encoding):
    with pytest.raises(DataError, match=r"UTF-16.*iconv -f UTF-16"):
        read(tmp_path, (HEAD + GOOD * 9).decode().encode(encoding))


@pytest.mark.parametrize("raw", [b"PK\x03\x04 and more", b"\x89PNG\r\n", bytes(range(32)) * 100, b"\0" * 5000])
def test_what_is_no_text_is_still_an_error(tmp_path, raw):
    with pytest.raises(DataError, match=r"is a|is no text"):
        read(tmp_path, raw)


def test_a_file_without_one_good_row_is_still_an_error(tmp_path):
    with pytest.raises(DataError, match="no rows; the first of 2 faults: is no JSON"):
        read(tmp_path, b"{\n{\n", "inbox.jsonl")


def test_only_so_many_faults_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(tolerance, "FAULTS", 3)
    (tmp_path / "inbox.csv").write_bytes(HEAD + b"alone\n" * 1000 + GOOD)
    faults: list[Fault] = []
    sources.read(str(tmp_path / "inbox.csv"), faults=faults)
    assert [fault.rule for fault in faults] == ["ragged_row"] * 3 + ["more_faults"]
    assert faults[3].what.startswith("997 more faults")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("inbox.csv", b'fine,"%s"\n'),
        ("inbox.tsv", b"fine\t%s\n"),
        ("inbox.jsonl", b'{"text": "fine", "label": "%s"}\n'),
    ],
)
def test_an_absurdly_long_cell_is_told_by_row_and_column(tmp_path, monkeypatch, name, row):
    for module in ("tolerance", "delimited", "sources"):
        monkeypatch.setattr(f"tunewright.data.{module}.CELL", 1000)
    path = tmp_path / name
    path.write_bytes(
        {"csv": b"text,label\n", "tsv": b"text\tlabel\n", "jsonl": b"\n"}[name[6:]] + row % b"x" + row % (b"y" * 1001)
    )
    with pytest.raises(DataError, match=r"row 3: column '(label|column_2)' has 1,001 characters"):
        sources.read(str(path))
    faults: list[Fault] = []
    assert len(sources.read(str(path), faults=faults).rows) == 1
    assert [(fault.number, fault.rule) for fault in faults] == [(3, "long_cell")]


def read_or_refuse(path, faults):
    try:
        return sources.read(str(path), faults=faults)
    except DataError:
        return None


PIECES = st.sampled_from([b"a,b\n", b'"', b'"a,b",c\n', b'"a\nb",c\r\n', b"\0", b"\xe4", "ä".encode(), b"\r", b"\n\n"])


def test_whatever_the_bytes_a_table_or_a_data_error_comes_out(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "fuzz.csv"

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(PIECES, max_size=25))
    def check(pieces):
        path.write_bytes(HEAD + b"".join(pieces))
        strict, faults = read_or_refuse(path, None), list[Fault]()
        table = read_or_refuse(path, faults)
        if table is None:
            assert strict is None
            return
        assert all(list(row) == table.columns for row in table.rows)
        if strict:  # what strict reading takes, tolerant reading takes alike
            assert (table.rows, table.numbers) == (strict.rows, strict.numbers)
            assert not faults
        else:
            assert faults

    check()
