"""What the campaigns of docs/promises.md found, a test for each class: damage is told or mended, nothing is lost."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from pathlib import Path

import pytest

import tunewright as tw
from tests.conftest import assert_same_weights, make_model, settings, write_rows
from tests.language_models import make_language_model
from tests.matrix.language import files_for
from tests.test_security import load_all, sign
from tunewright import artifact, report
from tunewright.cli.predict import put
from tunewright.config import load
from tunewright.desk import splitting
from tunewright.errors import CheckpointError, ConfigError, ModelError, RunDirectoryError, TunewrightError
from tunewright.files import replacing_folder

DEEP = b"[" * 100_000
POOLED = {"kind": "sequence_classification", "pooling": "mean"}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A tiny BERT, rows, and a finished LoRA run of both."""
    made = tmp_path_factory.mktemp("home")
    make_model(made / "bert")
    tw.train(configuration(made, made / "run"), progress=False)
    return made


def configuration(home: Path, out: Path) -> dict:
    rows = str(home / "rows.csv") if (home / "rows.csv").exists() else write_rows(home / "rows.csv")
    raw = settings(str(home / "bert"), rows, out, max_steps=2, checkpoint_every=1)
    raw["data"] |= {"check_seconds": 5, "allow": ["leakage"]}
    return raw | {"strategy": "lora", "task": POOLED}


@pytest.fixture
def run(home, tmp_path) -> Path:
    return Path(shutil.copytree(home / "run", tmp_path / "run"))


def unfinished(run: Path) -> None:
    for name in (".lock", "metrics.json", "report.html", "README.md"):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "model")


def edited(path: Path, **changes) -> None:
    known = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in known.items() if value != "left out"}))


MANIFESTS = {
    "no_base": {"base": "left out"},
    "no_columns": {"columns": None},
    "columns_without_labels": {"columns": {"text": ["text"], "label": None, "label_delimiter": None}},
    "a_list_for_a_length": {"max_length": [16]},
    "a_list_for_a_form": {"form": ["full"]},
}


@pytest.mark.parametrize("changes", MANIFESTS.values(), ids=MANIFESTS)
def test_a_manifest_of_other_values_is_told(run, changes):
    edited(run / "model" / artifact.MANIFEST, **changes)
    with pytest.raises(ModelError, match="unreadable"):
        tw.load(run)


