"""The check of entities: schemes, slips of one form, borders."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.desks import make_desk, run
from tunewright.data import sources
from tunewright.data.checks.base import Notebook
from tunewright.data.checks.entities import Entities


def tagged(text: str, tags: str) -> dict:
    return {"tokens": text.split(), "tags": tags.split()}


def spanned(text: str, *spans: tuple[int, int, str]) -> dict:
    return {"text": text, "entities": [{"start": start, "end": end, "type": kind} for start, end, kind in spans]}


def found(train: list[dict], test: list[dict] | None = None, **thresholds):
    return run(Entities(**thresholds), make_desk(train, test, task="token_classification"))


FINE = [tagged("Mr Smith is here", "O B-person O O"), tagged("from Riga", "O B-place"), tagged("nothing", "O")]


@pytest.mark.parametrize(
    ("tags", "word", "tag", "expected"),
    [
        ("O I-person O O", 2, "I-person", "B-person"),
        ("B-person I-place O O", 2, "I-place", "B-place"),
        ("O B-person O I-person", 4, "I-person", "B-person"),
    ],
)
def test_a_tag_that_its_scheme_would_spell_otherwise_is_told_with_word_and_remedy(tags, word, tag, expected):
    notebook = found([*FINE * 3, tagged("Mr Smith is here", tags)])
    assert list(notebook.tallies) == ["entities.scheme"]
    (finding,) = notebook.tallies["entities.scheme"].shown
    assert (finding.row, finding.column) == (11, "tags")
    assert finding.details == {"word": word, "tag": tag, "expected": expected, "wrong": 1}


def test_clean_tags_and_spans_are_not_blamed():
    assert not found(FINE, FINE).tallies
    assert not found([spanned("Mr Smith is here", (3, 8, "person")), spanned("from Riga!", (5, 9, "place"))]).tallies


def test_a_form_tagged_as_something_else_now_and_then_is_told_once_with_its_rows():
    usual = [tagged("from Riga today", "O B-place O")] * 5
    notebook = found([*usual, tagged("Dear RIGA !", "O B-person O")], [tagged("see Riga", "O B-place")])
    (finding,) = notebook.tallies["entities.types_differ"].shown
    assert finding.details == {"form": "riga", "counts": {"place": 6, "person": 1}, "rows": [("train", 7)]}
    assert finding.row == 7
    assert "tagged place in 6 of 7 places, but person in 1: row 7 of train" in finding.message


def test_a_form_left_untagged_now_and_then_is_told_in_its_own_file():
    usual = [tagged("to New York by ship", "O B-place I-place O O")] * 5
    notebook = found(usual, [tagged("new york is far", "O O O O"), tagged("New York Times", "B-paper I-paper I-paper")])
    assert list(notebook.tallies) == ["entities.untagged"]
    (finding,) = notebook.tallies["entities.untagged"].shown
    assert (finding.split, finding.row, finding.details["counts"]) == ("test", 2, {"place": 5, "": 1})


def test_words_of_two_meanings_are_left_alone():
    mixed = [tagged("May came", "B-person O")] * 3 + [tagged("in May", "O B-date")] * 2 + [tagged("it may", "O O")] * 3
    assert not found(mixed).tallies


def test_spans_that_cut_words_overlap_or_hold_blanks_are_told():
    rows = [
        spanned("Smithson came", (0, 5, "person")),
        spanned("Bank of Riga", (0, 12, "bank"), (8, 12, "place")),
        spanned("to Riga now", (2, 7, "place")),
    ]
    tallies = found(rows).tallies
    assert {rule: (tally.count, tally.shown[0].row) for rule, tally in tallies.items()} == {
        "entities.cut_word": (1, 2),
        "entities.overlap": (1, 3),
        "entities.border": (1, 4),
    }


def test_a_comma_at_the_border_is_told_and_a_bracket_is_not():
    rows = [tagged("Riga , today", "B-place I-place O"), tagged("( Riga )", "B-place I-place I-place")]
    assert [finding.row for finding in found(rows).tallies["entities.border"].shown] == [2]


def test_rows_of_a_split_may_stand_in_another_order_than_in_their_file():
    desk = make_desk([tagged("Mr Smith", "O I-person"), *FINE], task="token_classification")
    desk = replace(desk, parts={"train": replace(desk.train, rows=desk.train.rows[::-1])})
    (finding,) = run(Entities(), desk).tallies["entities.scheme"].shown
    assert (finding.row, finding.details["tag"]) == (2, "I-person")


def test_very_long_entities_and_mostly_empty_rows_are_noted():
    rows = [tagged("a b c d e f g", "B-x I-x I-x I-x I-x I-x I-x"), *[tagged("nothing", "O")] * 3]
    notebook = found(rows, longest=6)
    assert notebook.tallies["entities.long"].shown[0].details == {"words": 7}
    assert notebook.tallies["entities.none"].shown[0].details == {"share": 0.75}
    assert notebook.facts["entities"]["train"] == {"types": {"x": 1}, "rows": 4, "rows_without": 3}


def test_plain_tags_are_not_asked():
    desk = make_desk([tagged("the cat", "DET NOUN"), tagged("cat naps", "NOUN VERB")], task="token_classification")
    assert "plain" in str(Entities().cannot(desk))


@pytest.mark.real_data
def test_slips_of_a_real_file_are_few_enough_to_be_read(real_data):
    table = sources.read(str(real_data / "wnut17" / "wnut17train.conll"))
    file = io.StringIO()
    desk = make_desk(table, task="token_classification")
    Entities().run(desk, Notebook(file))
    lines = [line for line in file.getvalue().splitlines() if "entities.untagged" in line]
    assert 5 < len(lines) < 30  # of 1,975 entities
    assert any("'lady gaga' is tagged person in 4 of 5 places" in line for line in lines)
