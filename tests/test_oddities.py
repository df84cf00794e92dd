"""Names, locales, folders and labels as nobody expects them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tunewright as tw
from tests.conftest import make_model, settings, write_rows
from tunewright.directory import default_out
from tunewright.files import exclusive

LONGEST = 255  # bytes of a name, on most file systems
NAMES = {
    "blanks_and_umlauts": " ä ö \U0001f600 ",
    "of_255_bytes": "ä" * 127 + "a",
    "a_dash_first": "-rf",
    "a_line_break": "a\nb",
    "a_dot_first": ".hidden",
}
FAST = ("data.test_share=0", "data.check_seconds=0", "training.max_steps=1", "training.precision=fp32")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A tiny BERT, rows, and a finished run of both."""
    made = tmp_path_factory.mktemp("home")
    raw = settings(str(make_model(made / "bert")), write_rows(made / "rows.csv"), made / "run", max_steps=1)
    tw.train(raw, progress=False)
    return made


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_files_and_folders_may_have_any_name_that_the_disk_takes(home, call, tmp_path, monkeypatch, name):
    data = tmp_path / f"{name.encode()[: LONGEST - 4].decode(errors='ignore')}.csv"
    data.write_bytes((home / "rows.csv").read_bytes())
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out" / name
    for typed in (
        ["train", "--model", str(home / "bert"), f"--out={out}", "--", data.name, *FAST],
        ["predict", str(out), f"--out={tmp_path / name}", "--", data.name],
        ["data", "split", f"--out={tmp_path / 'split' / name}", "--", data.name],
        ["data", "check", f"--out={tmp_path / 'check' / name}", "--", data.name],
    ):
        code, _, said = call(*typed)
        assert code == 0, said
    assert len((tmp_path / name).read_text().splitlines()) == 48


@pytest.mark.parametrize("name", ["ä" * 125, "\U0001f600" * 62, "a" * 250])
def test_the_default_directory_of_a_long_name_can_be_made(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / default_out(f"{name}.csv", "gradual_unfreezing", False)).mkdir(parents=True)
    assert default_out(f"{name}.csv", "gradual_unfreezing", False).name.endswith("-gradual_unfreezing-2")


def test_an_ascii_locale_changes_no_answer(home, tmp_path):
    """What is written is UTF-8, wherever Python believes to be."""
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text = "späte Kiste \U0001f600"
    typed = [sys.executable, "-m", "tunewright", "predict", str(home / "run"), "--text", text, "--json"]
    done = subprocess.run(typed, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout.decode())["text"] == text


def test_without_a_folder_that_can_be_written_only_the_caches_are_missing(home, tmp_path, monkeypatch, call):
    """A path through a file is as closed as a read-only folder, to root too."""
    closed = home / "rows.csv" / "cache"
    for name in ("HOME", "XDG_CACHE_HOME", "TUNEWRIGHT_CACHE", "HF_HOME"):
        monkeypatch.setenv(name, str(closed))
    for strategy in ("feature_extraction", "freeze"):
        typed = ["train", str(home / "rows.csv"), "--model", str(home / "bert"), "--out", str(tmp_path / strategy)]
        more = FAST[:2] if strategy == "feature_extraction" else ("data.test_share=0", "training.epochs=2")
        code, _, said = call(*typed, "--strategy", strategy, *more)
        assert code == 0, said
    code, _, said = call("train", str(home / "rows.csv"), "--model", str(home / "bert"), "--out", str(closed))
    assert code == 2
    assert "choose a writable place with --out" in said


LABELS = ["007", "7", "1e5", "2147483648", "4294967296", "True", "null", "NaN", "-0", "0x10", "1_000", "no"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_labels_that_look_like_numbers_stay_as_they_are_written(home, tmp_path, suffix):
    rows = [{"text": f"red box {place}", "label": label} for label in LABELS for place in range(4)]
    if suffix == "csv":
        lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    file = tmp_path / f"rows.{suffix}"
    file.write_text("\n".join(lines) + "\n")
    raw = settings(str(home / "bert"), str(file), tmp_path / "run", max_steps=1)
    run = tw.train(raw, progress=False)
    assert set(tw.load(run.path)(["red box"])[0].probabilities) == set(LABELS)
    again = tw.train(run.path / "run.yaml", progress=False, out=str(tmp_path / "again"))
    assert again.metrics["validation"] == run.metrics["validation"]


def test_an_empty_label_is_told_with_its_row(home, tmp_path, call):
    (tmp_path / "rows.csv").write_text("text,label\na,x\nb,\nc,y\n")
    code, _, said = call("train", str(tmp_path / "rows.csv"), "--model", str(home / "bert"))
    assert code == 2
    assert "row 3" in said


@pytest.mark.parametrize("verb", [["train"], ["compare", "--strategies", "full"], ["search", "--trials", "1"]])
def test_a_directory_that_another_process_works_in_is_refused_by_every_verb(home, tmp_path, call, verb):  # R11
    with exclusive(tmp_path / "run" / ".lock") as free:
        assert free
        rows, model = str(home / "rows.csv"), str(home / "bert")
        code, _, said = call(
            *verb, rows, "--model" if verb[0] != "compare" else "--models", model, "--out", str(tmp_path / "run")
        )
    assert code == 2
    assert "another process works in it" in said