SIGNED = {
    "adapter_model.safetensors": b"\x09\0\0\0\0\0\0\0{}",
    "head.safetensors": b"no safetensors",
    "tokenizer.json": b'{"truncation": "", "model": 1}',
    "tokenizer_config.json": b'{"model_max_length": [1], "tokenizer_class": "PreTrainedTokenizerFast"}',
    "adapter_config.json": b'{"peft_type": "LORA", "target_modules": "[", "r": 4}',
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_damaged_file_under_a_right_checksum_is_told(run, name):
    (run / "model" / name).write_bytes(SIGNED[name])
    sign(run / "model")
    with pytest.raises(ModelError):
        tw.load(run)


BASES = {
    "nested": ("config.json", DEEP),
    "a_billion_layers": ("config.json", b'{"model_type": "bert", "num_hidden_layers": 1000000000}'),
    "no_dtype": ("config.json", b'{"model_type": "bert", "torch_dtype": ""}'),
    "tokenizer": ("tokenizer.json", b'{"version": "1.0", "post_processor": {"type": "x"}, "model": {}}'),
}


@pytest.mark.parametrize(("name", "content"), BASES.values(), ids=BASES)
def test_a_damaged_pretrained_model_is_told(home, tmp_path, name, content):
    folder = Path(shutil.copytree(home / "bert", tmp_path / "bert"))
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError):
        load_all(folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", DEEP, b'{"run_id": 1, "fingerprint": {}}'])
def test_a_run_that_lost_its_name_is_not_gone_on_with(home, run, content):  # R6
    unfinished(run)
    (run / "checkpoints" / "run.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"run\.json: is damaged; restore a copy"):
        tw.train(configuration(home, run), progress=False, resume=True)


@pytest.mark.parametrize("content", [b"\xff\n", DEEP + b"\n", b'{"step"'])
def test_what_only_people_read_may_be_damaged(home, run, content):
    unfinished(run)
    for name in ("history.jsonl", "checks.json", "run.yaml", "data.json"):
        (run / name).write_bytes(content)
    (run / "run.yaml").unlink()
    tw.train(configuration(home, run), progress=False, resume=True)
    assert_same_weights(home / "run", run)
    assert "rules" in json.loads((run / "checks.json").read_text())


@pytest.mark.parametrize("content", [b"", b"\xff", DEEP, b"[]"])
def test_a_finished_run_whose_scores_are_damaged_is_told(home, run, call, content):
    (run / "metrics.json").write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"metrics\.json"):
        tw.train(configuration(home, run), progress=False, resume=True)
    with pytest.raises(RunDirectoryError, match=r"metrics\.json"):
        report.write(run)
    assert call("show", str(run))[0] == 2


def test_scores_of_something_else_are_told(run, call):
    (run / "metrics.json").write_text('{"model": "a"}')
    code, _, said = call("show", str(run))
    assert code == 2
    assert "holds not what a run writes (KeyError: 'task')" in said


def test_an_unknown_key_with_a_dot_is_told():
    with pytest.raises(ConfigError, match=r"a.b: unknown key"):
        load({"data": {"train": "a.csv"}, "a.b": 1})


def test_what_a_kill_left_is_swept_and_what_it_kept_from_being_written_is_written(home, run):  # R1
    (run / "report.html").unlink()
    tw.train(configuration(home, run), progress=False, resume=True)
    assert (run / "report.html").is_file()
    unfinished(run)
    (run / ".findings.jsonl.123.tmp").write_text("half")
    (run / ".model.123.tmp").mkdir()
    (run / ".mine.tmp").write_text("not ours")
    last = max((run / "checkpoints").glob("step-*"))
    shutil.copytree(last, last.with_name("step-00000001"), dirs_exist_ok=True)  # killed before it was pruned
    tw.train(configuration(home, run), progress=False, resume=True)
    assert [path.name for path in (run / "checkpoints").glob("step-*")] == [last.name]
    assert [path.name for path in run.glob(".*.tmp")] == [".mine.tmp"]


def test_blocks_of_an_encoder_decoder_that_stay_frozen_for_two_epochs(tmp_path):  # R5
    """T5 says nothing without an answer, so its frozen blocks cannot be proven to be skippable."""
    raw = {
        "model": str(make_language_model(tmp_path / "t5", "t5")), "strategy": {"kind": "freeze", "blocks": 1},
        "data": files_for("seq2seq", tmp_path), "task": {"kind": "seq2seq", "score_answers": 0},
        "training": {"epochs": 2, "batch_size": 24, "precision": "fp32", "learning_rate": 1e-3},
        "out": str(tmp_path / "run"),
    }  # fmt: skip
    assert tw.train(raw, progress=False).metrics["steps"] == 2


class AlmostFull(io.FileIO):
    """Takes three bytes at a time, and `room` in all."""

    room = 100

    def write(self, content) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(content[: min(3, self.room)])
        return super().write(content[:3])


def test_answers_that_do_not_fit_leave_whole_lines(tmp_path):  # R2
    with AlmostFull(tmp_path / "answers.txt", "w") as file:
        put(file, b"a first line\n")
        file.room = 5
        with pytest.raises(OSError, match="No space left"):
            put(file, b"a second line\n")
    assert (tmp_path / "answers.txt").read_bytes() == b"a first line\n"


@pytest.mark.parametrize("said", ["I/O error: No space left on device (os error 28)", "No space left (os error 28)"])
def test_a_full_disk_that_a_library_in_rust_meets_is_a_full_disk(tmp_path, said):  # R2
    """safetensors and tokenizers raise errors of their own; the command line ends with 2 for what the disk says."""
    with pytest.raises(OSError, match="No space left") as caught, replacing_folder(tmp_path / "model"):
        raise Exception(said)
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_a_split_that_cannot_take_its_place_leaves_the_one_before(tmp_path, monkeypatch):  # R2
    out = tmp_path / "parts"
    out.mkdir()
    (out / splitting.MANIFEST).write_text('{"parts": {}}')
    replace = os.replace

    def full(source, target):
        if Path(target) == out and not out.exists() and "tmp" in Path(source).name:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TunewrightError, match="No space left"), splitting.fresh_folder(out, True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
    assert (out / splitting.MANIFEST).is_file()
