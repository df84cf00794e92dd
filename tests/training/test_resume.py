"""Stopped anywhere, a run ends in the uninterrupted run's weights; what is not that run is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tunewright as tw
from tests.conftest import assert_same_weights, write_rows
from tunewright.config import load
from tunewright.errors import CheckpointError, Interrupted, RunDirectoryError
from tunewright.run import train
from tunewright.training.progress import Listener


class Killed(BaseException):
    """Stands for SIGKILL at a chosen moment: nothing in the code may catch it."""


class KillAt(Listener):
    """Ends the run right after a step, before anything of it is saved."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, state, log) -> None:
        if state.step == self.step:
            raise Killed


class Heard(Listener):
    """Collects what the run says."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def killed(raw: dict, step: int, **options) -> None:
    with pytest.raises(Killed):
        train(load(raw), listener=KillAt(step), **options)


# 44 rows of training, batch 8: 6 steps an epoch, 12 in all
@pytest.mark.parametrize(("micro", "step"), [(8, 2), (4, 4), (2, 6), (8, 7), (4, 11), (2, 12)])
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(small, micro, step):  # R5
    whole = small("whole", micro_batch_size=micro, checkpoint_every=2)
    tw.train(whole, progress=False)
    cut = small("cut", micro_batch_size=micro, checkpoint_every=2)
    killed(cut, step)
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])
    assert history(whole) == history(cut)


def test_a_run_by_tokens_resumes_bitwise(small):  # R5
    how = {"batch_size": "auto", "batch_tokens": 60, "micro_batch_tokens": 40, "checkpoint_every": 2}
    whole, cut = small("whole", **how), small("cut", **how)
    result = tw.train(whole, progress=False)
    rows = [json.loads(line) for line in (result.path / "history.jsonl").read_text().splitlines()]
    tokens = [line["tokens_per_second"] / line["rows_per_second"] for line in rows if "loss" in line]
    assert len({round(value, 3) for value in tokens}) > 2
    killed(cut, 7)
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])
    assert history(whole) == history(cut)
    again = yaml.safe_load((result.path / "run.yaml").read_text())
    assert (again["training"]["batch_size"], again["training"]["batch_tokens"]) == (None, 60)
    assert load(again | {"out": "again"}).training.micro_batch_tokens == 40


def history(raw: dict) -> list[tuple]:
    lines = [json.loads(line) for line in (Path(raw["out"]) / "history.jsonl").read_text().splitlines()]
    return [(line["step"], line.get("loss"), line.get("validation")) for line in lines]


@pytest.mark.parametrize("strategy", ["full", "lora", "feature_extraction"])
def test_two_interruptions_with_every_strategy(small, strategy):  # R5
    task = {"kind": "sequence_classification", "pooling": "mean"}
    whole = small("whole", strategy, task, checkpoint_every=3)
    tw.train(whole, progress=False)
    cut = small("cut", strategy, task, checkpoint_every=3)
    if strategy != "feature_extraction":
        killed(cut, 5)
        killed(cut, 9, resume=True)
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])


def test_every_row_exactly_once_per_epoch_also_across_a_resume(small, monkeypatch):  # R5
    from tunewright.training.loop import Loop

    raw = small(checkpoint_every=1)
    seen: list[tuple[int, int]] = []
    real = Loop.batches

    def batches(self):
        made, share = real(self)
        seen.extend((self.state.step, row) for batch in made for row in batch.rows)
        return made, share

    monkeypatch.setattr(Loop, "batches", batches)
    killed(raw, 5)
    steps_lost = {5 - 1}  # the step that was killed before its checkpoint is taken again
    kept = [(step, row) for step, row in seen if step not in steps_lost]
    seen.clear()
    tw.train(raw, progress=False, resume=True)
    rows = [row for step, row in kept + seen if step < 6]
    count = len(set(rows))
    assert sorted(rows) == list(range(count))


def test_a_kill_while_saving_leaves_the_checkpoint_before(small, monkeypatch):  # R1
    from tunewright.training import checkpoint

    whole = small("whole", checkpoint_every=2)
    tw.train(whole, progress=False)
    raw = small("cut", checkpoint_every=2)
    real = checkpoint.write_files

    def half(folder, state, tensors):
        if state["step"] == 6:
            (folder / "model.safetensors").write_bytes(b"half a file")
            os.kill(os.getpid(), 0)
            raise Killed
        real(folder, state, tensors)

    monkeypatch.setattr(checkpoint, "write_files", half)
    monkeypatch.setattr("shutil.rmtree", lambda *a, **k: None)  # a killed process cleans nothing up
    with pytest.raises(Killed):
        train(load(raw))
    monkeypatch.undo()
    os.environ["HF_HUB_OFFLINE"] = "1"
    heard = Heard()
    train(load(raw), resume=True, listener=heard)
    assert "continuing from step 4" in heard.notes
    assert_same_weights(whole["out"], raw["out"])
    assert not list(Path(raw["out"], "checkpoints").glob(".*.tmp"))


COMMAND = """
import sys, yaml
import tunewright as tw
tw.train(yaml.safe_load(open(sys.argv[1])), resume="--resume" in sys.argv, progress=True)
"""


def start(raw: dict, tmp_path: Path, *flags: str) -> subprocess.Popen:
    """The run in a process of its own, through the command line."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "tunewright", "train", str(recipe), *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Until something is there and not empty; the process ending first is a failure."""
    while not any(found.stat().st_size for found in path.parent.glob(path.name)):
        assert process.poll() is None, process.stderr.read()


