"""Task x strategy x architecture: trained, resumed, saved, reloaded in a new process, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import make_model
from tests.matrix.conftest import ARCHITECTURES, TASKS, data_for, pooled
from tests.matrix.walk import walk
from tunewright.component import members
from tunewright.strategies.base import Strategy

# kind, or a variant of it that takes another path through the code
STRATEGIES: dict[str, dict] = {kind: {"kind": kind} for kind in members(Strategy)} | {
    "lora, merged": {"kind": "lora", "merge": True, "targets": "all-linear"},
    "lora, pissa": {"kind": "lora", "init": "pissa", "r": 4},
    "bottleneck_adapter, pfeiffer": {"kind": "bottleneck_adapter", "variant": "pfeiffer", "bottleneck_size": 8},
    "prefix_tuning, MLP": {"kind": "prefix_tuning", "projection": True, "projection_size": 16, "num_virtual_tokens": 4},
    "gradual_unfreezing, decay": {"kind": "gradual_unfreezing", "every": 1, "decay": 0.5},
    "freeze, then thaw": {"kind": "freeze", "steps": 1},
    "full, pooled": {"kind": "full"},
    "lora, pooled": {"kind": "lora", "use_dora": True},
    "prompt_tuning, pooled": {"kind": "prompt_tuning", "init_text": "red label", "num_virtual_tokens": 4},
    "prefix_tuning, pooled": {"kind": "prefix_tuning", "num_virtual_tokens": 4},
    "bottleneck_adapter, pooled": {"kind": "bottleneck_adapter"},
}


def configuration(name: str, task: str, model: str, files: tuple[str, str], out: Path, **training) -> dict:
    strategy = STRATEGIES[name]
    chosen = pooled(strategy["kind"], task)
    if name.endswith("pooled"):
        chosen["pooling"] = "mean"
    settings = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32", "checkpoint_every": 1}
    solved = strategy["kind"] == "feature_extraction" and task == "sequence_classification"
    return {
        "model": model,
        "data": {"train": files[0], "validation": files[1], "check_seconds": 0},
        "task": chosen,
        "strategy": strategy,
        "training": {} if solved else {**settings, **training},
        "out": str(out),
    }


def task_of(name: str, architecture: str) -> str:
    """Each strategy meets each task and each architecture, though not each task on each architecture."""
    if name.endswith("pooled"):
        return "sequence_classification"
    return TASKS[(list(STRATEGIES).index(name) + ARCHITECTURES.index(architecture)) % len(TASKS)]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_pair_trains_resumes_and_is_served_or_is_refused(tmp_path, architecture):  # R5, R12, R13
    model = str(make_model(tmp_path / "model", architecture))
    files = {}
    for task in TASKS:
        (tmp_path / task).mkdir()
        files[task] = data_for(task, tmp_path / task)
    cases = {}
    for name in STRATEGIES:
        task = task_of(name, architecture)
        make = lambda way: configuration(name, task, model, files[task], tmp_path / f"{name}-{way}")  # noqa: B023, E731
        cases[name] = make("whole"), make("cut")
    assert len(walk(cases)) < len(cases) / 4
