"""A run looks at its data first: findings are kept, severe faults stop it, leaked rows are left out of clean scores."""

from __future__ import annotations

import csv
import json
import random

import pytest

import tunewright as tw
from tests.conftest import TOPICS, settings
from tunewright.config import load
from tunewright.errors import ConfigError, DataError
from tunewright.run import train
from tunewright.training.progress import Listener


def write(path, rows) -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "topic"], *rows])
    return str(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """train.csv; known.csv, of which 12 of 40 rows are in train.csv; clean.csv, of which none is."""
    folder, generator = tmp_path_factory.mktemp("rows"), random.Random(3)
    topics = [sorted(TOPICS)[number % 3] for number in range(88)]
    words = [" ".join(str(generator.randrange(10_000)) for _ in range(8)) for _ in topics]
    rows = [[f"{text} {TOPICS[topic][0]}", topic] for text, topic in zip(words, topics, strict=True)]
    write(folder / "train.csv", rows[:48])
    write(folder / "known.csv", [*rows[:12], *rows[48:76]])
    write(folder / "clean.csv", rows[48:])
    return folder


@pytest.fixture
def raw(tiny, home, tmp_path):
    def make(test: str, **data):
        made = settings(tiny, str(home / "train.csv"), tmp_path / "run", epochs=1)
        made["data"] = {"train": str(home / "train.csv"), "test": str(home / test), "validation_share": 0, **data}
        return made

    return make


@pytest.fixture
def up_to_the_model(monkeypatch):
    """What happens of a run before its weights are loaded: `up_to_the_model(raw)` gives what it said."""
    from tunewright import run

    class Loaded(Exception):
        pass

    def stop(session):
        raise Loaded

    def go(raw) -> list[str]:
        said, listener = [], Listener()
        listener.note = said.append
        with pytest.raises(Loaded):
            train(load(raw), listener=listener)
        return said

    monkeypatch.setattr(run, "make_model", stop)
    return go


def test_leaked_rows_stop_a_run_before_any_weight_is_loaded(raw, tmp_path, up_to_the_model):
    with pytest.raises(DataError, match=r"(?s)leakage\.exact.*12 .* of 40.*data\.allow=\[leakage\.exact"):
        tw.train(raw("known.csv"), progress=False)
    assert (tmp_path / "run" / "findings.jsonl").is_file()


def test_allowed_leaks_are_left_out_of_the_clean_scores(raw, tmp_path):
    result = tw.train(raw("known.csv", allow=["leakage"]), progress=False)
    lines = [json.loads(line) for line in (tmp_path / "run/predictions/test.jsonl").read_text().splitlines()]
    clean = [line["label"] == line["predicted"] for line in lines if line["row"] > 13]  # rows 2 to 13 are train's
    assert result.metrics["clean"]["test"]["accuracy"] == pytest.approx(sum(clean) / len(clean))
    assert result.metrics["clean"]["test"]["left_out"] == 12
    assert result.metrics["test"]["num_rows"] == 40
    ledger = json.loads((tmp_path / "run/data.json").read_text())
    assert ledger["checks"]["leaked"] == {"test": 12}
    assert ledger["checks"]["findings"]["leakage.exact"] == {"count": 12, "severity": "severe"}
    assert 'id="checks"' in (tmp_path / "run/report.html").read_text()
    assert "without the 12" in (tmp_path / "run/report.html").read_text()


def test_no_time_is_no_look(raw, tmp_path, up_to_the_model):
    up_to_the_model(raw("known.csv", check_seconds=0))
    assert not (tmp_path / "run" / "checks.json").exists()


def interrupted(*parts):
    raise KeyboardInterrupt


def test_what_there_was_no_time_for_is_said(raw, tmp_path, up_to_the_model):
    heard = up_to_the_model(raw("clean.csv", check_seconds=1e-9))
    (said,) = [text for text in heard if "no time to check" in text]
    assert "duplicates" in said
    assert "duplicates" in json.loads((tmp_path / "run/data.json").read_text())["checks"]["not_checked"]


def test_a_resumed_run_does_not_look_again(raw, tmp_path, monkeypatch):
    from tunewright.desk import before_training
    from tunewright.training.loop import Loop

    made = raw("known.csv", allow=["leakage"])
    monkeypatch.setattr(Loop, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tw.train(made, progress=False)
    monkeypatch.undo()
    monkeypatch.setattr(before_training, "look", lambda *rest: pytest.fail("looked again"))
    result = tw.train(made, resume=True, progress=False)
    assert result.metrics["clean"]["test"]["left_out"] == 12


def test_what_is_allowed_must_be_a_check(raw):
    with pytest.raises(ConfigError, match=r"data\.allow.*'leekage'.*did you mean 'leakage'"):
        tw.train(raw("known.csv", allow=["leekage"]), progress=False)


def test_mended_data_are_looked_at_again_with_resume_too_and_have_no_second_scores(raw, home, tmp_path):
    made = raw("known.csv")
    made["data"]["test"] = str(tmp_path / "test.csv")
    (tmp_path / "test.csv").write_text((home / "known.csv").read_text())
    with pytest.raises(DataError, match="severe"):
        tw.train(made, progress=False)
    (tmp_path / "test.csv").write_text((home / "clean.csv").read_text())
    assert "clean" not in tw.train(made, resume=True, progress=False).metrics


def test_repeats_in_a_split_made_by_us_are_told_but_stop_nobody(raw, home, tmp_path, up_to_the_model):
    with open(home / "train.csv", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    made = raw("clean.csv")
    made["data"] = {"train": write(tmp_path / "twice.csv", [*rows, *rows]), "test_share": 0.3, "validation_share": 0}
    up_to_the_model(made)
    found = {rule["rule"]: rule for rule in json.loads((tmp_path / "run/checks.json").read_text())["rules"]}
    assert found["leakage.exact"]["severity"] == "warning"
    assert "near_duplicates" in found["leakage.exact"]["shown"][0]["remedy"]
