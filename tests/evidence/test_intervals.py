"""Intervals hold what they promise, for few rows and near the ends too."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.verdicts import exactly, measured
from tunewright.evidence import intervals
from tunewright.evidence.intervals import interval, resampled
from tunewright.metrics.rows import by_mean


@pytest.mark.parametrize("accuracy", [0.6, 0.9, 0.97])
def test_the_interval_of_an_accuracy_over_50_rows_covers_the_truth_in_93_to_97_percent(accuracy):
    assert 0.93 <= exactly(50, accuracy) <= 0.975  # of the binomial distribution: nothing is drawn


def test_the_interval_of_a_macro_f1_covers_the_truth():
    case = {"what": "coverage", "score": "macro-F1", "rows": 200}
    assert 0.91 <= measured(case, 150) <= 0.99  # 95 % to within two standard errors of 150


def test_the_interval_of_a_share_is_wilsons():
    found = intervals(by_mean({"accuracy": np.arange(400) < 300}), 0)["accuracy"]
    assert found["value"] == 0.75
    centre, half = (0.75 + 1.96**2 / 800) / (1 + 1.96**2 / 400), 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert found["low"] == pytest.approx(centre - half, abs=0.002)
    assert found["high"] == pytest.approx(centre + half, abs=0.002)


def test_all_right_all_wrong_and_a_single_row_have_intervals_too():
    low, high = interval(1.0, 0.0, 50)
    assert (low, high) == (pytest.approx(0.929, abs=0.001), 1.0)  # as Wilson has it; the rule of three says 0.94
    assert interval(0.0, 0.0, 50) == (0.0, pytest.approx(0.071, abs=0.001))
    assert interval(1.0, 0.0, 1)[0] == pytest.approx(0.207, abs=0.001)


def test_a_losss_interval_is_skewed_and_none_where_one_row_tells_nothing():
    low, high = interval(2.0, 0.04, 50, share=False)
    assert 0 < 2.0 - low < high - 2.0
    assert interval(2.0, 0.0, 1, share=False) == (None, None)
    assert interval(math.nan, 1.0, 9, share=False) == (None, None)


def test_all_are_resampled_by_the_same_draws_that_a_seed_repeats():
    rows = np.random.default_rng(0).random((2, 30))
    one, other, sum_of_both = (by_mean({"x": each}) for each in (rows[0], rows[1], rows[0] + rows[1]))
    found = [each["x"] for each in resampled([one, other, sum_of_both], 3)]
    assert found[0] + found[1] == pytest.approx(found[2])
    assert np.array_equal(resampled([one], 3)[0]["x"], found[0])
    assert found[0].std() == pytest.approx(rows[0].std() / math.sqrt(30), rel=0.1)
