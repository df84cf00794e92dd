"""tunewright data split: files of parts or folds, and a manifest; and the same splitters in a run."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tunewright.config import load
from tunewright.data import sources
from tunewright.desk import splitting
from tunewright.errors import ConfigError, DataError
from tunewright.intake import take_in
from tunewright.resolve import refuse_unread


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def inbox(home) -> Path:
    """90 messages of 30 customers over 90 days."""
    with open(home / "inbox.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "date", "message", "topic"])
        for row in range(90):
            date = f"2024-{row // 30 + 1:02d}-{row % 28 + 1:02d}"
            text = f"the parcel number {row} has not come, says customer {row % 30}, and then some more words"
            writer.writerow([f"c{row % 30}", date, text, "abc"[row % 3]])
    return home / "inbox.csv"


def rows_of(path: Path) -> list[dict]:
    return list(sources.read(str(path)).rows)


def test_parts_hold_every_row_once_in_the_form_of_the_input(call, home, inbox):
    code, out, _ = call("data", "split", "inbox.csv", "--test", "0.2", "--out", "parts", "--label", "topic")
    assert code == 0
    parts = {name: rows_of(home / "parts" / f"{name}.csv") for name in ("train", "validation", "test")}
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 63, "validation": 9, "test": 18}
    assert all(set(Counter(row["topic"] for row in rows).values()) == {len(rows) // 3} for rows in parts.values())
    key = lambda row: row["message"]  # noqa: E731
    assert sorted((row for rows in parts.values() for row in rows), key=key) == sorted(rows_of(inbox), key=key)
    assert "largest deviation" in out
    assert "tunewright train parts/train.csv --validation parts/validation.csv --test parts/test.csv" in out


def test_the_manifest_tells_what_was_done(call, home, inbox):
    code, out, _ = call("data", "split", "inbox.csv", "--seed", "7", "--out", "parts", "--label", "topic", "--json")
    assert code == 0
    manifest = json.loads((home / "parts" / "manifest.json").read_text())
    assert json.loads(out) == {"path": "parts", **manifest}
    assert manifest["sha256"] == hashlib.sha256(inbox.read_bytes()).hexdigest()
    assert (manifest["seed"], manifest["split"]["kind"], manifest["rows"]) == (7, "stratified", 90)
    for part in manifest["parts"].values():
        written = (home / "parts" / part["file"]).read_bytes()
        assert part["sha256"] == hashlib.sha256(written).hexdigest()
        assert sum(part["labels"].values()) == part["rows"] == written.count(b"\n") - 1
        assert part["largest_deviation"] < 1


def test_the_same_seed_writes_the_same_bytes(call, home, inbox):
    for name, seed in (("one", "3"), ("two", "3"), ("other", "4")):
        assert call("data", "split", "inbox.csv", "--seed", seed, "--out", name)[0] == 0
    test = [(home / name / "test.csv").read_bytes() for name in ("one", "two", "other")]
    assert test[0] == test[1] != test[2]


def test_groups_and_time_hold(call, home, inbox):
    assert call("data", "split", "inbox.csv", "--kind", "grouped", "--column", "customer", "--out", "groups")[0] == 0
    owners = [{row["customer"] for row in rows_of(path)} for path in sorted((home / "groups").glob("*.csv"))]
    assert sum(map(len, owners)) == 30
    assert call("data", "split", "inbox.csv", "--kind", "by_time", "--column", "date", "--out", "time")[0] == 0
    parts = ("train", "validation", "test")
    dates = {name: [row["date"] for row in rows_of(home / "time" / f"{name}.csv")] for name in parts}
    assert max(dates["train"]) < min(dates["validation"])
    assert max(dates["validation"]) < min(dates["test"])


def test_near_duplicates_stay_together(call, home):
    texts = [" ".join(f"{first}{number}" for number in range(9)) for first in "abcdefgh"]
    lines = [json.dumps({"text": text + end, "label": "xy"[n % 2]}) for n, text in enumerate(texts) for end in " !?"]
    (home / "more.jsonl").write_text("\n".join(lines))
    assert call("data", "split", "more.jsonl", "--near-duplicates", "--test", "0.3", "--out", "parts")[0] == 0
    found = [{row["text"][0] for row in rows_of(path)} for path in (home / "parts").glob("*.jsonl")]
    assert sum(map(len, found)) == 8


def test_folds_are_folders_and_repeats_are_drawn_anew(call, home, inbox):
    options = ["data", "split", "inbox.csv", "--folds", "3", "--repeats", "2"]
    assert call(*options, "--label", "topic", "--out", "folds")[0] == 0
    held_out = [{row["message"] for row in rows_of(home / "folds" / f"fold-{fold}-{again}" / "test.csv")}
                for again in (1, 2) for fold in (1, 2, 3)]  # fmt: skip
    assert set.union(*held_out[:3]) == set.union(*held_out[3:]) == {row["message"] for row in rows_of(inbox)}
    assert list(map(len, held_out)) == [30] * 6
    assert held_out[:3] != held_out[3:]
    code, _, said = call(*options, "--kind", "by_time", "--column", "date")
    assert (code, "time is not drawn" in said) == (2, True)


def test_gzipped_input_is_written_gzipped(call, home, inbox):
    (home / "inbox.csv.gz").write_bytes(gzip.compress(inbox.read_bytes()))
    assert call("data", "split", "inbox.csv.gz", "--out", "parts", "--label", "topic")[0] == 0
    assert len(rows_of(home / "parts" / "test.csv.gz")) == 9


def test_a_folder_with_something_in_it_is_left_alone(call, home, inbox):
    assert call("data", "split", "inbox.csv", "--out", "parts")[0] == 0
    code, _, said = call("data", "split", "inbox.csv", "--out", "parts")
    assert (code, "parts: is not empty; choose another --out, or say --overwrite" in said) == (2, True)
    before = (home / "parts" / "test.csv").read_bytes()
    assert call("data", "split", "inbox.csv", "--out", "parts", "--seed", "1", "--overwrite")[0] == 0
    assert (home / "parts" / "test.csv").read_bytes() != before
    (home / "parts" / "notes.txt").write_text("mine")
    code, _, said = call("data", "split", "inbox.csv", "--out", "parts", "--overwrite")
    assert (code, "holds 'notes.txt', which is no part of a split" in said) == (2, True)
    assert (home / "parts" / "notes.txt").read_text() == "mine"


def test_a_split_is_there_whole_or_not_at_all(call, home, inbox, monkeypatch):
    write = splitting.writing.write
    monkeypatch.setattr(
        splitting.writing, "write", lambda path, *rest: write(path, *rest) if path.stem == "train" else 1 / 0
    )
    assert call("data", "split", "inbox.csv", "--out", "parts")[0] == 1
    assert sorted(path.name for path in home.iterdir()) == ["inbox.csv"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kind", "grouped", "--column", "custmer"], r"there is no column 'custmer' \(did you mean 'customer'"),
        (["--kind", "grouped"], "data.split: the rows have no groups of their own; name the column"),
        (["--kind", "by_time"], "data.split.column: is missing; name a column"),
        (["--kind", "by_time", "--column", "topic"], "inbox.csv, row 2: column 'topic': 'a' is no time; write"),
        (["--kind", "stratifed"], "data.split.kind: unknown 'stratifed'; did you mean 'stratified'"),
        (["--column", "date"], "data.split.column: unknown key; did you mean data.split.column"),
        (["--kind", "by_time", "--column", "date", "--near-duplicates"], "near_duplicates does not go with by_time"),
        (["--validation", "0.6", "--test", "0.5"], "0.6 and 0.5 leave nothing to part; choose shares"),
        (["--validation", "0", "--test", "0"], "0 and 0 leave nothing to part"),
        (["--test", "0.001"], "90 rows are too few for a part .test."),
        (["--folds", "80", "--kind", "grouped", "--column", "customer"], "the rows do not fill 80 folds"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(call, inbox, options, said):
    code, _, heard = call("data", "split", "inbox.csv", "--out", "parts", *options)
    assert code == 2
    assert re.search(said, " ".join(heard.split()))


def test_rows_without_a_label_stop_it_or_are_left_out_and_counted(call, home, inbox):
    inbox.write_text(inbox.read_text() + "c1,2024-05-01,no topic here,\n")
    code, _, said = call("data", "split", "inbox.csv", "--label", "topic", "--out", "parts")
    assert (code, "row 92: column 'topic' is empty" in said) == (2, True)
    assert call("data", "split", "inbox.csv", "--label", "topic", "--out", "parts", "--drop-bad-rows")[0] == 0
    manifest = json.loads((home / "parts" / "manifest.json").read_text())
    assert (manifest["rows"], manifest["left_out"]) == (90, {"column 'topic' is empty": 1})


# --- the same in a run ----------------------------------------------------------------------------------------------


def take(inbox: Path, **data):
    return take_in(load({"data": {"train": str(inbox), **data}}))


def test_a_run_splits_as_it_is_told_and_says_so(inbox):
    found = take(inbox, split={"kind": "grouped", "column": "customer"}, label="topic")
    owners = [{row.number % 30 for row in split.rows} for split in found.splits.values()]
    assert sum(map(len, owners)) == 30
    assert "test: 9 rows of the training file (10%, grouped by 'customer', seed 0)" in found.notes
    found = take(inbox, split={"kind": "by_time", "column": "date"}, label="topic")
    told = next(note for note in found.notes if note.startswith("test:"))
    assert re.fullmatch(r"test: \d+ rows of the training file \(10%, the latest, by_time by 'date'\)", told)
    assert take(inbox, split="random", label="topic").splits["test"].rows


def test_the_splitters_column_is_taken_for_nothing_else(home):
    lines = ["author,comment,kind", *(f"{'ab'[n % 2] * 40},text of it {n},{'xyz'[n % 3]}" for n in range(60))]
    (home / "short.csv").write_text("\n".join(lines))
    assert take(home / "short.csv", text="comment").roles.label == ("author",)  # the fewest distinct values
    split = {"kind": "grouped", "column": "author"}
    found = take(home / "short.csv", text="comment", test_share=0, validation_share=0.5, split=split)
    assert found.roles.label == ("kind",)
    assert found.splits["train"].table.columns == ["author", "comment", "kind"]


def test_a_time_that_cannot_be_read_names_its_row(inbox):
    inbox.write_text(inbox.read_text().replace("2024-02-05", "soon", 1))
    with pytest.raises(
        DataError, match=r"inbox.csv, row \d+: column 'date': 'soon' is no time in the form of the rows"
    ):
        take(inbox, split={"kind": "by_time", "column": "date"}, label="topic")


def test_questions_keep_their_paragraphs_together_or_refuse_time(home):
    answers = {"text": ["this"], "answer_start": [0]}
    rows = [{"question": f"what is {n}?", "context": f"this is about {n // 4}", "answers": answers, "day": n}
            for n in range(40)]  # fmt: skip
    (home / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = take(home / "questions.jsonl", split="stratified", test_share=0.2)
    contexts = [{row.text[1] for row in split.rows} for split in found.splits.values()]
    assert sum(map(len, contexts)) == 10
    with pytest.raises(ConfigError, match="question_answering keeps rows of one group together, which time would part"):
        take(home / "questions.jsonl", split={"kind": "by_time", "column": "day"})


@pytest.mark.parametrize(
    ("data", "given", "unread"),
    [
        ({"split": "random"}, {"validation"}, "data.split"),
        ({"split": "random", "validation_share": 0}, {"test"}, "data.split"),
        ({"split": {"kind": "by_time", "column": "date"}, "split_seed": 3}, set(), "data.split_seed"),
    ],
)
def test_a_splitter_without_effect_is_refused(inbox, data, given, unread):
    config = load({"data": {"train": str(inbox), "label": "topic", **data}})
    with pytest.raises(ConfigError, match=f"{unread}: has no effect"):
        refuse_unread(config, take_in(config).task, given)
