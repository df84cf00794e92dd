"""Planted differences between train and test are told; splits of one source are not."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.desks import HashedWords, make_desk, run
from tunewright.data.checks.shift import Shift, auc_interval
from tunewright.data.desk import TimeIsUp

CHECK = Shift(kind="shift")
WORDS = ["the", "parcel", "is", "my", "late", "box", "door", "driver", "today", "please", "invoice", "money", "app"]
WORDS += ["login", "label", "red", "green", "blue"]


def rows(count: int = 150, seed: int = 0, words: list[str] = WORDS, length: int = 8, app: float = 0.5):
    """Texts of random words, with random labels."""
    generator = random.Random(seed)
    name = lambda: "app" if generator.random() < app else "billing"  # noqa: E731
    return [{"text": " ".join(generator.choices(words, k=length)), "label": name()} for _ in range(count)]


@pytest.mark.parametrize("seed", range(2))
def test_two_draws_of_one_source_are_not_reported(seed):
    notebook = run(CHECK, make_desk(rows(seed=10 + seed), rows(100, seed=20 + seed), encoder=HashedWords()))
    assert not notebook.tallies
    facts = notebook.facts["shift"]["test"]
    assert facts["classifier"]["low"] <= 0.5 <= facts["classifier"]["high"]


@pytest.mark.parametrize("encoder", [None, HashedWords()])
def test_other_words_are_told_by_a_classifier_and_named(encoder):
    test = [{**row, "text": row["text"] + " refund"} for row in rows(100, seed=1)]
    notebook = run(CHECK, make_desk(rows(), test, encoder=encoder))
    finding = notebook.tallies["shift.classifier"].shown[0]
    assert finding.split == "test"
    assert finding.severity == "warning"
    assert finding.details["auc"] > 0.95
    assert "refund" in finding.details["words"]["other"]
    assert "'refund'" in finding.message


def test_unseen_words_are_told_beside_those_that_train_itself_would_have():
    notebook = run(CHECK, make_desk(rows(), rows(100, seed=1, words=[*WORDS, *(f"new{n}" for n in range(18))])))
    finding = notebook.tallies["shift.vocabulary"].shown[0]
    assert finding.details["share"] == pytest.approx(0.5, abs=0.05)
    assert finding.details["within_train"] == 0
    every_word_once = [{**row, "text": f"{row['text']} name{place}"} for place, row in enumerate(rows(250))]
    assert "shift.vocabulary" not in run(CHECK, make_desk(every_word_once[:150], every_word_once[150:])).tallies


def test_longer_texts_are_told_in_characters_and_tokens():
    class Tokenizer:
        def __call__(self, texts, **options):
            return {"input_ids": [text.split() for text in texts]}

    notebook = run(CHECK, make_desk(rows(), rows(100, seed=1, length=12), tokenizer=Tokenizer()))
    units = {finding.details["unit"]: finding.details["medians"] for finding in notebook.tallies["shift.length"].shown}
    assert set(units) == {"characters", "tokens"}
    assert units["tokens"] == [8, 12]


def test_other_shares_of_labels_are_told():
    notebook = run(CHECK, make_desk(rows(app=0.5), rows(100, seed=1, app=0.9)))
    finding = notebook.tallies["shift.labels"].shown[0]
    assert finding.details["effect"] > 0.3
    assert set(notebook.tallies) == {"shift.labels"}


def test_rows_of_one_group_count_once():
    """A classifier would know every paragraph again, and call any split by paragraph a shift."""

    def asked(first: int):
        generator = random.Random(first)
        for number in range(first, first + 60):
            context = " ".join([f"name{number} name{number}", *generator.choices(WORDS, k=6)])
            for word in context.split()[2:5]:
                yield {"question": "which " + word, "context": context, "answer": word,
                       "answer_start": context.index(word), "id": f"{number}{word}"}  # fmt: skip

    notebook = run(CHECK, make_desk(list(asked(0)), list(asked(60)), "question_answering", group_column="context"))
    assert notebook.facts["shift"]["test"]["classifier"]["rows"] == [60, 60]
    assert "shift.classifier" not in notebook.tallies


def test_the_interval_of_the_area_holds_the_truth():
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        positive, negative = generator.normal(1, 1, 60), generator.normal(0, 1, 80)
        auc, low, high = auc_interval(positive, negative, width=1.96)
        assert auc == pytest.approx(roc_auc_score([1] * 60 + [0] * 80, np.concatenate([positive, negative])))
        inside += low <= 0.7602 <= high
    assert 0.9 <= inside / 60 <= 0.99


def test_it_says_why_it_can_not_be_asked():
    assert "no other part" in CHECK.cannot(make_desk(rows()))
    assert "12 rows" in CHECK.cannot(make_desk(rows(), rows(12)))


def test_the_clock_stops_it():
    with pytest.raises(TimeIsUp):
        run(CHECK, make_desk(rows(), rows(seed=1), seconds=0))
