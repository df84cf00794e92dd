"""Leakage: what is asked in the test but was trained on."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.desks import make_desk, run
from tunewright.data import near
from tunewright.data.checks import leakage
from tunewright.data.checks.base import Notebook
from tunewright.data.checks.leakage import Leakage
from tunewright.data.desk import TimeIsUp

EXAMPLES = Path(__file__).parents[3] / "examples" / "parcel_desk"
WORDS = [first + vowel + last for first in "bdfgklmnprst" for vowel in "aeiou" for last in "dgklmnprst"]


def records(count: int, seed: int) -> list[dict]:
    generator = random.Random(seed)
    return [{"text": " ".join(generator.choices(WORDS, k=12)), "label": "ab"[number % 2]} for number in range(count)]


def desk_with(copies: list[str], others: int = 20, **options):
    train = records(100, 0)
    return make_desk(train, [{"text": text, "label": "a"} for text in copies] + records(others, 1), **options)


def test_without_a_held_out_part_it_cannot_be_asked():
    assert "--test" in str(Leakage().cannot(make_desk(records(4, 0))))


def test_each_kind_of_copy_is_told_with_the_row_it_copies_and_left_out_of_clean_scores():
    text = records(100, 0)[7]["text"]
    near_one = " ".join([*text.split()[:-2], "quite", "other"])
    notebook = run(Leakage(), desk_with([text, f"{text.upper()} !", near_one]))
    for place, rule in enumerate(("leakage.exact", "leakage.normalised", "leakage.near")):
        assert notebook.tallies[rule].count == 1
        shown = notebook.tallies[rule].shown[0]
        assert (shown.split, shown.row, shown.details["other_row"]) == ("test", place + 2, 9)
        assert shown.details["other_split"] == "train"
    assert notebook.leaked["test"] == {0, 1, 2}
    counts = notebook.facts["leakage"]["train/test"]
    assert counts == {"rows": 23, "exact": 1, "normalised": 1, "near": 1, "group": 0, "rows_compared": 21,
                      "known_rows_compared": 100}  # fmt: skip


@pytest.mark.parametrize(("copies", "others", "severity"), [(4, 20, "warning"), (5, 20, "severe"), (5, 600, "warning")])
def test_it_is_severe_only_from_five_rows_and_one_in_a_hundred_on(copies, others, severity):
    texts = [record["text"] for record in records(100, 0)[:copies]]
    assert run(Leakage(), desk_with(texts, others)).tallies["leakage.exact"].severity == severity


def test_what_is_known_when_the_time_is_up_stays(monkeypatch):
    def late(*given):
        raise TimeIsUp

    monkeypatch.setattr(leakage, "near", late)
    notebook = Notebook()
    with pytest.raises(TimeIsUp):
        Leakage().run(desk_with([records(100, 0)[7]["text"]]), notebook)
    assert notebook.tallies["leakage.exact"].count == 1
    assert notebook.leaked["test"] == {0}


def test_near_copies_alone_stop_nobody():
    texts = [" ".join([*record["text"].split()[:-2], "quite", "other"]) for record in records(100, 0)[:20]]
    notebook = run(Leakage(), desk_with(texts))
    assert notebook.tallies["leakage.near"].count >= 19
    assert {rule: tally.severity for rule, tally in notebook.tallies.items()} == {"leakage.near": "warning"}


def test_what_is_near_in_one_test_row_is_found_in_each_of_its_copies():
    text = " ".join([*records(100, 0)[7]["text"].split()[:-2], "quite", "other"])
    assert run(Leakage(), desk_with([text] * 3)).leaked["test"] == {0, 1, 2}


def questions(context: str, words: list[str]) -> list[dict]:
    answers = {"text": [context.split()[0]], "answer_start": [0]}
    return [{"question": f"{word} {word[::-1]} why", "context": context, "answers": answers} for word in words]


def test_a_paragraph_in_both_parts_is_a_leak_by_group_and_its_questions_are_not():
    contexts = [record["text"] for record in records(10, 5)]
    train = [row for context in contexts for row in questions(context, ["driver", "invoice"])]
    notebook = run(Leakage(), make_desk(train, questions(contexts[3], WORDS[:8]), task="question_answering"))
    assert set(notebook.tallies) == {"leakage.group"}
    assert notebook.tallies["leakage.group"].count == 8
    assert notebook.tallies["leakage.group"].severity == "severe"
    assert not notebook.leaked["test"]


def test_a_row_of_a_known_customer_is_a_leak_where_the_column_of_groups_was_named():
    customers = lambda rows, first: [{**row, "customer": first + place // 2} for place, row in enumerate(rows)]  # noqa: E731
    train, test = customers(records(40, 0), 0), customers(records(10, 1), 17)
    assert not run(Leakage(), make_desk(train, test)).tallies
    notebook = run(Leakage(), make_desk(train, test, group_column="customer"))
    assert notebook.tallies["leakage.group"].count == 6  # customers 17 to 19
    assert [found.row for found in notebook.tallies["leakage.group"].shown] == [2, 3, 4, 5, 6]


def test_a_test_row_in_validation_is_told_but_training_does_not_know_it():
    desk = make_desk(records(100, 0), records(8, 9))
    test = desk.parts["test"]
    desk.parts = {"train": desk.train, "validation": replace(test, name="validation"), "test": test}
    notebook = run(Leakage(), desk)
    assert notebook.tallies["leakage.exact"].count == 8
    assert notebook.tallies["leakage.exact"].severity == "warning"
    assert notebook.tallies["leakage.exact"].shown[0].details["other_split"] == "validation"
    assert not notebook.leaked["test"]


def read(name: str) -> list[dict]:
    with (EXAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_all_planted_near_duplicates_of_the_example_are_found():
    rows = read("train.csv") + read("test.csv")
    place = {row["id"]: number for number, row in enumerate(rows)}
    faults = [row for row in read("KNOWN_FAULTS.csv") if row["fault"] == "near_duplicate_of"]
    planted = {tuple(sorted((place[row["id"]], place[row["given"]]))) for row in faults}
    found = {(first, second) for first, second, _ in near.pairs([row["message"] for row in rows])}
    assert len(planted) == 10
    assert planted <= found
    assert len(found) <= 12
