"""Large files are read through the disk: the same rows, bounded memory, nothing left behind."""

from __future__ import annotations

import gzip
import json
import tempfile
import tracemalloc

import numpy as np
import pytest

from tunewright.data import content, disk_rows, parquet, sources
from tunewright.data.disk_rows import DiskRows
from tunewright.errors import DataError

COUNT = 2500  # rows; more than two blocks
TEXTS = [f'row "{place}", größer\n' * (place % 3 + 1) for place in range(COUNT)]


@pytest.fixture
def small(monkeypatch):
    """Everything counts as large."""
    for module in (disk_rows, parquet):
        monkeypatch.setattr(module, "LARGE", 20_000)


def made(folder, name: str) -> str:
    path, rows = folder / name, [{"text": text, "label": str(place % 7)} for place, text in enumerate(TEXTS)]
    kind = name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        typed = [row | {"label": None if place % 5 else place, "kind": "a"} for place, row in enumerate(rows)]
        table = pyarrow.Table.from_pylist(typed)
        table = table.set_column(2, "kind", table["kind"].dictionary_encode())
        pyarrow.parquet.write_table(table, path, row_group_size=700)
        raw = path.read_bytes()
    elif kind == "jsonl":
        extra = [{"more": {"at": place, "or": [None]}} if place % 100 == 99 else {} for place in range(COUNT)]
        raw = "\n\n".join(json.dumps(row | more) for row, more in zip(rows, extra, strict=True)).encode()
    elif kind == "csv":
        quoted = ['"' + row["text"].replace('"', '""') + f'",{row["label"]}\n' for row in rows]
        raw = ("text,label\n" + "".join(quoted)).encode()
    else:
        raw = ("text\tlabel\n" + "".join(f"{row['text'].strip()[:9]}\t{row['label']}\n" for row in rows)).encode()
    path.write_bytes(gzip.compress(raw, 1) if name.endswith(".gz") else raw)
    return str(path)


@pytest.mark.parametrize(
    ("name", "faults"),
    [("a.csv", None), ("a.csv.gz", []), ("a.tsv", []), ("a.jsonl.gz", None), ("a.parquet", []), ("a.parquet.gz", None)],
)
def test_rows_on_disk_are_those_in_memory(tmp_path, monkeypatch, name, faults):
    source = made(tmp_path, name)
    expected = sources.read(source)
    assert isinstance(expected.rows, list)
    for module in (disk_rows, parquet):
        monkeypatch.setattr(module, "LARGE", 20_000)
    table = sources.read(source, faults=faults)
    assert isinstance(table.rows, DiskRows)
    assert len(table.rows) == COUNT
    assert list(table.rows) == expected.rows
    assert list(table.numbers) == expected.numbers
    assert (table.columns, table.sha256, table.notes) == (expected.columns, expected.sha256, expected.notes)
    assert not faults


def test_rows_on_disk_are_a_sequence(tmp_path, small):
    source = made(tmp_path, "a.csv")
    table = sources.read(source)
    assert [table.rows[place]["text"] for place in range(COUNT)] == TEXTS
    for place in np.random.default_rng(0).permutation(COUNT)[:300]:
        assert table.rows[place]["text"] == TEXTS[place]
    assert table.rows[-1]["text"] == TEXTS[-1]
    assert [row["text"] for row in table.rows[1020:1030]] == TEXTS[1020:1030]
    assert [row["text"] for row in table.rows[:-2000:-3]] == TEXTS[:-2000:-3]
    for place in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError):
            table.rows[place]
    assert table.where(1) == f"{source}, row 3"
    assert json.dumps(table.numbers[0]) == "2"  # a plain number, as findings are written


def test_a_row_here_and_there_is_read_alone(tmp_path, small):
    rows = sources.read(made(tmp_path, "a.jsonl")).rows
    sizes, unpack = [], rows.unpack
    rows.unpack = lambda batch: sizes.append(batch.num_rows) or unpack(batch)
    assert rows[5]["label"] == "5"
    assert rows[2000]["label"] == "5"
    assert sizes == [1, 1]
    assert [rows[place]["label"] for place in range(1024)] == [str(place % 7) for place in range(1024)]
    assert len(sizes) < 10  # blocks, not rows


def test_memory_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(disk_rows, "MANY", 5_000)
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"my parcel number {place},late\n" for place in range(30_000)))
    assert sources.read(str(path)).rows[0]["label"] == "late"  # what is imported for it is not counted
    tracemalloc.start()
    table = sources.read(str(path))
    count = sum(1 for _ in table.rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < 8_000_000  # a list of them takes 13 MB


def test_nothing_is_seen_of_the_rows_in_the_temporary_folder(tmp_path, small, monkeypatch):
    source = made(tmp_path, "a.csv")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    table = sources.read(source)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert table.rows[COUNT - 1]["text"] == TEXTS[-1]


def test_stopping_leaves_nothing_behind(tmp_path, small, monkeypatch):
    source = made(tmp_path, "a.parquet.gz")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def stop(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sources.read(source, progress=stop)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("name", ["a.csv", "a.parquet.gz"])
def test_a_full_temporary_folder_is_named_with_its_remedy(tmp_path, small, monkeypatch, name):
    source = made(tmp_path, name)
    monkeypatch.setattr(tempfile, "tempdir", "/small")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "w+b"))  # noqa: SIM115
    with pytest.raises(DataError, match=r"does not fit into /small: No space left.*TMPDIR") as caught:
        sources.read(source)
    assert caught.value.where == source


def test_no_temporary_folder_is_the_users_to_fix(tmp_path, small, monkeypatch):
    source = made(tmp_path, "a.csv")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    with pytest.raises(DataError, match=r"not there: No such file or directory.*TMPDIR"):
        sources.read(source)


def test_a_bad_row_far_down_is_named(tmp_path, small):
    source = made(tmp_path, "a.csv")
    with open(source, "a") as file:
        file.write("alone\n")
    with pytest.raises(DataError, match=f"row {COUNT + 2}: has 1 cells"):
        sources.read(source)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz", "a.parquet"])
def test_progress_is_told_in_bytes_up_to_all_of_them(tmp_path, name):
    heard = []
    sources.read(made(tmp_path, name), progress=lambda *said: heard.append(said))
    assert heard[0][0] == f"reading {name}"
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)
    assert heard[-1][1] == heard[-1][2]


def test_a_json_document_that_is_too_large_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "WHOLE", 1000)
    (tmp_path / "a.json").write_text(json.dumps([{"text": "a" * 100}] * 20, indent=1))
    with pytest.raises(DataError, match=r"must be read at once; .*jsonl"):
        sources.read(str(tmp_path / "a.json"))
