"""Floors of every task, each trained once: on the parcel desk, and on rows that can be learned for certain."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.language_models import make_language_model
from tunewright.component import members
from tunewright.config import load
from tunewright.contest.floor_runs import train_floor
from tunewright.floors.base import Floor

DESK = Path(__file__).parents[2] / "examples" / "parcel_desk"
PLACES = ["Brenwick", "Kirkholm", "Port Saline", "Aldermoor", "Wexley"]
COLOURS = ["red", "green", "blue", "yellow", "black", "white", "silver"]


def questions(count: int) -> list[dict]:
    """A context of several sentences, one of which holds the answer."""
    draw, rows = random.Random(0), []
    for _ in range(count):
        places, colours = draw.sample(PLACES, 3), draw.sample(COLOURS, 3)
        context = " ".join(
            f"The van of {place} is {colour} since May." for place, colour in zip(places, colours, strict=False)
        )
        asked = draw.randrange(3)
        rows.append({"question": f"Which colour has the van of {places[asked]}?", "context": context,
                     "answer": colours[asked]})  # fmt: skip
    return rows


def summaries(count: int) -> list[dict]:
    draw = random.Random(0)
    picked = [(draw.choice(PLACES), draw.choice(COLOURS)) for _ in range(count)]
    return [{"document": f"our {colour} van went to {place} today", "summary": f"the {colour} van is in {place}"}
            for place, colour in picked]  # fmt: skip


def data(task: str, folder: Path) -> dict:
    """The `data` section and the model of one task."""
    desk = {
        "sequence_classification": ("train.csv", "test.csv", {"text": "message", "label": "topic", "limit": 240}),
        "multi_label": ("train.csv", None, {"text": "message", "label": "tags", "label_delimiter": "|", "limit": 600}),
        "token_classification": ("entities_train.jsonl", "entities_test.jsonl", {}),
        "causal_lm": ("instructions_train.jsonl", "instructions_test.jsonl", {}),
        "preference": ("preferences_train.jsonl", "preferences_test.jsonl", {}),
    }
    if task in desk:
        train, test, more = desk[task]
        return {"data": {"train": str(DESK / train), "test": test and str(DESK / test), **more}}
    rows = questions(120) if task == "question_answering" else summaries(60)
    (folder / f"{task}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    made = {"data": {"train": str(folder / f"{task}.jsonl")}, "task": task}
    return made | ({"model": str(make_language_model(folder / "t5", "t5"))} if task == "seq2seq" else {})


@pytest.fixture(scope="session")
def floor_run(tmp_path_factory):
    """`floor_run(task, kind)` is the finished run of one floor."""
    folder, known = tmp_path_factory.mktemp("floors"), {}

    def make(task: str, kind: str):
        if (task, kind) not in known:
            config = load(data(task, folder) | {"out": str(folder / task / kind)})
            known[task, kind] = train_floor(config, members(Floor)[kind](kind=kind))
        return known[task, kind]

    return make
