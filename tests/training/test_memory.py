"""Memory that runs out costs time, never a run: the same step in smaller micro-batches, and the same update (N8)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import tunewright as tw
from tests.conftest import WORDS, assert_same_weights, weights_of
from tests.tasks.test_causal_lm import configured
from tests.training.test_resume import Heard, killed
from tunewright.config import load
from tunewright.errors import OutOfMemoryError
from tunewright.files import read_mapping
from tunewright.run import train
from tunewright.tasks.base import Batch, Features, Loss
from tunewright.training import memory
from tunewright.training.state import State

REFUSED = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"


def most_rows(monkeypatch, most: int, after: int = 0, error: BaseException | None = None) -> list[int]:
    """A machine whose memory holds so many rows of a training step, from some call on; what was tried."""
    from tunewright.tasks.causal_lm import CausalLM
    from tunewright.tasks.sequence_classification import SequenceClassification

    tried: list[int] = []
    for kind in (CausalLM, SequenceClassification):
        real = kind.objective

        def objective(self, model, batch: Batch, real=real):
            found = real(self, model, batch)
            tried.append(len(batch.features))
            if len(batch.features) > most and len(tried) > after:
                raise error or RuntimeError(REFUSED)
            return found

        monkeypatch.setattr(kind, "objective", objective)
    return tried


@pytest.mark.parametrize("error", [RuntimeError(REFUSED), MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_step_that_does_not_fit_is_done_again_in_smaller_parts(small, monkeypatch, error):  # N8, N2
    """With dropout: a step is seeded anew, so that it draws what a run with small micro-batches draws."""
    few, many = small("few", micro_batch_size=2), small("many", micro_batch_size=8)
    tw.train(few, progress=False)
    tried = most_rows(monkeypatch, 2, error=error)
    metrics = tw.train(many, progress=False).metrics
    assert_same_weights(few["out"], many["out"])
    assert tried[:3] == [8, 4, 2]
    assert max(tried[3:]) == 2  # kept for the rest of the run
    assert [warning for warning in metrics["warnings"] if "at most 2, with the same batch size" in warning]
    assert {line["micro_batch_size"] for line in history(many) if "loss" in line} == {2}
    assert not [line for line in history(few) if "micro_batch_size" in line]


def history(raw: dict) -> list[dict]:
    return [json.loads(line) for line in (Path(raw["out"]) / "history.jsonl").read_text().splitlines()]


def test_packs_become_smaller_too(tmp_path, monkeypatch):  # N8, N2
    whole, cut = (configured(tmp_path, name=name, max_steps=3, dropout=0) for name in ("whole", "cut"))
    tw.train(whole, progress=False)
    tried = most_rows(monkeypatch, 2)
    metrics = tw.train(cut, progress=False).metrics
    assert max(tried) > 2 >= tried[-1]
    assert any("tokens in a forward pass" in warning for warning in metrics["warnings"])
    left, right = weights_of(whole["out"]), weights_of(cut["out"])
    assert max(float((left[name] - right[name]).abs().max()) for name in left) < 2e-6


def test_a_resumed_run_keeps_the_smaller_parts(small, monkeypatch):  # R5, N8
    whole, cut = (small(name, micro_batch_size=8, checkpoint_every=2) for name in ("whole", "cut"))
    with monkeypatch.context() as patch:
        most_rows(patch, 4, after=2)  # in step 3
        tw.train(whole, progress=False)
    with monkeypatch.context() as patch:
        most_rows(patch, 4, after=2)
        killed(cut, 7)
    tried = most_rows(monkeypatch, 8)
    tw.train(cut, progress=False, resume=True)
    assert max(tried) == 4
    assert_same_weights(whole["out"], cut["out"])


def test_a_run_may_be_continued_with_smaller_parts(small, monkeypatch):
    """After the kernel has killed it, which nothing can catch."""
    raw = small(checkpoint_every=2)
    killed(raw, 3)
    raw["training"]["micro_batch_size"] = 2
    tried = most_rows(monkeypatch, 8)
    tw.train(raw, progress=False, resume=True)
    assert max(tried) == 2


def test_a_row_that_does_not_fit_is_named(small, monkeypatch):  # N8
    raw = small(micro_batch_size=4, checkpoint_every=2)
    most_rows(monkeypatch, 0, after=2 * 2)
    with pytest.raises(OutOfMemoryError, match=r"training row \d+: its \d+ tokens alone") as caught:
        tw.train(raw, progress=False)
    assert "the checkpoint of step 2 is kept" in str(caught.value)
    assert "data.max_length" in caught.value.fix
    assert caught.value.exit_code == 2
    assert list(Path(raw["out"]).glob("checkpoints/step-00000002"))


def test_other_errors_are_not_taken_for_missing_memory(small, monkeypatch):
    tried = most_rows(monkeypatch, 2, error=RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        tw.train(small(micro_batch_size=4), progress=False)
    assert tried == [4]


def test_evaluation_goes_on_in_halves(small, monkeypatch):  # D9
    from tunewright.tasks.sequence_classification import SequenceClassification

    plain, cramped = small("plain", max_steps=1), small("cramped", max_steps=1)
    expected = tw.train(plain, progress=False).metrics["validation"]
    real, seen = SequenceClassification.predict, []

    def predict(self, model, batch):
        seen.append(len(batch.features))
        if len(batch.features) > 3:
            raise MemoryError
        return real(self, model, batch)

    monkeypatch.setattr(SequenceClassification, "predict", predict)
    found = tw.train(cramped, progress=False).metrics["validation"]
    assert max(seen) > 3
    assert [found[name] for name in ("num_rows", "accuracy")] == [expected[name] for name in ("num_rows", "accuracy")]
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-6)


def test_halves_come_in_order_and_later_batches_are_cut_at_once():
    tried = []

    def work(rows):
        tried.append(len(rows))
        if len(rows) > 2:
            raise MemoryError
        return rows.tolist()

    batches = [np.arange(start, start + 8) for start in (0, 8)]
    found = list(memory.halving(batches, work))
    assert [row for rows, _ in found for row in rows] == [row for _, made in found for row in made] == list(range(16))
    assert tried == [8, 4, 2, 2, 4, 2, 2, 2, 2, 2, 2]
    with pytest.raises(OutOfMemoryError, match="one row alone"):
        list(memory.halving([np.arange(2)], refused))


def refused(rows):
    raise MemoryError


SCARCE = """
import resource, sys, yaml
from pathlib import Path
from tunewright.config import load
from tunewright.run import train
from tunewright.training.progress import Listener

