"""Runs that mark entities or tag words: kinds of mistakes told apart, marked in the text, the surest first."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.report import made_up_runs as made_up
from tests.report.test_report_html import EVIL, Page, drawings
from tunewright.report import entities, html

Record = dict[str, Any]
Writer = Callable[[Record], Path]


@pytest.fixture
def run(write_files: Writer) -> Path:
    """The directory of a run that marks people and towns."""
    return write_files(made_up.entity_files())


def part(source: str, section: str) -> str:
    found = re.search(rf'<section id="{section}".*?</section>', source, re.DOTALL)
    assert found
    return found[0]


def compared() -> list[entities.Sentence]:
    return entities.compare(made_up.entity_files()["predictions"])


def test_wrong_borders_wrong_type_missed_and_invented_are_told_apart() -> None:
    kinds = [[fault.kind for fault in sentence.faults] for sentence in compared()]
    assert kinds == [
        [],
        ["borders", "borders"],
        ["type"],
        ["invented", "missed"],
        ["both"],
        [],
        ["missed", "missed", "missed"],
        ["missed"],
    ]


def test_a_type_taken_for_another_is_counted_with_right_and_with_wrong_borders() -> None:
    assert entities.type_pairs(compared()) == {("person", "town"): 2}


def test_rows_with_wrong_marks_come_surest_first_and_those_only_missed_last() -> None:
    assert [item.row for item in entities.most_confident(compared())] == [5, 6, 4, 7, 9, 10]


def test_the_sections_are_those_of_entities(run: Path) -> None:
    assert Page(html.render(run)).sections == [
        "course", "classes", "errors", "mistakes", "data", "cost", "repeat", "use",
    ]  # fmt: skip


def test_the_verdict_says_what_is_found_and_what_is_right(run: Path) -> None:
    text = Page(html.render(run)).text
    assert "On 8 rows of test.csv it finds 20.0 % of the 10 entities, with their exact borders and type" in text
    assert "28.6 % of what it marks is right. F1 is 0.235 (95 % interval" in text
    assert "Token classification · 2 entity types · layerwise_decay" in text


def test_the_interval_is_drawn_over_rows_and_always_the_same(write_files: Writer) -> None:
    files = made_up.entity_files()
    files["predictions"] *= 10
    run = write_files(files)
    found = re.search(r"F1 is 0\.235 \(95 % interval (0\.\d+) to (0\.\d+)\)", Page(html.render(run)).text)
    assert found
    assert 0.1 < float(found[1]) < 0.235 < float(found[2]) < 0.4
    assert html.render(run) == html.render(run)


def test_no_interval_is_claimed_for_another_split_or_without_predictions(write_files: Writer) -> None:
    files = made_up.entity_files()
    files["predictions"] *= 10
    assert "95" not in Page(part(html.render(write_files(files | {"predictions": None})), "mistakes")).text
    (write_files(files) / "predictions" / "test.jsonl").rename(write_files(files) / "predictions" / "validation.jsonl")


def test_types_stand_weakest_first_with_the_number_of_entities(run: Path) -> None:
    text = Page(part(html.render(run), "classes")).text
    assert re.search(r"entity type F1 precision recall entities person 0.222 .* town 0.286", text)
    assert "the weakest entity type first. Look first at person." in text


def test_kinds_of_errors_are_counted_and_told(run: Path) -> None:
    text = Page(part(html.render(run), "errors")).text
    assert "Of 10 labelled entities of test, 2 were found exactly and 5 were missed altogether" in text
    assert (
        "found exactly: 2; wrong borders: 2; wrong type: 1; wrong borders and type: 1; missed: 5; invented: 1" in text
    )
    assert re.search(r"person +taken for +town 2", text)


def test_mistakes_are_marked_in_the_text(run: Path) -> None:
    source = part(html.render(run), "mistakes")
    assert '<u class="gold"><mark class="wrong">Port</mark></u><u class="gold"> </u>' in source
    assert '<mark class="wrong">Monday</mark> is late for <u class="gold">Ada</u>' in source
    text = Page(source).text
    assert re.search(r"wrong borders: +Port +town 71 % *, labelled +Port Saline +town", text)
    assert re.search(r"wrong type: +Kirkholm +town 97 % *, labelled +Kirkholm +person", text)
    assert re.search(r"invented: +Monday +person 85 %", text)
    assert re.search(r"missed: +Oslo +town", text)
    assert "Noor" not in text


def test_a_long_text_is_shown_around_its_mistakes() -> None:
    from tunewright.report.marked import WRONG, Stretch, marked

    text = "far away " * 100 + "here is Ada" + " and so on" * 100
    start = text.index("Ada")
    shown = marked(text, [Stretch(start, start + 3, WRONG)])
    assert '<mark class="wrong">Ada</mark>' in shown
    assert shown.startswith("… ")
    assert shown.endswith(" …")
    assert len(shown) < 350


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(), places=st.lists(st.tuples(st.integers(-3, 20), st.integers(-3, 20)), max_size=4))
def test_any_places_in_any_text_give_a_well_formed_page(
    text: str, places: list[tuple[int, int]], tmp_path: Path
) -> None:
    files = made_up.entity_files()
    spans = [{"start": start, "end": end, "type": text, "confidence": 0.5} for start, end in places]
    files["predictions"] = [{"row": 1, "text": text, "label": spans[:2], "predicted": spans[1:]}]
    source = html.render(made_up.write_run(tmp_path / "run", files))
    source.encode("utf-8")
    Page(source)


def test_hostile_texts_and_types_are_escaped(write_files: Writer) -> None:
    files = made_up.entity_files()
    spans = [{"start": 0, "end": 12, "type": EVIL, "confidence": 0.5}]
    files["predictions"] = [{"row": EVIL, "text": EVIL, "label": [], "predicted": spans}] * 2
    files["metrics"]["test"]["per_type"] = {EVIL: {"f1": 0.1, "precision": 0.1, "recall": 0.1, "support": 3}}
    page = Page(html.render(write_files(files)))
    assert not page.all("script")
    assert not page.all("img")


def test_the_learning_curve_shows_f1_precision_and_recall(run: Path) -> None:
    source = html.render(run)
    (scores,) = [found for found in drawings(source) if found.attrib["aria-labelledby"].startswith("scores-")]
    words = "".join(scores.itertext())
    assert all(name in words for name in ("F1", "Precision", "Recall"))
    assert "Accuracy" not in words
    assert "(F1 0.710 on validation)" in Page(source).text


def test_the_ledger_tells_windows_and_what_was_mended(run: Path) -> None:
    text = Page(part(html.render(run), "data")).text
    assert "windows mended or lost tokens" in text
    assert "610 4 words that the tokenizer drops" in text
    assert "Entities in train" in text


def test_tagged_words_are_told_in_words_and_only_wrong_ones_are_marked(write_files: Writer) -> None:
    source = html.render(write_files(made_up.tag_files()))
    text = Page(source).text
    assert re.search(r"it tags 91\.7 % of the 120 words right \(95 % interval 8\d\.\d % to 9\d\.\d %\)", text)
    assert "10 of 120 words of test have the wrong tag." in text
    assert re.search(r"VERB +taken for +NOUN 10", text)
    assert 'the dogs <mark class="wrong">bark</mark>' in source
    assert re.search(r"wrong tag: +bark +NOUN 77 % *, labelled +bark +VERB", text)
    assert "3 tags" in text
