"""Intervals, confusions, weak classes, mistakes."""

from __future__ import annotations

import math

import pytest

from tunewright.report import analysis
from tunewright.report.classification import confused_pairs, overconfidence
from tunewright.report.mistakes import confident_mistakes, mistake


def test_keeping_the_surest_answers_is_told_with_its_confidence() -> None:
    answers = [(0.9, True)] * 10 + [(0.5, False)] * 10
    assert analysis.surest(answers) == [(0.25, 0.9, 1.0), (0.5, 0.9, 1.0), (0.75, 0.5, 10 / 15), (1.0, 0.5, 0.5)]
    assert analysis.surest(answers[1:]) == []


def test_smoothing_does_not_lag_behind_a_straight_line() -> None:
    line = [(float(x), 3.0 - 0.01 * x) for x in range(200)]
    assert [y for _, y in analysis.smooth(line)] == pytest.approx([y for _, y in line])


def test_smoothing_reduces_noise() -> None:
    noisy = [(float(x), math.sin(x * 12.9898)) for x in range(400)]
    assert max(abs(y) for _, y in analysis.smooth(noisy)[20:-20]) < 0.4


def test_thinning_keeps_ends_order_and_spikes() -> None:
    points = [(float(x), 1.0) for x in range(10_000)]
    points[4_321] = (4321.0, 99.0)
    thinned = analysis.thin(points)
    assert len(thinned) <= 404
    assert thinned == sorted(thinned)
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert (4321.0, 99.0) in thinned


def test_curves_leave_out_what_is_no_finite_number() -> None:
    lines = [{"step": 1, "loss": None}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": 0.5}, {"loss": 0.4}]
    assert analysis.curve(lines, "loss") == [(3.0, 0.5)]


def test_confused_pairs_are_ordered_by_frequency_and_leave_out_right_answers() -> None:
    pairs = confused_pairs([[9, 1, 0], [7, 3, 0], [0, 2, 8]], ["a", "b", "c"])
    assert [(pair.true, pair.predicted, pair.num_rows) for pair in pairs] == [
        ("b", "a", 7),
        ("c", "b", 2),
        ("a", "b", 1),
    ]
    assert pairs[0].share == pytest.approx(0.7)


def test_the_weakest_classes_are_below_the_mean_and_below_090() -> None:
    scores = {"good": {"f1": 0.97}, "weak": {"f1": 0.4}, "middle": {"f1": 0.8}, "unknown": {"f1": None}}
    assert analysis.weakest(scores) == ["weak"]
    assert analysis.weakest({"a": {"f1": 0.95}, "b": {"f1": 0.99}}) == []


def test_classes_without_an_f1_come_last() -> None:
    ordered = analysis.by_weakness({"unknown": {"f1": None}, "good": {"f1": 0.9}, "weak": {"f1": 0.1}})
    assert [label for label, _ in ordered] == ["weak", "good", "unknown"]


def test_overconfidence_is_weighted_by_rows_and_skips_empty_bins() -> None:
    bins = [
        {"confidence": 0.9, "accuracy": 0.8, "count": 30},
        {"confidence": 0.6, "accuracy": 0.7, "count": 10},
        {"confidence": None, "accuracy": None, "count": 0},
    ]
    assert overconfidence(bins) == pytest.approx(0.05)
    assert overconfidence([]) is None


def test_mistakes_are_the_surest_first_and_only_mistakes() -> None:
    rows = [
        {"row": 1, "text": "x", "label": "a", "predicted": "a", "probability": 0.99},
        {"row": 2, "text": "y", "label": "a", "predicted": "b", "probability": 0.6},
        {"row": 3, "text": "z", "label": "b", "predicted": "a", "probability": 0.9},
    ]
    assert [found.row for found in confident_mistakes(rows)] == [3, 2]


def test_a_mistake_with_several_labels_says_what_is_missed_and_what_is_wrong() -> None:
    row = {"row": 4, "text": "t", "label": ["a", "b"], "predicted": ["b", "c"],
           "probabilities": {"a": 0.05, "b": 0.9, "c": 0.7}}  # fmt: skip
    found = mistake(row)
    assert found is not None
    assert (found.missed, found.wrong) == ([("a", 0.05)], [("c", 0.7)])
    assert found.confidence == pytest.approx(0.95)


def test_a_row_without_any_label_can_be_a_mistake_but_an_unlabelled_row_cannot() -> None:
    assert mistake({"text": "t", "label": [], "predicted": ["a"]}) is not None
    assert mistake({"text": "t", "label": None, "predicted": "a"}) is None


def test_the_main_score_is_accuracy_then_macro_f1_and_never_a_loss() -> None:
    assert analysis.main_score({"loss": 1.0, "f1_macro": 0.5, "accuracy": 0.7}) == ("accuracy", 0.7)
    assert analysis.main_score({"num_rows": 9, "loss": 1.0, "f1_macro": 0.5, "accuracy": None}) == ("f1_macro", 0.5)
    assert analysis.main_score({"num_rows": 9, "loss": 1.0}) is None
