"""auto: stratified, or in whole groups; seeded, disjoint, whole."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.splits.auto import by_group, by_stratum
from tunewright.data.splits.base import subset

STRATA = st.lists(st.sampled_from("abcde"), min_size=1, max_size=200)
SHARES = st.floats(0.01, 0.9)


@settings(deadline=None, derandomize=True)
@given(STRATA, SHARES, st.integers(0, 1000))
def test_the_two_parts_are_disjoint_and_whole(strata, share, seed):
    kept, taken = by_stratum(strata, share, seed)
    assert sorted(kept + taken) == list(range(len(strata)))
    assert kept == sorted(kept)
    assert taken == sorted(taken)


@settings(deadline=None, derandomize=True)
@given(STRATA, SHARES, st.integers(0, 1000))
def test_every_stratum_keeps_its_share_and_at_least_a_row(strata, share, seed):
    kept, taken = by_stratum(strata, share, seed)
    left, gone, whole = (Counter(strata[row] for row in rows) for rows in (kept, taken, range(len(strata))))
    for stratum, count in whole.items():
        assert left[stratum] >= 1
        assert abs(gone[stratum] - min(count * share, count - 1)) <= 1


@settings(deadline=None, derandomize=True)
@given(STRATA, SHARES, st.integers(0, 1000))
def test_the_share_is_taken_as_a_whole_where_strata_allow_it(strata, share, seed):
    _, taken = by_stratum(strata, share, seed)
    spare = len(strata) - len(set(strata))
    assert len(taken) <= min(round(len(strata) * share), spare)
    if min(Counter(strata).values()) * (1 - share) > 1:
        assert len(taken) == round(len(strata) * share)


def test_proportions_of_a_large_set_are_exact():
    strata = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    _, taken = by_stratum(strata, 0.1, 0)
    assert Counter(strata[row] for row in taken) == {"a": 70, "b": 20, "c": 10}


def test_many_small_strata_are_all_drawn_from_by_turns():
    strata = [n % 50 for n in range(250)]
    _, taken = by_stratum(strata, 0.1, 0)
    assert len(taken) == 25
    assert max(Counter(strata[row] for row in taken).values()) == 1


def test_the_seed_decides_and_nothing_else():
    strata = ["a", "b"] * 100
    assert by_stratum(strata, 0.2, 7) == by_stratum(strata, 0.2, 7)
    assert by_stratum(strata, 0.2, 7) != by_stratum(strata, 0.2, 8)


def test_the_drawing_is_the_same_on_every_machine():
    assert by_stratum(["a", "b"] * 10, 0.2, 0)[1] == [0, 2, 11, 13]


@pytest.mark.parametrize("limit", [3, 5, 20])
def test_a_subset_is_drawn_by_seed_and_keeps_the_order(limit):
    rows = subset(20, limit, 3)
    assert rows == sorted(set(rows))
    assert len(rows) == limit
    assert rows == subset(20, limit, 3)
    assert limit == 20 or rows != subset(20, limit, 4)


# --- whole groups ---------------------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True)
@given(STRATA, SHARES, st.integers(0, 1000))
def test_no_group_is_in_both_parts_and_no_row_is_lost(groups, share, seed):
    kept, taken = by_group(groups, share, seed)
    assert sorted(kept + taken) == list(range(len(groups)))
    assert kept == sorted(kept)
    assert taken == sorted(taken)
    assert not {groups[row] for row in kept} & {groups[row] for row in taken}
    assert kept  # a group stays behind


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 9), min_size=20, max_size=60), SHARES, st.integers(0, 1000))
def test_groups_come_near_the_share(sizes, share, seed):
    groups = [number for number, size in enumerate(sizes) for _ in range(size)]
    wanted = share * len(groups)
    _, taken = by_group(groups, share, seed)
    assert len(taken) <= wanted + max(sizes) / 2
    assert len(taken) >= min(wanted, len(groups) - max(sizes)) - max(sizes) / 2


def test_one_large_group_does_not_take_the_share_with_it():
    groups = ["long"] * 80 + [f"short {number // 2}" for number in range(20)]
    for seed in range(20):
        _, taken = by_group(groups, 0.1, seed)
        assert len(taken) == 10
        assert all(row >= 80 for row in taken)


def test_a_single_group_is_never_parted():
    assert by_group(["same"] * 9, 0.5, 0) == (list(range(9)), [])


def test_the_seed_decides_which_groups_are_taken():
    groups = [row // 3 for row in range(90)]
    assert by_group(groups, 0.2, 7) == by_group(groups, 0.2, 7)
    assert by_group(groups, 0.2, 7) != by_group(groups, 0.2, 8)
    assert by_group([str(group) for group in groups], 0.2, 7) == by_group(groups, 0.2, 7)
