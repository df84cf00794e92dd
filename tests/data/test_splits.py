"""Splits: stratified, seeded, disjoint, whole."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.splits import stratified, subset

STRATA = st.lists(st.sampled_from("abcde"), min_size=1, max_size=200)
SHARES = st.floats(0.01, 0.9)


@settings(deadline=None, derandomize=True)
@given(STRATA, SHARES, st.integers(0, 1000))
def test_the_two_parts_are_disjoint_and_whole(strata, share, seed):
    kept, taken = stratified(strata, share, seed)
    assert sorted(kept + taken) == list(range(len(strata)))
    assert kept == sorted(kept)
    assert taken == sorted(taken)


@settings(deadline=None, derandomize=True)
@given(STRATA, SHARES, st.integers(0, 1000))
def test_every_stratum_keeps_its_share_and_at_least_a_row(strata, share, seed):
    kept, taken = stratified(strata, share, seed)
    left, gone, whole = (Counter(strata[row] for row in rows) for rows in (kept, taken, range(len(strata))))
    for stratum, count in whole.items():
        assert left[stratum] >= 1
        assert abs(gone[stratum] - min(count * share, count - 1)) <= 1


@settings(deadline=None, derandomize=True)
@given(STRATA, SHARES, st.integers(0, 1000))
def test_the_share_is_taken_as_a_whole_where_strata_allow_it(strata, share, seed):
    _, taken = stratified(strata, share, seed)
    spare = len(strata) - len(set(strata))
    assert len(taken) <= min(round(len(strata) * share), spare)
    if min(Counter(strata).values()) * (1 - share) > 1:
        assert len(taken) == round(len(strata) * share)


def test_proportions_of_a_large_set_are_exact():
    strata = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    _, taken = stratified(strata, 0.1, 0)
    assert Counter(strata[row] for row in taken) == {"a": 70, "b": 20, "c": 10}


def test_many_small_strata_are_all_drawn_from_by_turns():
    strata = [n % 50 for n in range(250)]
    _, taken = stratified(strata, 0.1, 0)
    assert len(taken) == 25
    assert max(Counter(strata[row] for row in taken).values()) == 1


def test_the_seed_decides_and_nothing_else():
    strata = ["a", "b"] * 100
    assert stratified(strata, 0.2, 7) == stratified(strata, 0.2, 7)
    assert stratified(strata, 0.2, 7) != stratified(strata, 0.2, 8)


def test_the_drawing_is_the_same_on_every_machine():
    assert stratified(["a", "b"] * 10, 0.2, 0)[1] == [0, 2, 11, 13]


@pytest.mark.parametrize("limit", [3, 5, 20])
def test_a_subset_is_drawn_by_seed_and_keeps_the_order(limit):
    rows = subset(20, limit, 3)
    assert rows == sorted(set(rows))
    assert len(rows) == limit
    assert rows == subset(20, limit, 3)
    assert limit == 20 or rows != subset(20, limit, 4)
