"""`learning_rate: auto` where the default is unsure: rates race on a copy, the best is kept, and nothing else moves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import yaml

import tunewright as tw
from tests.conftest import assert_same_weights
from tests.training.test_resume import Heard, KillAt, Killed
from tunewright.config import load
from tunewright.errors import DivergedError
from tunewright.run import train
from tunewright.strategies.full import Full
from tunewright.strategies.lora import LoRA
from tunewright.training import range_test
from tunewright.training.loop import Loop


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Runs of 12 steps are long enough: 4 for each of the two rates."""
    monkeypatch.setattr(range_test, "LEAST", 10)
    monkeypatch.setattr(range_test, "SHARE", 0.7)


@pytest.fixture
def auto(small):
    """A LoRA run whose rate is ours to choose."""
    return lambda name="run", strategy="lora", **training: small(
        name, strategy, **{"learning_rate": "auto", **training}
    )


@pytest.fixture
def races(monkeypatch) -> list[float]:
    """The factors that are raced; the losses are made up, so that three times the default wins."""
    seen: list[float] = []
    real = range_test.race

    def race(parts, factor, steps):
        seen.append(factor)
        assert math.isfinite(real(parts, factor, steps))
        return abs(factor - 3.0)

    monkeypatch.setattr(range_test, "race", race)
    return seen


def history(raw: dict) -> list[dict]:
    return [json.loads(line) for line in (Path(raw["out"]) / "history.jsonl").read_text().splitlines()]


def found_by(raw: dict) -> dict | None:
    """What the range test of a run finds, which is ended after its first step."""
    with pytest.raises(Killed):
        train(load(raw), listener=KillAt(1))
    found: dict | None = json.loads((Path(raw["out"]) / "checkpoints" / "run.json").read_text()).get("range_test")
    return found


def recipe(raw: dict) -> dict:
    return yaml.safe_load((Path(raw["out"]) / "run.yaml").read_text())


def test_the_best_rate_is_chosen_told_and_stored(auto, races):
    raw, heard = auto(), Heard()
    metrics = train(load(raw), listener=heard).metrics
    found = metrics["range_test"]
    assert races == [1.0, 3.0]
    assert found["chosen"] == pytest.approx(3 * found["default"]) == recipe(raw)["training"]["learning_rate"]
    assert [item["learning_rate"] / found["default"] for item in found["tested"]] == pytest.approx(races)
    assert history(raw)[0] == {"step": 0, "range_test": found}
    assert max(line["learning_rate"] for line in history(raw) if "loss" in line) == pytest.approx(found["chosen"])
    assert any("range test" in text and f"learning rate {found['chosen']:g}" in text for text in heard.notes)


def test_from_its_run_yaml_the_run_is_repeated_bitwise(auto, races):  # C2
    first = auto("first", micro_batch_size=3)
    tw.train(first, progress=False)
    by_hand = recipe(first) | {"out": str(Path(first["out"]).with_name("by-hand"))}
    assert "range_test" not in tw.train(by_hand, progress=False).metrics
    assert_same_weights(first["out"], by_hand["out"])
    assert history(first)[1]["loss"] == history(by_hand)[0]["loss"]
    assert len(races) == 2


def test_a_kill_within_the_test_repeats_it(auto, monkeypatch, races):
    whole = auto("whole")
    tw.train(whole, progress=False)
    cut, step = auto("cut"), Loop.step
    taken: list[int] = []

    def killed(self):
        taken.append(1)
        if len(taken) == 5:
            raise Killed
        step(self)

    monkeypatch.setattr(Loop, "step", killed)
    with pytest.raises(Killed):
        tw.train(cut, progress=False)
    assert recipe(cut)["training"]["learning_rate"] == "auto"
    result = tw.train(recipe(cut), progress=False, resume=True)
    assert result.metrics["range_test"] == json.loads((Path(whole["out"]) / "metrics.json").read_text())["range_test"]
    assert_same_weights(whole["out"], cut["out"])


