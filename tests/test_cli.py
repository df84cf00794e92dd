"""The command line: what each verb prints, where, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import tunewright as tw
from tests.conftest import make_model, settings, write_rows
from tunewright.cli import add_verbs, run
from tunewright.errors import Interrupted

TASK = {"kind": "sequence_classification", "pooling": "mean"}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a model, data and two finished runs: `run`, and `tags` (multi-label)."""
    made = tmp_path_factory.mktemp("home")
    tiny, rows = str(make_model(made / "bert")), write_rows(made / "inbox.csv")
    raw = settings(tiny, rows, made / "run", max_steps=2)
    tw.train(raw | {"task": TASK}, progress=False)
    tw.train(raw | {"task": TASK | {"multi_label": True}, "out": str(made / "tags")}, progress=False)
    return made


def tunewright(*arguments: str, **options) -> subprocess.CompletedProcess:
    """A process of its own, as a person starts it."""
    command = [sys.executable, "-m", "tunewright", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


def pipe(monkeypatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))


# --- exit codes ----------------------------------------------------------------------------------------------------

MISTAKES = {
    "verb": (["trian", "inbox.csv"], "No such command 'trian'. Did you mean 'train'?"),
    "flag": (["train", "inbox.csv", "--strateg", "lora"], "--strategy"),
    "flag without value": (["train", "inbox.csv", "--test"], "requires an argument"),
    "missing argument": (["evaluate", "run"], "Missing argument"),
    "no file": (["train", "inbx.csv"], "did you mean 'inbox.csv'?"),
    "no recipe": (["train", "none.yaml"], "none.yaml: cannot be read"),
    "setting": (["train", "inbox.csv", "training.epoch=3"], "did you mean 'epochs'?"),
    "kind": (["train", "inbox.csv", "--strategy", "lorra"], "did you mean 'lora'?"),
    "task": (["train", "inbox.csv", "--task", "sequence_clasification"], "did you mean 'sequence_classification'?"),
    "column": (["train", "inbox.csv", "--label", "topc"], "did you mean 'topic'?"),
    "text column": (["train", "inbox.csv", "--text", "txt"], "did you mean 'text'?"),
    "model": (["train", "inbox.csv", "--model", "minlm", "--out", "x1"], "did you mean 'minilm'?"),
    "finished": (["train", "inbox.csv", "--model", "bert", "--out", "run"], "run: has a finished run"),
    "no run": (["predict", "bert", "--text", "x"], "there is no trained model here"),
    "nothing": (["show", "nowhere"], "nowhere: there is no run here"),
    "two sources": (["predict", "run", "inbox.csv", "--text", "x"], "both --text and a file are given"),
    "no texts": (["predict", "run", "none.txt"], "none.txt: there is no such file"),
    "no labels": (["evaluate", "run", "none.csv"], "none.csv: there is no such file"),
    "import": (["train", "inbox.csv", "--import", "none.py"], "--import none.py: is no Python file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_with_2_a_remedy_and_no_traceback(call, mistake):  # C3
    arguments, said = MISTAKES[mistake]
    code, out, error = call(*arguments)
    assert code == 2
    assert said in error
    assert "Traceback" not in error
    assert out == ""


def test_errors_of_a_recipe_name_the_file(call, home):  # C3
    (home / "bad.yaml").write_text("data: {train: inbox.csv, labl: topic}\ntraining: {sed: 1}\n")
    code, _, error = call("train", "bad.yaml", "strategy.kind=lorra")
    assert code == 2
    first, *others = error.splitlines()
    assert first == "error: bad.yaml: 3 errors"
    assert len(others) == 3


def test_a_process_ends_with_the_same_codes():
    mistaken = tunewright("train", "none.csv")
    assert (mistaken.returncode, mistaken.stdout) == (2, "")
    assert mistaken.stderr.startswith("error: none.csv: there is no such file")
    assert tunewright().returncode == 2  # and it shows the help


def test_a_defect_ends_with_1_and_a_traceback(call, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("tunewright.api.run_train", broken)
    code, _, error = call("train", "inbox.csv")
    assert code == 1
    assert "Traceback" in error
    assert "ZeroDivisionError: ours" in error
    assert "this is a defect of Tunewright" in error


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (
            Interrupted(2, 7),
            130,
            "the checkpoint of step 7 is written; a run goes on with the same command and --resume",
        ),
        (Interrupted(15), 143, "stopped by a signal; a run goes on"),
        (KeyboardInterrupt(), 130, "stopped by a signal"),
        (OSError(28, "No space left on device", "runs/x"), 2, "runs/x: No space left on device; make room"),
        (OSError(22, "Invalid argument"), 1, "this is a defect"),
    ],
)
def test_interruptions_and_full_disks_have_codes_of_their_own(call, monkeypatch, raised, code, said):  # R10, R2
    def broken(*arguments, **options):
        raise raised

    monkeypatch.setattr("tunewright.api.run_train", broken)
    ended, _, error = call("train", "inbox.csv")
    assert ended == code
    assert said in error


# --- train ---------------------------------------------------------------------------------------------------------


def test_train_prints_one_json_object_and_nothing_else(call, home):
    code, out, error = call("train", "inbox.csv", "--model", "bert", "--out", "json", "training.max_steps=1", "--json")
    assert code == 0, error
    told = json.loads(out)
    assert out.count("\n") == 1
    assert told.pop("path") == "json"
    assert told == json.loads((home / "json" / "metrics.json").read_text())


def test_train_tells_people_scores_examples_and_where_to_go_on(call):
    arguments = ["--model", "bert", "--out", "told", "--test", "inbox.csv", "training.max_steps=1"]
    arguments.append("data.allow=[leakage]")
    code, out, error = call("train", "inbox.csv", *arguments)
    assert code == 0, error
    for part in ("validation", "test", "accuracy", "predicted", "told/report.html", "tunewright predict told"):
        assert part in out
    assert "label column: topic" in error  # what was inferred


def test_flags_are_the_settings_they_name(call, home):
    (home / "names.txt").write_text("app\nbilling\ndamage\n")
    arguments = [
        "--test", "inbox.csv", "--validation", "inbox.csv", "--text", "text", "--label", "topic", "--header",
        "--label-names", "names.txt", "--strategy", "lora", "--model", "bert", "--task", "sequence_classification",
        "--out", "flags", "--merge", "training.max_steps=1", "strategy.r=2", "data.allow=[leakage]",
    ]  # fmt: skip
    code, _, error = call("train", "inbox.csv", *arguments)
    assert code == 0, error
    raw = yaml.safe_load((home / "flags" / "run.yaml").read_text())
    data = {"test": "inbox.csv", "validation": "inbox.csv", "text": ["text"], "label": ["topic"], "header": True}
    assert data.items() <= raw["data"].items()
    assert raw["data"]["label_names"] == "names.txt"
    assert (raw["strategy"]["kind"], raw["strategy"]["r"], raw["strategy"]["merge"]) == ("lora", 2, True)
    assert (raw["model"], raw["task"]["kind"], raw["out"]) == ("bert", "sequence_classification", "flags")


def test_a_flag_overrides_a_recipe_and_a_setting_both(call, home):
    recipe = {"model": "bert", "data": {"train": "inbox.csv"}, "strategy": {"kind": "full"}, "out": "elsewhere"}
    (home / "mine.yaml").write_text(yaml.safe_dump(recipe))
    overrides = ["--out", "mine", "--strategy", "lora", "strategy.r=3", "training.max_steps=1"]
    assert call("train", "mine.yaml", *overrides)[0] == 0
    raw = yaml.safe_load((home / "mine" / "run.yaml").read_text())
    assert (raw["strategy"]["kind"], raw["strategy"]["r"], raw["out"]) == ("lora", 3, "mine")
    assert not (home / "elsewhere").exists()


def test_resume_and_overwrite(call, home):
    shutil.copytree(home / "run", home / "again")
    written = (home / "again" / "metrics.json").stat().st_mtime_ns
    command = ["train", "inbox.csv", "--model", "bert", "--out", "again", "training.max_steps=1"]
    code, _, error = call(*command, "--resume")
    assert (code, (home / "again" / "metrics.json").stat().st_mtime_ns) == (0, written)
    assert "is finished already" in error
    assert call(*command, "--overwrite")[0] == 0
    assert (home / "again" / "metrics.json").stat().st_mtime_ns != written


# --- predict -------------------------------------------------------------------------------------------------------


def answers(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_predict_answers_texts(call):
    code, out, _ = call("predict", "run", "--text", "invoice money", "--text", "app\tlogin")
    assert code == 0
    label, probability, text = out.splitlines()[0].split("\t")
    assert (label in ("app", "billing", "damage"), text) == (True, "invoice money")
    assert 1 / 3 < float(probability) <= 1
    assert len(out.splitlines()) == 2


def test_predict_gives_a_json_object_a_line(call):
    _, out, _ = call("predict", "run", "--json", "--text", "invoice\nmoney", "--text", "ü")
    first, second = answers(out)
    assert set(first) == {"text", "label", "probability", "probabilities"}
    assert first["text"] == "invoice\nmoney"
    assert first["probabilities"][first["label"]] == first["probability"] == max(first["probabilities"].values())
    assert sum(second["probabilities"].values()) == pytest.approx(1)
    assert '"ü"' in out
    assert set(answers(call("predict", "tags", "--json", "--text", "x")[1])[0]) == {"text", "labels", "probabilities"}


def test_predict_reads_every_kind_of_input_alike(call, home, monkeypatch):
    (home / "texts.txt").write_bytes("\ufeffinvoice money\r\n\r\nbox broken\n".encode())
    (home / "texts.csv").write_text("id,text\n1,invoice money\n2,box broken\n")
    (home / "texts.jsonl").write_text('{"text": "invoice money"}\n{"text": "box broken"}\n')
    expected = call("predict", "run", "--json", "--text", "invoice money", "--text", "box broken")[1]
    for file in ("texts.txt", "texts.csv", "texts.jsonl"):
        assert call("predict", "run", "--json", file)[1] == expected, file
    for arguments in ((), ("-",)):
        pipe(monkeypatch, (home / "texts.txt").read_bytes())
        assert call("predict", "run", "--json", *arguments)[1] == expected


def test_predict_of_nothing_is_nothing(call, monkeypatch):
    pipe(monkeypatch, b"\n\n")
    assert call("predict", "run") == (0, "", "")


def test_predict_names_the_line_that_is_no_utf8(call, monkeypatch):
    pipe(monkeypatch, b"fine\nna\xefve\n")
    code, _, error = call("predict", "run")
    assert code == 2
    assert error.startswith("error: standard input, line 2: is not UTF-8")


def test_a_reader_that_leaves_early_is_no_error(home):
    texts = "invoice money\n" * 3000
    command = [sys.executable, "-m", "tunewright", "predict", "run", "--json"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home, text=True
    )
    process.stdin.write(texts)
    process.stdin.close()
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait() == 0
    assert "Traceback" not in error
    assert "BrokenPipe" not in error


# --- evaluate, show, schema ----------------------------------------------------------------------------------------


def test_evaluate_prints_a_table_or_one_json_object(call):
    code, out, _ = call("evaluate", "run", "inbox.csv")
    assert code == 0
    assert "inbox.csv" in out
    assert "accuracy" in out
    code, out, _ = call("evaluate", "run", "inbox.csv", "--json")
    scores = json.loads(out)
    assert (code, out.count("\n"), scores["num_rows"]) == (0, 1, 48)
    assert scores == json.loads(json.dumps(tw.evaluate("run", "inbox.csv")))


def test_show_tells_what_a_run_is_and_how_it_did(call, home):
    code, out, _ = call("show", "run")
    assert code == 0
    for part in ("sequence_classification, full", "max_steps: 2", "accuracy", "run/report.html"):
        assert part in out
    code, out, _ = call("show", "run", "--json")
    assert (code, json.loads(out)) == (0, json.loads((home / "run" / "metrics.json").read_text()))


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["metrics.json"], "the run is not finished; finish it with its train command and --resume"),
        (["metrics.json", "run.yaml"], "there is no run here; give the directory of a run"),
        (["run.yaml"], "a file is unreadable"),
    ],
)
def test_show_of_what_is_no_finished_run(call, home, tmp_path, missing, said):
    run = shutil.copytree(home / "run", tmp_path / "copy")
    for name in missing:
        os.unlink(run / name)
    code, _, error = call("show", str(run))
    assert (code, said in error) == (2, True)


def test_show_of_a_damaged_run_is_told_as_such(call, home, tmp_path):
    run = shutil.copytree(home / "run", tmp_path / "copy")
    (run / "metrics.json").write_text('{"vali')
    code, _, error = call("show", str(run))
    assert (code, "a file is unreadable" in error) == (2, True)


def test_schema_is_a_json_schema_of_the_whole_configuration(call):
    code, out, _ = call("schema")
    schema = json.loads(out)
    assert code == 0
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == {*tw.RunConfig.model_fields, "stages"}
    assert schema["additionalProperties"] is False
    assert schema["anyOf"] == [{"required": ["data"]}, {"required": ["stages"]}]
    described = schema["$defs"]["DataConfig"]["properties"] | schema["$defs"]["TrainingConfig"]["properties"]
    assert all(field.get("description") for field in described.values())


def test_the_version_is_the_distributions(capsys):
    add_verbs()
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"tunewright {version('tunewright')}\n"
