"""The curve is the probe's, the law is found again where there is one, and what it promises comes with an interval."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.desks import HashedWords, make_desk, run
from tunewright.data.checks import enough_data
from tunewright.data.checks.enough_data import EnoughData
from tunewright.data.desk import TimeIsUp

CHECK = EnoughData(kind="enough_data")
NAMES = ["app", "billing", "damage"]


def rows(count: int, own_words: int, seed: int = 0, several: bool = False):
    """Each class has words of its own: few of them are soon known, many are not. One row in ten has another label."""
    generator = random.Random(seed)
    made = []
    for place in range(count):
        name = NAMES[place % 3]
        words = [f"{name}{generator.randrange(own_words)}", *generator.choices(["the", "parcel", "is", "my"], k=3)]
        label = generator.choice(NAMES) if generator.random() < 0.1 else name
        made.append({"text": " ".join(words), "label": [label] if several else label})
    return made


@pytest.fixture(scope="module")
def many():
    return facts_of(rows(240, own_words=30))


def facts_of(records):
    notebook = run(CHECK, make_desk(records, encoder=HashedWords(48)))
    return notebook.facts["enough_data"], notebook.tallies["enough_data.curve"].shown[0]


def test_the_law_is_found_again():
    sizes = np.geomspace(50, 3000, 7)
    a, b, c = enough_data.law(sizes, 0.9 - 2 * sizes**-0.5)
    assert (a, b, c) == pytest.approx((0.9, 2, 0.5))
    assert enough_data.gains(sizes, 0.9 - 2 * sizes**-0.5, 3000, [1000]) == pytest.approx(
        [2 * (3000**-0.5 - 4000**-0.5)]
    )


def test_no_law_promises_more_than_everything_right_or_less_with_more_rows():
    sizes = np.geomspace(50, 3000, 7)
    assert enough_data.law(sizes, 0.5 + np.log(sizes) / 20)[0] <= 1
    assert enough_data.gains(sizes, 0.9 - sizes / 1e5, 3000, [1000]).tolist() == [0]


def test_where_more_is_to_be_learned_more_rows_are_promised_to_help(many):
    many, finding = many
    few, settled = facts_of(rows(240, own_words=2))
    assert many["more"][2]["rows"] == 200
    assert many["more"][2]["gain"] > few["more"][2]["gain"] + 0.01
    assert many["curve"][-1]["score"] > many["curve"][0]["score"] + 0.05
    assert "tunewright data label" in finding.remedy
    assert finding.severity == settled.severity == "note"
    assert "hardly help" in settled.remedy


def test_gains_come_with_an_interval_in_which_they_lie(many):
    facts, finding = many
    for entry in facts["more"]:
        assert entry["low"] < entry["high"]
    assert [entry["rows"] for entry in facts["curve"]] == sorted(entry["rows"] for entry in facts["curve"])
    assert finding.message.startswith("50 more rows: about +")
    assert finding.details["more"] == facts["more"]


def test_several_labels_are_scored_by_micro_f1():
    facts, _ = facts_of(rows(150, own_words=2, several=True))
    assert facts["metric"] == "micro F1"
    assert facts["curve"][-1]["score"] == pytest.approx(0.93, abs=0.05)


def test_it_says_why_it_can_not_be_asked():
    assert "encoder" in CHECK.cannot(make_desk(rows(150, 2)))
    assert "60 rows" in CHECK.cannot(make_desk(rows(60, 2), encoder=HashedWords()))


def test_the_clock_stops_it():
    with pytest.raises(TimeIsUp):
        run(CHECK, make_desk(rows(150, 2), encoder=HashedWords(), seconds=0))