class Limit(Listener):
    def on_start(self, state):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]) * 2**20,) * 2)

print(train(load(yaml.safe_load(open(sys.argv[1]))), listener=Limit()).metrics["warnings"])
"""


def test_an_allocator_that_really_refuses(small, tmp_path):  # N8
    """A limit of the address space, set when all is loaded: 640 rows of 60 tokens do not fit below it."""
    (tmp_path / "long.csv").write_text("text,topic\n" + "".join(
        f"{' '.join(WORDS[(row + word) % 18] for word in range(58))},{'ab'[row % 2]}\n" for row in range(640)
    ))  # fmt: skip
    shape = {"batch_size": 640, "max_steps": 1, "dropout": 0.0}
    few, many = small("few", micro_batch_size=64, **shape), small("many", micro_batch_size=640, **shape)
    for raw in (few, many):
        raw["data"] |= {"train": str(tmp_path / "long.csv"), "validation_share": 0}
    tw.train(few, progress=False)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(many))
    command = [sys.executable, "-c", SCARCE, str(tmp_path / "recipe.yaml"), "30"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "memory ran out at step 1 with 640 rows" in ended.stdout
    left, right = weights_of(few["out"]), weights_of(many["out"])
    assert max(float((left[name] - right[name]).abs().max()) for name in left) < 2e-6


def test_several_processes_say_what_to_do():
    """The others wait for this one's gradient, so that it can't try again by itself."""
    state = State(1, 1, micro_batch_size=4)
    batch = Batch([Features(row, [[1, 2]], None, 0) for row in range(4)], {}, None)
    with pytest.raises(OutOfMemoryError, match=r"--resume and training.micro_batch_size=2.*step 3 is kept"):
        memory.shrink(state, [batch], range(4), processes=2, saved=3)


# --- before the first step --------------------------------------------------------------------------------------------


@pytest.fixture
def room(monkeypatch):
    """`room(megabytes)`: so much memory is free."""
    return lambda megabytes: monkeypatch.setattr(memory, "available", lambda device: int(megabytes * 1e6))


def needs(monkeypatch) -> list[tuple[int, int]]:
    """What the probe found: of the longest row, and of each further one."""
    seen, real = [], memory.growth
    monkeypatch.setattr(memory, "growth", lambda *given: seen.append(real(*given)) or seen[-1])
    return seen


def test_micro_batches_are_as_large_as_fits(small, monkeypatch, room):
    plain, cramped, again = small("plain"), small("cramped"), small("again", micro_batch_size=4)
    seen, heard = needs(monkeypatch), Heard()
    tw.train(plain, progress=False)
    assert not seen  # there is ample room: nothing to probe
    room(0.01)
    killed(small("tiny"), 1)
    (first, more) = seen[0]
    parameters = sum(value.numel() for value in weights_of(plain["out"]).values())
    room((first + memory.KEPT * parameters + 3.5 * more) / memory.SHARE / 1e6)  # of four rows and a bit
    train(load(cramped), listener=heard)
    assert any("micro-batches of 4, because 8 rows of" in note for note in heard.notes)
    recorded = read_mapping(str(Path(cramped["out"]) / "run.yaml"))
    assert recorded["training"]["micro_batch_size"] == 4
    tw.train(again, progress=False)
    assert_same_weights(again["out"], cramped["out"])  # the probe leaves no trace
    room(0.01)
    tw.train({**recorded, "out": plain["out"]}, progress=False, overwrite=True)  # C2: what is given is not probed
    assert_same_weights(plain["out"], cramped["out"])


def test_a_resumed_run_is_not_probed_again(small, room):  # R5
    whole, cut = (small(name, checkpoint_every=2) for name in ("whole", "cut"))
    room(0.01)
    tw.train(whole, progress=False)
    killed(cut, 3)
    room(1e6)
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])
    assert read_mapping(str(Path(cut["out"]) / "run.yaml"))["training"]["micro_batch_size"] == 1


class Squares:
    """A loss that saves 4,000 bytes a row for its backward pass, and frees others at once."""

    def objective(self, model, rows):
        wide = rows[:, None] * model.weight.sum() * torch.ones(1, 1000)
        torch.ones(10_000)
        return Loss((wide * wide).sum())


def test_the_peak_is_counted_in_living_tensors():
    model = torch.nn.Linear(4, 4)
    few, many, again = (
        memory.peak_bytes(model, Squares(), torch.ones(rows), contextlib.nullcontext) for rows in (100, 200, 100)
    )
    assert 400_000 <= many[0] - few[0] <= 2 * 400_000
    assert 2 * 400_000 <= many[1] - few[1] <= 5 * 400_000
    assert few == again
    assert model.weight.grad is None


def test_what_is_free_is_the_least_that_anything_allows(tmp_path):
    """Control groups of both versions, page cache that can be taken back, a group without a limit."""
    write = lambda path, text: (path.parent.mkdir(parents=True, exist_ok=True), path.write_text(text))  # noqa: E731
    write(tmp_path / "proc/meminfo", "MemTotal: 900 kB\nMemAvailable: 500 kB\n")
    assert memory.of_machine(tmp_path) == [500 * 1024]
    write(tmp_path / "proc/self/cgroup", "0::/job/task\n4:cpu,memory:/old\n3:cpuset:/other\n")
    version2, version1 = tmp_path / "sys/fs/cgroup/job", tmp_path / "sys/fs/cgroup/memory"
    write(version2 / "memory.max", "1000\n")
    write(version2 / "memory.current", "700\n")
    write(version2 / "memory.stat", "anon 400\ninactive_file 200\n")
    write(version2 / "task/memory.max", "max\n")
    write(version2 / "task/memory.current", "1\n")
    write(version1 / "memory.limit_in_bytes", "3000\n")
    write(version1 / "memory.usage_in_bytes", "1000\n")
    assert memory.of_groups(tmp_path) == [500, 2000]
    assert memory.of_machine(tmp_path / "nowhere") == memory.of_groups(tmp_path / "nowhere") == []
