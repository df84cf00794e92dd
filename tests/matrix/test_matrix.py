"""Task x strategy x architecture: trained, resumed, saved, reloaded in a new process, or refused with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tunewright as tw
from tests.conftest import assert_same_weights, make_model
from tests.matrix.conftest import ARCHITECTURES, TASKS, data_for, pooled
from tests.training.test_resume import killed
from tunewright import artifact, models
from tunewright.component import members
from tunewright.config import load
from tunewright.errors import ConfigError
from tunewright.evaluation import outputs_of
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
SERVED = Path(__file__).with_name("served.py")


def configuration(name: str, task: str, model: str, files: tuple[str, str], out: Path, **training) -> dict:
    strategy = STRATEGIES[name]
    chosen = pooled(strategy["kind"], task)
    if name.endswith("pooled"):
        chosen["pooling"] = "mean"
    settings = {"max_steps": 2, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32", "checkpoint_every": 1}
    solved = strategy["kind"] == "feature_extraction" and task == "sequence_classification"
    return {
        "model": model,
        "data": {"train": files[0], "validation": files[1]},
        "task": chosen,
        "strategy": strategy,
        "training": {} if solved else {**settings, **training},
        "out": str(out),
    }


def trained(raw: dict) -> tuple[tw.RunResult, list]:
    """The result, and what the very model in memory that was saved says of the validation rows."""
    seen = {}
    save = artifact.save

    def keep(folder, model, *rest):
        seen["model"] = model
        save(folder, model, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact, "save", keep)
        result = tw.train(raw, progress=False)
    loaded = tw.load(result.path).artifact
    task = loaded.task
    rows = served_rows(result)
    encoded = task.encode(rows, loaded.tokenizer, loaded.max_length)
    collate = lambda features: task.collate(features, tokenizer=loaded.tokenizer)  # noqa: E731
    return result, [output.tolist() for output in outputs_of(seen["model"], task, encoded, collate, "cpu")]


def served_rows(result):
    from tests.matrix.served import rows_of

    return rows_of(str(result.path))


def refusal(raw: dict) -> str | None:
    """The reason, told before a model is loaded; None where the pair trains."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(models, "load_model", lambda *a, **k: pytest.skip("loaded"))
            tw.train(raw, progress=False)
    except ConfigError as error:
        return str(error)
    except pytest.skip.Exception:
        return None
    return None


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("task", TASKS)
def test_every_pair_trains_resumes_and_is_served_or_is_refused(tmp_path, task, architecture):  # R5, R12, R13
    model = str(make_model(tmp_path / "model", architecture))
    files = data_for(task, tmp_path)
    runs = {}
    for name in STRATEGIES:
        if name.endswith("pooled") and task != "sequence_classification":
            continue
        whole = configuration(name, task, model, files, tmp_path / f"{name}-whole")
        reason = load(whole).strategy.refuses(models.locate(model).config, None)
        if reason:
            with pytest.raises(ConfigError, match="is refused: ") as refused:
                tw.train(whole, progress=False)
            assert reason in str(refused.value)
            continue
        result, logits = trained(whole)
        cut = configuration(name, task, model, files, tmp_path / f"{name}-cut")
        if cut["training"]:
            killed(cut, 2)
        tw.train(cut, progress=False, resume=True)
        assert_same_weights(whole["out"], cut["out"])
        runs[name] = (str(result.path), logits)
    found = served(runs)
    for name, (ours, plain) in found.items():
        for output, expected in zip(ours, runs[name][1], strict=True):
            rounding = 1e-6 if "merged" in name or "pissa" in name else 0  # the same sums in another order
            assert np.allclose(np.asarray(output), np.asarray(expected), rtol=0, atol=rounding), name
        assert plain <= 1e-5, f"{name}: plain transformers and peft differ by {plain}"


def served(runs: dict) -> dict:
    """In a new process: our outputs for the validation rows, and how far plain transformers and PEFT are from them."""
    asked = json.dumps({name: path for name, (path, _) in runs.items()})
    command = [sys.executable, "-m", "tests.matrix.served", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
