"""Checkpoints are whole or not at all, and nobody else's."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

import tunewright as tw
from tests.conftest import assert_same_weights, settings, weights_of, write_rows
from tests.training.test_resume import Heard, killed
from tunewright.config import load
from tunewright.errors import CheckpointError
from tunewright.run import train
from tunewright.tasks.base import Metric
from tunewright.training import checkpoint
from tunewright.training.checkpoint import Checkpoints, DamagedError, read
from tunewright.training.state import best_evaluation


def tensors(value: float = 1.0) -> dict:
    return {"weight": torch.full((4, 3), value)}


def saved(folder: Path, *steps: int, run_id: str = "a" * 32) -> Checkpoints:
    checkpoints = Checkpoints(folder, run_id)
    for step in steps:
        checkpoints.save({"step": step}, tensors(step), {"exp_avg/weight": torch.zeros(4, 3)})
    return checkpoints


def newest_step(checkpoints: Checkpoints, warnings: list | None = None) -> int | None:
    found = checkpoints.newest((warnings if warnings is not None else []).append)
    return found.state["step"] if found else None


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> str:
    """An undisturbed run like those of `small`."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWRIGHT_CACHE", str(folder / "cache"))
        tw.train(settings(tiny, write_rows(folder / "inbox.csv"), folder / "run"), progress=False)
    return str(folder / "run")


