"""Tests against the best: their level, their power, and what rows and seeds would tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.verdicts import measured
from tunewright.evidence.comparisons import correct, mcnemar, needed
from tunewright.evidence.verdict import judged
from tunewright.metrics.rows import by_mean

EQUAL = {"what": "equal", "contestants": 4, "seeds": 3, "rows": 200, "accuracy": 0.9, "noise": 0.01}


def judge(rights, floors=(), **costs):
    """(seeds, rows) of right or wrong by name."""
    scorers = {name: [by_mean({"accuracy": one}) for one in each] for name, each in rights.items()}
    return judged(scorers, "accuracy", True, costs, 0, floors=floors)


def first(right: int, rows: int = 400) -> np.ndarray:
    return np.arange(rows) < right


def test_equal_contestants_are_told_apart_in_at_most_5_percent():
    each = [EQUAL, EQUAL | {"seeds": 1, "noise": 0.0}, EQUAL | {"contestants": 2}]
    shares = [measured(case, 60) for case in each]
    assert max(shares) <= 0.10  # of 60, whose standard error is 2.8 points at 5 %
    assert np.mean(shares) <= 0.05


def test_a_clear_difference_is_found():
    case = EQUAL | {"what": "power", "rows": 1000, "noise": 0.002, "better": 0.05}
    assert measured(case, 20) >= 0.9


def test_mcnemars_mid_p_is_that_of_the_binomial_distribution():
    assert mcnemar([1, 0, 5, 8], [9, 0, 5, 0]) == pytest.approx([2 * (1 + 10 / 2) / 2**10, 1, 1, 2**-8])
    found, _ = judge({"a": [first(390)], "b": [first(382)]})
    assert found["b"]["versus_best"]["test"] == "McNemar"
    assert found["b"]["versus_best"]["p"] == found["b"]["versus_best"]["p_corrected"] == pytest.approx(2**-8)
    found, _ = judge({"a": [first(390), first(389)], "b": [first(382), first(381)]})
    assert found["b"]["versus_best"]["test"] == "paired bootstrap"


def test_a_correction_is_tukeys_where_scores_are_independent():
    from scipy.stats import studentized_range

    p = np.array([0.02] * 6)
    expected = studentized_range.sf(math.sqrt(2) * 2.326, 4, math.inf)  # of |z| 2.326, which has p 0.02
    corrected, critical = correct(p, np.eye(4), 0)
    assert corrected == pytest.approx(expected, abs=0.005)
    assert critical == pytest.approx(studentized_range.isf(0.05, 4, math.inf) / math.sqrt(2), abs=0.03)
    assert correct(p[:1], np.eye(2), 0)[0] == p[0]  # one pair: nothing to correct


def test_what_only_moves_with_its_copies_is_corrected_less():
    p, twins = np.array([0.02, 0.02, 0.02]), np.array([[1, 0.9999, 0], [0.9999, 1, 0], [0, 0, 1]])
    assert correct(p, np.eye(3), 0)[0][0] > 0.04
    assert correct(p, twins, 0)[0][1] == pytest.approx(0.04, abs=0.006)  # as good as two comparisons


def test_seeds_that_spread_hide_a_difference_that_rows_alone_would_show():
    generator = np.random.default_rng(0)
    rows = generator.random(2000)
    near = {"a": [rows < one for one in (0.93, 0.931, 0.929)], "b": [rows < one for one in (0.90, 0.899, 0.901)]}
    far = {"a": [rows < one for one in (0.93, 0.97, 0.89)], "b": near["b"]}
    assert judge(near)[0]["b"]["versus_best"]["detectable"]
    hidden = judge(far)[0]["b"]["versus_best"]
    assert not hidden["detectable"]
    assert hidden["rows_needed"] is None
    assert hidden["seeds_needed"] > 3


def test_one_seed_takes_nothing_from_anothers_spread():
    rows = np.random.default_rng(0).random(800)
    rights = {"a": [rows < 0.9], "b": [rows < 0.6], "restless": [rows < one for one in (0.3, 0.8)]}
    found, _ = judge(rights)
    assert found["b"]["versus_best"]["detectable"]
    assert not found["restless"]["versus_best"]["detectable"]


def test_rows_needed_give_the_power_they_promise():
    generator, detected = np.random.default_rng(0), []
    z = 1.959964 + 0.841621
    wanted = (0.03 / z) ** 2  # of 3 points where rows disagree in 10 %: variance 0.1 / rows
    rows, seeds = needed(wanted, 0.1 / 200, 0.0, 200, 0.0)
    assert seeds is None
    assert rows == pytest.approx(0.1 / wanted, rel=0.01)
    for _ in range(400):
        better, worse, _ = generator.multinomial(rows, [0.065, 0.035, 0.9])
        detected.append(mcnemar([better], [worse])[0] < 0.05)
    assert 0.72 <= np.mean(detected) <= 0.88
    assert needed(wanted, wanted / 4, 2 * wanted, 200, 6 * wanted) == (None, 8)  # 6 / 8 and 1 / 4 are 1
    more, seeds = needed(wanted, wanted, 2 * wanted, 200, 6 * wanted)
    assert (more, seeds) == (400, 12)
    assert needed(0.0, 0.1, 0.0, 200, 0.0) == (None, None)


def test_a_solved_head_has_no_seeds_to_be_unsure_of():
    generator = np.random.default_rng(3)
    rights = {"full": [generator.random(400) < share for share in (0.86, 0.9, 0.94)], "head": [first(352)]}
    scorers = {name: [by_mean({"accuracy": one}) for one in each] for name, each in rights.items()}
    _, doubted = judged(scorers, "accuracy", True, {}, 0)
    _, verdict = judged(scorers, "accuracy", True, {}, 0, seedless=["head"])
    assert any("One seed only for head" in line for line in doubted["advice"])
    assert not any("One seed only" in line for line in verdict["advice"])
