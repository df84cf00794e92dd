"""However a step of language-model rows is cut or packed, it is one update; answers know no batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tunewright as tw
from tests.conftest import weights_of
from tests.language_models import make_language_model
from tests.matrix.language import FIRST, files_for
from tests.matrix.served import rows_of
from tunewright.component import members
from tunewright.strategies.base import Strategy

REFUSED = ("bitfit", "feature_extraction")  # by Llama and T5; the matrix asserts it
LOOPED = [(strategy, task) for strategy in sorted(members(Strategy)) if strategy not in REFUSED for task in FIRST]


def trained(strategy: str, task: str, model: Path, folder: Path, **cut: int) -> tw.RunResult:
    """Two steps of eight rows of uneven length, without dropout, which would be drawn otherwise."""
    quiet = {"dropout": 0} if strategy in ("lora", "qlora") else {}
    raw = {
        "model": str(model),
        "data": files_for(task, folder),
        "task": {"kind": task, "score_answers": 2, "max_new_tokens": 4},
        "strategy": {"kind": strategy, **quiet},
        "training": {"max_steps": 2, "batch_size": 8, "learning_rate": 1e-3, "dropout": 0, "precision": "fp32", **cut},
        "out": str(folder / "-".join(map(str, ["run", *cut.values()]))),
    }
    return tw.train(raw, progress=False)


def course(result: tw.RunResult) -> list[list[float]]:
    """(loss, gradient norm) of each step: AdamW's steps don't show a gradient of the wrong size."""
    lines = [json.loads(line) for line in (result.path / "history.jsonl").read_text().splitlines()]
    return [[line["loss"], line["gradient_norm"]] for line in lines if "loss" in line]


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "task"), LOOPED)
def test_a_step_is_one_update_and_a_row_one_answer(tmp_path, strategy, task):  # N2, N4, N5, D9
    model = make_language_model(tmp_path / "model", FIRST[task], spread=0.2)
    cut = {"micro_batch_size": 2} if task == "seq2seq" else {"micro_batch_tokens": 60}  # two to five rows
    ways = [{"micro_batch_size": 8}, cut]
    if strategy == "full":
        ways += [{"micro_batch_size": size} for size in ([4] if task == "seq2seq" else [4, 2])]
    whole, *others = (trained(strategy, task, model, tmp_path, **way) for way in ways)
    near = 1e-4 if strategy == "bottleneck_adapter" else 2e-5  # its first gradients are no larger than AdamW's epsilon
    expected = weights_of(whole.path)
    for other in others:
        np.testing.assert_allclose(course(other), course(whole), rtol=1e-4)
        for name, value in weights_of(other.path).items():
            np.testing.assert_allclose(value.float(), expected[name].float(), rtol=0, atol=near, err_msg=name)
    predictor, rows = whole.predictor, rows_of(str(whole.path))
    together = predictor.outputs(rows)
    for place, row in enumerate(rows):
        (alone,) = predictor.outputs([row])
        assert predictor.artifact.task.distance(alone, together[place]) < 1e-5
        assert together[place].text == (alone.text if place < 2 else None)
