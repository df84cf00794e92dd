"""The verdict: who is best, who is as good, who wins; and what is said of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tunewright.evidence import compared
from tunewright.evidence.verdict import judged
from tunewright.metrics.rows import by_mean

ROWS = 400


def lines(right: int, rows: int = ROWS, start: int = 0):
    """Predictions of which so many are right, from the row `start` on."""
    return [{"label": "a", "predicted": "a" if start <= row < start + right else "b", "probability": 0.9}
            for row in range(rows)]  # fmt: skip


def said(runs, costs=None, **more):
    costs = costs or {name: float(place + 1) for place, name in enumerate(runs)}
    return compared(runs, "accuracy", True, costs, 0, **more)


def test_the_cheapest_wins_where_no_difference_can_be_detected():
    found, verdict = said({"full": [lines(372)], "lora": [lines(371, start=2)]}, {"full": 90.0, "lora": 30.0})
    assert (verdict["best"], verdict["winner"], verdict["detectable"]) == ("full", "lora", False)
    assert verdict["equals"] == ["full", "lora"]
    assert verdict["sentence"] == (
        "No detectable difference in accuracy between full (0.930) and lora (0.927); lora is the cheapest."
    )
    told = found["lora"]["versus_best"]
    assert told["difference"] == pytest.approx(-1 / 400)
    assert told["low"] < -1 / 400 < 0 < told["high"]
    assert told["rows_needed"] > 400
    advice = " ".join(verdict["advice"])
    assert "full scores 0.003 better than lora and takes 3.0 times as long to fit" in advice
    assert "rows (now 400)" in advice
    assert "One seed only for full and lora" in advice
    json.dumps([found, verdict], allow_nan=False)


def test_a_detectable_best_wins_whatever_it_costs():
    found, verdict = said({"full": [lines(390)], "lora": [lines(330)]}, {"full": 90.0, "lora": 1.0})
    assert (verdict["winner"], verdict["detectable"], verdict["equals"]) == ("full", True, ["full"])
    assert verdict["sentence"] == "full is the best: accuracy 0.975, detectably better than lora (0.825)."
    told = found["lora"]["versus_best"]
    assert told["high"] < 0
    assert (told["rows_needed"], told["seeds_needed"]) == (None, None)


def test_a_floor_that_is_as_good_is_a_reason_not_to_fine_tune():
    runs = {"full": [lines(372)], "tfidf": [lines(371, start=2)], "majority": [lines(100)]}
    _, verdict = said(runs, {"full": 90.0, "tfidf": 0.1, "majority": 0.0}, floors=("tfidf", "majority"))
    assert verdict["winner"] == "tfidf"
    assert verdict["sentence"].endswith("tfidf is the cheapest. Detectably worse: majority.")
    assert verdict["advice"][0].startswith(
        "Do not fine-tune: tfidf, which needs no fine-tuning, is as good as far as 400 rows can tell; "
        "fine-tuning would gain 0.0"
    )
    assert not any("One seed only for tfidf" in line for line in verdict["advice"])
    _, better = said({"full": [lines(390)], "tfidf": [lines(300)]}, floors=("tfidf",))
    assert better["advice"][0] == "Fine-tuning pays: tfidf, the best without it, is detectably worse by 0.225."


def test_who_was_stopped_is_scored_and_named_but_cannot_win():
    runs = {"full": [lines(380)], "lora": [lines(379)], "ia3": [lines(378)]}
    found, verdict = said(runs, {"full": 9.0, "lora": 5.0, "ia3": 1.0},
                          stopped={"ia3": "stopped at half its steps", "qlora": "needs a GPU"})  # fmt: skip
    assert verdict["winner"] == "lora"
    assert "ia3" not in verdict["equals"]
    assert found["ia3"]["score"]["value"] == 378 / 400
    assert "ia3 can't win: stopped at half its steps." in verdict["advice"]
    assert "qlora can't win: needs a GPU." in verdict["advice"]
    assert said({"ia3": [lines(3)]}, stopped={"ia3": "stopped"})[1]["winner"] == "ia3"


def test_identical_predictions_differ_by_nothing():
    found, verdict = said({"a": [lines(300)] * 3, "b": [lines(300)] * 3}, {"a": 2.0, "b": 1.0})
    told = found["a"]["versus_best"]  # of equal scores the cheaper is the best
    assert (verdict["best"], verdict["winner"]) == ("b", "b")
    assert (told["difference"], told["p"], told["p_corrected"], told["detectable"]) == (0.0, 1.0, 1.0, False)
    assert told["low"] == pytest.approx(0, abs=1e-6)
    assert (told["rows_needed"], told["seeds_needed"]) == (None, None)


@pytest.mark.parametrize(
    ("right", "rows"), [((400, 400), 400), ((0, 0), 400), ((1, 0), 1), ((1, 1), 1), ((400, 0), 400)]
)
@pytest.mark.parametrize("seeds", [1, 2])
def test_all_right_all_wrong_and_one_row_can_be_compared(right, rows, seeds):
    runs = {name: [lines(number, rows)] * seeds for name, number in zip("abc", (*right, right[0]), strict=True)}
    found, verdict = said(runs)
    json.dumps([found, verdict], allow_nan=False)
    assert verdict["best"] == "a"
    assert (verdict["equals"] == ["a", "c"]) is (right == (400, 0))


def test_one_contestant_is_compared_with_nobody():
    found, verdict = said({"full": [lines(300), lines(290), lines(310)]})
    assert found["full"]["versus_best"] is None
    assert found["full"]["score"]["seed_deviation"] == pytest.approx(np.std([0.75, 0.725, 0.775], ddof=1))
    assert verdict["sentence"] == "full is the only contestant: accuracy 0.750 on 400 rows."
    assert (verdict["winner"], verdict["detectable"]) == ("full", False)
    assert compared({}, "accuracy", True, {}) == ({}, None)


def losses(values):
    return [{"label": "x", "predicted": None, "loss": value, "scored_tokens": 5.0} for value in values]


def test_of_losses_the_lowest_is_best_and_one_that_is_no_number_is_left_out():
    generator = np.random.default_rng(0)
    drawn = generator.lognormal(0.5, 0.6, 300)
    high, lost = losses(drawn + 0.2 * generator.random(300)), losses([*drawn[:-1], None])
    runs = {"high": [high], "low": [losses(drawn)], "lost": [lost], "none": []}
    found, verdict = compared(runs, "loss", False, {"high": 1.0, "low": 2.0})
    assert set(found) == {"high", "low"}
    assert verdict["best"] == verdict["winner"] == "low"
    told = found["high"]["versus_best"]
    assert told["low"] < told["difference"] < told["high"]
    assert told["low"] > 0
    assert "lost is left out: its loss is no number." in verdict["advice"]


def test_more_seeds_than_others_is_no_obstacle():
    runs = {
        "a": [lines(380, start=one) for one in (0, 5, 9)],
        "b": [lines(379, start=3)],
        "c": [lines(350, start=2)] * 2,
    }
    found, verdict = said(runs)
    assert verdict["best"] == "a"
    assert found["b"]["score"]["seed_deviation"] is None
    assert found["b"]["versus_best"]["test"] == "paired bootstrap"
    assert math.isfinite(found["c"]["versus_best"]["p_corrected"])


def test_different_rows_are_no_comparison():
    with pytest.raises(ValueError, match="different numbers of rows"):
        said({"a": [lines(3, 5)], "b": [lines(3, 6)]})


def test_too_few_rows_are_no_reason_not_to_fine_tune():
    runs = {"full": np.arange(30) < 24, "floor": np.arange(30) >= 10}
    scorers = {name: [by_mean({"accuracy": one})] for name, one in runs.items()}
    _, verdict = judged(scorers, "accuracy", True, {"full": 9.0, "floor": 1.0}, 0, floors=["floor"])
    assert verdict["winner"] == "floor"
    assert verdict["advice"][0].startswith("Whether fine-tuning pays is not known: floor is not detectably worse")
