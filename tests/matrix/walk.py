"""The way of every pair: trained, killed and resumed, saved, loaded in a new process, or refused before it begins."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tunewright as tw
from tests.conftest import assert_same_weights
from tests.matrix.served import rows_of, told
from tests.training.test_resume import killed
from tunewright import artifact, models
from tunewright.config import load
from tunewright.errors import ConfigError
from tunewright.evaluation import outputs_of
from tunewright.run import train
from tunewright.training.progress import Listener

ROUNDED = ("merged", "pissa")  # the same sums in another order


def walk(cases: dict[str, tuple[dict, dict]]) -> list[str]:
    """Every case: the raw configuration of a whole run, and of one that is killed after its second step.

    Returns:
        the names of those that were refused.
    """
    runs, refused = {}, []
    for name, (whole, cut) in cases.items():
        if refused_with_its_reason(whole):
            refused.append(name)
            continue
        result, expected = trained(whole)
        if cut["training"]:
            killed(cut, 2)
        tw.train(cut, progress=False, resume=True)
        assert_same_weights(whole["out"], cut["out"])
        runs[name] = (str(result.path), expected)
    for name, (found, plain) in served(runs).items():
        rounding = 1e-6 if any(word in name for word in ROUNDED) else 0
        for output, expected in zip(found, runs[name][1], strict=True):
            assert np.allclose(output[0], expected[0], rtol=rounding, atol=rounding), name
            assert output[1] == expected[1], name
        assert plain <= 1e-5, f"{name}: plain transformers and peft differ by {plain}"
    return refused


class Learned(Exception):
    """A loss is near zero."""


class UntilLearned(Listener):
    """Ends a run at the first step that finds all rows known: no later one tells more."""

    def __init__(self, near_zero: float) -> None:
        self.near_zero, self.lines = near_zero, []

    def on_step(self, state, log) -> None:
        self.lines.append(log)
        if log["loss"] < self.near_zero:
            raise Learned


def learned(raw: dict, near_zero: float) -> list[dict]:
    """What was logged of each step of a run, which ends where its loss is near zero."""
    listener = UntilLearned(near_zero)
    with contextlib.suppress(Learned):
        train(load(raw), listener=listener)
    return listener.lines


def refused_with_its_reason(raw: dict) -> bool:
    """Whether the pair is refused; the strategy's reason must then be told before a model is loaded."""
    config = load(raw)
    reason = config.strategy.refuses(models.locate(config.model).config, config.task)
    if reason is None:
        return False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load_model", lambda *a, **k: pytest.fail("a model was loaded"))
        with pytest.raises(ConfigError, match="is refused: ") as refused:
            tw.train(raw, progress=False)
    assert reason in str(refused.value)
    return True


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
    encoded = task.encode(rows_of(str(result.path)), loaded.tokenizer, loaded.max_length)
    collate = lambda features: task.collate(features, tokenizer=loaded.tokenizer)  # noqa: E731
    return result, [told(output) for output in outputs_of(seen["model"], task, encoded, collate, "cpu")]


def served(runs: dict) -> dict:
    """In a new process: our outputs for the validation rows, and how far plain transformers and PEFT are from them."""
    asked = json.dumps({name: path for name, (path, _) in runs.items()})
    command = [sys.executable, "-m", "tests.matrix.served", asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
