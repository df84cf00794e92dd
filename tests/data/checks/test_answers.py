"""The check of answers: offsets, windows, contradictions, places."""

from __future__ import annotations

import random

import pytest

from tests.conftest import make_tokenizer
from tests.desks import make_desk, run
from tunewright.data.checks.answers import Answers

CONTEXT = "Parcels are delivered from Monday to Saturday between seven and eight."


def asked(question: str, text: str | None, start: int | None = None, context: str = CONTEXT) -> dict:
    at = {} if start is None else {"answer_start": [start]}
    answers = {"text": [], "answer_start": []} if text is None else {"text": [text], **at}
    return {"question": question, "context": context, "answers": answers}


def found(train: list[dict], test: list[dict] | None = None, **options):
    return run(Answers(), make_desk(train, test, task="question_answering", **options))


def test_good_rows_are_not_blamed():
    rows = [asked("From which day?", "Monday", CONTEXT.index("Monday")), asked("What colour?", None)]
    notebook = found(rows, rows)
    assert not notebook.tallies
    facts = notebook.facts["answers"]["train"]
    assert (facts["rows"], facts["rows_without"], sum(facts["places"])) == (2, 1, 1)
    assert facts["windows"] == {"skipped": "no tokenizer is known"}


def test_an_answer_beside_its_offset_is_told_with_the_shift():
    start = CONTEXT.index("Monday")
    notebook = found(
        [asked("From which day?", "Monday", start + 1), asked("Until when?", "Saturday", CONTEXT.index("Sat"))]
    )
    (finding,) = notebook.tallies["answers.offset"].shown
    assert (finding.row, finding.column, finding.details) == (2, "answers", {"given": start + 1, "found": start})
    assert notebook.facts["answers"]["train"]["shifts"] == {"-1": 1}


def test_an_answer_that_stands_in_several_places_is_told_and_one_that_stands_nowhere():
    context = "Red or blue? Blue."
    rows = [
        asked("Which colour?", "Red", None, context),
        asked("Which one?", "l", None, context),
        asked("Who?", "Nobody"),
    ]
    tallies = found(rows).tallies
    assert {rule: tally.shown[0].row for rule, tally in tallies.items()} == {
        "answers.absent": 4,
        "answers.place_unknown": 3,
    }


def test_one_question_with_two_answers_is_told_and_with_a_common_answer_is_not():
    rows = [
        asked("From which day?", "Monday", CONTEXT.index("Monday")),
        asked("from  which day?", "Saturday", CONTEXT.index("Saturday")),
        asked("Until when?", "eight", CONTEXT.index("eight")),
        asked("Until when?", "eight", CONTEXT.index("eight")),
    ]
    (finding,) = found(rows).tallies["answers.contradiction"].shown
    assert (finding.row, finding.details) == (3, {"other": 2})


def test_empty_and_one_word_questions_and_long_answers_are_told():
    rows = [
        asked(" ", "Monday", CONTEXT.index("Monday")),
        asked("When?", "Monday", CONTEXT.index("Monday")),
        asked("Which words?", " ".join(["word"] * 31), 0, " ".join(["word"] * 40)),
    ]
    tallies = found(rows).tallies
    assert {rule: tally.shown[0].row for rule, tally in tallies.items()} == {
        "answers.empty_question": 2,
        "answers.short_question": 3,
        "answers.long": 4,
    }


def test_answers_that_stand_first_of_all_are_told_and_spread_ones_are_not():
    words = [f"word{number}" for number in range(100)]
    context = " ".join(words)
    draw = random.Random(0)

    def rows(places: list[int]) -> list[dict]:
        return [
            asked(f"Question {at} {i}?", words[at], context.index(words[at]), context) for i, at in enumerate(places)
        ]

    biased = found(rows([draw.randrange(10 if at % 2 else 100) for at in range(80)]))
    (finding,) = biased.tallies["answers.place_bias"].shown
    assert finding.details["share"] > 0.4
    assert finding.details["distance"] > 0.3
    assert not found(rows([draw.randrange(100) for _ in range(80)])).tallies


def test_shares_without_an_answer_that_differ_between_files_are_told():
    good, none = asked("From which day?", "Monday", CONTEXT.index("Monday")), asked("What colour is it?", None)
    notebook = found([good, good, good, none], [good, none])
    (finding,) = notebook.tallies["answers.share_without"].shown
    assert (finding.split, finding.details) == ("test", {"share": 0.5, "train": 0.25})


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def test_answers_that_no_window_holds_are_told(tokenizer):
    long = " ".join(["parcel", "order", "late", "box"] * 10)
    context = f"refund {long}"
    rows = [asked("the parcel order", long, 7, context), asked("the late box", "refund", 0, context)]
    notebook = found(rows, tokenizer=tokenizer, max_length=24)
    (finding,) = notebook.tallies["answers.outside_windows"].shown
    assert finding.row == 2
    assert finding.details["windows"] > 1
    assert notebook.facts["answers"]["train"]["windows"] == {"answered": 2, "outside": 1}
    assert "answers.outside_windows" not in found(rows, tokenizer=tokenizer, max_length=128).tallies


def test_an_answer_that_ends_inside_a_token_is_noted(tokenizer):
    rows = [asked("the order", "parc", 0, "parcel late"), asked("the late box", "late", 7, "parcel late")]
    notebook = found(rows, tokenizer=tokenizer, max_length=24)
    assert {rule: [f.row for f in tally.shown] for rule, tally in notebook.tallies.items()} == {
        "answers.cut_token": [2]
    }
