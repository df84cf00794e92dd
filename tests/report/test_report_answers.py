"""Runs that answer questions: scores with and without an answer, the threshold, answers marked in their contexts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.report import made_up_runs as made_up
from tests.report.test_report_entities import part
from tests.report.test_report_html import EVIL, Page
from tunewright.report import answers, html
from tunewright.report.marked import occurrences

Record = dict[str, Any]
Writer = Callable[[Record], Path]


@pytest.fixture
def run(write_files: Writer) -> Path:
    """The directory of a run that answers questions."""
    return write_files(made_up.answer_files())


def judged() -> list[answers.Reply]:
    return answers.judge(made_up.answer_files()["predictions"])


def test_every_way_to_be_wrong_has_its_name() -> None:
    assert [reply.verdict for reply in judged()] == [
        "right", "elsewhere", "overlap", "answered", "held_back", "right",
    ]  # fmt: skip


def test_the_surest_mistake_comes_first() -> None:
    assert [reply.row for reply in answers.confident_mistakes(judged())] == [5, 2, 4, 3]


def test_an_answer_is_found_as_words_of_its_own_where_it_is_one() -> None:
    assert occurrences("2", "in 1982, 2 of 22") == [(9, 10)]
    assert occurrences("98", "in 1982") == [(4, 6)]
    assert occurrences("", "text") == []


def test_the_sections_are_those_of_answers(run: Path) -> None:
    assert Page(html.render(run)).sections == ["course", "answers", "mistakes", "data", "cost", "repeat", "use"]


def test_the_verdict_has_exact_match_with_its_interval_and_the_unanswerable(run: Path) -> None:
    text = Page(html.render(run)).text
    assert "On 6 rows of test.csv it answers 33.3 % of the questions word for word (95 % interval 9.7 % to" in text
    assert "F1 over words is 0.444. It leaves 50 % of the 2 questions that have no answer unanswered." in text


def test_scores_with_and_without_an_answer_and_the_threshold_are_told(run: Path) -> None:
    text = Page(part(html.render(run), "answers")).text
    assert "all questions 6 33.3 % 0.444 with an answer 4 25.0 % 0.417 without an answer 2 50.0 % 0.500" in text
    assert "Never answering would be right 33.3 % of the time." in text
    assert "It says “no answer” unless the best answer's score is above its own by more than 1.25" in text
    assert "right word for word: 2" in text


def test_without_unanswerable_questions_nothing_is_said_of_them(write_files: Writer) -> None:
    files = made_up.answer_files()
    files["metrics"]["test"] = {"exact_match": 0.5, "f1": 0.6, "num_rows": 6}
    files["manifest"]["task"] |= {"no_answer": False, "null_threshold": None}
    files["predictions"] = [line for line in files["predictions"] if line["label"] and line["predicted"]]
    source = html.render(write_files(files))
    assert "no answer" not in part(source, "answers") + part(source, "mistakes")
    assert "unanswered" not in Page(source).text


def test_a_mistake_shows_question_context_and_both_answers(run: Path) -> None:
    source = part(html.render(run), "mistakes")
    assert '<p class="question" dir="auto">How much within town?</p>' in source
    assert '<mark class="wrong">a different address</mark> costs <u class="gold">3.20 euros</u> within' in source
    text = Page(source).text
    assert re.search(r"answered +a different address 80 % *labelled +3\.20 euros +row 2, LQ-1", text)
    assert re.search(r"answered +no answer 95 % *labelled +6\.80 euros", text)
    assert re.search(r"answered +3\.20 euros 70 % *labelled +no answer", text)
    assert "Until when?" not in text


def test_a_long_context_is_cut_around_both_answers(run: Path) -> None:
    source = part(html.render(run), "mistakes")
    assert source.count("We say it as it is.") < 4 * 15  # of the 20 in each of the four contexts


def test_the_scores_of_the_learning_curve_are_f1_and_exact_match(run: Path) -> None:
    text = Page(part(html.render(run), "course")).text
    assert "F1 goes from 0.400" in text
    assert "Exact match goes from 0.300" in text


def test_the_ledger_counts_questions(run: Path) -> None:
    text = Page(part(html.render(run), "data")).text
    assert "Questions in train" in text
    assert "has answer has 80 questions" in text


def test_nothing_of_the_manifest_but_the_task_is_on_the_page(run: Path) -> None:  # S7
    assert "/home/ada" not in html.render(run)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(), gold=st.text(), said=st.none() | st.text())
def test_any_text_gives_a_well_formed_page(text: str, gold: str, said: str | None, tmp_path: Path) -> None:
    files = made_up.answer_files()
    files["predictions"] = [{"row": 1, "text": text, "label": [gold], "predicted": said, "confidence": 0.5}]
    source = html.render(made_up.write_run(tmp_path / "run", files))
    source.encode("utf-8")
    Page(source)


def test_hostile_questions_and_answers_are_escaped(write_files: Writer) -> None:
    files = made_up.answer_files()
    files["predictions"] = [{"row": EVIL, "id": EVIL, "text": f"{EVIL} | {EVIL}", "label": [EVIL], "predicted": "x",
                             "confidence": 0.5}]  # fmt: skip
    page = Page(html.render(write_files(files)))
    assert not page.all("script")
    assert not page.all("img")
