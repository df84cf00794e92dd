"""Duplicates: rows that say the same, and the same text with two labels."""

from __future__ import annotations

import io
import json

import pytest

from tests.desks import make_desk, run
from tunewright.data.checks.alike import normalised, room
from tunewright.data.checks.base import Notebook
from tunewright.data.checks.duplicates import Duplicates
from tunewright.data.desk import TimeIsUp

PLAIN = [
    "my blue parcel has not come yet",
    "the invoice of march is wrong again",
    "please open the door for the driver",
]


def records(*rows: tuple[str, str]) -> list[dict]:
    return [{"text": text, "label": label} for text, label in [*((text, "late") for text in PLAIN), *rows]]


def findings(desk) -> list[dict]:
    notebook = Notebook(io.StringIO())
    Duplicates().run(desk, notebook)
    return [json.loads(line) for line in notebook.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("again", "rule"),
    [
        (PLAIN[0], "duplicates.exact"),
        ("My blue  PARCEL has not come, yet!", "duplicates.normalised"),
        ("my red parcel has not come yet", "duplicates.near"),
        ("ｍｙ blue parcel has not come yet", "duplicates.normalised"),
    ],
)
def test_a_row_that_comes_again_is_told_once_and_names_the_other(again, rule):
    found = findings(make_desk(records((again, "late"), ("what is a locker", "app"))))
    assert [(each["rule"], each["row"], each["details"]["other_row"]) for each in found] == [(rule, 5, 2)]


def test_the_same_text_with_two_labels_names_both_rows_and_labels():
    found = findings(make_desk(records(("MY blue parcel has not come yet.", "app"))))
    assert [each["rule"] for each in found] == ["duplicates.conflicting_labels"]
    assert found[0]["severity"] == "warning"
    assert found[0]["row"] == 5
    assert found[0]["details"] == {"other_row": 2, "label": "app", "other_label": "late"}
    assert "row 2" in found[0]["message"]
    assert "'app'" in found[0]["message"]


def test_the_order_of_several_labels_is_no_conflict():
    rows = [{"text": PLAIN[0], "label": labels} for labels in (["a", "b"], ["b", "a"])]
    found = findings(make_desk([*rows, {"text": PLAIN[1], "label": ["a"]}]))
    assert [each["rule"] for each in found] == ["duplicates.exact"]


def test_one_prompt_with_two_answers_is_neither_duplicate_nor_conflict():
    rows = [{"instruction": PLAIN[0], "output": answer} for answer in ("yes it has", "no it has not")]
    assert findings(make_desk(rows, task="causal_lm")) == []


@pytest.mark.parametrize(("count", "severity"), [(4, "note"), (5, "warning")])
def test_few_repetitions_are_a_note_and_many_a_warning(count, severity):
    notebook = run(Duplicates(), make_desk(records(*[(PLAIN[0], "late")] * count, ("what is a locker", "app"))))
    assert notebook.tallies["duplicates.exact"].count == count
    assert notebook.tallies["duplicates.exact"].severity == severity
    assert notebook.facts["duplicates"]["train"]["exact"] == count


def test_texts_without_words_are_the_same_only_where_their_signs_are():
    assert normalised(["?!"]) != normalised([":-)"])
    assert normalised(["a", "b c"]) != normalised(["a b", "c"])


def test_two_questions_on_one_long_paragraph_are_no_near_duplicates():
    context = " ".join(f"word{number % 40} of the story" for number in range(40)) + " ended in Paris"
    questions = ["where did it end", "who wrote it down", "where did it end ?"]
    answer = {"text": ["Paris"], "answer_start": [context.index("Paris")]}
    rows = [{"question": question, "context": context, "answers": answer} for question in questions]
    found = findings(make_desk(rows, task="question_answering"))
    assert [(each["rule"], each["row"]) for each in found] == [("duplicates.normalised", 4)]


def test_near_duplicates_are_looked_for_only_as_far_as_time_allows():
    desk = make_desk(records(("my red parcel has not come yet", "late"), ("what is a locker", "app")), seconds=1000.0)
    assert 100_000 < room(desk) < 1_000_000
    desk.seconds = 0.0
    assert room(desk) == 0
    with pytest.raises(TimeIsUp):
        Duplicates().run(desk, Notebook())
