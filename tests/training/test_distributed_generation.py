"""Two processes make the update of one, also of packed answers and of pairs of them."""

from __future__ import annotations

import pytest

import tunewright as tw
from tests.language_models import make_language_model
from tests.matrix.language import files_for
from tests.training.test_distributed import gap, launch

PAIRS = [("causal_lm", {"kind": "full"}), ("preference", {"kind": "lora", "dropout": 0, "targets": "all-linear"})]


@pytest.mark.parametrize(("task", "strategy"), PAIRS, ids=[task for task, _ in PAIRS])
def test_two_processes_make_the_update_of_one(tmp_path, task, strategy):  # N2
    """17 rows in batches of 8: the last step has one row, and the second process none."""
    model = make_language_model(tmp_path / "model", spread=0.2)
    raw = {
        "model": str(model),
        "data": files_for(task, tmp_path, count=17),
        "task": {"kind": task, "score_answers": 2, "max_new_tokens": 4},
        "strategy": strategy,
        "training": {"epochs": 1, "batch_size": 8, "micro_batch_size": 2, "learning_rate": 1e-3, "precision": "fp32",
                     "warmup": 0, "dropout": 0},
    }  # fmt: skip
    one, two = ({**raw, "out": str(tmp_path / name)} for name in ("one", "two"))
    first = tw.train(one, progress=False)
    ended = launch(two, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert gap(one["out"], two["out"]) < 5e-6
    second = tw.load(two["out"])
    assert first.predictor.artifact.task == second.artifact.task
    assert ended.stdout.count("report:") == 1  # one process speaks
