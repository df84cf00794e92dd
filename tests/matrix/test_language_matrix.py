"""Language-model task x strategy x architecture: trained, resumed, saved, reloaded in a new process, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language_models import DECODERS, make_language_model
from tests.matrix.language import FIRST, PAIRS, files_for
from tests.matrix.walk import walk
from tunewright.component import members
from tunewright.strategies.base import Strategy

# kind, or a variant of it that takes another path through the code
STRATEGIES: dict[str, dict] = {kind: {"kind": kind} for kind in members(Strategy)} | {
    "lora, merged": {"kind": "lora", "merge": True, "targets": "all-linear"},
    "lora, pissa": {"kind": "lora", "init": "pissa", "r": 4},
    "bottleneck_adapter, pfeiffer": {"kind": "bottleneck_adapter", "variant": "pfeiffer", "bottleneck_size": 8},
    "prefix_tuning, MLP": {"kind": "prefix_tuning", "projection": True, "projection_size": 16, "num_virtual_tokens": 4},
    "gradual_unfreezing, every step": {"kind": "gradual_unfreezing", "every": 1, "decay": 0.5},
    "freeze, then thaw": {"kind": "freeze", "steps": 1},
}
EVERYWHERE = ("lora, merged",)  # the other variants are walked on one architecture of each task
REFUSED = {"feature_extraction", "bitfit", "qlora"}  # at most


def configuration(name: str, task: str, model: str, data: dict, out: Path) -> dict:
    return {
        "model": model,
        "data": data,
        "task": {"kind": task, "score_answers": 2, "max_new_tokens": 4},
        "strategy": STRATEGIES[name],
        "training": {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32",
                     "checkpoint_every": 1},
        "out": str(out),
    }  # fmt: skip


def is_walked(name: str, task: str, architecture: str) -> bool:
    """Each strategy meets each task and each architecture: causal_lm and preference share the decoders out."""
    if architecture != FIRST[task] and name not in (*members(Strategy), *EVERYWHERE):
        return False
    if task == "seq2seq":
        return True
    turn = list(STRATEGIES).index(name) + DECODERS.index(architecture)
    return turn % 2 == ("causal_lm", "preference").index(task)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "architecture"), PAIRS)
def test_every_pair_trains_resumes_and_is_served_or_is_refused(tmp_path, task, architecture):  # R5, R12, R13
    model = str(make_language_model(tmp_path / "model", architecture, spread=0.1))
    data = files_for(task, tmp_path)
    make = lambda name, way: configuration(name, task, model, data, tmp_path / f"{name}-{way}")  # noqa: E731
    names = [name for name in STRATEGIES if is_walked(name, task, architecture)]
    assert set(walk({name: (make(name, "whole"), make(name, "cut")) for name in names})) <= REFUSED
