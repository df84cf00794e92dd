"""What is written reads back as the same rows; a file is there whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data import sources
from tunewright.data.table import Table
from tunewright.data.writing import write
from tunewright.errors import DataError

ROOT = Path(__file__).parents[2]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NASTY = st.text(st.sampled_from(list(",;|\t\"\r\n 'a\u2028\x85\ufeff\x0b")), max_size=6)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.lists(TEXT, max_size=3),
)
SETTINGS = settings(max_examples=30, deadline=None, derandomize=True)


def rows_of(*cells):
    rows = st.fixed_dictionaries(dict(zip(("text", "label"), cells, strict=True)))
    return st.lists(rows, min_size=1, max_size=6)


def filled(rows: list[dict]) -> bool:
    return all(any(cell.strip() for cell in row.values()) for row in rows)


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_csv_gives_the_same_cells_back(tmp_path_factory, packed):
    path = tmp_path_factory.mktemp("csv") / f"made.csv{packed}"

    @SETTINGS
    @given(rows_of(TEXT | NASTY, TEXT | NASTY).filter(filled))
    def check(rows):
        assert write(path, ["text", "label"], rows) == len(rows)
        table = sources.read(str(path))
        assert table.columns == ["text", "label"]
        assert list(table.rows) == rows

    check()


def test_a_jsonl_gives_the_same_values_back(tmp_path_factory):
    path = tmp_path_factory.mktemp("jsonl") / "made.jsonl"

    @SETTINGS
    @given(rows_of(VALUES | NASTY, st.dictionaries(TEXT, VALUES, max_size=2)))
    def check(rows):
        write(path, ["text", "label"], rows)
        assert list(sources.read(str(path)).rows) == rows
        write(path.with_suffix(".json"), ["text", "label"], rows)
        assert list(sources.read(str(path.with_suffix(".json"))).rows) == rows

    check()


def test_a_parquet_file_gives_the_same_values_back(tmp_path_factory, monkeypatch):
    path = tmp_path_factory.mktemp("parquet") / "made.parquet"
    monkeypatch.setattr("tunewright.data.writing.PIECE", 2)  # the types settle over several pieces
    int64 = st.integers(-(2**63), 2**63 - 1)

    @SETTINGS
    @given(rows_of(st.none() | TEXT | NASTY, int64) | rows_of(st.none() | st.lists(TEXT), st.none() | st.booleans()))
    def check(rows):
        write(path, ["text", "label"], rows)
        assert list(sources.read(str(path)).rows) == rows

    check()


def test_a_tsv_gives_the_same_cells_back(tmp_path):
    rows = [{"text": text, "label": "x"} for text in ('"so"', '"', '""', '"a" b "c"', " a ", "a,b", "\u2028", "")]
    write(tmp_path / "made.tsv", ["text", "label"], rows)
    assert sources.read(str(tmp_path / "made.tsv")).rows == rows


@pytest.mark.parametrize(("name", "packed"), [("entities_train.conll", ""), ("policies_train.json", ".gz")])
def test_conll_and_squad_files_give_the_same_rows_back(tmp_path, name, packed):
    table = sources.read(str(ROOT / "examples/parcel_desk" / name))
    path = tmp_path / (name + packed)
    assert write(path, table.columns, table.rows, like=table) == len(table.rows)
    again = sources.read(str(path))
    assert (again.columns, list(again.rows)) == (table.columns, list(table.rows))


def test_some_rows_of_a_squad_file_nest_by_article_and_paragraph(tmp_path):
    table = sources.read(str(ROOT / "examples/parcel_desk/policies_train.json"))
    rows = [row | {"source": "augmented"} for row in table.rows[:7]]
    write(tmp_path / "part.json", [*table.columns, "source"], rows, like=table)
    document = json.loads((tmp_path / "part.json").read_text())
    assert len(document["data"]) == len({row["title"] for row in rows})
    assert document["data"][0]["paragraphs"][0]["qas"][0]["source"] == "augmented"
    assert sources.read(str(tmp_path / "part.json")).rows == table.rows[:7]


def test_a_table_read_as_conll_is_written_so_where_the_suffix_does_not_tell(tmp_path):
    rows = [{"tokens": ["EU", "rejects"], "column_2": ["NNP", "VBZ"], "tags": ["B-ORG", "O"]}] * 2
    like = Table("train.tsv", list(rows[0]), rows, [1, 4], "", ["read as CoNLL: 2 sentences, 3 columns"])
    for name in ("a.tsv", "a.txt", "a.iob2.gz"):
        write(tmp_path / name, like.columns, rows, like)
        assert sources.read(str(tmp_path / name)).rows == rows


def test_lists_and_nothing_have_a_form_in_a_csv(tmp_path):
    write(
        tmp_path / "a.csv",
        ["text", "tags"],
        [{"text": "ä", "tags": ["é", "b"]}, {"text": 3}, {"tags": float("nan"), "text": "x"}],
    )
    assert [row["tags"] for row in sources.read(str(tmp_path / "a.csv")).rows] == ['["é", "b"]', "", ""]


REFUSED = {
    "tab": ("a.tsv", {"text": "a\tb", "label": "x"}, "record 2: column 'text' holds a tab"),
    "line_break": ("a.tsv.gz", {"text": "a", "label": "x\n"}, "column 'label' holds a tab or a line break"),
    "blank": ("a.csv", {"text": " ", "label": ""}, "record 2: is blank in every column"),
    "nul": ("a.csv", {"text": "a\0", "label": ""}, "NUL"),
    "half_a_character": ("a.jsonl", {"text": "so \ud800", "label": ""}, "record 2: half a character after .*so "),
    "bytes": ("a.jsonl", {"text": b"so", "label": ""}, "has no form in JSON"),
    "types": ("a.parquet", {"text": ["so"], "label": ""}, "column 'text': parquet wants one type"),
    "huge_number": ("a.parquet", {"text": 2**70, "label": ""}, "column 'text': parquet wants one type"),
    "no_tokens": ("a.conll", {"text": "a", "label": ""}, "cells for tokens and tags, not for 'text', 'label'"),
    "unknown": ("a.xml", {"text": "a", "label": ""}, "unknown format"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_form_cannot_hold_is_refused_and_the_old_file_stays(tmp_path, name):
    file, record, message = REFUSED[name]
    path = tmp_path / file
    path.write_text("old")
    with pytest.raises(DataError, match=message) as caught:
        write(path, ["text", "label"], [{"text": "fine", "label": "x"}, record])
    assert str(path) in caught.value.where
    assert caught.value.fix
    assert [item.read_text() for item in tmp_path.iterdir()] == ["old"]


SENTENCE = {"tokens": ["a", "b"], "tags": ["O", "O"]}


@pytest.mark.parametrize(
    "change",
    [{"tags": ["O"]}, {"tags": ["O", ""]}, {"tags": ["O", " O"]}, {"tokens": ["a", "b\tc"]}, {"tokens": ["a", "b\n"]},
     {"tokens": [], "tags": []}, {"tokens": "a b"}, {"tokens": ["-DOCSTART-", "x"]}],
)  # fmt: skip
def test_tokens_that_conll_would_read_otherwise_are_refused(tmp_path, change):
    with pytest.raises(DataError, match="record 1: "):
        write(tmp_path / "a.conll", ["tokens", "tags"], [SENTENCE | change])


def test_stopped_writing_leaves_nothing(tmp_path):
    def stopped():
        yield {"text": "a"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.csv", ["text"], stopped())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_the_users_to_fix(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write(tmp_path / "file" / "a.csv", ["text"], [{"text": "a"}])


def test_the_same_rows_are_the_same_bytes(tmp_path):
    for name in ("a.csv.gz", "b.csv.gz"):
        write(tmp_path / name, ["text"], [{"text": "a"}])
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_a_name_may_fill_its_255_bytes(tmp_path):
    path = tmp_path / ("x" * 251 + ".csv")
    write(path, ["text"], [{"text": "a"}])
    assert path.is_file()
