"""However a step is cut into micro-batches, it is one update, for every strategy and task; answers know no batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tunewright as tw
from tests.conftest import make_model, weights_of
from tests.matrix.conftest import TASKS, data_for, pooled
from tests.matrix.served import rows_of
from tunewright.component import members
from tunewright.strategies.base import Strategy

LOOPED = [
    (strategy, task)
    for strategy in sorted(members(Strategy))
    for task in TASKS
    if (strategy, task) != ("feature_extraction", "sequence_classification")  # solved for, without steps
]

# a softmax over places is blind to what all places share: the gradient is rounding, which AdamW makes steps of
BLIND = ("qa_outputs.bias", "layer.1.output.LayerNorm.bias", "layer.1.output.dense.bias")


def trained(strategy: str, task: str, micro: int, model: Path, folder: Path) -> tw.RunResult:
    """Two steps of eight rows of uneven length, without dropout, which would be drawn otherwise."""
    files = data_for(task, folder)
    quiet = {"dropout": 0} if strategy in ("lora", "qlora") else {}
    raw = {
        "model": str(model),
        "data": {"train": files[0], "validation": files[1], "check_seconds": 0},
        "task": pooled(strategy, task),
        "strategy": {"kind": strategy, **quiet},
        "training": {"max_steps": 2, "batch_size": 8, "micro_batch_size": micro, "learning_rate": 1e-3, "dropout": 0,
                     "precision": "fp32"},
        "out": str(folder / f"run-{micro}"),
    }  # fmt: skip
    return tw.train(raw, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "task"), LOOPED)
def test_a_step_is_one_update_and_a_row_one_answer(tmp_path, strategy, task):  # N2, N5, D9
    model = make_model(tmp_path / "model")
    results = [trained(strategy, task, micro, model, tmp_path) for micro in (8, 2)]
    whole, cut = (weights_of(result.path) for result in results)
    for name, value in whole.items():
        if task == "question_answering" and name.endswith(BLIND):
            continue
        np.testing.assert_allclose(cut[name].float(), value.float(), rtol=0, atol=2e-5, err_msg=name)
    predictor, rows = results[0].predictor, rows_of(str(results[0].path))
    together = predictor.outputs(rows)
    for row, expected in zip(rows, together, strict=True):
        (alone,) = predictor.outputs([row])
        assert predictor.artifact.task.distance(alone, expected) < 1e-5
