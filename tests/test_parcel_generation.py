"""What the sample desk promises of its instructions and preference pairs."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

PARCEL_DESK = Path(__file__).parent.parent / "examples" / "parcel_desk"
NUM_ROWS = {"instructions_train": 240, "instructions_test": 60, "preferences_train": 160, "preferences_test": 40}
KEYS = {"instructions": ["id", "instruction", "input", "output"], "preferences": ["id", "prompt", "chosen", "rejected"]}
NUMBER = re.compile(r"\b(?:LK|LP|3SLP|C)[- ]?\d{4,}(?:-\d{2,4})?[A-Z]{0,2}\b|\b\d{4}-\d{4}\b|#\d{5}\b")


def read(name: str) -> list[dict]:
    return [json.loads(line) for line in (PARCEL_DESK / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def read_messages(split: str) -> dict[str, str]:
    """The classifier's messages with their topics."""
    with open(PARCEL_DESK / f"{split}.csv", encoding="utf-8", newline="") as file:
        return {row["message"]: row["topic"] for row in csv.DictReader(file)}


def source(row: dict) -> str:
    """What the model is given to read."""
    return row.get("input") or row["prompt"]


def answers(row: dict) -> list[str]:
    return [row[key] for key in ("output", "chosen", "rejected") if key in row]


def sorted_rows(split: str) -> list[dict]:
    return [row for row in read(f"instructions_{split}") if row["output"].startswith("{")]


@pytest.mark.parametrize("kind", ["instructions", "preferences"])
def test_every_row_has_its_keys_and_the_ids_run_through_both_splits(kind):
    train, test = read(f"{kind}_train"), read(f"{kind}_test")
    assert [len(train), len(test)] == [NUM_ROWS[f"{kind}_train"], NUM_ROWS[f"{kind}_test"]]
    assert all(list(row) == KEYS[kind] for row in train + test)
    assert [row["id"] for row in train + test] == [f"{kind[0]}{place:03d}" for place in range(1, len(train + test) + 1)]


def test_no_input_occurs_twice():
    inputs = [source(row).casefold().strip() for name in NUM_ROWS for row in read(name)]
    assert len(set(inputs)) == len(inputs) == 500


@pytest.mark.parametrize("name", list(NUM_ROWS))
def test_messages_of_the_classifier_stay_in_their_split_and_below_a_third(name):
    split, other = ("train", "test") if name.endswith("train") else ("test", "train")
    inputs = {source(row) for row in read(name)}
    assert not inputs & read_messages(other).keys()
    assert 0 < len(inputs & read_messages(split).keys()) <= len(inputs) / 3


@pytest.mark.parametrize("split", ["train", "test"])
def test_sorting_answers_are_one_line_of_json_with_three_known_values(split):
    topics = set(read_messages("train").values())
    rows = sorted_rows(split)
    assert len(rows) == NUM_ROWS[f"instructions_{split}"] / 3
    for row in rows:
        answer = json.loads(row["output"])
        assert list(answer) == ["topic", "order", "urgency"]
        assert answer["topic"] in topics
        assert answer["urgency"] in {"low", "normal", "high"}
        assert row["output"] == json.dumps(answer, separators=(",", ":"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_order_of_a_sorting_answer_stands_in_its_message(split):
    orders = [(json.loads(row["output"])["order"], row["input"]) for row in sorted_rows(split)]
    assert all(order is None or order in message for order, message in orders)
    assert {order is None for order, _ in orders} == {True, False}


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_message_of_the_classifier_keeps_its_topic(split):
    topics = read_messages(split)
    reused = [row for row in sorted_rows(split) if row["input"] in topics]
    assert reused
    assert all(json.loads(row["output"])["topic"] == topics[row["input"]] for row in reused)


@pytest.mark.parametrize("name", list(NUM_ROWS))
def test_no_answer_invents_a_number(name):
    rows = read(name)
    assert any(NUMBER.search(answer) for row in rows for answer in answers(row))
    for row in rows:
        known = set(NUMBER.findall(source(row)))
        assert all(set(NUMBER.findall(answer)) <= known for answer in answers(row)), row["id"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_third_of_the_instructions_is_a_thread_of_two_to_five_turns(split):
    threads = [row["input"].split("\n") for row in read(f"instructions_{split}") if "\nDesk: " in row["input"]]
    assert len(threads) == NUM_ROWS[f"instructions_{split}"] / 3
    assert all(2 <= len(turns) <= 5 for turns in threads)
    assert all(turn.startswith(("Customer: ", "Desk: ")) for turns in threads for turn in turns)


@pytest.mark.parametrize("split", ["train", "test"])
def test_length_alone_does_not_tell_the_better_reply(split):
    rows = read(f"preferences_{split}")
    assert all(row["chosen"] != row["rejected"] for row in rows)
    assert 0.3 < sum(len(row["chosen"]) <= len(row["rejected"]) for row in rows) / len(rows) < 0.4


@pytest.mark.parametrize("name", list(NUM_ROWS))
def test_rows_are_short(name):
    rows = read(name)
    assert all(1 <= len(answer.split()) <= 45 for row in rows for answer in answers(row))
    assert sum(len(source(row).split()) <= 60 for row in rows) >= 0.95 * len(rows)
