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
from tests.matrix.walk import learned
from tunewright.component import members
from tunewright.strategies.base import Strategy

NEAR_ZERO = 0.05  # nats a token, or a pair; guessing costs 6, and 0.7
RATES = {"prompt_tuning": 0.1, "prefix_tuning": 0.1, "ia3": 0.2}
STEPS = {"ia3": 400}
REFUSED = ("bitfit", "feature_extraction")  # by Llama; the matrix asserts it
CASES = [("causal_lm", strategy) for strategy in sorted(members(Strategy)) if strategy not in REFUSED]
CASES += [(task, strategy) for task in ("seq2seq", "preference") for strategy in ("full", "lora")]
ANSWERS = ("late door", "broken box")


def write(task: str, path: Path, swapped: bool = False) -> None:
    """Sixteen prompts with one of two colours, which decides the answer. swapped: each has the other's."""
    generator = random.Random(5)
    plain = [word for word in WORDS if word not in COLOURS]
    rows = []
    for row in range(16):
        words = generator.sample(plain, k=4)
        words[row % 3 + 1] = COLOURS[row % 2]
        right, wrong = ANSWERS[(row + swapped) % 2], ANSWERS[(row + swapped + 1) % 2]
        prompt = " ".join(words)
        rows.append({
            "causal_lm": {"prompt": prompt, "completion": f" {right}"},
            "preference": {"prompt": prompt, "chosen": f" {right}", "rejected": f" {wrong}"},
            "seq2seq": {"source": prompt, "target": right},
        }[task])  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def configuration(folder: Path, task: str, strategy: str, model: Path, steps: int) -> dict:
    """A run on folder/train.jsonl, which is written to folder/run."""
    return {
        "model": str(model),
        "data": {"train": str(folder / "train.jsonl"), "validation_share": 0, "test_share": 0, "max_length": 64,
                 "check_seconds": 0},
        "task": {"kind": task, "score_answers": 0},
        "strategy": {"kind": strategy, **({"dropout": 0} if strategy in ("lora", "qlora") else {})},
        "training": {
            "max_steps": steps, "batch_size": 16, "learning_rate": RATES.get(strategy, 3e-3), "precision": "fp32",
            "dropout": 0, "weight_decay": 0, "schedule": "constant", "warmup": 5, "checkpoint_every": 1000,
        },
        "out": str(folder / "run"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> dict[str, Path]:
    """Runs that learned the opposite: what is frozen must know colours and words, as a random model does not."""
    found = {}
    for task in ("causal_lm", "seq2seq"):
        folder = tmp_path_factory.mktemp(task)
        model = make_language_model(folder / "model", FIRST[task], spread=0.5)
        write(task, folder / "train.jsonl", swapped=True)
        tw.train(configuration(folder, task, "full", model, 200), progress=False)
        found[FIRST[task]] = folder / "run"
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("task", "strategy"), CASES)
def test_every_pair_learns_sixteen_answers_by_heart(tmp_path, pretrained, task, strategy):
    write(task, tmp_path / "train.jsonl")
    raw = configuration(tmp_path, task, strategy, pretrained[FIRST[task]], STEPS.get(strategy, 200))
    lines = learned(raw, NEAR_ZERO)
    assert lines[0]["loss"] > 0.5
    assert lines[-1]["loss"] < NEAR_ZERO, f"from {lines[0]['loss']:.3f} to {lines[-1]['loss']:.3f}"
    if task == "preference":
        assert lines[-1]["accuracy"] == 1
