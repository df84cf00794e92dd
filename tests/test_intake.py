"""Intake: from files to the rows of each split, every row accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import write_rows
from tunewright import intake
from tunewright.config import load
from tunewright.data.table import Table
from tunewright.errors import ConfigError, DataError


def take(train: str | Path, **data) -> intake.Intake:
    task = data.pop("task", None)
    return intake.take_in(load({"data": {"train": str(train), **data}} | ({"task": task} if task else {})))


def csv_of(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def lines_of(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def numbers(split: intake.Split) -> set[int]:
    return {row.number for row in split.rows}


@pytest.fixture
def hundred(tmp_path) -> str:
    return write_rows(tmp_path / "hundred.csv", 100)


def test_nothing_but_a_file_is_needed_and_what_was_decided_is_told(hundred):
    found = take(hundred)
    assert {name: len(split.rows) for name, split in found.splits.items()} == {
        "train": 80,
        "validation": 10,
        "test": 10,
    }
    assert found.task.labels == ("app", "billing", "damage")
    assert found.task.multi_label is False
    assert found.notes == [
        "task: sequence_classification (the only one that these columns allow)",
        "text column: text (by its name)",
        "label column: topic (by its name)",
        "test: 10 rows of the training file (10%, stratified, seed 0)",
        "validation: 10 rows of the training file (10%, stratified, seed 0)",
    ]


def test_long_data_stays_on_disk_and_is_the_same(tmp_path, monkeypatch):
    from tunewright.data import disk_rows

    path = write_rows(tmp_path / "many.csv", 1200)
    with open(path, "a", encoding="utf-8") as file:
        file.write(",app\n")
    held = take(path, on_bad_row="drop", limit=1000)
    for module, name in ((disk_rows, "MANY"), (intake, "HELD")):
        monkeypatch.setattr(module, name, 500)
    found = take(path, on_bad_row="drop", limit=1000)
    assert found.notes == held.notes
    for name, split in held.splits.items():
        other = found.splits[name]
        assert isinstance(split.rows, list)
        assert not isinstance(other.rows, list)
        assert list(other.rows) == split.rows
        assert other.rows[5:8] == split.rows[5:8]
        assert (other.content, other.rows_in, other.dropped) == (split.content, split.rows_in, split.dropped)


def test_made_splits_are_disjoint_whole_stratified_and_seeded(hundred):
    found = take(hundred).splits
    assert sum(map(len, map(numbers, found.values()))) == 100
    assert set().union(*map(numbers, found.values())) == set(range(2, 102))
    assert set(Counter(row.label for row in found["test"].rows).values()) == {3, 4}
    again, other = take(hundred).splits, take(hundred, split_seed=1).splits
    assert numbers(again["test"]) == numbers(found["test"])
    assert numbers(other["test"]) != numbers(found["test"])


def test_a_given_test_file_leaves_only_validation_to_be_made(hundred, tmp_path):
    found = take(hundred, test=write_rows(tmp_path / "later.csv", 12, seed=1)).splits
    assert {name: len(split.rows) for name, split in found.items()} == {"train": 90, "validation": 10, "test": 12}
    assert found["test"].source.endswith("later.csv")


def test_a_given_validation_file_leaves_the_training_file_whole(hundred, tmp_path):
    found = take(hundred, validation=write_rows(tmp_path / "dev.csv", 12, seed=1)).splits
    assert {name: len(split.rows) for name, split in found.items()} == {"train": 100, "validation": 12}


def test_shares_may_be_zero(hundred):
    assert list(take(hundred, test_share=0).splits) == ["train", "validation"]
    assert list(take(hundred, test_share=0, validation_share=0).splits) == ["train"]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.3)])
def test_shares_that_leave_nothing_to_train_on_are_refused(hundred, shares):
    with pytest.raises(ConfigError, match="leaves no row to train on"):
        take(hundred, test_share=shares[0], validation_share=shares[1])


def test_too_few_rows_for_a_split_are_refused(tmp_path):
    path = csv_of(tmp_path / "few.csv", "text,label", "a,x", "b,y")
    with pytest.raises(ConfigError, match=r"few.csv: 2 rows are too few for a test split; give more rows, a file"):
        take(path)


def test_labels_are_learned_from_training_only(hundred, tmp_path):  # D8
    other = csv_of(tmp_path / "test.csv", "text,topic", "hello,sales")
    with pytest.raises(DataError, match=r"test.csv, row 2: .*label 'sales' is not among the training labels"):
        take(hundred, test=other)


def test_every_row_is_counted_in_or_dropped(tmp_path):
    lines = [f"text {n},{'xy'[n % 2]}" for n in range(40)]
    path = csv_of(tmp_path / "gaps.csv", "text,label", *lines, ",x", "text,", "text,")
    with pytest.raises(DataError, match=r"gaps.csv, row 42: column 'text' is empty; fill it, or drop such rows"):
        take(path)
    found = take(path, on_bad_row="drop").splits
    assert found["train"].dropped == {"column 'text' is empty": 1, "column 'label' is empty": 2}
    assert sum(split.rows_in for split in found.values()) == 43
    assert all(split.rows_in == len(split.rows) + split.dropped.total() for split in found.values())


def test_rows_over_the_limit_are_dropped_and_counted(tmp_path):
    lines = [f"text {n},{'xy'[n % 2]}" for n in range(60)]
    path = csv_of(tmp_path / "many.csv", "text,label", *lines, ",x")
    found = take(path, limit=30, on_bad_row="drop")
    assert sum(len(split.rows) for split in found.splits.values()) == 30
    assert found.splits["train"].dropped == {"column 'text' is empty": 1, "over data.limit": 30}
    assert sum(split.rows_in for split in found.splits.values()) == 61
    assert "limit: 30 of the training file's rows" in found.notes
    assert take(path, limit=1000, on_bad_row="drop").splits["train"].dropped == {"column 'text' is empty": 1}


def test_a_file_without_a_usable_row_says_why(tmp_path):
    path = csv_of(tmp_path / "gaps.csv", "text,label", ",x", "a,", "b,")
    with pytest.raises(DataError, match=r"gaps.csv: no row is usable: 1 x column 'text' is empty; 2 x column 'label'"):
        take(path, on_bad_row="drop")


TEXTS = [f"text number {n}" for n in range(30)]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [([(3, 10)[n % 2] for n in range(30)], ("3", "10")), ([n % 2 == 0 for n in range(30)], ("false", "true"))],
)
def test_labels_may_be_integers_or_booleans(tmp_path, cells, labels):
    rows = [{"text": text, "label": cell} for text, cell in zip(TEXTS, cells, strict=True)]
    found = take(lines_of(tmp_path / "rows.jsonl", rows))
    assert found.task.labels == labels
    assert found.task.multi_label is False


def test_a_column_of_lists_is_multi_label(tmp_path):
    rows = [{"text": text, "label": [["a"], ["b", "a"], []][n % 3]} for n, text in enumerate(TEXTS)]
    found = take(lines_of(tmp_path / "rows.jsonl", rows), test_share=0, validation_share=0)
    assert (found.task.labels, found.task.multi_label) == (("a", "b"), True)
    assert [row.label for row in found.splits["train"].rows[:3]] == [("a",), ("b", "a"), ()]


def test_a_joined_column_is_multi_label(tmp_path):
    lines = [f"{text},{['a|b', 'c', ''][n % 3]}" for n, text in enumerate(TEXTS)]
    found = take(csv_of(tmp_path / "rows.csv", "text,tags", *lines), label_delimiter="|", test_share=0)
    assert (found.task.labels, found.task.multi_label) == (("a", "b", "c"), True)
    assert found.roles.delimiter == "|"


def test_headerless_numbers_get_their_names(tmp_path):  # as goemotions comes
    names = csv_of(tmp_path / "labels.txt", "joy", "anger", "fear")
    lines = [f"this is the text number {n} of many\t{['0', '1,2', '0'][n % 3]}\tee{n:04}" for n in range(30)]
    found = take(csv_of(tmp_path / "train.tsv", *lines), label_names=names)
    assert (found.task.labels, found.task.multi_label) == (("joy", "anger", "fear"), True)
    assert {row.label for row in found.splits["train"].rows} == {("joy",), ("anger", "fear")}


def test_label_names_for_one_column_a_label_are_refused(tmp_path):
    names = csv_of(tmp_path / "labels.txt", "joy", "anger")
    path = csv_of(tmp_path / "rows.csv", "text,a,b", "x y,1,0", "z,0,1")
    with pytest.raises(ConfigError, match=r"data.label_names: there are 2 label columns; leave out"):
        take(path, label=["a", "b"], label_names=names)


def test_a_dev_file_with_another_text_column_is_understood_and_told(tmp_path):  # as SST-2 comes
    train = csv_of(tmp_path / "train.tsv", "label\tsentence", *(f"{n % 2}\tthe sentence {n}" for n in range(30)))
    dev = csv_of(tmp_path / "dev.tsv", "label\tcontent", "0\tno fun", "1\tgood fun")
    found = take(train, validation=dev)
    assert [row.text for row in found.splits["validation"].rows] == [("no fun",), ("good fun",)]
    assert any("no column 'sentence'; used 'content' as text" in note for note in found.notes)


def test_splits_of_a_hub_data_set_are_used(monkeypatch):
    from tunewright.data import sources

    sizes = {"train": 30, "validation": 4, "test": 6}

    def table(source, split):
        rows = [{"text": f"{split} {n}", "label": "xy"[n % 2]} for n in range(sizes[split])]
        return Table(f"{source}@{split}", ["text", "label"], rows, list(range(1, len(rows) + 1)), "")

    monkeypatch.setattr(sources, "hub_splits", lambda source: list(sizes))
    monkeypatch.setattr(sources, "from_hub", table)
    found = take("org/name")
    assert {name: len(split.rows) for name, split in found.splits.items()} == sizes
    assert "test: the data set's own split" in found.notes


@pytest.mark.real_data
def test_real_files_are_understood_without_a_flag(real_data):
    banking = take(real_data / "banking77" / "test.csv")
    assert len(banking.task.labels) == 77
    emotions = real_data / "goemotions"
    found = take(emotions / "dev.tsv", test=str(emotions / "test.tsv"), label_names=str(emotions / "labels.txt"))
    assert (len(found.task.labels), found.task.multi_label) == (28, True)
