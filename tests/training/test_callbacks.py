"""Stopping early, warning of overfitting, and the history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tunewright as tw
from tunewright.errors import ConfigError
from tunewright.tasks.base import Metric
from tunewright.training.callbacks import EarlyStopping, OverfittingWarning
from tunewright.training.state import State


def state_with(*scores: float, name: str = "accuracy") -> State:
    state = State(total_steps=100, steps_per_epoch=10)
    state.evaluations = [{"step": step, "validation": {name: score}} for step, score in enumerate(scores, 1)]
    return state


@pytest.mark.parametrize(
    ("scores", "stops"),
    [
        ([0.5], False),
        ([0.5, 0.4], False),
        ([0.5, 0.4, 0.5], True),
        ([0.5, 0.4, 0.6], False),
        ([0.5, 0.6, 0.59, 0.58], True),
        ([float("nan"), float("nan")], True),
    ],
)
def test_early_stopping_counts_evaluations_without_improvement(scores, stops):
    assert EarlyStopping(Metric("accuracy"), patience=2, min_delta=0).on_evaluate(state_with(*scores), {}) is stops


def test_small_improvements_are_none():
    scores = state_with(0.5, 0.504, 0.508)
    assert EarlyStopping(Metric("accuracy"), 2, min_delta=0.01).on_evaluate(scores, {})
    assert not EarlyStopping(Metric("accuracy"), 2, min_delta=0.001).on_evaluate(scores, {})


def test_losses_improve_downwards():
    falling = state_with(0.9, 0.8, 0.7, name="loss")
    assert not EarlyStopping(Metric("loss", higher_is_better=False), 1, 0).on_evaluate(falling, {})
    assert EarlyStopping(Metric("loss", higher_is_better=False), 1, 0).on_evaluate(
        state_with(0.7, 0.8, name="loss"), {}
    )


@pytest.mark.parametrize("metric", ["auto", "loss", "f1_macro"])
def test_a_run_stops_early_and_says_so(small, metric):
    raw = small(epochs=30, learning_rate=1e-9, early_stopping={"metric": metric, "patience": 2, "min_delta": 0.01})
    metrics = tw.train(raw, progress=False).metrics
    assert metrics["stopped"] == "early"
    assert metrics["steps"] == 3 * 6  # the first evaluation, and two without improvement; 6 steps an epoch


def test_an_unknown_metric_is_refused_with_a_suggestion(small):
    raw = small(early_stopping={"metric": "acuracy"})
    with pytest.raises(ConfigError, match="did you mean 'accuracy'"):
        tw.train(raw, progress=False)


def overfitting(train: list[float], held_out: list[float]) -> list[str]:
    state, callback = State(100, 10), OverfittingWarning()
    for step, (loss, validation) in enumerate(zip(train, held_out, strict=True), 1):
        callback.on_step(state, {"loss": loss})
        state.evaluations.append({"step": step, "validation": {"loss": validation}})
        callback.on_evaluate(state, {})
    return state.warnings


def test_overfitting_is_noticed():
    assert "overfits" in overfitting([0.9, 0.5, 0.3], [0.6, 0.7, 0.8])[0]
    assert len(overfitting([0.9, 0.5, 0.3, 0.2, 0.1], [0.6, 0.7, 0.8, 0.9, 1.0])) == 1  # said once
    assert overfitting([0.9, 0.5, 0.3], [0.8, 0.7, 0.75]) == []
    assert overfitting([0.3, 0.5, 0.9], [0.6, 0.7, 0.8]) == []


def test_the_history_has_the_promised_fields(small):
    raw = small(epochs=1)
    tw.train(raw, progress=False)
    lines = [json.loads(line) for line in (Path(raw["out"]) / "history.jsonl").read_text().splitlines()]
    wanted = {"step", "epoch", "loss", "learning_rate", "gradient_norm", "tokens_per_second", "memory_mb"}
    assert wanted <= set(lines[0])
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 7))
    assert {"loss", "accuracy", "f1_macro"} <= set(lines[-1]["validation"])