def test_what_is_written_is_read(tmp_path):
    checkpoints = saved(tmp_path, 3)
    found = checkpoints.newest(print)
    assert torch.equal(found.model["weight"], tensors(3)["weight"])
    assert set(found.optimizer) == {"exp_avg/weight"}
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path):  # R1
    """In a container the next process often has the number of the one before."""
    left = tmp_path / f".step-00000003.{os.getpid()}.tmp"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert newest_step(saved(tmp_path, 3)) == 3
    assert not left.exists()


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_used(tmp_path, file, damage):  # R3
    checkpoints = saved(tmp_path, 2, 4)
    path = tmp_path / "step-00000004" / file
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 0b100
    path.write_bytes(bytes(content))
    warnings: list[str] = []
    assert newest_step(checkpoints, warnings) == 2
    if file != "manifest.json" or damage == "truncate":
        assert any(file in text and "step-00000004" in text for text in warnings)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_missing_file_is_refused(tmp_path, file):  # R4
    checkpoints = saved(tmp_path, 2, 4)
    (tmp_path / "step-00000004" / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        newest_step(checkpoints)


def test_a_missing_optimizer_can_be_allowed_by_name(small):  # R4
    raw = small(checkpoint_every=2)
    killed(raw, 3)
    (path,) = Path(raw["out"]).glob("checkpoints/*/optimizer.safetensors")
    path.unlink()
    with pytest.raises(CheckpointError, match="--allow-missing optimizer"):
        tw.train(raw, progress=False, resume=True)
    result = tw.train(raw, progress=False, resume=True, allow_missing=("optimizer",))
    assert result.metrics["stopped"] == "completed"


def test_there_is_no_random_state_to_lose(small, whole):  # R4, R5: every step draws from (seed, step, process)
    noisy = small("noisy", checkpoint_every=2)
    killed(noisy, 3)
    torch.manual_seed(12345)
    torch.rand(100)
    tw.train(noisy, progress=False, resume=True)
    assert_same_weights(whole, noisy["out"])


def test_a_full_disk_leaves_the_checkpoint_before_and_a_clear_error(tmp_path):  # R2
    """On a real, small file system where mounting is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        checkpoints = saved(disk, 2)
        with pytest.raises(CheckpointError, match="make room") as caught:
            checkpoints.save({"step": 4}, {"weight": torch.zeros(1024, 1024)}, None)
        assert caught.value.exit_code != 0
        assert newest_step(checkpoints) == 2
        assert [path.name for path in disk.iterdir()] == ["step-00000002"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_without_a_file_system_of_its_own(tmp_path, monkeypatch):  # R2
    checkpoints = saved(tmp_path, 2)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_json", full)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoints.save({"step": 4}, tensors(), None)
    monkeypatch.undo()
    assert newest_step(checkpoints) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_checkpoints_of_another_run_are_left_alone(tmp_path):  # R7
    theirs = saved(tmp_path, 3, 999, run_id="b" * 32)
    ours = saved(tmp_path, 3, 5)
    assert newest_step(ours) == 5
    ours.prune(best_step=None)
    assert [path.name for path in theirs.ours()] == ["step-00000003", "step-00000999"]
    assert newest_step(theirs) == 999
    assert newest_step(ours) == 5
    assert [read(path).state["run_id"][0] for path in ours.ours()] == ["a"]


def test_a_stale_checkpoint_does_not_disturb_a_new_run(small, whole):  # R7
    raw = small("run", checkpoint_every=2)
    saved(Path(raw["out"]) / "checkpoints", 999, run_id="c" * 32)
    tw.train(raw, progress=False)
    assert (Path(raw["out"]) / "checkpoints" / "step-00000999").is_dir()
    assert_same_weights(whole, raw["out"])


def test_best_and_last_both_survive_and_the_best_is_what_is_saved(small, monkeypatch):  # R8
    from tunewright import fitting as run

    raw = small(checkpoint_every=1, evaluate_every=3)
    scores = iter([0.2, 0.9, 0.1, 0.4])  # at steps 3, 6, 9, 12
    monkeypatch.setattr(run, "validate", lambda session, model, state: {"accuracy": next(scores), "loss": 1.0})
    result = tw.train(raw, progress=False)
    assert result.metrics["best_step"] == 6
    assert result.metrics["best_metric"] == {"name": "accuracy", "value": 0.9}
    names = sorted(path.name for path in Path(raw["out"]).glob("checkpoints/step-*"))
    assert names == ["step-00000006", "step-00000012"]
    monkeypatch.undo()
    best = read(Path(raw["out"]) / "checkpoints" / "step-00000006", ("optimizer",)).model
    final = weights_of(raw["out"])
    assert all(torch.equal(value, final[f"model.safetensors/{name}"]) for name, value in best.items())


def test_the_best_checkpoint_reloads_to_its_recorded_score(small):  # R8
    raw = small(evaluate_every=2, checkpoint_every=2)
    result = tw.train(raw, progress=False)
    lines = [json.loads(line) for line in (result.path / "history.jsonl").read_text().splitlines()]
    recorded = {line["step"]: line["validation"] for line in lines if "validation" in line}
    best = recorded[result.metrics["best_step"]]
    assert result.metrics["validation"]["accuracy"] == best["accuracy"] == max(r["accuracy"] for r in recorded.values())
    assert result.metrics["validation"]["loss"] == pytest.approx(best["loss"], abs=1e-9)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_nan_is_never_the_best(place):  # R9
    values = [0.5, 0.7, 0.6]
    values[place] = float("nan")
    evaluations = [{"step": step, "validation": {"f1": value, "loss": 1.0}} for step, value in enumerate(values)]
    best = best_evaluation(evaluations, Metric("f1"))
    assert best["validation"]["f1"] == max(value for value in values if value == value)
    assert best_evaluation([evaluations[place]], Metric("f1")) is None


def test_a_metric_that_is_nan_throughout_does_not_break_a_run(small, monkeypatch):  # R9
    from tunewright import fitting as run

    monkeypatch.setattr(run, "validate", lambda session, model, state: {"accuracy": float("nan"), "loss": float("nan")})
    result = tw.train(small(), progress=False)
    assert result.metrics["best_step"] == result.metrics["steps"]
    assert result.metrics["best_metric"] is None
    assert "NaN" not in (result.path / "history.jsonl").read_text()


def test_equal_scores_are_decided_by_the_lower_loss():
    evaluations = [
        {"step": step, "validation": {"accuracy": 0.8, "loss": loss}} for step, loss in [(1, 0.5), (2, 0.4), (3, 0.6)]
    ]
    assert best_evaluation(evaluations, Metric("accuracy"))["step"] == 2


def test_a_checkpoint_appears_in_one_move(tmp_path, monkeypatch):  # R1
    checkpoints = Checkpoints(tmp_path, "a" * 32)
    real, before = os.rename, []

    def rename(source, target):
        before.append(([path.name for path in tmp_path.glob("step-*")], sorted(os.listdir(source))))
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    checkpoints.save({"step": 1}, tensors(), None)
    assert before == [([], ["manifest.json", "model.safetensors", "state.json"])]


def test_a_malicious_pickle_in_a_checkpoint_is_never_read(tmp_path):  # S1
    checkpoints = saved(tmp_path, 1)
    folder = tmp_path / "step-00000001"
    (folder / "optimizer.safetensors").write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path) + b"/owned'\ntR.")
    with pytest.raises(DamagedError):
        read(folder)
    assert newest_step(checkpoints) is None
    assert not (tmp_path / "owned").exists()


def test_damage_is_said_in_the_run(small, whole):  # R3
    raw = small(checkpoint_every=2, keep_checkpoints=3)
    killed(raw, 7)
    newest = sorted(Path(raw["out"]).glob("checkpoints/step-*"))[-1]
    (newest / "model.safetensors").write_bytes(b"")
    heard = Heard()
    result = train(load(raw), resume=True, listener=heard)
    assert any("model.safetensors is damaged" in text for text in heard.notes)
    assert "continuing from step 4" in heard.notes
    assert any("is damaged" in text for text in result.metrics["warnings"])
    assert_same_weights(whole, result.path)
