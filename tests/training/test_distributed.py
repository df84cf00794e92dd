"""Two processes make the update of one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tunewright as tw
from tests.conftest import weights_of
from tests.training.test_resume import killed


def launch(raw: dict, tmp_path: Path, *flags: str) -> subprocess.CompletedProcess:
    """`accelerate launch` with two gloo processes on this CPU."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(raw))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(port)]
    command += ["-m", "tunewright", "train", str(recipe), *flags]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def gap(first, second) -> float:
    left, right = weights_of(first), weights_of(second)
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


ALIKE = [
    "full",
    {"kind": "lora", "dropout": 0},
    {"kind": "gradual_unfreezing", "every": 1},  # what is unfrozen late must join in the reduction
    {"kind": "freeze", "blocks": 1},
    "prefix_tuning",
    "bottleneck_adapter",
]


@pytest.mark.parametrize("strategy", ALIKE, ids=lambda item: item if isinstance(item, str) else item["kind"])
def test_two_processes_make_the_update_of_one(small, tmp_path, strategy):  # N2
    """43 rows in batches of 8: the last step of an epoch has 3, so that the processes have unequal shares."""
    task = {"kind": "sequence_classification", "pooling": "mean", "class_weights": "balanced"}
    one, two = (small(name, strategy, task, micro_batch_size=2, dropout=0.0, epochs=1) for name in ("one", "two"))
    tw.train(one, progress=False)
    ended = launch(two, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert gap(one["out"], two["out"]) < 5e-6
    assert ended.stdout.count("report:") == 1  # one process speaks


def test_a_process_without_rows_still_joins(small, tmp_path):  # N2
    """41 rows of training: the last step has one row, and the second process none."""
    one, two = (small(name, micro_batch_size=2, dropout=0.0, epochs=1) for name in ("one", "two"))
    for raw in (one, two):
        raw["data"] |= {"validation_share": 0.06, "limit": 44}
    tw.train(one, progress=False)
    ended = launch(two, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert gap(one["out"], two["out"]) < 5e-6


def test_two_processes_resume_what_one_began(small, tmp_path):  # R5
    whole, cut = (small(name, dropout=0.0, checkpoint_every=2) for name in ("whole", "cut"))
    tw.train(whole, progress=False)
    killed(cut, 5)
    ended = launch(cut, tmp_path, "--resume")
    assert ended.returncode == 0, ended.stderr
    assert gap(whole["out"], cut["out"]) < 5e-6
