"""Every format gives the same table; whatever the bytes are, only a DataError escapes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunewright.data import sources
from tunewright.errors import DataError

ROWS = [{"text": "where, is; my | parcel?", "label": "late"}, {"text": 'the "box" is\twet', "label": "damage"}]
ROWS += [{"text": "größer als 5 €", "label": "late"}]


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def delimited(delimiter: str, newline: str = "\n") -> str:
    lines = [["text", "label"], *([quoted(row["text"]), row["label"]] for row in ROWS)]
    return "".join(delimiter.join(line) + newline for line in lines)


def tabbed(header: bool) -> str:
    lines = [["text", "label"]] * header + [[row["text"].replace("\t", " "), row["label"]] for row in ROWS]
    return "".join("\t".join(line) + "\n" for line in lines)


def parquet(rows: list[dict], path: Path) -> bytes:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path / "made.parquet")
    return (path / "made.parquet").read_bytes()


def plain(rows: list[dict]) -> list[dict]:
    return [{key: value.replace("\t", " ") for key, value in row.items()} for row in rows]


DOCUMENTS = {
    "list.json": json.dumps(ROWS),
    "data.json": json.dumps({"version": 1, "data": ROWS}),
    "columns.json": json.dumps({key: [row[key] for row in ROWS] for key in ROWS[0]}),
    "lines.jsonl": "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
    "comma.csv": delimited(","),
    "semicolon.csv": delimited(";"),
    "bar.csv": delimited("|"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["no_bom", "bom"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_text_format_gives_the_same_rows(tmp_path, name, mark, packed):
    raw = mark + DOCUMENTS[name].encode()
    path = tmp_path / (name + ".gz" * packed)
    path.write_bytes(gzip.compress(raw) if packed else raw)
    table = sources.read(str(path))
    assert table.columns == ["text", "label"]
    assert table.rows == ROWS


@pytest.mark.parametrize("suffix", ["tsv", "csv", "TSV", "tsv.gz"])
def test_tab_separated_files_are_read_with_a_header(tmp_path, suffix):
    raw = tabbed(header=True).encode()
    path = tmp_path / f"inbox.{suffix}"
    path.write_bytes(gzip.compress(raw) if suffix.endswith("gz") else raw)
    assert sources.read(str(path)).rows == plain(ROWS)


def test_tab_separated_files_are_read_without_a_header(tmp_path):
    path = tmp_path / "inbox.tsv"
    path.write_text(tabbed(header=False), encoding="utf-8")
    table = sources.read(str(path))
    assert table.columns == ["column_1", "column_2"]
    assert [list(row.values()) for row in table.rows] == [list(row.values()) for row in plain(ROWS)]
    assert "no header found" in table.notes[0]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_parquet_keeps_types(tmp_path, packed):
    rows = [{"text": "a", "label": 3, "tags": ["x", "y"]}, {"text": None, "label": 4, "tags": []}]
    raw = parquet(rows, tmp_path)
    path = tmp_path / ("inbox.parquet" + ".gz" * packed)
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert sources.read(str(path)).rows == rows


@pytest.mark.parametrize("newline", ["\r\n", "\r"], ids=["windows", "old_mac"])
@pytest.mark.parametrize("name", ["comma.csv", "lines.jsonl", "plain.tsv"])
def test_foreign_line_ends_change_nothing(tmp_path, name, newline):
    text = DOCUMENTS.get(name) or tabbed(header=True)
    path = tmp_path / name
    path.write_bytes(text.replace("\n", newline).encode())
    assert sources.read(str(path)).rows == (plain(ROWS) if name.endswith("tsv") else ROWS)


def test_a_line_break_in_quotes_stays_in_its_cell(tmp_path):
    path = tmp_path / "inbox.csv"
    path.write_text('text,label\n"dear all,\n\nmy ""parcel""",late\nhello,other\n', encoding="utf-8")
    table = sources.read(str(path))
    assert table.rows[0] == {"text": 'dear all,\n\nmy "parcel"', "label": "late"}
    assert table.numbers == [2, 3]


def test_rows_are_numbered_as_a_person_counts(tmp_path):
    with_header, without, lines = tmp_path / "a.csv", tmp_path / "b.tsv", tmp_path / "c.jsonl"
    with_header.write_text("text,label\none,x\n\ntwo,y\n")
    without.write_text("one of these is a text\tx\ntwo of these are it\ty\n")
    lines.write_text('{"text": "one"}\n\n{"text": "two"}\n')
    assert sources.read(str(with_header)).numbers == [2, 4]
    assert sources.read(str(without)).numbers == [1, 2]
    assert sources.read(str(lines)).numbers == [1, 3]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("inbox.jsonl", '{"text": "one\u2028two\x85three", "label": "x"}\n'),
        ("inbox.tsv", "text\tlabel\none\u2028two\x85three\tx\n"),
        ("inbox.csv", "text,label\none\u2028two\x85three,x\n"),
    ],
)
def test_other_separators_of_unicode_are_part_of_the_text(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert sources.read(str(path)).rows[0]["text"] == "one\u2028two\x85three"


def test_a_column_that_some_objects_lack_is_none_there(tmp_path):
    path = tmp_path / "inbox.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two", "label": "x"}\n')
    assert sources.read(str(path)).rows == [{"text": "one", "label": None}, {"text": "two", "label": "x"}]


