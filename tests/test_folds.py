"""Cross-validation: a run for each fold, tested on what it does not see; mean, spread and interval."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import tunewright as tw
from tests.conftest import settings, write_rows
from tunewright import folds
from tunewright.cli import add_verbs, run
from tunewright.config import load
from tunewright.errors import ConfigError, RunDirectoryError


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("folds")


@pytest.fixture(scope="module")
def raw(tiny, place) -> dict:
    made = settings(tiny, write_rows(place / "inbox.csv", 36), place / "run", epochs=1)
    made["data"]["check_seconds"] = 0
    return made


@pytest.fixture(scope="module")
def done(raw) -> folds.CrossValidation:
    return tw.cross_validate(raw, folds=3, progress=False)


def numbers(path: Path) -> set[str]:
    with open(path, newline="", encoding="utf-8") as file:
        return {f"{row['text']} {row['topic']}" for row in csv.DictReader(file)}


def test_every_row_is_tested_once_by_a_run_that_did_not_see_it(done, place):
    tested = [line["text"] for one in done.runs for line in folds.predictions(one.path)]
    with open(place / "inbox.csv", newline="", encoding="utf-8") as file:
        assert sorted(tested) == sorted(row["text"] for row in csv.DictReader(file))
    for fold in (1, 2, 3):
        files = {name: numbers(place / "run" / "folds" / f"fold-{fold}" / f"{name}.csv") for name in ("train", "test")}
        assert not files["train"] & files["test"]
        assert {"train", "validation", "test"} == set(
            json.loads((place / "run" / f"fold-{fold}" / "data.json").read_text())["splits"]
        )


def test_mean_spread_and_interval_are_of_the_folds_scores(done, place):
    summary = json.loads((place / "run" / "folds.json").read_text())
    assert summary == json.loads(json.dumps(done.summary))
    accuracies = [one.metrics["test"]["accuracy"] for one in done.runs]
    assert summary["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert summary["standard_deviation"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    pooled = summary["pooled"]["accuracy"]
    assert pooled["value"] == pytest.approx(np.mean(accuracies))  # folds of one size
    assert pooled["low"] < pooled["value"] < pooled["high"]
    assert summary["interval"]["rows"] == 36


def test_a_run_of_a_fold_can_be_repeated_from_its_recipe(done, place):
    again = tw.train(place / "run" / "fold-2" / "run.yaml", overrides=[f"out={place / 'again'}"], progress=False)
    assert again.metrics["test"] == done.runs[1].metrics["test"]


def test_resuming_trains_only_what_is_not_finished(done, raw, place, monkeypatch):
    (place / "run" / "fold-3" / "metrics.json").rename(place / "aside.json")
    began = []
    take_in = tw.train.__globals__["run_train"].__globals__["take_in"]
    monkeypatch.setattr("tunewright.run.take_in", lambda config: began.append(config.out) or take_in(config))
    again = tw.cross_validate(raw, folds=3, resume=True, progress=False)
    assert began == [str(place / "run" / "fold-3")]
    assert again.summary["pooled"] == done.summary["pooled"]
    with pytest.raises(RunDirectoryError, match=r"folds: holds folds of another folds and seed"):
        tw.cross_validate(raw | {"data": raw["data"] | {"split_seed": 1}}, folds=4, resume=True, progress=False)
    with pytest.raises(RunDirectoryError, match="is not empty"):
        tw.cross_validate(raw, folds=3, progress=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"test": "inbox.csv"}, "data.test: does not go with folds"), ({"test_share": 0.3}, "test_share: has no effect")],
)
def test_settings_without_a_meaning_are_refused(raw, change, said):
    config = load(raw | {"data": raw["data"] | change, "out": "elsewhere"})
    with pytest.raises(ConfigError, match=said):
        folds.cross_validate(config, 3)
    assert not Path("elsewhere").exists()


def test_the_command_shows_the_folds(done, raw, place, capsys):
    add_verbs()
    recipe = place / "recipe.yaml"
    recipe.write_text(json.dumps(raw))
    assert run(["train", str(recipe), "--folds", "3", "--resume"]) == 0
    shown = capsys.readouterr().out
    assert "standard" in shown
    assert "fold 3" in shown
    assert "accuracy over all 36 rows held out" in shown
    assert run(["train", str(recipe), "--folds", "3", "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean"] == done.summary["mean"]


def test_repeats_in_the_file_stop_no_fold_and_are_left_out_of_its_clean_scores(raw, place, tmp_path):
    header, *rows = (place / "inbox.csv").read_text().splitlines(keepends=True)
    (tmp_path / "twice.csv").write_text("".join([header, *rows, *rows]))
    made = {**raw, "data": {"train": str(tmp_path / "twice.csv"), "validation_share": 0}, "out": str(tmp_path / "run")}
    runs = tw.cross_validate(made, folds=2, progress=False).runs
    assert all(one.metrics["clean"]["test"]["left_out"] >= 5 for one in runs)
