"""`tunewright data label`: rounds from pool to labelled file, the curves, a trained run that is asked, and refusals."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TOPICS, make_model, sentence, write_rows
from tunewright.cli.data.label import RunJudge
from tunewright.errors import ConfigError
from tunewright.training.progress import Listener


@pytest.fixture
def home(tmp_path):
    generator = random.Random(5)
    with open(tmp_path / "pool.csv", "w", newline="", encoding="utf-8") as file:
        rows = [[number, f"{sentence(generator, sorted(TOPICS)[number % 3])} {number}"] for number in range(40)]
        csv.writer(file).writerows([["id", "text"], *rows])
    write_rows(tmp_path / "labelled.csv", 12)
    return tmp_path


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill(path: Path) -> None:
    """Every second row, by the topic that its number stands for."""
    rows = read(path)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        last = list(rows[0])[-1]
        writer.writerows({**row, last: sorted(TOPICS)[int(row["id"]) % 3]} if place % 2 else row
                         for place, row in enumerate(rows))  # fmt: skip


def label(call, *arguments: str, **options: object) -> dict:
    code, out, error = call("data", "label", *arguments, "--json")
    assert code == 0, error
    return json.loads(out)


def test_two_rounds_from_nothing(call, home, tiny):
    """Chosen, filled in, added and chosen again in one call; at last the curve."""
    given = ("--labelled", "new.csv", "--model", tiny, "--next", "8")
    first = label(call, "pool.csv", *given)
    assert (first["path"], first["chosen"], first["how"], first["accuracy"]) == ("to_label.csv", 8, "kmeans", None)
    fill(home / "to_label.csv")
    second = label(call, "pool.csv", *given, "--add", "to_label.csv")
    assert second["added"] == {"added": 4, "known": 0, "empty": 4, "total": 4, "notes": []}
    assert (second["labelled"], second["candidates"], second["how"]) == (4, 36, "mix")
    assert not {row["id"] for row in read(home / "to_label.csv")} & {row["id"] for row in read(home / "new.csv")}
    fill(home / "to_label.csv")
    third = label(
        call, "--labelled", "new.csv", "--model", tiny, "--add", "to_label.csv", "--history", "--out", "c.csv"
    )
    assert [(point["rows"], point["how"]) for point in third["curve"]] == [(4, "kmeans"), (8, "mix")]
    assert [row["rows"] for row in read(home / "c.csv")] == ["4", "8"]


def test_people_are_told_what_to_do_next(call, home, tiny):
    code, out, _ = call("data", "label", "pool.csv", "--labelled", "labelled.csv", "--next", "3", "--model", tiny)
    assert code == 0
    assert "12 labelled rows; accuracy of the probe" in out
    assert "tunewright data label --labelled labelled.csv --add to_label.csv" in out
    assert list(read(home / "to_label.csv")[0]) == ["id", "text", "row", "why", "expected", "topic"]


def test_labels_that_were_not_added_yet_are_not_overwritten(call, home, tiny):
    given = ("data", "label", "pool.csv", "--labelled", "labelled.csv", "--next", "4", "--model", tiny)
    assert call(*given)[0] == 0
    assert call(*given)[0] == 0  # nothing was filled in
    fill(home / "to_label.csv")
    before = (home / "to_label.csv").read_bytes()
    code, _, error = call(*given)
    assert code == 2
    assert "holds 2 labels that would be lost" in error
    assert (home / "to_label.csv").read_bytes() == before
    assert call(*given, "--add", "to_label.csv")[0] == 0


def test_a_file_that_is_not_ours_is_not_overwritten(call, home, tiny):
    (home / "notes.csv").write_text("", encoding="utf-8")
    code, _, error = call("data", "label", "pool.csv", "--model", tiny, "--out", "notes.csv")
    assert code == 2
    assert "notes.csv" in error


def test_a_sample_of_a_large_pool_is_said(call, home, tiny):
    with open(home / "large.csv", "w", encoding="utf-8") as file:
        file.writelines(["text\n", *(f"parcel {number} late\n" for number in range(150))])
    code, out, _ = call("data", "label", "large.csv", "--rows", "100", "--next", "3", "--model", tiny)
    assert code == 0
    assert "a sample of 100 of the pool's 150 rows" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no file is given"),
        (["--history"], "--labelled: is missing"),
        (["--add", "labelled.csv"], "--labelled: is missing"),
        (["pool.csv", "--test", "labelled.csv"], "--test: has no effect"),
        (["pool.csv", "--how", "mixx"], "did you mean 'mix'?"),
        (["--labelled", "none.csv", "--history"], "there is no such file"),
        (["labelled.csv", "--label", "topic"], "no row is left to label"),
        (["pool.csv", "--text", "body"], "there is no column 'body'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(call, tiny, arguments, said):
    code, _, error = call("data", "label", *arguments, "--model", tiny, "--seed", "0")
    assert code == 2
    assert said in error
    assert "Traceback" not in error


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    """A tiny model with dropout, trained for a step."""
    from tunewright import train

    folder = tmp_path_factory.mktemp("run")
    model = make_model(folder / "model", spread=0.3)
    raw = {"model": str(model), "data": {"train": write_rows(folder / "inbox.csv"), "test_share": 0},
           "out": str(folder / "run"), "training": {"max_steps": 1, "precision": "fp32"}}  # fmt: skip
    train(raw)
    return str(folder / "run")


def test_a_trained_run_is_asked_in_place_of_the_probe(call, home, tiny, run):
    found = label(call, "pool.csv", "--run", run, "--how", "margin", "--next", "5", "--model", tiny)
    assert (found["how"], found["accuracy"]) == ("margin", None)
    from tunewright.predict import Predictor

    rows = read(home / "to_label.csv")
    said = Predictor.load(run)([row["text"] for row in rows])
    assert [row["expected"] for row in rows] == [answer.label for answer in said]


def test_a_run_gives_several_beliefs_by_its_dropout_and_is_as_before_after_them(run):
    judge = RunJudge(run, False, Listener())
    texts = [("parcel late",), ("login broken box",)]
    plain = judge.probabilities(texts, np.zeros((2, 1)))
    beliefs = list(judge.beliefs(texts, np.zeros((2, 1)), np.random.default_rng(0)))
    again = list(judge.beliefs(texts, np.zeros((2, 1)), np.random.default_rng(0)))
    assert np.std(beliefs, axis=0).min() > 0
    assert np.array_equal(beliefs, again)
    assert np.array_equal(judge.probabilities(texts, np.zeros((2, 1))), plain)
    assert plain.sum(1) == pytest.approx([1, 1], abs=1e-5)


def test_a_run_without_dropout_cannot_be_asked_for_bald(run):
    import torch

    judge = RunJudge(run, False, Listener())
    for layer in judge.predictor.model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    with pytest.raises(ConfigError, match="no dropout"):
        next(judge.beliefs([("parcel",)], np.zeros((1, 1)), np.random.default_rng(0)))


@pytest.mark.real_data
@pytest.mark.slow
def test_fifteen_hundred_chosen_labels_are_worth_two_thousand_random_ones(real_data):
    """The promise on banking77, by one seed and batches of 650 (the docs have three and 100)."""
    from benchmarks.active_learning import simulate
    from tunewright.data.acquisition.mix import Mix
    from tunewright.data.acquisition.random import Random
    from tunewright.desk.encoder import PooledEncoder
    from tunewright.desk.labelling import open_source
    from tunewright.desk.labelling_curve import encoded

    folder = real_data / "banking77"
    full = open_source(str(folder / "train.csv"), has_labels=True).named
    held = open_source(str(folder / "test.csv"), like=full, has_labels=True).named
    names, encoder = full.classes()[0], PooledEncoder()
    rows, test = (encoded(item, names, encoder, "", lambda *told: None) for item in (full, held))
    chosen = simulate(rows, test, len(names), Mix(), 200, 650, 2, 0, 0.003)
    drawn = simulate(rows, test, len(names), Random(), 2000, 1, 0, 0, 0.003)
    assert chosen[-1][0] == 1500
    assert chosen[-1][1] > drawn[-1][1]