def test_tab_separated_cells_lose_the_quotes_of_a_spreadsheet(tmp_path):
    path = tmp_path / "inbox.tsv"
    path.write_text('text\tlabel\n"a ""wet"" box"\tx\n"so" he said "no"\ty\n')
    assert [row["text"] for row in sources.read(str(path)).rows] == ['a "wet" box', '"so" he said "no"']


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("org/name", True),
        ("imdb", True),
        ("data/inbox.csv", False),
        ("inbox.xlsx", False),
        ("a/b/c", False),
        ("where is my parcel?", False),
        ("x" * 5000, True),
    ],
)
def test_a_hub_id_is_told_from_a_path(source, expected):
    assert sources.is_hub_id(source) is expected


def test_a_name_that_no_disk_can_hold_is_no_file():
    with pytest.raises(DataError, match="no such file"):
        sources.read("x" * 5000 + ".csv")


def test_a_file_that_may_not_be_read_is_the_users_to_fix(tmp_path, monkeypatch):
    path = tmp_path / "inbox.csv"
    path.write_text("text,label\na,b\n")
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(DataError, match=r"inbox\.csv: cannot be read: Permission denied"):
        sources.read(str(path))


def test_the_fingerprint_is_of_the_files_bytes(tmp_path):
    import hashlib

    path = tmp_path / "inbox.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\r\na,b\r\n")
    assert sources.read(str(path)).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_hub_errors_name_the_id_and_a_remedy(monkeypatch):
    import datasets

    def fail(source, split):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match=r"org/name: is no file here.*no route.*check the id"):
        sources.read("org/name")


def test_hub_data_sets_have_their_labels_named(monkeypatch):
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    made = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda source, split: made)
    table = sources.read("org/name", split="test")
    assert [row["label"] for row in table.rows] == ["yes", "no", -1]
    assert table.source == "org/name@test"


def read_or_refuse(path: Path):
    try:
        return sources.read(str(path))
    except DataError as error:
        return error


def as_bytes(piece: bytes | int) -> bytes:
    return bytes([piece]) if isinstance(piece, int) else piece


SEEDS = [text.encode() for text in DOCUMENTS.values()] + [tabbed(True).encode()]
NASTY = st.sampled_from([*b'"\0\n\r[{', b"\xff\xfe", b"1" * 5000, b"[" * 3000, b"\\ud800", b"NaN"]).map(as_bytes)
PIECES = st.lists(st.one_of(NASTY, st.sampled_from(SEEDS), st.binary(max_size=12)), min_size=1, max_size=5)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".conll", ".csv.gz", ".parquet.gz"])
def test_whatever_the_bytes_only_a_data_error_escapes(tmp_path_factory, suffix):  # D10
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / f"fuzz{suffix}"

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(PIECES, st.booleans(), st.integers(0, 400))
    def check(pieces, whole, cut):
        raw = b"".join(pieces)
        raw = gzip.compress(raw, mtime=0) if suffix.endswith("gz") else raw
        path.write_bytes(raw if whole else raw[:cut] + raw[cut + 3 :])
        found = read_or_refuse(path)
        if isinstance(found, DataError):
            assert str(path) in found.where
            assert found.fix
        else:
            assert all(list(row) == found.columns for row in found.rows)

    check()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=6))
def test_a_damaged_parquet_file_is_a_data_error_or_a_table(tmp_path_factory, place, noise):  # D10
    folder = tmp_path_factory.getbasetemp()
    raw = bytearray(parquet(ROWS * 10, folder))
    place %= len(raw)
    raw[place : place + len(noise)] = noise
    path = folder / "damaged.parquet"
    path.write_bytes(raw)
    found = read_or_refuse(path)
    assert "damaged.parquet" in found.where if isinstance(found, DataError) else found.rows


@pytest.mark.parametrize("depth", [900, 100_000])
def test_nested_json_is_read_or_refused(tmp_path, depth):
    path = tmp_path / "deep.jsonl"
    path.write_text('{"text": "a", "label": "b", "more": ' + "[" * depth + "]" * depth + "}\n")
    found = read_or_refuse(path)
    assert "row 1" in found.where if isinstance(found, DataError) else found.rows[0]["text"] == "a"
