"""The order of the rows: each once an epoch, pure, bucketed by length, shared out."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.sampler import by_length, epoch_steps, evenly, micro_batches

LENGTHS = st.lists(st.integers(1, 128), max_size=300)
SIZES = st.integers(1, 40)


def uneven(count: int) -> np.ndarray:
    return np.maximum(4, np.random.default_rng(0).lognormal(3, 0.6, count).astype(int))


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """The share of padded tokens."""
    return 1 - sum(lengths) / sum(len(rows) * max(lengths[rows]) for rows in batches)


@settings(deadline=None, derandomize=True)
@given(LENGTHS, SIZES, st.integers(0, 99), st.integers(0, 5))
def test_each_row_comes_exactly_once_an_epoch(lengths, size, seed, epoch):  # R5
    steps = epoch_steps(lengths, size, seed, epoch)
    assert sorted(chain.from_iterable(rows.tolist() for rows in steps)) == list(range(len(lengths)))
    assert all(0 < len(rows) <= size for rows in steps)
    assert sum(len(rows) < size for rows in steps) <= 1


@settings(deadline=None, derandomize=True)
@given(LENGTHS, SIZES, st.integers(0, 99), st.integers(0, 5))
def test_the_order_is_a_pure_function_of_seed_and_epoch(lengths, size, seed, epoch):  # R5
    np.random.seed(seed)
    first = epoch_steps(lengths, size, seed, epoch)
    np.random.random(17)  # the global generator must not matter
    again = epoch_steps(lengths, size, seed, epoch)
    assert [rows.tolist() for rows in first] == [rows.tolist() for rows in again]


def test_a_run_resumes_at_any_step_by_its_index():  # R5
    lengths = uneven(100)
    whole = [rows.tolist() for epoch in range(3) for rows in epoch_steps(lengths, 8, 1, epoch)]
    per_epoch = len(epoch_steps(lengths, 8, 1, 0))
    for step, rows in enumerate(whole):
        assert epoch_steps(lengths, 8, 1, step // per_epoch)[step % per_epoch].tolist() == rows


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 1}])
def test_epochs_and_seeds_differ_in_order_and_in_company(other):
    lengths = uneven(600)
    first = epoch_steps(lengths, 16, **{"seed": 0, "epoch": 0})
    second = epoch_steps(lengths, 16, **{"seed": 0, "epoch": 0, **other})
    assert [rows.tolist() for rows in first] != [rows.tolist() for rows in second]
    same = {frozenset(rows.tolist()) for rows in first} & {frozenset(rows.tolist()) for rows in second}
    assert len(same) < len(first) / 8  # the few longest rows of small data go together


@pytest.mark.parametrize(("count", "size"), [(600, 16), (1024, 32), (10_000, 32)])
def test_padding_is_small(count, size):
    lengths = uneven(count)
    shuffled = np.array_split(np.random.default_rng(1).permutation(count), count // size)
    steps = epoch_steps(lengths, size, 0, 0)
    assert padding(lengths, steps) < 0.15
    assert padding(lengths, steps) < padding(lengths, shuffled) / 4


@pytest.mark.parametrize("count", [320, 4000])
def test_rows_far_apart_in_length_may_meet(count):
    lengths = np.repeat([5, 100], count // 2)
    mixed = [rows for epoch in range(4) for rows in epoch_steps(lengths, 16, 0, epoch) if len(set(lengths[rows])) > 1]
    assert len(mixed) >= 4


def test_steps_do_not_come_in_the_order_of_their_lengths():
    lengths = uneven(640)  # one bucket
    means = np.array([lengths[rows].mean() for rows in epoch_steps(lengths, 16, 0, 0)])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_rows_of_equal_length_are_shuffled_evenly():
    place = [np.concatenate(epoch_steps([7] * 64, 8, 0, epoch)).tolist().index(0) for epoch in range(400)]
    counts = np.histogram(place, bins=8, range=(0, 64))[0]
    assert counts.min() > 25  # 50 expected
    assert counts.max() < 80


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 128), min_size=1, max_size=64), st.integers(1, 10), st.integers(1, 5))
def test_processes_and_micro_batches_partition_a_step(lengths, micro, processes):  # N2
    step = np.random.default_rng(0).permutation(len(lengths))
    shares = [micro_batches(step, lengths, micro, process, processes) for process in range(processes)]
    rows = [row for share in shares for batch in share for row in batch.tolist()]
    assert sorted(rows) == list(range(len(lengths)))
    assert all(0 < len(batch) <= micro for share in shares for batch in share)
    sizes = [sum(map(len, share)) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_processes_have_equal_work_and_micro_batches_rows_of_like_length():
    lengths = uneven(64)
    step = np.arange(64)
    work = [sum(lengths[np.concatenate(micro_batches(step, lengths, 8, p, 2))]) for p in range(2)]
    assert max(work) / min(work) < 1.1
    batches = micro_batches(step, lengths, 8)
    assert all(lengths[a].min() >= lengths[b].max() for a, b in pairwise(batches))


def test_a_process_without_a_row_has_no_batch():
    assert micro_batches(np.array([3]), [5, 5, 5, 5], 8, process=1, num_processes=2) == []


@settings(deadline=None, derandomize=True)
@given(LENGTHS, st.integers(1, 2000))
def test_evaluation_batches_hold_each_row_once_within_their_tokens(lengths, tokens):
    batches = by_length(lengths, tokens)
    assert sorted(chain.from_iterable(rows.tolist() for rows in batches)) == list(range(len(lengths)))
    widths = [max(lengths[row] for row in rows) for rows in batches]
    assert widths == sorted(widths, reverse=True)
    assert all(len(rows) == 1 or len(rows) * width <= tokens for rows, width in zip(batches, widths, strict=True))


CLASSES = st.lists(st.integers(0, 5), min_size=1, max_size=200)


@settings(deadline=None, derandomize=True)
@given(CLASSES, st.integers(0, 99), st.integers(0, 5))
def test_an_even_epoch_has_as_many_rows_and_each_class_alike(classes, seed, epoch):
    drawn = evenly(classes, seed, epoch)
    per_class = np.unique(np.array(classes)[drawn], return_counts=True)[1]
    assert len(drawn) == len(classes)
    assert len(per_class) == len(set(classes))
    assert per_class.max() - per_class.min() <= 1


@settings(deadline=None, derandomize=True)
@given(CLASSES, st.integers(0, 99), st.integers(0, 5))
def test_no_row_comes_again_before_all_of_its_class_have_come(classes, seed, epoch):
    drawn = evenly(classes, seed, epoch)
    for label in set(classes):
        times = np.bincount(drawn[np.array(classes)[drawn] == label], minlength=len(classes))[
            np.array(classes) == label
        ]
        assert times.max() - times.min() <= 1


def test_even_draws_are_a_pure_function_of_seed_and_epoch():  # R5
    classes = [0] * 90 + [1] * 10
    first = evenly(classes, 0, 0)
    np.random.random(17)  # the global generator must not matter
    assert np.array_equal(first, evenly(classes, 0, 0))
    assert not np.array_equal(first, evenly(classes, 0, 1))
    assert not np.array_equal(first, evenly(classes, 1, 0))


def test_a_large_class_comes_whole_over_some_epochs():
    classes = [0] * 90 + [1] * 10
    seen = {row for epoch in range(12) for row in evenly(classes, 0, epoch).tolist()}
    assert seen == set(range(100))
