"""The order of the rows: each once an epoch, pure, bucketed by length, shared out."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.sampler import by_length, epoch_steps, even_cuts, evenly, micro_batches, num_steps

EASY = settings(deadline=None, derandomize=True, max_examples=25)
LENGTHS = st.lists(st.integers(1, 128), max_size=300)
SIZES = st.integers(1, 40)


def uneven(count: int) -> np.ndarray:
    return np.maximum(4, np.random.default_rng(0).lognormal(3, 0.6, count).astype(int))


def padding(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """The share of padded tokens."""
    return 1 - sum(lengths) / sum(len(rows) * max(lengths[rows]) for rows in batches)


@EASY
@given(LENGTHS, SIZES, st.integers(0, 99), st.integers(0, 5))
def test_each_row_comes_exactly_once_an_epoch(lengths, size, seed, epoch):  # R5
    steps = epoch_steps(lengths, size, seed, epoch)
    assert sorted(chain.from_iterable(rows.tolist() for rows in steps)) == list(range(len(lengths)))
    assert all(0 < len(rows) <= size for rows in steps)
    assert sum(len(rows) < size for rows in steps) <= 1


@EASY
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


@EASY
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


@EASY
@given(LENGTHS, st.integers(1, 2000))
def test_evaluation_batches_hold_each_row_once_within_their_tokens(lengths, tokens):
    batches = by_length(lengths, tokens)
    assert sorted(chain.from_iterable(rows.tolist() for rows in batches)) == list(range(len(lengths)))
    widths = [max(lengths[row] for row in rows) for rows in batches]
    assert widths == sorted(widths, reverse=True)
    assert all(len(rows) == 1 or len(rows) * width <= tokens for rows, width in zip(batches, widths, strict=True))


def test_a_row_longer_than_a_batch_is_a_batch_by_itself():
    assert [rows.tolist() for rows in by_length([9, 8, 2, 2], 4)] == [[0], [1], [2, 3]]


@pytest.mark.parametrize(("rows", "size", "steps"), [(0, 4, 0), (1, 4, 1), (8, 4, 2), (9, 4, 3)])
def test_the_last_step_of_an_epoch_may_be_short(rows, size, steps):
    assert num_steps([5] * rows, size) == steps == len(epoch_steps([5] * rows, size, 0, 0))


CLASSES = st.lists(st.integers(0, 5), min_size=1, max_size=200)


@EASY
@given(CLASSES, st.integers(0, 99), st.integers(0, 5))
def test_an_even_epoch_has_as_many_rows_and_each_class_alike(classes, seed, epoch):
    drawn = evenly(classes, seed, epoch)
    per_class = np.unique(np.array(classes)[drawn], return_counts=True)[1]
    assert len(drawn) == len(classes)
    assert len(per_class) == len(set(classes))
    assert per_class.max() - per_class.min() <= 1


@EASY
@given(CLASSES, st.integers(0, 99), st.integers(0, 5))
def test_no_row_comes_again_before_all_of_its_class_have_come(classes, seed, epoch):
    drawn = evenly(classes, seed, epoch)
    for label in set(classes):
        times = np.bincount(drawn[np.array(classes)[drawn] == label], minlength=len(classes))[
            np.array(classes) == label
        ]
        assert times.max() - times.min() <= 1


def test_of_no_row_none_is_drawn():
    assert evenly([], 0, 0).tolist() == []


def test_even_draws_are_a_pure_function_of_seed_and_epoch():  # R5
    classes = [0] * 90 + [1] * 10
    first = evenly(classes, 0, 0)
    np.random.random(17)  # the global generator must not matter
    assert np.array_equal(first, evenly(classes, 0, 0))
    assert not np.array_equal(first, evenly(classes, 0, 1))
    assert not np.array_equal(first, evenly(classes, 1, 0))


# --- steps of about as many tokens --------------------------------------------------------------------------------


def by_tokens(lengths: np.ndarray, tokens: int, seed: int = 0, epoch: int = 0):
    return epoch_steps(lengths, None, seed, epoch, num_steps(lengths, None, tokens))


@EASY
@given(st.lists(st.integers(1, 128), min_size=1, max_size=200), st.integers(1, 3000), st.integers(0, 99))
def test_steps_by_tokens_have_each_row_once_and_none_is_empty(lengths, tokens, seed):  # R5
    for epoch in range(2):
        steps = by_tokens(np.array(lengths), tokens, seed, epoch)
        assert len(steps) == num_steps(lengths, None, tokens)  # the same in every epoch: a step's number tells both
        assert sorted(np.concatenate(list(steps)).tolist()) == list(range(len(lengths)))
        assert min(map(len, steps)) > 0


@pytest.mark.parametrize(
    ("lengths", "cuts"), [([1, 1, 1, 100], [0, 2, 3]), ([100, 1, 1, 1], [0, 1, 2]), ([4, 4, 4, 4, 4, 4], [0, 2, 4])]
)
def test_steps_by_tokens_are_cut_where_a_share_ends_and_leave_a_row_for_each(lengths, cuts):
    assert even_cuts(np.array(lengths), 3).tolist() == cuts


def test_steps_by_tokens_have_about_so_many():
    lengths = uneven(10_000)
    found = np.array([lengths[rows].sum() for rows in by_tokens(lengths, 1000)])
    assert abs(found.mean() / 1000 - 1) < 0.01
    assert abs(found / 1000 - 1).max() < max(lengths) / 1000
    assert found.std() < 50
    assert len({len(rows) for rows in by_tokens(lengths, 1000)}) > 20  # few long rows, or many short ones


@pytest.mark.parametrize("tokens", [600, 2400])
def test_steps_by_tokens_are_hardly_padded(tokens):
    lengths = uneven(20_000)
    assert padding(lengths, by_tokens(lengths, tokens)) < 0.06


CUTS = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 4)), min_size=1, max_size=60)


@EASY
@given(CUTS, st.integers(1, 300), st.integers(1, 20), st.integers(1, 3))
def test_micro_batches_stay_within_their_padded_tokens(rows, capacity, most, processes):  # N2
    lengths, windows = (np.array(values) for values in zip(*rows, strict=True))
    step, shares = np.arange(len(rows)), []
    for process in range(processes):
        found = micro_batches(step, lengths, most, process, processes, capacity, windows)
        padded = [int(windows[part].sum() * lengths[part].max()) for part in found]
        assert all(size <= capacity or len(part) == 1 for size, part in zip(padded, found, strict=True))
        assert all(len(part) <= most for part in found)
        for part, after in pairwise(found):  # none is smaller than need be
            longer = np.append(part, after[0])
            assert len(part) == most or windows[longer].sum() * lengths[longer].max() > capacity
        shares += found
    assert sorted(np.concatenate(shares).tolist()) == step.tolist()


# --- the quality of the shuffle -------------------------------------------------------------------------------------

HOW = {"rows": lambda lengths, epoch: epoch_steps(lengths, 16, 0, epoch),
       "tokens": lambda lengths, epoch: by_tokens(lengths, 16 * int(lengths.mean()), 0, epoch)}  # fmt: skip


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


@pytest.fixture(params=HOW, scope="module")
def epochs(request) -> tuple[np.ndarray, list]:
    """(lengths, the steps of 20 epochs); the rows of the file stand in the order of their lengths."""
    lengths = np.sort(uneven(3000))
    return lengths, [HOW[request.param](lengths, epoch) for epoch in range(20)]


def test_when_a_row_comes_has_to_do_with_nothing(epochs):
    lengths, found = epochs
    labels = (np.arange(3000) < 900).astype(float)  # a file sorted by label
    step_of = np.empty((len(found), 3000))
    for epoch, steps in enumerate(found):
        for number, rows in enumerate(steps):
            step_of[epoch, rows] = number
    for other in (np.arange(3000), lengths, labels):  # an epoch has few steps with the shortest rows
        related = np.array([correlation(order, other) for order in step_of])
        assert abs(related).max() < 0.4
        assert abs(related.mean()) < 0.07


def test_over_epochs_every_row_comes_early_and_late(epochs):
    _, found = epochs
    places = np.zeros((len(found), 3000))
    for epoch, steps in enumerate(found):
        for number, rows in enumerate(steps):
            places[epoch, rows] = number / len(steps)
    means = places.mean(0)
    assert means.std() == pytest.approx(np.sqrt(1 / 12 / 20), rel=0.15)  # as of independent uniform draws
    assert abs(correlation(places[0], places[1])) < 0.1


def test_the_lengths_of_steps_that_follow_each_other_are_unrelated(epochs):
    lengths, found = epochs
    for lag in (1, 50):  # the bucket is not to be seen
        related = []
        for steps in found:
            means = np.array([lengths[rows].mean() for rows in steps])
            related.append(correlation(means[:-lag], means[lag:]))
        assert abs(np.mean(related)) < 0.06


def test_any_two_rows_may_meet():
    lengths = np.sort(uneven(24))
    for draw in (lambda epoch: epoch_steps(lengths, 6, 0, epoch), lambda epoch: by_tokens(lengths, 150, 0, epoch)):
        met = np.zeros((24, 24), dtype=int)
        for epoch in range(500):
            for rows in draw(epoch):
                met[np.ix_(rows, rows)] += 1
        assert (met > 0).all()


def test_an_epochs_steps_take_little_memory():
    import tracemalloc

    lengths = uneven(100_000)
    tracemalloc.start()
    steps = epoch_steps(lengths, 1, 0, 0)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(steps) == 100_000
    assert held < 3_000_000  # an array of its own for every step takes 13 MB