@pytest.mark.parametrize(("step", "again"), [(1, "run.yaml"), (8, "auto")])
def test_a_run_that_goes_on_keeps_to_the_rate_that_was_found(auto, races, step, again):
    whole, cut = auto("whole", checkpoint_every=3), auto("cut", checkpoint_every=3)
    tw.train(whole, progress=False)
    with pytest.raises(Killed):
        train(load(cut), listener=KillAt(step))
    races.clear()
    result = tw.train(cut if again == "auto" else recipe(cut), progress=False, resume=True)
    assert races == []
    assert result.metrics["range_test"]["chosen"] == recipe(whole)["training"]["learning_rate"]
    assert_same_weights(whole["out"], cut["out"])
    assert [line["step"] for line in history(cut)] == [line["step"] for line in history(whole)]


def test_no_weight_gradient_or_generator_moves(auto, monkeypatch):
    real, seen = range_test.range_test, []

    def watched(rate, **parts):
        model = parts["model"]
        look = lambda: {  # noqa: E731
            "weights": {name: value.clone() for name, value in model.state_dict().items()},
            "generator": torch.random.get_rng_state(),
            "flags": [(value.requires_grad, value.grad is None) for value in model.parameters()],
        }
        before = look()
        found = real(rate, **parts)
        seen.append((before, look()))
        return found

    monkeypatch.setattr(range_test, "range_test", watched)
    assert found_by(auto())
    [(before, after)] = seen
    assert all(torch.equal(value, after["weights"][name]) for name, value in before["weights"].items())
    assert torch.equal(before["generator"], after["generator"])
    assert before["flags"] == after["flags"]


def test_a_rate_at_which_the_loss_is_no_number_loses(auto, monkeypatch):
    step, begun = Loop.step, list[int]()

    def diverging(self):
        if self.plan.schedule == "constant" and len(begun) > 4:
            raise DivergedError("loss is not finite")
        begun.append(1)
        step(self)

    monkeypatch.setattr(Loop, "step", diverging)
    monkeypatch.setattr(range_test, "FACTORS", (3.0, 1.0))
    found = found_by(auto())
    assert [item["loss"] is None for item in found["tested"]] == [False, True]
    assert found["chosen"] == found["tested"][0]["learning_rate"]


def test_the_lowest_last_third_wins_and_all_race_on_the_same_rows(auto, monkeypatch):
    rows: dict[float, list] = {}
    real = Loop.batches

    def batches(self):
        made = real(self)
        if self.plan.schedule == "constant":
            rows.setdefault(self.groups[0].learning_rate, []).append([b.rows for b in made[0]])
        return made

    monkeypatch.setattr(Loop, "batches", batches)
    found = found_by(auto())
    first, *others = rows.values()
    assert len(first) == found["steps"] == 4
    assert others == [first]
    assert found["chosen"] == min(found["tested"], key=lambda item: item["loss"])["learning_rate"]


@pytest.mark.parametrize("why", ["a number", "sure", "short", "long", "a known head"])
def test_no_test_where_it_is_not_needed(auto, races, monkeypatch, why):
    raw = auto(strategy="full" if why == "sure" else "lora", **({"learning_rate": 1e-3} if why == "a number" else {}))
    if why == "short":
        monkeypatch.setattr(range_test, "LEAST", 13)
    if why == "long":
        monkeypatch.setattr(LoRA, "unsure_below", 12)
    if why == "a known head":
        from tunewright.tasks.sequence_classification import SequenceClassification

        monkeypatch.setattr(SequenceClassification, "new_head", False)
        from tunewright.resolve import is_unsure

        assert not is_unsure(load(raw), SequenceClassification(kind="sequence_classification"))
        return
    assert (found_by(raw), races) == (None, [])
    assert isinstance(recipe(raw)["training"]["learning_rate"], float)


def test_the_shares_are_bounds(monkeypatch):
    monkeypatch.undo()
    assert range_test.SHARE <= 0.15
    assert range_test.LEAST * range_test.SHARE / len(range_test.FACTORS) >= 7
    assert Full.unsure_below == 0 < range_test.LEAST < LoRA.unsure_below
