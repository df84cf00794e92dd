"""A strategy that cannot learn sixteen rows by heart is not done."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import tunewright as tw
from tests.conftest import WORDS, make_model
from tests.matrix.conftest import COLOURS, TASKS, pooled
from tests.matrix.walk import learned
from tunewright.component import members
from tunewright.strategies.base import Strategy

NEAR_ZERO = 0.05  # nats; guessing costs 0.7 to 2
RATES = {"prompt_tuning": 0.1, "prefix_tuning": 0.1, "ia3": 0.05, "bitfit": 0.02, "feature_extraction": 0.05}


def write(task: str, path: Path) -> None:
    """Sixteen short rows; a linear head on frozen features can tell them apart too."""
    generator = random.Random(5)
    plain = [word for word in WORDS if word not in COLOURS]
    rows = []
    for row in range(16):
        words = generator.sample(plain, k=4)
        words[row % 3 + 1] = COLOURS[row % 2]
        if task == "sequence_classification":
            rows.append({"text": " ".join(words), "topic": COLOURS[row % 2]})
        elif task == "token_classification":
            rows.append({"tokens": words, "tags": [f"B-{word}" if word in COLOURS else "O" for word in words]})
        else:
            answer = {"text": [words[row % 3 + 1]], "answer_start": [len(" ".join(words[: row % 3 + 1])) + 1]}
            rows.append({"question": "box", "context": " ".join(words), "answers": answer})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("strategy", sorted(members(Strategy)))
def test_every_pair_learns_sixteen_rows_by_heart(tmp_path, strategy, task):
    turn = sorted(members(Strategy)).index(strategy) + TASKS.index(task)
    refused = strategy in ("prefix_tuning", "bitfit")  # by ModernBERT; the matrix asserts it
    architecture = "modernbert" if turn % 2 and not refused else "bert"
    model = make_model(tmp_path / "model", architecture, spread=0.3)  # frozen features must tell texts apart
    write(task, tmp_path / "train.jsonl")
    training = {
        "max_steps": 300, "batch_size": 16, "learning_rate": RATES.get(strategy, 2e-3), "precision": "fp32",
        "dropout": 0, "weight_decay": 0, "schedule": "constant", "warmup": 5, "checkpoint_every": 1000,
    }  # fmt: skip
    solved = strategy == "feature_extraction" and task == "sequence_classification"
    dropout = {"dropout": 0} if strategy in ("lora", "qlora") else {}
    weak = {"regularisation": [1e-6]} if solved else {}
    raw = {
        "model": str(model),
        "data": {"train": str(tmp_path / "train.jsonl"), "validation_share": 0, "test_share": 0, "check_seconds": 0},
        "task": pooled(strategy, task),
        "strategy": {"kind": strategy, **dropout, **weak},
        "training": {} if solved else training,
        "out": str(tmp_path / "run"),
    }
    if solved:
        tw.train(raw, progress=False)
        lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    else:
        lines = learned(raw, NEAR_ZERO)
    assert lines[-1]["loss"] < NEAR_ZERO, f"from {lines[0]['loss']:.3f} to {lines[-1]['loss']:.3f}"
