"""Every kind of splitter: whole, disjoint, seeded; time, groups and shares as each promises."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.near import clusters
from tunewright.data.splits.auto import Auto
from tunewright.data.splits.base import Subject, joined
from tunewright.data.splits.by_time import ByTime, read_times
from tunewright.data.splits.grouped import Grouped
from tunewright.data.splits.random import Random
from tunewright.data.splits.stratified import Stratified
from tunewright.errors import ConfigError

LABEL_SETS = st.lists(st.sets(st.sampled_from("abcdef"), max_size=4).map(sorted).map(tuple), min_size=1, max_size=70)
ONE_LABEL = st.lists(st.sampled_from("abcd").map(lambda name: (name,)), min_size=1, max_size=70)
SHARES = st.sampled_from([{"test": 0.1}, {"test": 0.47}, {"validation": 0.1, "test": 0.1},
                          {"validation": 0.21, "test": 0.42}])  # fmt: skip
SEEDS = st.integers(0, 50)
KINDS = [Auto(), Random(), Stratified(), Grouped()]
quick = settings(deadline=None, derandomize=True, max_examples=25)


def subject(labels, **more) -> Subject:
    return Subject(labels, **more)


def counts(labels, places) -> Counter:
    return Counter(name for place in places for name in labels[place])


def most_labels(labels) -> int:
    return max(map(len, labels))


# --- what all of them promise ---------------------------------------------------------------------------------------


@quick
@given(LABEL_SETS, SHARES, SEEDS, st.sampled_from(KINDS))
def test_every_row_is_in_one_part_and_the_seed_decides(labels, shares, seed, splitter):
    blocks = [place // 2 for place in range(len(labels))] if splitter.kind == "grouped" else None
    parts = splitter.split(subject(labels, blocks=blocks), shares, seed)
    assert set(parts) == {"train", *shares}
    assert sorted(place for places in parts.values() for place in places) == list(range(len(labels)))
    assert all(places == sorted(places) for places in parts.values())
    assert parts["train"]
    assert parts == splitter.split(subject(labels, blocks=blocks), shares, seed)


@quick
@given(st.lists(st.sampled_from("abc"), min_size=12, max_size=60), st.integers(2, 5), SEEDS, st.sampled_from(KINDS))
def test_folds_hold_every_row_out_once(names, count, seed, splitter):
    blocks = [place // 2 for place in range(len(names))] if splitter.kind == "grouped" else None
    found = splitter.folds(subject([(name,) for name in names], blocks=blocks), count, seed)
    assert len(found) == count
    assert sorted(place for _, held_out in found for place in held_out) == list(range(len(names)))
    assert all(sorted(train + held_out) == list(range(len(names))) for train, held_out in found)


def test_another_seed_draws_other_rows():
    rows = subject([("a",)] * 40)
    for splitter in (Random(), Stratified()):
        assert splitter.split(rows, {"test": 0.2}, 1) != splitter.split(rows, {"test": 0.2}, 2)
        assert splitter.folds(rows, 4, 1) != splitter.folds(rows, 4, 2)


def test_the_drawing_is_the_same_on_every_machine():
    rows = subject([("a",), ("b",), ("a", "b")] * 5)
    assert Stratified().split(rows, {"validation": 0.2, "test": 0.2}, 0) == {
        "train": [0, 4, 5, 6, 8, 9, 10, 13, 14], "validation": [2, 3, 7], "test": [1, 11, 12]
    }  # fmt: skip


@pytest.mark.parametrize("splitter", [Random(), Stratified(), Auto()])
def test_more_folds_than_rows_are_refused(splitter):
    with pytest.raises(ConfigError, match="do not fill 4 folds"):
        splitter.folds(subject([("a",)] * 3), 4, 0)


# --- shares within rounding -----------------------------------------------------------------------------------------


@quick
@given(LABEL_SETS, SHARES, SEEDS)
def test_with_several_labels_each_ones_share_is_within_the_bound(labels, shares, seed):
    shares = {"train": 1 - sum(shares.values()), **shares}
    bound = max(most_labels(labels) * (1 if len(shares) == 2 else 2), 1)
    parts = Stratified().assign(subject(labels), list(shares.values()), seed)
    everywhere = counts(labels, range(len(labels)))
    for place, share in enumerate(shares.values()):
        found = counts(labels, np.flatnonzero(parts == place))
        assert all(abs(found[name] - share * number) < bound for name, number in everywhere.items())


@quick
@given(ONE_LABEL, SHARES, SEEDS)
def test_with_one_label_counts_and_sizes_are_the_share_rounded_up_or_down(labels, shares, seed):
    shares = {"train": 1 - sum(shares.values()), **shares}
    parts = Stratified().assign(subject(labels), list(shares.values()), seed)
    everywhere = counts(labels, range(len(labels)))
    for place, share in enumerate(shares.values()):
        found = counts(labels, np.flatnonzero(parts == place))
        assert all(abs(found[name] - share * number) < 1 for name, number in everywhere.items())
        assert abs(sum(found.values()) - share * len(labels)) < 1


@quick
@given(LABEL_SETS, SHARES, SEEDS)
def test_training_lacks_no_label_and_pays_a_row_for_each_it_would_lack(labels, shares, seed):
    rows, train_share = subject(labels), 1 - sum(shares.values())
    parts = Stratified().split(rows, shares, seed)
    assert set(counts(labels, parts["train"])) == set(counts(labels, range(len(labels))))
    drawn = Stratified().assign(rows, [train_share, *shares.values()], seed)
    lacking = len(counts(labels, range(len(labels)))) - len(counts(labels, np.flatnonzero(drawn == 0)))
    assert int((drawn == 0).sum()) <= len(parts["train"]) <= int((drawn == 0).sum()) + lacking + 1


@settings(quick, max_examples=20)
@given(LABEL_SETS.filter(lambda labels: len(labels) >= 30), SEEDS)
def test_folds_have_each_labels_share_within_the_bound(labels, seed):
    everywhere = counts(labels, range(len(labels)))
    parts = Stratified().assign(subject(labels), [0.2] * 5, seed)
    for fold in range(5):
        found = counts(labels, np.flatnonzero(parts == fold))
        bound = 2 * max(most_labels(labels), 1)
        assert all(abs(found[name] - number / 5) < bound for name, number in everywhere.items())


def test_every_row_has_the_same_chance():
    labels = [("a",), ("a", "b"), ("b", "c"), ("c",), ()] * 2 + [("d",)] * 3
    drawn = [Stratified().assign(subject(labels), [0.7, 0.3], seed) for seed in range(250)]
    assert np.allclose(np.mean(drawn, axis=0), 0.3, atol=0.12)  # more than four standard errors


@pytest.mark.real_data
def test_28_emotions_keep_their_shares(real_data):
    lines = (real_data / "goemotions" / "train.tsv").read_text(encoding="utf-8").splitlines()
    labels = [tuple(line.split("\t")[1].split(",")) for line in lines]
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    parts = Stratified().split(subject(labels), {"validation": 0.1, "test": 0.1}, 0)
    everywhere = counts(labels, range(len(labels)))
    assert len(everywhere) == 28
    worst = max(
        abs(counts(labels, parts[part])[name] - share * number)
        for part, share in shares.items()
        for name, number in everywhere.items()
    )
    assert worst < 2 * most_labels(labels)
    assert worst < 3  # seldom more than two; a random draw is off by 50


# --- groups and clusters --------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.integers(0, 12), min_size=1, max_size=70), LABEL_SETS, SHARES, SEEDS,
       st.sampled_from([Grouped(), Stratified(), Random()]))  # fmt: skip
def test_no_block_is_ever_parted(blocks, labels, shares, seed, splitter):
    rows = subject([labels[place % len(labels)] for place in range(len(blocks))], blocks=blocks)
    parts = splitter.split(rows, shares, seed)
    owners = [{blocks[place] for place in places} for places in parts.values()]
    assert sum(map(len, owners)) == len(set(blocks))
    if len(set(blocks)) >= 6:
        for train, held_out in splitter.folds(rows, 2, seed):
            assert not {blocks[place] for place in train} & {blocks[place] for place in held_out}


def test_groups_come_near_their_shares_and_keep_labels_as_far_as_they_allow():
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 9, size=150)
    blocks = np.repeat(np.arange(150), sizes).tolist()
    labels = [("rare",) if block % 10 == 0 else ("common",) for block in blocks]
    parts = Grouped().split(subject(labels, blocks=blocks), {"validation": 0.15, "test": 0.15}, 0)
    everywhere = counts(labels, range(len(labels)))
    for name in ("validation", "test"):
        assert abs(len(parts[name]) - 0.15 * len(labels)) <= 4
        assert all(abs(counts(labels, parts[name])[label] - 0.15 * everywhere[label]) <= 4 for label in everywhere)


def test_one_large_group_stays_in_training():
    blocks = [0] * 80 + list(range(1, 21))
    for seed in range(10):
        parts = Grouped().split(subject([("a",)] * 100, blocks=blocks), {"test": 0.1}, seed)
        assert len(parts["test"]) == 10
        assert set(range(80)) <= set(parts["train"])


def test_groups_are_needed_where_they_are_asked_for():
    with pytest.raises(ConfigError, match=r"no groups of their own; name the column .*data.split.column"):
        Grouped().split(subject([("a",)] * 9), {"test": 0.2}, 0)


def test_rows_that_share_any_key_are_one_block():
    assert joined(["x", "x", None, "y", None], [1, 2, 2, 3, None]) == joined([0, 0, 0, 1, 2])
    blocks = joined(["x", "x", None, "y", None], [1, 2, 2, 3, None])
    assert blocks[0] == blocks[1] == blocks[2]
    assert len(set(blocks)) == 3  # None shares with nobody


WORDS = "the parcel never came and nobody at the desk could tell me where it is now or when it will be".split()  # noqa: SIM905


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.lists(st.tuples(st.permutations(WORDS), st.integers(1, 3)), min_size=4, max_size=12), SEEDS)
def test_near_duplicates_never_straddle(texts, seed):
    rows = [" ".join([*words[:14], f"again{copy}"]) for words, copies in texts for copy in range(copies)]
    found = clusters(rows).tolist()
    parts = Stratified(near_duplicates=True).split(subject([("a",)] * len(rows), blocks=found), {"test": 0.3}, seed)
    assert not {found[place] for place in parts["train"]} & {found[place] for place in parts["test"]}


# --- time -----------------------------------------------------------------------------------------------------------

TIMES = st.lists(st.integers(0, 30), min_size=3, max_size=80).filter(lambda times: len(set(times)) >= 6)


@quick
@given(TIMES, SHARES, SEEDS)
def test_no_training_row_is_later_than_any_held_out(times, shares, seed):
    parts = ByTime(column="date").split(subject([("a",)] * len(times), times=times), shares, seed)
    spans = [[times[place] for place in places] for places in parts.values()]
    assert list(parts) == ["train", *shares]
    assert all(spans)
    assert all(max(earlier) < min(later) for earlier, later in itertools.pairwise(spans))  # no instant twice
    assert sorted(place for places in parts.values() for place in places) == list(range(len(times)))


@quick
@given(TIMES, st.integers(2, 5), SEEDS)
def test_folds_train_on_the_past_alone(times, count, seed):
    found = ByTime(column="date").folds(subject([("a",)] * len(times), times=times), count, seed)
    assert len(found) == count
    for train, held_out in found:
        assert max(times[place] for place in train) < min(times[place] for place in held_out)
    for (train, held_out), (longer, _) in itertools.pairwise(found):
        assert sorted(train + held_out) == longer


@quick
@given(st.integers(10, 300), SHARES)
def test_sizes_by_time_are_exact_where_every_instant_is_one_row(count, shares):
    times = np.random.default_rng(0).permutation(count).tolist()
    parts = ByTime(column="date").split(subject([("a",)] * count, times=times), shares, 0)
    assert all(abs(len(parts[name]) - share * count) <= 1 for name, share in shares.items())


def test_too_few_instants_are_refused():
    with pytest.raises(ConfigError, match="2 points in time are too few for 3 stretches"):
        ByTime(column="date").split(subject([("a",)] * 4, times=[1, 1, 2, 2]), {"validation": 0.2, "test": 0.2}, 0)


def test_time_and_clusters_cannot_both_decide():
    with pytest.raises(ValueError, match="near_duplicates does not go with by_time"):
        ByTime(column="date", near_duplicates=True)


def seconds(*parts: int) -> float:
    return datetime.datetime(*parts, tzinfo=datetime.UTC).timestamp()


@pytest.mark.parametrize(
    ("values", "expected", "form"),
    [
        (["3", "-1.5", "20"], [3, -1.5, 20], "numbers"),
        ([1_700_000_000_000_000_001, 1_700_000_000_000_000_000], [1_700_000_000_000_000_001, 1_700_000_000_000_000_000],
         "numbers"),
        (["2024-02-29", "2024-02-28T23:59:59Z"], [seconds(2024, 2, 29), seconds(2024, 2, 28, 23, 59, 59)], "ISO"),
        (["2024-03-01T01:00:00+02:00"], [seconds(2024, 2, 29, 23)], "ISO"),
        (["31.12.2023", "1.1.2024 08:30"], [seconds(2023, 12, 31), seconds(2024, 1, 1, 8, 30)], "%d.%m.%Y"),
        (["12/31/2023", "1/2/2024"], [seconds(2023, 12, 31), seconds(2024, 1, 2)], "%m/%d/%Y"),
        (["31/12/2023", "1/2/2024"], [seconds(2023, 12, 31), seconds(2024, 2, 1)], "%d/%m/%Y"),
        (["Dec 31, 2023"], [seconds(2023, 12, 31)], "%b %d, %Y"),
        (["Tue Nov 05 08:00:00 +0000 2019"], [seconds(2019, 11, 5, 8)], "%a %b %d %H:%M:%S %z %Y"),
        ([datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3)], [seconds(2024, 1, 2), seconds(2024, 1, 2, 3)],
         "ISO"),
    ],
)  # fmt: skip
def test_times_are_read(values, expected, form):
    assert read_times(values) == (expected, None, form)


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        (["2024-01-01", "2024-01-02", "yesterday"], 2), (["2024-01-01", ""], 1), ([None, "2024-01-01"], 0),
        ([1, True], 1), ([1, float("nan")], 1), (["31.12.2023", "12/31/2023"], 1), (["1", "2024-01-01"], 1),
    ],
)  # fmt: skip
def test_the_first_value_that_is_no_time_is_named(values, bad):
    assert read_times(values)[1] == bad


def test_nobody_guesses_which_number_is_the_month():
    assert read_times(["1/2/2024", "3/4/2024"])[1:] == (0, "")
    assert read_times(["1/1/2024", "2/2/2024"])[1] is None  # the same either way
