"""Which rows tell contestants apart, and how the charts of a comparison are laid out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report import comparisons as made_up
from tests.report.test_comparison import make, section  # noqa: F401
from tests.report.test_report_html import drawings
from tunewright.report import comparison, comparison_rows
from tunewright.report.comparison_charts import Point, front
from tunewright.report.comparison_files import Comparison, Contestant, of
from tunewright.report.comparison_rows import Reply, agreement, disagreements, reply, widest


def replies(said: str, gold: str) -> dict[int, Reply]:
    """A letter for each row."""
    return {row: Reply(letter, letter, letter == gold[row]) for row, letter in enumerate(said)}


def kinds(runs: dict[str, str], floors: dict[str, str], gold: str) -> dict[str, list[int]]:
    found = disagreements(
        {name: replies(said, gold) for name, said in runs.items()},
        {name: replies(said, gold) for name, said in floors.items()},
    )
    return {kind: [item.row for item in items] for kind, items in found.items() if items}


def test_rows_are_sorted_by_what_they_tell_those_with_most_answers_first() -> None:
    #        0 right  1 some  2 none  3 some, three answers  4 same
    runs = {"best": "ax" + "xxy", "second": "aa" + "yay", "third": "ax" + "xyy"}
    assert kinds(runs, {"floor": "aaxaa"}, "aaaaa") == {"some": [3, 1], "none": [2], "same": [4]}


def test_a_floor_alone_makes_no_difference() -> None:
    assert kinds({"best": "aa", "second": "aa"}, {"floor": "az"}, "aa") == {}


def test_answers_are_grouped_by_what_was_said_the_right_one_first() -> None:
    (found,) = disagreements({name: replies(said, "a") for name, said in {"p": "x", "q": "x", "r": "a"}.items()}, {})[
        "some"
    ]
    assert [(answer.told, who) for answer, who in found.by_answer] == [("a", ["r"]), ("x", ["p", "q"])]


def test_agreement_counts_who_was_right() -> None:
    first, second = replies("aaxxy", "aaaaa"), replies("axaxz", "aaaaa")
    assert agreement(first, second) == (2, 1, 1, 1, 2)


@pytest.mark.parametrize(
    ("line", "told", "right"),
    [
        ({"label": "a", "predicted": "b", "probability": 0.5}, "b", False),
        ({"label": ["a", "b"], "predicted": ["b", "a"], "probabilities": {}}, "b, a", True),
        ({"label": ["a"], "predicted": [], "probabilities": {}}, "no label", False),
        ({"text": "q | The cat.", "label": ["The cat"], "predicted": "cat", "confidence": 0.5}, "cat", True),
        ({"text": "q | The cat.", "label": ["cat"], "predicted": None, "confidence": 0.5}, "no answer", False),
        ({"text": "in Oslo", "label": [{"start": 3, "end": 7, "type": "town"}],
          "predicted": [{"start": 3, "end": 7, "type": "name"}]}, "Oslo (name)", False),
        ({"text": "in Oslo", "label": [{"start": 3, "end": 7, "type": "town"}], "predicted": []},
         "without Oslo (town)", False),
        ({"text": "in Oslo", "label": [], "predicted": []}, "all as labelled", True),
        ({"label": "x", "predicted": "y", "finished": True, "loss": 2.0}, "y", None),
        ({"label": "x", "rejected": "y", "predicted": None, "loss": 0.5}, "", None),
    ],
)  # fmt: skip
def test_a_reply_is_told_in_the_form_of_its_task(line: dict[str, Any], told: str, right: bool | None) -> None:
    found = reply(line)
    assert (found.told, found.right) == (told, right)


def test_of_losses_the_rows_that_lie_furthest_apart_come_first() -> None:
    def losses(*values: float) -> dict[int, Reply]:
        return {row: Reply("", "", None, value) for row, value in enumerate(values)}

    found = widest({"full": losses(1, 1), "lora": losses(1.5, 3)}, {"floor": losses(9, 2)})
    assert [(row, [name for name, _ in known]) for row, known in found] == [
        (1, ["full", "floor", "lora"]),
        (0, ["full", "lora", "floor"]),
    ]


def test_many_names_are_cut_and_floors_are_marked() -> None:
    assert comparison_rows.who(["a", "b"], {"b"}) == "a and b (floor)"
    assert comparison_rows.who(list("abcdefgh")) == "a, b, c, d, e and 3 more"


def test_the_page_shows_text_label_and_each_answer(make: Any) -> None:  # noqa: F811
    def change(path: Path) -> None:
        for name, said in {"full": "billing", "lora.r=4": "damage", "lora.r=16": "damage"}.items():
            file = path / name / "seed-0/predictions/test.jsonl"
            lines = file.read_text(encoding="utf-8").splitlines()
            line = {"row": 1, "text": "the odd one", "label": "billing", "predicted": said, "probability": 1}
            lines[0] = json.dumps(line)
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    path = make(contestants=made_up.USUAL[:3], num_rows=1)
    change(path)
    text = section(path, "disagreements")
    assert "3 contestants (first seed) differ on 1 of 1 row" in text
    assert re.search("the odd one row 1 billing billing full damage lora.r=4 and lora.r=16", re.sub(" +", " ", text))
    assert "Some runs are right, others wrong: 1 row" in text


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    items = {name: Contestant({"name": name}, [], {}, {}) for name in ("dear", "worse", "cheap", "same")}
    costs = {"dear": (9, 0.9), "worse": (5, 0.7), "cheap": (1, 0.8), "same": (1, 0.75)}
    points = [Point(items[name], cost, score, "") for name, (cost, score) in costs.items()]
    assert [found.item.name for found in front(points, True)] == ["cheap", "dear"]
    assert [found.item.name for found in front(points, False)] == ["same", "worse"]


def contestants(*scores: float) -> Comparison:
    return of({"metric": {"name": "accuracy"}, "contestants": [
        {"name": str(score), "score": {"value": score, "low": score - 0.02, "high": score + 0.02}} for score in scores
    ]}, "x")  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "near"),
    [
        ((0.94, 0.93, 0.9, 0.84, 0.13), 4),
        ((0.94, 0.93, 0.3, 0.2), 2),
        ((0.94, 0.93, 0.92), 3),
        ((0.94, 0.1), 2),
        ((0.94,), 1),
        ((), 0),
    ],
)
def test_what_lies_far_off_does_not_press_the_others_together(scores: tuple[float, ...], near: int) -> None:
    assert len(contestants(*scores).near) == near


def test_what_is_not_in_the_picture_is_told(make: Any) -> None:  # noqa: F811
    path = make()
    assert re.search(r"Far off, not in the picture: majority \(0\.\d+ at 0\.0 s\)", section(path, "cost"))
    assert "majority" not in section(path, "curves")


def test_a_picture_needs_costs_only_of_those_that_it_shows(make: Any) -> None:  # noqa: F811
    def change(record: Any) -> None:
        for item in record["contestants"]:
            if item["name"] not in ("tfidf", "majority"):
                item |= {"fit_seconds": None, "milliseconds_per_row": None}

    assert "Unbeaten: majority and tfidf." in section(make(change=change), "cost")


def test_curves_floors_and_frozen_encoders_have_their_lines(make: Any) -> None:  # noqa: F811
    source = comparison.render(make(unfinished={"full": ("stopped", "behind")}))
    by_steps = next(found for found in drawings(source) if found.attrib["aria-labelledby"].startswith("curves-steps"))
    said = [element.text or "" for element in by_steps.iter() if element.tag.endswith("text")]
    assert {"full, stopped", "lora.r=4", "lora.r=16", "feature_extraction (dashed)", "tfidf (dashed)"} <= set(said)
    assert len([element for element in by_steps.iter() if element.get("stroke-dasharray") == "5 4"]) == 2
    ends = [max(float(x) for x, _ in re.findall(r"([\d.]+) ([\d.]+)", element.attrib["d"]))
            for element in by_steps.iter()
            if element.tag.endswith("path") and not element.get("stroke-dasharray")]  # fmt: skip
    assert sorted(round(end) for end in ends) == [167, 408, 408]  # a third of the steps, and all of them


def test_runs_that_did_not_finish_say_why_once() -> None:
    runs = [{"seed": seed, "status": "failed", "reason": "no memory"} for seed in (0, 1)]
    found = Contestant({"name": "x", "runs": [*runs, {"seed": 2, "status": "finished"}], "notes": ["odd"]}, [], {}, {})
    assert found.told == ["failed: no memory (seeds 0 and 1)", "odd"]
    assert found.statuses == ["2 of 3 failed"]
