"""What is printed of the scores and predictions of every task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report import made_up_runs as made_up
from tests.report import made_up_writers as writers
from tunewright.cli import tables

Record = dict[str, Any]
Writer = Callable[[Record], Path]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell is broken."""
    monkeypatch.setenv("COLUMNS", "240")


def row(printed: str, first: str) -> list[str]:
    """The cells of the table row whose first cell this is."""
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in printed.splitlines() if "│" in line]
    return next(cells for cells in rows if cells[0] == first)


def test_entities_are_scored_by_f1_precision_and_recall_and_by_type(capsys: Any) -> None:
    scores = made_up.entity_files()["metrics"]["test"]
    tables.scores({"validation": scores, "test": scores})
    printed = capsys.readouterr().out
    assert row(printed, "f1") == ["f1", "0.2353", "0.2353"]
    assert row(printed, "num_entities") == ["num_entities", "10", "10"]
    assert row(printed, "person") == ["person", "0.2220", "0.5000", "0.1429", "7"]
    assert printed.index("person") < printed.index("town")


def test_of_many_types_the_weakest_are_shown(capsys: Any) -> None:
    each = {
        f"type {place:02d}": {"f1": place / 100, "precision": 0.5, "recall": 0.5, "support": 9} for place in range(30)
    }
    tables.scores({"test": {"f1": 0.5, "per_type": each}})
    printed = capsys.readouterr().out
    assert "type 11" in printed
    assert "type 12" not in printed
    assert "and 18 more with better scores" in printed


@pytest.mark.parametrize(
    ("files", "cells"),
    [
        (made_up.entity_files, ["Kirkholm called again", "person: Kirkholm", "town: Kirkholm 0.97"]),
        (made_up.entity_files, ["nothing to see here", "-", "-"]),
        (made_up.tag_files, ["the dogs bark", "DET: the", "DET: the 0.99"]),
        (made_up.answer_files, ["How much is it to the moon?", "-", "3.20 euros", "0.70"]),
        (made_up.answer_files, ["How much elsewhere?", "6.80 euros", "-", "0.95"]),
        (writers.writer_files, ["Where is PB-1?", "On its way.", "On its way."]),
        (writers.writer_files, ["<b>Why</b> was I billed twice?", "We pay it back.", "We are�[31m sorry ..."]),
        (writers.writer_files, ["Is the depot open?", "Until six.", "(empty)"]),
        (writers.writer_files, ["never answered in writing", "So be it.", "-"]),
        (writers.preference_files, ["Where is PB-1?", "On its way.", "No. Where is PB-1?"]),
        (writers.text_files, ["Where is PB-1?"]),
        (made_up.multi_label_files, ["third mail. THIRD.", "angry, repeat_contact", "urgent", "0.83"]),
    ],
)
def test_examples_show_text_label_and_prediction(
    files: Callable[[], Record], cells: list[str], write_files: Writer, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(tables, "EXAMPLES", 50)
    tables.examples(write_files(files()))
    assert row(capsys.readouterr().out, cells[0]) == cells


def test_likelihoods_and_scores_of_answers_are_told(capsys: Any) -> None:
    tables.scores({"test": writers.writer_files()["metrics"]["test"]})
    printed = capsys.readouterr().out
    assert row(printed, "perplexity") == ["perplexity", "5.7546"]
    assert row(printed, "chrf") == ["chrf", "33.4000"]
    assert row(printed, "answers") == ["answers", "3"]


def test_markup_in_texts_and_types_is_printed_as_it_is(write_files: Writer, capsys: Any) -> None:
    files = made_up.entity_files()
    files["predictions"] = [{"row": 1, "text": "[red]Noor", "label": [], "predicted": [
        {"text": "Noor", "start": 5, "end": 9, "type": "[bold]", "confidence": 0.5}]}]  # fmt: skip
    tables.examples(write_files(files))
    assert row(capsys.readouterr().out, "[red]Noor") == ["[red]Noor", "-", "[bold]: Noor 0.50"]


def test_the_last_line_says_how_to_ask_a_question(write_files: Writer, capsys: Any) -> None:
    files = made_up.answer_files()

    class Result:
        metrics, path = files["metrics"], Path("runs/qa")

    tables.closing(Result)
    assert 'tunewright predict runs/qa --text "..." --context "..."' in capsys.readouterr().out
