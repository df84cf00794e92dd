"""The ledger: every row and token accounted for."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conftest import make_tokenizer
from tunewright.data import ledger
from tunewright.tasks.base import Features, Row
from tunewright.tasks.sequence_classification import SequenceClassification


def test_duplicates_across_splits_are_counted_by_pair_of_splits():  # D8
    splits = {
        "train": [("Where is it?",), ("late",), ("late",)],
        "validation": [("new",), ("LATE ",)],
        "test": [("late",), ("where  is\nit?",), ("other",), ("new",)],
    }
    assert ledger.duplicates_across(splits) == {"train/validation": 1, "train/test": 2, "validation/test": 2}


def test_splits_without_duplicates_report_none():  # D8
    assert ledger.duplicates_across({"train": [("a",)], "test": [("b",)]}) == {}


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("Straße",), ("STRASSE",), True),
        (("ｆｕｌｌ",), ("full",), True),
        (("cafe\u0301",), ("café",), True),
        ((" a\t b ",), ("a b",), True),
        (("a b",), ("a c",), False),
        (("a b", "c"), ("a", "b c"), False),
        (("a", "b"), ("a b",), False),
    ],
)
def test_the_same_text_is_recognised_however_it_is_written(first, second, same):  # D8
    assert (ledger.normalised(first) == ledger.normalised(second)) is same


def test_an_entry_counts_rows_tokens_and_what_was_cut():
    task = SequenceClassification(labels=("a", "b"))
    rows = [Row(2, ("red blue green one",), "a"), Row(3, ("red",), "b"), Row(5, ("red blue one two three",), "a")]
    encoded = task.encode(rows, make_tokenizer(), 5)
    dropped, mended = Counter({"column 'text' is empty": 2}), Counter({"answers that fit into no window": 1})
    entry = ledger.entry("a.csv", "0f", 5, dropped, Counter("aba"), encoded, mended)
    assert entry == {
        **{"source": "a.csv", "sha256": "0f", "rows_in": 5, "rows_kept": 3},
        **{"dropped": {"column 'text' is empty": 2}, "truncated": 2, "tokens_cut": 3, "tokens": 13, "windows": 3},
        **{"label_counts": {"a": 2, "b": 1}, "faults": {"answers that fit into no window": 1}},
    }


def test_windows_cut_nothing_and_are_counted():
    task = SequenceClassification(labels=("a", "b"), long_text="windows", window_overlap=1)
    encoded = task.encode([Row(2, ("red blue green one two",), "a")], make_tokenizer(), 5)
    entry = ledger.entry("a.csv", "", 1, Counter(), Counter("a"), encoded)
    assert (entry["truncated"], entry["tokens_cut"], entry["windows"], entry["tokens"]) == (0, 0, 2, 10)


def test_percentiles_are_lengths_that_occur():
    assert ledger.percentiles([10] * 19 + [200]) == {"50": 10, "90": 10, "99": 200, "100": 200}


def test_a_features_length_is_its_longest_window():
    item = Features(0, [[1, 2, 3], [1, 2]], None, None)
    assert (item.length, item.num_tokens) == (3, 5)
