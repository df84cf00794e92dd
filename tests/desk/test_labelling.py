"""Labelling: what is chosen from a pool, what goes back into the labelled file, and the curves."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks.active_learning import ask, reached, simulate
from tests.desks import HashedWords
from tunewright.component import members
from tunewright.data.acquisition.base import Acquisition
from tunewright.data.acquisition.margin import Margin
from tunewright.data.acquisition.mix import Mix
from tunewright.data.acquisition.random import Random
from tunewright.desk import labelling, labelling_curve
from tunewright.desk.labelled import merge, read_rounds, rounds_path
from tunewright.desk.labelling import choose, fingerprint, open_source
from tunewright.errors import DataError

TOPICS = {"billing": ("invoice", "money"), "damage": ("broken", "box"), "app": ("login", "screen")}
FILLER = ("please", "my", "the", "help", "late", "today", "order", "again", "why", "now")


def record(number: int) -> tuple[str, str]:
    generator = random.Random(number)
    label = sorted(TOPICS)[number % 3]
    words = [*generator.choices(FILLER, k=4), generator.choice(TOPICS[label]), f"n{number}"]
    return " ".join(words), label


def write(path: Path, header: list[str], rows: list) -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def pool(tmp_path):
    return write(tmp_path / "pool.csv", ["id", "text"], [[n, record(n)[0]] for n in range(60)])


def labelled(tmp_path, numbers=range(6)) -> Path:
    return Path(write(tmp_path / "labelled.csv", ["text", "topic"], [record(n) for n in numbers]))


def opened(path: Path):
    return open_source(str(path), label="topic", has_labels=True)


@pytest.mark.parametrize("how", members(Acquisition).values())
def test_no_labelled_text_is_chosen_again_nor_any_text_twice(tmp_path, how):
    twins = [[1, "  Parcel LATE"], [2, "parcel late"], [3, "ｆile broken"]]
    rows = [[n, record(n)[0].upper()] for n in range(12)]
    path = write(tmp_path / "pool.csv", ["id", "text"], [*rows, *twins])
    known = Path(
        write(tmp_path / "labelled.csv", ["text", "topic"], [*map(record, range(6)), ("file  Broken", "damage")])
    )
    found = choose(open_source(path, like=opened(known)), opened(known), how(), 100, HashedWords())
    texts = [fingerprint(text) for text in found.source.texts]
    assert found.num_candidates == len(texts) == len(set(texts)) == 7
    assert not set(texts) & {fingerprint(text) for text in opened(known).texts}


def test_rows_that_have_a_label_in_the_pool_are_left_alone(tmp_path):
    path = write(tmp_path / "pool.csv", ["text", "topic"], [["one", "a"], ["two", ""], ["three", " "]])
    found = choose(open_source(path, label="topic"), None, Mix(), 5, HashedWords())
    assert sorted(text for (text,) in found.source.texts) == ["three", "two"]


def test_the_file_to_label_has_the_pools_columns_and_says_why(tmp_path, pool):
    known = opened(labelled(tmp_path))
    found = choose(open_source(pool, like=known), known, Mix(), 7, HashedWords())
    found.write(tmp_path / "to_label.csv")
    rows = read(tmp_path / "to_label.csv")
    assert list(rows[0]) == ["id", "text", "row", "why", "expected", "topic"]
    assert len(rows) == 7
    for row in rows:
        assert row["topic"] == ""
        assert int(row["row"]) == int(row["id"]) + 2  # as a person counts: the header is row 1
        assert row["text"] == record(int(row["id"]))[0]
        assert row["why"].startswith("mix: ")
        assert row["expected"] in TOPICS


def test_without_labels_the_rows_are_spread_by_kmeans(pool):
    found = choose(open_source(pool), None, Mix(), 6, HashedWords())
    assert found.how == "kmeans"
    assert found.expected == [None] * 6
    assert found.accuracy is None
    assert "mix needs labels" in found.notes[0]


def test_one_kind_of_label_teaches_nothing_and_that_is_said(tmp_path, pool):
    known = opened(labelled(tmp_path, [0, 3, 6]))
    found = choose(open_source(pool, like=known), known, Mix(), 6, HashedWords())
    assert found.how == "kmeans"
    assert "all labelled rows are 'app'" in found.notes[0]


def test_those_unlike_each_other_come_first(tmp_path):
    rows = [["login screen"] for _ in range(1)] + [[f"login screen n{n % 2}"] for n in range(2)] + [["broken box"]]
    path = write(tmp_path / "pool.csv", ["text"], rows)
    found = choose(open_source(path, text=["text"]), None, Random(), 4, HashedWords())
    assert ("broken box",) in found.source.texts[:2]


def test_of_a_large_pool_the_same_sample_is_looked_at_in_every_round(pool):
    first, again, other = (open_source(pool, limit=20, seed=seed) for seed in (0, 0, 1))
    assert len(first.texts) == 20
    assert first.texts == again.texts != other.texts
    assert list(first.indices) == sorted(first.indices)


def test_features_come_in_chunks_that_the_next_round_finds_again(tmp_path, pool, monkeypatch):
    monkeypatch.setattr(labelling, "CHUNK", 16)
    calls = []

    class Counting(HashedWords):
        def __call__(self, texts, progress=None):
            calls.append(tuple(texts))
            return super().__call__(texts, progress)

    whole = labelling.features_of(HashedWords(), open_source(pool).texts, "", lambda *told: None)
    choose(open_source(pool), None, Mix(), 5, Counting())
    first = calls.copy()
    known = opened(labelled(tmp_path))
    choose(open_source(pool, like=known), known, Mix(), 5, Counting())
    assert [len(texts) for texts in first] == [16, 16, 16, 12]
    assert calls[4:8] == first
    assert whole.shape == (60, 32)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(np.ones(60), abs=1e-5)


def test_nothing_left_to_label_is_an_error_that_names_the_column(tmp_path):
    path = write(tmp_path / "pool.csv", ["text", "topic"], [["one", "a"]])
    with pytest.raises(DataError, match="column 'topic': no row is left to label"):
        choose(open_source(path, label="topic"), None, Mix(), 5, HashedWords())


def test_a_pool_with_a_column_of_ours_is_refused(tmp_path):
    path = write(tmp_path / "pool.csv", ["text", "why"], [["one", "because"]])
    with pytest.raises(DataError, match="'why'"):
        choose(open_source(path, text=["text"]), None, Mix(), 5, HashedWords())


def test_several_labels_a_row_are_refused(tmp_path):
    path = tmp_path / "labelled.jsonl"
    path.write_text('{"text": "one", "label": ["a", "b"]}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"row 1.*several labels a row"):
        open_source(str(path), has_labels=True)


def filled(tmp_path, rows: list) -> labelling.Source:
    path = write(tmp_path / "filled.csv", ["id", "text", "row", "why", "expected", "topic"], rows)
    return open_source(path, label="topic", has_labels=True)


def line(number: int, label: str | None = None) -> list:
    text, known = record(number)
    return [number, text, number + 2, "mix: 0.1", "app", known if label is None else label]


def test_filled_in_rows_go_into_the_labelled_file_and_empty_ones_do_not(tmp_path):
    path = labelled(tmp_path)
    before = read(path)
    result = merge(filled(tmp_path, [line(10), line(11, ""), line(12)]), path, opened(path))
    assert (result.added, result.known, result.empty, result.total) == (2, 0, 1, 8)
    assert read(path) == [*before, *({"text": record(n)[0], "topic": record(n)[1]} for n in (10, 12))]
    assert [item["how"] for item in read_rounds(path)] == ["mix"]


def test_adding_the_same_file_twice_changes_nothing(tmp_path):
    path = labelled(tmp_path)
    rows = filled(tmp_path, [line(10), line(2)])
    merge(rows, path, opened(path))
    before = path.read_bytes(), rounds_path(path).read_bytes()
    result = merge(rows, path, opened(path))
    assert (result.added, result.known, result.total) == (0, 2, 7)
    assert (path.read_bytes(), rounds_path(path).read_bytes()) == before


def test_the_first_labels_make_the_file_without_our_columns(tmp_path):
    path = tmp_path / "new.csv"
    merge(filled(tmp_path, [line(1), line(2)]), path, None)
    assert list(read(path)[0]) == ["id", "text", "topic"]
    assert len(read(path)) == 2


def test_a_row_of_the_labelled_file_that_had_no_label_gets_it(tmp_path):
    rows = [[*record(0)], [record(1)[0], ""], [*record(2)]]
    path = Path(write(tmp_path / "labelled.csv", ["text", "topic"], rows))
    result = merge(filled(tmp_path, [line(1)]), path, opened(path))
    assert (result.added, result.total) == (1, 3)
    assert read(path)[1] == {"text": record(1)[0], "topic": record(1)[1]}
    assert len(read(path)) == 3


def test_columns_of_another_name_are_put_under_the_labelled_files_own(tmp_path):
    path = Path(write(tmp_path / "labelled.csv", ["message", "topic"], [record(n) for n in range(3)]))
    known = open_source(str(path), label="topic", has_labels=True)
    rows = open_source(write(tmp_path / "filled.csv", ["text", "topic"], [record(9)]), like=known, has_labels=True)
    merge(rows, path, known)
    assert read(path)[-1] == {"message": record(9)[0], "topic": record(9)[1]}


@pytest.mark.parametrize("rows", [[line(2, "app")], [line(10), line(10, "app")]])
def test_a_contradiction_names_both_rows_and_writes_nothing(tmp_path, rows):
    path = labelled(tmp_path)
    before = path.read_bytes()
    rows = [line(20), *([[number, text.upper(), *rest] for number, text, *rest in rows])]
    with pytest.raises(DataError, match=r"filled.csv, row \d: .* is labelled 'app', but '\w+' in .*csv, row \d"):
        merge(filled(tmp_path, rows), path, opened(path))
    assert path.read_bytes() == before
    assert not rounds_path(path).exists()


def test_a_label_that_nobody_knows_is_said_with_the_nearest_one(tmp_path):
    path = labelled(tmp_path)
    notes = merge(filled(tmp_path, [line(10, "biling"), line(11, "weather")]), path, opened(path)).notes
    assert notes == ["new label 'biling' (1 row): did you mean 'billing'?", "new label 'weather' (1 row)"]


def test_history_has_a_point_for_every_round_whatever_the_order_of_the_file(tmp_path):
    path = labelled(tmp_path, range(12))
    merge(filled(tmp_path, [line(n) for n in range(12, 30)]), path, opened(path))
    merge(filled(tmp_path, [line(n) for n in range(30, 36)]), path, opened(path))
    rows = read(path)
    write(path, list(rows[0]), [list(row.values()) for row in reversed(rows)])
    test = open_source(write(tmp_path / "test.csv", ["text", "topic"], [record(n) for n in range(90, 120)]),
                       like=opened(path), has_labels=True)  # fmt: skip
    for given in (None, test):
        points = labelling_curve.history(path, opened(path), given, HashedWords(), 0, lambda *told: None)
        assert [(point.rows, point.how) for point in points] == [(12, "before"), (30, "mix"), (36, "mix")]
        assert all(0 <= value <= 1 for point in points for value in (point.accuracy, point.random))
        assert points[-1].accuracy == pytest.approx(points[-1].random)  # all rows are all rows, however drawn
        assert points[-1].accuracy > 0.6


def test_history_without_rounds_is_an_error(tmp_path):
    path = labelled(tmp_path)
    with pytest.raises(DataError, match="make no curve"):
        labelling_curve.history(path, opened(path), None, HashedWords(), 0, lambda *told: None)


def test_a_foreign_record_of_rounds_is_an_error(tmp_path):
    path = labelled(tmp_path)
    rounds_path(path).write_text(json.dumps({"how": 1}), encoding="utf-8")
    with pytest.raises(DataError, match="no record of rounds"):
        read_rounds(path)


def rows_of(count: int, first: int = 0) -> labelling_curve.Rows:
    names = sorted(TOPICS)
    texts, labels = zip(*map(record, range(first, first + count)), strict=True)
    features = labelling.features_of(HashedWords(), [(text,) for text in texts], "", lambda *told: None)
    return labelling_curve.Rows(features, np.array([names.index(label) for label in labels]))


def test_a_simulation_asks_for_batches_until_nothing_is_left():
    curve = simulate(rows_of(50), rows_of(30, 100), 3, Mix(), 10, 15, 9, 0, 0.01)
    assert [size for size, _ in curve] == [10, 25, 40, 50]
    assert curve[-1][1] > 0.6


def test_a_simulation_never_looks_at_labels_that_were_not_asked_for():
    """With the labels of all rows that were not chosen replaced, the same rows are chosen."""
    rows, how = rows_of(50), Margin()
    chosen = np.arange(12)
    judge = labelling.ProbeJudge(sorted(TOPICS), rows.features[chosen], rows.targets[chosen], 0.01)
    hidden = labelling_curve.Rows(rows.features, np.where(np.arange(50) < 12, rows.targets, 0))
    asked = [ask(item, chosen, judge, how, 7, np.random.default_rng(0)).tolist() for item in (rows, hidden)]
    assert asked[0] == asked[1]
    assert not set(asked[0]) & set(chosen.tolist())


def test_labels_needed_are_read_off_the_curve():
    curve = [(100, 0.5), (200, 0.7), (300, 0.8)]
    assert reached(curve, 0.6) == pytest.approx(150)
    assert reached(curve, 0.4) == 100
    assert reached(curve, 0.9) is None
