"""Evidence against rules: who disagrees, and that a contest is short and leaves nothing behind."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.desks import HashedWords, make_desk
from tunewright.advice import probe
from tunewright.advice.facts import Facts


def told(answer="yes", ordering=("full", "lora")):
    costs = [{"strategy": kind, "seconds": 90.0} for kind in ordering]
    return {"fine_tune": {"answer": answer}, "ordering": list(ordering), "costs": costs}


def comparison(best, equals, **scores):
    """Of contestants with these scores."""
    items = [{"name": name, "kind": "run", "fit_seconds": 1.0, "runs": [{"reason": "no time", "status": "stopped"}],
              "score": None if value is None else {"value": value, "low": value, "high": value},
              "versus_best": None if name == best else {"difference": (value or 0) - scores[best]}}
             for name, value in scores.items()]  # fmt: skip
    return {"contestants": items, "verdict": {"best": best, "equals": equals}, "rows": 100, "split": "test",
            "metric": {"name": "accuracy"}, "data": {"rows": {}}}  # fmt: skip


@pytest.mark.parametrize(
    ("advice", "found", "said"),
    [(told(), comparison("full", ["full"], full=0.9, lora=0.8, tfidf=0.7), []),
     (told(), comparison("full", ["full", "tfidf"], full=0.9, lora=0.8, tfidf=0.89), ["tfidf is not detectably worse"]),
     (told(), comparison("tfidf", ["tfidf", "full"], full=0.85, tfidf=0.9), ["fine-tune, but here tfidf is the best"]),
     (told(), comparison("lora", ["lora"], full=0.8, lora=0.9, tfidf=0.7), ["lora is better by 0.100 (100 test rows)"]),
     (told("linear_model", ["feature_extraction", "full"]),
      comparison("full", ["full"], full=0.9, feature_extraction=0.8, tfidf=0.7),
      ["a linear model is enough, but here full is detectably better", "put feature_extraction first"])],
)  # fmt: skip
def test_the_evidence_says_where_it_disagrees(advice, found, said):
    lines = probe.disagreements(advice, found)
    assert len(lines) == len(said)
    assert all(text in line for text, line in zip(said, lines, strict=True))


def test_a_contest_without_a_trained_contestant_says_nothing_for_or_against():
    assert probe.disagreements(told(), comparison("tfidf", ["tfidf"], full=None, tfidf=0.9, majority=0.1)) is None


@pytest.fixture
def subject():
    training = SimpleNamespace(model_copy=lambda update: update)
    data = SimpleNamespace(limit=None, model_copy=lambda update: update)
    config = SimpleNamespace(data=data, training=training, model_copy=lambda update: update)
    numbers = {"full": {"epochs": 10.0}, "lora": {"epochs": 10.0}, "feature_extraction": {}}
    return SimpleNamespace(
        config=config, train=SimpleNamespace(rows=range(10_000)), task=SimpleNamespace(kind="sequence_classification"),
        numbers=numbers.get, has_weights=True, parameters=10,
    )  # fmt: skip


def test_a_contest_is_as_short_as_its_prediction_allows(subject, monkeypatch):
    asked = {}

    def compare(config, strategies, **options):
        asked.update(config=config, strategies=strategies, **options)
        return SimpleNamespace(comparison=comparison("full", ["full"], full=0.9, lora=0.8))

    monkeypatch.setitem(sys.modules, "tunewright.contest.compare", SimpleNamespace(compare=compare))
    found = probe.contest(subject, told(), None)
    assert asked["strategies"] == ["full", "lora", "feature_extraction"]
    assert asked["config"]["data"] == {"check_seconds": 0.0, "limit": probe.ROWS}
    assert asked["config"]["training"] == {"epochs": 10.0}  # 180 s of 10,000 rows are 36 s of 2,000
    assert found["agrees"] is True
    slow = {**told(), "costs": [{"strategy": "full", "seconds": 900.0}]}
    assert probe.shortened(subject, ["full"], slow)[0]["training"] == {"epochs": 2.0}


def test_no_contest_without_weights(subject):
    subject.has_weights = False
    found = probe.contest(subject, told(), None)
    assert found["agrees"] is None
    assert "no weights" in found["lines"][0]


def test_the_learning_curve_becomes_a_fact():
    draw = np.random.default_rng(0)
    records = [{"text": f"{'good' if label else 'bad'} {draw.integers(50)}", "label": f"c{label}"}
               for label in draw.integers(0, 2, 150)]  # fmt: skip
    desk = make_desk(records, encoder=HashedWords(), seconds=600.0)
    facts = Facts()
    probe.learning_curve(SimpleNamespace(task=desk.task, desk=desk), facts)
    assert abs(facts.values["curve_gain"]) < 0.1
    facts = Facts()
    probe.learning_curve(SimpleNamespace(task=desk.task, desk=make_desk(records[:60], encoder=HashedWords())), facts)
    assert "100 are needed" in facts.unknown["curve_gain"]
