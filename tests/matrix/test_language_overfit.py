"""A strategy that cannot learn sixteen answers by heart is not done."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import tunewright as tw
from tests.conftest import WORDS
from tests.language_models import make_language_model
from tests.matrix.conftest import COLOURS
from tests.matrix.language import FIRST
from tunewright.component import members
from tunewright.strategies.base import Strategy

NEAR_ZERO = 0.05  # nats a token; guessing costs 6
RATES = {"prompt_tuning": 0.1, "prefix_tuning": 0.1, "ia3": 0.05}
REFUSED = ("bitfit", "feature_extraction")  # by Llama; the matrix asserts it
CASES = [("causal_lm", strategy) for strategy in sorted(members(Strategy)) if strategy not in REFUSED]
CASES += [(task, strategy) for task in ("seq2seq", "preference") for strategy in ("full", "lora")]
ANSWERS = {"red": "late door", "green": "broken box"}


def write(task: str, path: Path) -> None:
    """Sixteen prompts with one of two colours, which decides the answer."""
    generator = random.Random(5)
    plain = [word for word in WORDS if word not in COLOURS]
    rows = []
    for row in range(16):
        words = generator.sample(plain, k=4)
        words[row % 3 + 1] = colour = COLOURS[row % 2]
        right, wrong = ANSWERS[colour], ANSWERS[COLOURS[1 - row % 2]]
        prompt = " ".join(words)
        rows.append({
            "causal_lm": {"prompt": prompt, "completion": f" {right}"},
            "preference": {"prompt": prompt, "chosen": f" {right}", "rejected": f" {wrong}"},
            "seq2seq": {"source": prompt, "target": right},
        }[task])  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
@pytest.mark.parametrize(("task", "strategy"), CASES)
def test_every_pair_learns_sixteen_answers_by_heart(tmp_path, task, strategy):
    model = make_language_model(tmp_path / "model", FIRST[task], spread=0.5)  # frozen heads must reach every word
    write(task, tmp_path / "train.jsonl")
    training = {
        "max_steps": 200, "batch_size": 16, "learning_rate": RATES.get(strategy, 3e-3), "precision": "fp32",
        "dropout": 0, "weight_decay": 0, "schedule": "constant", "warmup": 5, "checkpoint_every": 1000,
    }  # fmt: skip
    raw = {
        "model": str(model),
        "data": {"train": str(tmp_path / "train.jsonl"), "validation_share": 0, "test_share": 0, "max_length": 64},
        "task": {"kind": task, "score_answers": 0},
        "strategy": {"kind": strategy, **({"dropout": 0} if strategy in ("lora", "qlora") else {})},
        "training": training,
        "out": str(tmp_path / "run"),
    }
    tw.train(raw, progress=False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    if task == "preference":
        assert lines[0]["accuracy"] < 1
        assert lines[-1]["accuracy"] == 1
    assert lines[-1]["loss"] < NEAR_ZERO, f"from {lines[0]['loss']:.3f} to {lines[-1]['loss']:.3f}"
