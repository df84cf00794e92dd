"""Scores equal scikit-learn's, and depend on neither order nor batches."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_expit, log_softmax

from tunewright.metrics import classification as metrics

NAMES = ("a", "b", "c", "d")
EASY = settings(deadline=None, derandomize=True, max_examples=60)


def logits_of(seed: int, rows: int, spread: float, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (rows, classes))


SPREADS = st.sampled_from([0.1, 1.0, 8.0])
SIZES = st.integers(1, 60)
SEEDS = st.integers(0, 10_000)
SUBSETS = st.sets(st.sampled_from(range(4)), min_size=1)


def quietly(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


@EASY
@given(SEEDS, SIZES, SPREADS, SUBSETS)
def test_single_label_scores_equal_scikit_learns(seed, rows, spread, occurring):
    logits = logits_of(seed, rows, spread)
    labels = np.random.default_rng(seed + 1).choice(sorted(occurring), rows)
    found = metrics.single_label(logits, labels, NAMES)
    predicted = logits.argmax(1)
    assert found["num_rows"] == rows
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(labels, predicted))
    assert found["loss"] == pytest.approx(-log_softmax(logits, axis=1)[np.arange(rows), labels].mean())
    assert found["mcc"] == pytest.approx(quietly(oracle.matthews_corrcoef, labels, predicted))
    for average in ("micro", "macro"):
        values = oracle.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)[:3]
        assert [found[f"{name}_{average}"] for name in ("precision", "recall", "f1")] == pytest.approx(values)
    assert found["f1_weighted"] == pytest.approx(oracle.f1_score(labels, predicted, average="weighted"))
    assert found["confusion_matrix"] == oracle.confusion_matrix(labels, predicted, labels=range(4)).tolist()
    each = np.array(oracle.precision_recall_fscore_support(labels, predicted, labels=range(4), zero_division=0)).T
    mine = [[found["per_class"][name][key] for key in ("precision", "recall", "f1", "support")] for name in NAMES]
    np.testing.assert_allclose(mine, each)


def indicator(seed: int, rows: int, share: float) -> np.ndarray:
    """(N, 4) of 0 and 1 in which every label occurs."""
    labels = (np.random.default_rng(seed).random((rows, 4)) < share).astype(np.int64)
    labels[0] = 1
    return labels


@EASY
@given(SEEDS, SIZES, SPREADS, st.sampled_from([0.0, 0.3, 1.0]))
def test_multi_label_scores_equal_scikit_learns(seed, rows, spread, share):
    logits, labels = logits_of(seed, rows, spread), indicator(seed + 1, rows, share)
    thresholds = (0.5, 0.3, 0.7, 0.5)
    found = metrics.multi_label(logits, labels, NAMES, thresholds)
    probabilities = metrics.sigmoid(logits)
    predicted = (probabilities >= thresholds).astype(int)
    for average in ("micro", "macro"):
        values = oracle.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)[:3]
        assert [found[f"{name}_{average}"] for name in ("precision", "recall", "f1")] == pytest.approx(values)
    assert found["f1_samples"] == pytest.approx(oracle.f1_score(labels, predicted, average="samples", zero_division=0))
    assert found["exact_match"] == pytest.approx(oracle.accuracy_score(labels, predicted))
    ranking = oracle.average_precision_score(labels, probabilities, average=None)
    assert [found["per_class"][name]["average_precision"] for name in NAMES] == pytest.approx(list(ranking))
    assert found["average_precision_macro"] == pytest.approx(ranking.mean())
    assert found["loss"] == pytest.approx(-log_expit(np.where(labels, logits, -logits)).mean())


@EASY
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=50))
def test_average_precision_takes_ties_together(pairs):
    scores = np.array([score for score, _ in pairs], dtype=float)
    labels = np.array([label for _, label in pairs], dtype=np.int64)
    found = metrics.average_precision(scores, labels)
    if labels.any():
        assert found == pytest.approx(oracle.average_precision_score(labels, scores))
    else:
        assert found is None


def test_a_label_that_never_occurs_has_no_average_precision():
    labels = np.array([[1, 0], [0, 0], [1, 0]])
    found = metrics.multi_label(logits_of(0, 3, 1.0, 2), labels, ("a", "b"), (0.5, 0.5))
    assert found["per_class"]["b"]["average_precision"] is None
    assert found["average_precision_macro"] == found["per_class"]["a"]["average_precision"]
    none = metrics.multi_label(logits_of(0, 3, 1.0, 2), labels * 0, ("a", "b"), (0.5, 0.5))
    assert none["average_precision_macro"] is None


def score(logits: np.ndarray, labels: np.ndarray) -> dict:
    if labels.ndim == 1:
        return metrics.single_label(logits, labels, NAMES)
    return metrics.multi_label(logits, labels, NAMES, (0.4, 0.5, 0.6, 0.5))


def flat(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in flat(item)]
    if isinstance(value, list):
        return [number for item in value for number in flat(item)]
    return [np.nan if value is None else float(value)]


@pytest.mark.parametrize("several", [False, True], ids=["single_label", "multi_label"])
@EASY
@given(SEEDS, st.integers(2, 60))
def test_the_order_of_the_rows_does_not_matter(several, seed, rows):  # D9
    logits = logits_of(seed, rows, 1.0)
    labels = indicator(seed, rows, 0.3) if several else np.arange(rows) % 4
    order = np.random.default_rng(seed).permutation(rows)
    np.testing.assert_allclose(flat(score(logits, labels)), flat(score(logits[order], labels[order])), rtol=1e-9)


COUNTS = {"num_rows", "support", "count", "confusion_matrix"}


def without_counts(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_counts(item) for key, item in value.items() if key not in COUNTS}
    return [without_counts(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("several", [False, True], ids=["single_label", "multi_label"])
@EASY
@given(SEEDS, st.integers(2, 60), st.integers(2, 4))
def test_rows_that_all_come_several_times_change_no_score(several, seed, rows, times):  # D9
    logits = logits_of(seed, rows, 1.0)
    labels = indicator(seed, rows, 0.3) if several else np.arange(rows) % 4
    more = score(np.tile(logits, (times, 1)), np.tile(labels, (times, 1) if several else times))
    np.testing.assert_allclose(
        flat(without_counts(score(logits, labels))), flat(without_counts(more)), rtol=1e-9, atol=1e-12
    )
    assert more["num_rows"] == rows * times


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.97, 0.99, 0.55, 0.57])
    correct = np.array([True, True, False, True, False])
    error, bins = metrics.calibration(confidence, correct)
    # bin [14/15, 1]: 3 rows, mean 0.97, right 2/3; bin [8/15, 9/15): 2 rows, mean 0.56, right 1/2
    assert error == pytest.approx(3 / 5 * (0.97 - 2 / 3) + 2 / 5 * (0.56 - 1 / 2))
    assert [item["count"] for item in bins] == [2, 3]
    assert bins[1]["lower"] == pytest.approx(14 / 15)
    assert bins[1]["upper"] == 1.0
    assert bins[1]["confidence"] == pytest.approx(0.97)
    assert bins[1]["accuracy"] == pytest.approx(2 / 3)


def test_with_several_labels_each_label_of_a_row_is_a_decision_whatever_its_threshold():
    probabilities = np.array([[0.97, 0.03], [0.03, 0.97]])  # 0.97 sure of each: three are right
    logits, labels = np.log(probabilities / (1 - probabilities)), np.array([[1, 0], [0, 0]])
    found = metrics.multi_label(logits, labels, ("a", "b"), (0.99, 0.99))
    assert found["calibration_error"] == pytest.approx(0.97 - 3 / 4)
    (only,) = found["calibration_bins"]
    assert (only["count"], only["confidence"], only["accuracy"]) == (4, pytest.approx(0.97), 0.75)


def test_certainty_falls_into_the_last_bin():
    error, bins = metrics.calibration(np.array([1.0, 1.0]), np.array([True, True]))
    assert (error, bins[0]["count"]) == (0.0, 2)


def test_a_confident_liar_is_badly_calibrated_and_an_honest_one_well():
    right = np.arange(1000) % 10 < 9
    assert metrics.calibration(np.full(1000, 0.9), right)[0] < 1e-9
    assert metrics.calibration(np.full(1000, 0.9), ~right)[0] == pytest.approx(0.8)


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_huge_logits_neither_overflow_nor_underflow(size):
    logits = np.array([[size, -size], [size, -size]])
    with np.errstate(all="raise", under="ignore"):
        single = metrics.single_label(logits, np.array([0, 1]), ("a", "b"))
        several = metrics.multi_label(logits, np.array([[1, 0], [0, 1]]), ("a", "b"), (0.5, 0.5))
    assert single["loss"] == pytest.approx(size)
    assert several["loss"] == pytest.approx(size / 2)


def test_probabilities_sum_to_one_and_are_monotonous():
    logits = logits_of(3, 20, 5.0)
    np.testing.assert_allclose(metrics.softmax(logits).sum(1), 1)
    np.testing.assert_allclose(metrics.sigmoid(logits), 1 / (1 + np.exp(-logits)))


def test_one_class_only_has_no_correlation_and_full_scores():
    logits = np.array([[5.0, 0], [4.0, 0]])
    found = metrics.single_label(logits, np.array([0, 0]), ("a", "b"))
    assert (found["mcc"], found["accuracy"], found["f1_macro"]) == (0.0, 1.0, 1.0)


def f1_at(logits: np.ndarray, labels: np.ndarray, threshold: float) -> float:
    chosen = metrics.sigmoid(logits) >= threshold
    return float(2 * (chosen & (labels > 0)).sum() / max(chosen.sum() + labels.sum(), 1))


@EASY
@given(SEEDS)
def test_a_threshold_is_the_best_of_its_grid(seed):
    generator = np.random.default_rng(seed)
    labels = (generator.random((80, 2)) < 0.4).astype(np.int64)
    labels[:10] = 1
    logits = labels * 2 + generator.normal(-1, 1.5, (80, 2))
    for column, threshold in enumerate(metrics.best_thresholds(logits, labels)):
        best = max(f1_at(logits[:, column], labels[:, column], level) for level in np.linspace(0.05, 0.95, 91))
        assert f1_at(logits[:, column], labels[:, column], threshold) == pytest.approx(best, abs=0.02)
        assert 0.05 <= threshold <= 0.95


def test_a_label_with_few_positives_takes_the_common_threshold():
    often = np.r_[np.full(20, -1.5), np.full(20, -4.0)]
    logits = np.stack([often, often, np.r_[8.0, np.full(39, -8.0)]], axis=1)
    labels = np.zeros((40, 3), dtype=np.int64)
    labels[:20, :2], labels[0, 2] = 1, 1
    found = metrics.best_thresholds(logits, labels)
    assert found[0] == found[1] == found[2]
    assert 0.05 < found[0] <= metrics.sigmoid(np.array(-1.5)) + 1e-6
    alone = metrics.best_thresholds(logits, labels, fewest=1)
    assert alone[2] == 0.5  # the middle of its own plateau


def test_the_middle_of_a_plateau_is_chosen():
    assert metrics.best_place(np.array([0.1, 0.9, 0.9, 0.9, 0.2])) == 2
    assert metrics.best_place(np.array([0.1, 0.2])) == 1
