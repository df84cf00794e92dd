"""Successive halving: pure decisions, without clocks."""

from __future__ import annotations

import math

import pytest

from tunewright.contest.halving import Standing, going_on, seconds_of, shares
from tunewright.errors import ConfigError

FOUR = [Standing("a", 0.5, 0.25, 10), Standing("b", 0.9, 0.25, 10), Standing("c", None, 0.25, 10),
        Standing("d", 0.7, 0.25, 10)]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "rungs"), [(1, []), (2, [0.5]), (3, [0.25, 0.5]), (4, [0.25, 0.5]), (5, [0.125, 0.25, 0.5])]
)
def test_each_rung_halves_until_one_is_left(count, rungs):
    assert shares(count) == rungs
    assert math.ceil(count / 2 ** len(rungs)) == 1


def test_all_go_on_where_the_rest_fits():
    assert going_on(FOUR, 120, True) == ["a", "b", "c", "d"]  # three quarters of 40 seconds each


def test_else_the_better_half_goes_on_in_its_order():
    assert going_on(FOUR, 119, True) == ["b", "d"]
    assert going_on(FOUR, 119, False) == ["a", "d"]  # no score is never better
    assert going_on([*FOUR, Standing("e", math.nan, 0.5, 1)], 0, True) == ["a", "b", "d"]


def test_the_earlier_of_equals_goes_on():
    assert going_on([Standing("x", 0.5, 0.5, 9), Standing("y", 0.5, 0.5, 9)], 0, True) == ["x"]


def test_one_that_is_finished_takes_no_time():
    assert Standing("x", 0.5, 1.0, 100).rest == 0


@pytest.mark.parametrize(("text", "seconds"), [(90, 90), ("90s", 90), ("20m", 1200), ("1.5h", 5400), (None, None)])
def test_a_budget_has_a_unit(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["20 parsecs", "0", "-3m", "nan", "m"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match=r"--budget: .* is no time"):
        seconds_of(text)
