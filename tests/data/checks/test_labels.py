"""Labels that are too few, spelled in several ways, unseen, or that say nothing."""

from __future__ import annotations

import pytest

from tests.desks import make_desk, run
from tunewright.data.checks.labels import Labels, slips

NEAR = [("billing", "biling"), ("billing", "billinh"), ("billing", "blling"), ("tracking", "trakcing")]
FAR = [("level1", "level2"), ("yes", "yet"), ("billing", "filling!"), ("question", "questions 1")]


def rows(**counts: int) -> list[dict]:
    return [{"text": f"text {name} {place}", "label": name} for name, count in counts.items() for place in range(count)]


def told(notebook, rule: str) -> list[dict]:
    return [finding.details for finding in notebook.tallies[f"labels.{rule}"].shown]


def test_balanced_labels_have_nothing_said_of_them():
    notebook = run(Labels(), make_desk(rows(billing=20, damage=30), rows(billing=4, damage=4)))
    assert not notebook.tallies
    facts = notebook.facts["labels"]["train"]
    assert facts["counts"] == {"damage": 30, "billing": 20}
    assert facts["effective"] == pytest.approx(1.96, abs=0.01)


def test_classes_too_small_to_split_or_to_learn_are_named():
    notebook = run(Labels(), make_desk(rows(billing=20, damage=7, app=1)))
    assert told(notebook, "too_few_to_learn") == [{"label": "damage", "count": 7}]
    assert told(notebook, "too_few_to_split") == [{"label": "app", "count": 1}]


def test_spellings_of_one_label_are_told_together():
    records = [*rows(delivery_change=20, billing=20), {"text": "a", "label": "Delivery-Change"}]
    records.append({"text": "b", "label": "delivery\u200b change"})
    notebook = run(Labels(), make_desk(records))
    assert told(notebook, "variants") == [
        {"variants": {"delivery_change": 20, "Delivery-Change": 1, "delivery\u200b change": 1}}
    ]


def test_a_rare_name_one_letter_off_is_a_slip():
    notebook = run(Labels(), make_desk([*rows(billing=40, damage=40), *rows(biling=2)]))
    assert told(notebook, "slips") == [{"variants": {"biling": 2, "billing": 40}}]


@pytest.mark.parametrize("pair", NEAR)
def test_one_letter_added_lost_changed_or_swapped_is_near(pair):
    assert list(slips({pair[0]: 100, pair[1]: 3}, 0.1)) == [(pair[1], pair[0])]


@pytest.mark.parametrize("pair", FAR)
def test_names_that_differ_in_digits_are_short_or_further_apart_are_their_own(pair):
    assert list(slips({pair[0]: 100, pair[1]: 3}, 0.1)) == []


def test_names_equally_frequent_are_no_slips():
    assert list(slips({"inbound": 100, "unbound": 80}, 0.1)) == []


def test_labels_only_in_test_are_severe_and_those_it_lacks_are_noted():
    notebook = run(Labels(), make_desk(rows(billing=20, damage=20), rows(billing=5, refund=3)))
    assert notebook.tallies["labels.unseen"].severity == "severe"
    assert told(notebook, "unseen") == [{"label": "refund", "count": 3}]
    assert notebook.tallies["labels.unseen"].shown[0].split == "test"
    assert told(notebook, "unscored") == [{"labels": ["damage"]}]


def test_imbalance_names_its_ratio_and_the_setting():
    notebook = run(Labels(), make_desk(rows(billing=200, damage=10)))
    finding = notebook.tallies["labels.imbalance"].shown[0]
    assert finding.details["ratio"] == 20
    assert "training.balance" in finding.remedy


def test_of_several_labels_a_row_those_that_say_nothing_are_told():
    records = [
        {"text": f"t {place}", "a": 1, "b": place % 2, "c": place % 2, "d": 0, "e": int(place < 15)}
        for place in range(30)
    ]
    notebook = run(Labels(), make_desk(records, label=["a", "b", "c", "d", "e"]))
    assert {found["label"]: found["count"] for found in told(notebook, "constant")} == {"a": 30, "d": 0}
    assert notebook.facts["labels"]["train"]["labels_a_row"] == pytest.approx(2.5)


def test_types_of_entities_are_labels_too():
    records = [{"text": "Ann sent it to Bonn", "entities": [[0, 3, "person"], [15, 19, "place"]]}] * 10
    records.append({"text": "Ann", "entities": [[0, 3, "Person"]]})
    notebook = run(Labels(), make_desk(records, task="token_classification"))
    assert told(notebook, "variants") == [{"variants": {"person": 10, "Person": 1}}]


def test_it_is_not_asked_of_tasks_without_classes():
    assert Labels.tasks == ("sequence_classification", "token_classification")
