"""Planted wrong labels come first, with the label they should have; and the planted ones of Parcel Desk do."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest

from tests.desks import HashedWords, make_desk, run
from tunewright.data.checks import label_noise
from tunewright.data.checks.label_noise import LabelNoise
from tunewright.data.desk import TimeIsUp

CHECK = LabelNoise(kind="label_noise")
WORDS = {"billing": ["invoice", "money", "charge"], "damage": ["broken", "box", "wet"], "app": ["login", "screen"]}
PARCEL_DESK = Path(__file__).parents[3] / "examples" / "parcel_desk"


def records(count: int = 180, wrong: int = 6, seed: int = 0) -> tuple[list[dict[str, str]], dict[int, str]]:
    """Rows that can be told apart, and the right label of those (by row number) that got another one."""
    generator = random.Random(seed)
    names = sorted(WORDS)
    rows = []
    for place in range(count):
        label = names[place % 3]
        filler = generator.choices(["the", "parcel", "is", "my", "please", "today"], k=5)
        rows.append({"text": " ".join([*filler, *generator.choices(WORDS[label], k=3)]), "label": label})
    planted = {}
    for place in generator.sample(range(count), wrong):
        right = rows[place]["label"]
        rows[place]["label"] = generator.choice([name for name in names if name != right])
        planted[place + 2] = right
    return rows, planted


@pytest.mark.parametrize("encoder", [None, HashedWords()])
def test_planted_wrong_labels_are_found_with_the_label_they_should_have(encoder):
    rows, planted = records()
    notebook = run(CHECK, make_desk(rows, encoder=encoder))
    ranking = notebook.facts["label_noise"]["ranking"]
    assert {entry["row"]: entry["expected"] for entry in ranking[: len(planted)]} == planted
    assert [entry["rank"] for entry in ranking] == list(range(1, len(ranking) + 1))
    assert notebook.facts["label_noise"]["share"] == pytest.approx(6 / 180, abs=0.02)
    finding = notebook.tallies["label_noise.suspect"].shown[0]
    assert finding.severity == "warning"
    assert finding.column == "label"
    assert {"given", "expected", "probability", "rank", "score"} <= set(finding.details)
    assert finding.details["given"] == rows[finding.row - 2]["label"]


def test_right_labels_are_left_alone():
    notebook = run(CHECK, make_desk(records(wrong=0)[0], encoder=HashedWords()))
    assert not notebook.tallies
    assert notebook.facts["label_noise"]["share"] < 0.01


def test_several_labels_are_judged_each_for_itself():
    generator = random.Random(0)
    rows = []
    for place in range(200):
        chosen = ["app"] * (place % 2) + ["billing"] * (place % 3 == 0)
        words = [word for name in chosen for word in generator.choices(WORDS[name], k=2)]
        rows.append({"text": " ".join(["my", "parcel", *words]), "label": chosen})
    rows[7]["label"] = []  # lacks app
    rows[11]["label"] = ["app", "billing"]  # has billing, wrongly
    notebook = run(CHECK, make_desk(rows, encoder=HashedWords()))
    told = {entry["row"]: entry for entry in notebook.facts["label_noise"]["ranking"][:2]}
    assert told[9]["label"] == "app"
    assert told[9]["expected"] == ["app"]
    assert told[13]["label"] == "billing"
    assert told[13]["expected"] == ["app"]
    assert told[13]["given"] == ["app", "billing"]


def test_the_joint_estimates_the_share_of_wrong_labels():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 4, 4000)
    given = np.where(generator.random(4000) < 0.15, (true + generator.integers(1, 4, 4000)) % 4, true)
    sure = np.full((4000, 4), 0.05)
    sure[np.arange(4000), true] = 0.85
    share, suspects = label_noise.suspected(sure.astype(np.float32), given)
    assert share == pytest.approx((given != true).mean(), abs=0.005)
    assert (given != true)[suspects].all()


def test_the_ranking_holds_every_row_with_the_least_likely_label_first():
    found = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], dtype=np.float32)
    assert label_noise.ranking(found, np.array([0, 0, 0])).tolist() == [1, 2, 0]
    several = label_noise.ranking(found, np.array([[1, 1], [0, 1], [1, 1]]))
    assert several.tolist()[0] == 1  # row 0, label 1
    assert sorted(several) == list(range(6))


def test_too_few_rows_are_not_judged():
    assert "30 rows" in CHECK.cannot(make_desk(records(30)[0]))


def test_the_clock_stops_it():
    desk = make_desk(records()[0], encoder=HashedWords(), seconds=0)
    with pytest.raises(TimeIsUp):
        run(CHECK, desk)


@pytest.mark.slow
def test_four_of_five_wrong_labels_of_parcel_desk_are_among_the_first_twentieth():
    from tunewright.desk.encoder import PooledEncoder

    read = lambda name: list(csv.DictReader((PARCEL_DESK / name).open(encoding="utf-8", newline="")))  # noqa: E731
    rows = read("train.csv")
    wrong = {row["id"] for row in read("KNOWN_FAULTS.csv") if row["fault"] == "wrong_label"}
    desk = make_desk(rows, text=["message"], label=["topic"], encoder=PooledEncoder())
    ranking = run(CHECK, desk).facts["label_noise"]["ranking"]
    first = [rows[entry["row"] - 2]["id"] for entry in ranking if entry["rank"] <= len(rows) // 20]
    assert len(wrong.intersection(first)) >= 0.8 * len(wrong)