def test_sigkill_of_a_real_process(small, tmp_path):  # R1
    whole, raw = small("whole", epochs=6, checkpoint_every=1), small("cut", epochs=6, checkpoint_every=1)
    tw.train(whole, progress=False)
    process = start(raw, tmp_path)
    wait_for(Path(raw["out"]) / "checkpoints" / "step-*", process)
    process.kill()
    process.wait()
    assert not (Path(raw["out"]) / "metrics.json").exists()
    tw.train(raw, progress=False, resume=True)
    assert_same_weights(whole["out"], raw["out"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_writes_a_checkpoint_and_says_how_to_go_on(small, tmp_path, number, code):  # R10
    whole, raw = small("whole", epochs=40, checkpoint_every=500), small("cut", epochs=40, checkpoint_every=500)
    process = start(raw, tmp_path)
    wait_for(Path(raw["out"]) / "history.jsonl", process)
    process.send_signal(number)
    _, error = process.communicate()
    assert process.returncode == code, error
    assert "--resume" in error
    assert "Traceback" not in error
    assert list(Path(raw["out"]).glob("checkpoints/step-*"))
    tw.train(raw, progress=False, resume=True)
    tw.train(whole, progress=False)
    assert_same_weights(whole["out"], raw["out"])


def test_a_second_signal_ends_at_once():  # R10
    from tunewright.training.signals import StopRequest

    code = "\n".join(
        [
            "import os, signal",
            "from tunewright.training.signals import StopRequest",
            "with StopRequest() as stop:",
            "    os.kill(os.getpid(), signal.SIGINT)",
            "    assert stop.signal_number == signal.SIGINT",
            "    os.kill(os.getpid(), signal.SIGINT)",
            "    print('still here')",
        ]
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 130
    assert "still here" not in ended.stdout
    before = signal.getsignal(signal.SIGINT)
    with StopRequest():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_interrupted_in_evaluation_evaluates_again(small, monkeypatch):  # R5, R10
    from tunewright import fitting as run

    whole, raw = small("whole"), small("cut")
    tw.train(whole, progress=False)
    real, calls = run.validate, []

    def validate(session, model, state):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return real(session, model, state)

    monkeypatch.setattr(run, "validate", validate)
    with pytest.raises(Killed):
        train(load(raw))
    monkeypatch.setattr(run, "validate", real)
    tw.train(raw, progress=False, resume=True)
    assert_same_weights(whole["out"], raw["out"])
    assert history(whole) == history(raw)


CHANGES = {
    "batch_size": lambda raw: raw["training"].update(batch_size=4),
    "seed": lambda raw: raw["training"].update(seed=3),
    "learning_rate": lambda raw: raw["training"].update(learning_rate=1e-4),
    "strategy": lambda raw: raw.update(strategy="lora"),
    "data.train": lambda raw: write_rows(Path(raw["data"]["train"]), seed=5),
}


@pytest.mark.parametrize("what", CHANGES)
def test_another_run_is_refused_and_the_difference_is_named(small, what):  # R6
    raw = small(checkpoint_every=2)
    killed(raw, 3)
    CHANGES[what](raw)
    with pytest.raises(CheckpointError, match=what) as caught:
        tw.train(raw, progress=False, resume=True)
    assert "not the same run" in str(caught.value)


@pytest.mark.parametrize(("file", "named"), [("model.safetensors", "model weights"), ("tokenizer.json", "tokenizer")])
def test_another_model_or_tokenizer_is_refused(small, tmp_path, file, named):  # R6
    import shutil

    raw = small(checkpoint_every=2)
    copy = tmp_path / "copy"
    shutil.copytree(raw["model"], copy)
    raw["model"] = str(copy)
    killed(raw, 3)
    content = (copy / file).read_bytes()
    changed = content[:-1] + bytes([content[-1] ^ 1]) if file.endswith("safetensors") else content + b"\n"
    (copy / file).write_bytes(changed)
    with pytest.raises(CheckpointError, match=named):
        tw.train(raw, progress=False, resume=True)


def test_more_checkpoints_may_be_kept_by_a_resumed_run(small):  # R6: not everything matters
    raw = small(checkpoint_every=2)
    killed(raw, 3)
    raw["training"] |= {"keep_checkpoints": 3, "checkpoint_every": 3}
    assert tw.train(raw, progress=False, resume=True).metrics["stopped"] == "completed"


def test_a_finished_run_is_never_overwritten_unasked(small):  # R11
    raw = small()
    tw.train(raw, progress=False)
    before = (Path(raw["out"]) / "metrics.json").read_bytes()
    with pytest.raises(RunDirectoryError, match="finished run"):
        tw.train(raw, progress=False)
    assert (Path(raw["out"]) / "metrics.json").read_bytes() == before
    assert tw.train(raw, progress=False, resume=True).metrics == json.loads(before)
    tw.train(raw, progress=False, overwrite=True)
    assert (Path(raw["out"]) / "metrics.json").read_bytes() != before


def test_an_unfinished_run_is_not_started_over_unasked(small):  # R11
    raw = small(checkpoint_every=2)
    killed(raw, 3)
    with pytest.raises(RunDirectoryError, match="--resume"):
        tw.train(raw, progress=False)


def test_a_second_process_is_refused(small):  # R11
    from tunewright.files import exclusive

    raw = small()
    lines = ["from pathlib import Path", "from tunewright.files import exclusive"]
    lines += [f"with exclusive(Path({raw['out']!r}, '.lock')) as free:", "    print(free, flush=True)", "    input()"]
    code = "\n".join(lines)
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline().strip() == "True"
    with pytest.raises(RunDirectoryError, match="another process"):
        tw.train(raw, progress=False)
    other.kill()
    other.wait()
    with exclusive(Path(raw["out"], ".lock")) as free:  # the lock dies with its owner
        assert free


def test_the_default_directory_is_numbered_and_resume_finds_the_last(tmp_path, monkeypatch):  # R11
    from tunewright.directory import default_out

    monkeypatch.chdir(tmp_path)
    assert default_out("data/in box.csv.gz", "lora", False) == Path("runs/in-box-lora")
    Path("runs/in-box-lora").mkdir(parents=True)
    assert default_out("in box.csv", "lora", False) == Path("runs/in-box-lora-2")
    Path("runs/in-box-lora-2").mkdir()
    assert default_out("in box.csv", "lora", True) == Path("runs/in-box-lora-2")


def test_interrupted_knows_its_exit_code():
    assert Interrupted(signal.SIGTERM).exit_code == 143
