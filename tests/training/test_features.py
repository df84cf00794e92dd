"""Frozen work is done once, and is equal to the work it saves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tunewright as tw
from tests.conftest import assert_same_weights, make_model, write_rows
from tunewright.tasks.base import Row
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.training import features

TASK = {"kind": "sequence_classification", "pooling": "mean"}


def parts(tiny, texts, **task):
    from tunewright import models

    source = models.locate(tiny)
    made = SequenceClassification(labels=("a", "b"), pooling="mean", **task)
    tokenizer = models.load_tokenizer(source)
    encoded = made.encode([Row(n, (text,), "a") for n, text in enumerate(texts)], tokenizer, 12)
    return made.build(source), encoded, partial(made.collate, tokenizer=tokenizer)


@pytest.mark.parametrize("task", [{}, {"long_text": "windows", "window_overlap": 2}])
def test_cached_features_are_the_uncached_ones(tiny, task):  # N7
    model, encoded, collate = parts(tiny, ["invoice money", "broken " * 20, "app"], **task)
    first, cached = features.features_of(model, encoded, collate, "cpu", "key")
    again, cached_again = features.features_of(model, encoded, collate, "cpu", "key")
    assert (cached, cached_again) == (False, True)
    assert np.array_equal(first, again)
    alone = [features.compute(model, type(encoded)([item]), collate, "cpu", None)[0] for item in encoded.features]
    assert np.abs(first - np.stack(alone)).max() < 1e-6


def test_the_head_on_cached_features_gives_the_models_logits(tiny):  # N7
    import torch

    model, encoded, collate = parts(
        tiny, ["invoice money", "broken " * 20, "app"], long_text="windows", window_overlap=2
    )
    values, _ = features.features_of(model, encoded, collate, "cpu", "key")
    made = SequenceClassification(labels=("a", "b"), pooling="mean")
    with torch.no_grad():
        through_head = model.head(torch.from_numpy(values)).numpy()
        through_model = np.stack(made.predict(model.eval(), collate(encoded.features)))
    assert np.abs(through_head - through_model).max() < 1e-6


def keys_of(tiny, texts=("invoice money", "app"), **origin):
    _, encoded, _ = parts(tiny, list(texts))
    return features.key_of(encoded, **{"model": "m", "tokenizer": "t", "pooling": "mean", **origin})


def test_another_model_tokenizer_pooling_or_text_never_hits_the_cache(tiny):  # N7
    keys = [
        keys_of(tiny),
        keys_of(tiny, model="other"),
        keys_of(tiny, tokenizer="other"),
        keys_of(tiny, pooling="cls"),
        keys_of(tiny, texts=("invoice money", "box")),
        keys_of(tiny, texts=("app", "invoice money")),
        keys_of(tiny, texts=("invoice", "money app")),
    ]
    assert len(set(keys)) == len(keys)
    assert keys_of(tiny) == keys[0]


def test_a_run_on_another_model_computes_its_own_features(small, tmp_path, monkeypatch):  # N7
    calls = []
    real = features.compute
    monkeypatch.setattr(features, "compute", lambda *a, **k: calls.append(1) or real(*a, **k))
    raw = small("first", "feature_extraction", TASK)
    tw.train(raw, progress=False)
    assert len(calls) == 2  # train and validation
    tw.train(small("again", "feature_extraction", TASK), progress=False)
    assert len(calls) == 2
    other = small("other", "feature_extraction", TASK) | {"model": str(make_model(tmp_path / "other", "roberta"))}
    tw.train(other, progress=False)
    assert len(calls) == 4


@pytest.mark.parametrize("damage", [b"", b"not numpy", None])
def test_a_damaged_cache_file_is_computed_again(small, damage):  # N7
    raw = small("first", "feature_extraction", TASK)
    tw.train(raw, progress=False)
    for path in (features.cache_folder() / "features").iterdir():
        path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    again = small("again", "feature_extraction", TASK)
    tw.train(again, progress=False)
    assert_same_weights(raw["out"], again["out"])


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(small, monkeypatch):
    blocked = Path(features.cache_folder())
    blocked.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("TUNEWRIGHT_CACHE", "/proc/nowhere")
    assert tw.train(small("run", "feature_extraction", TASK), progress=False).metrics["stopped"] == "completed"


def test_no_second_forward_pass_however_many_strengths(small, monkeypatch):
    from transformers import BertModel

    rows_seen = []
    real = BertModel.forward

    def forward(self, *arguments, **named):
        rows_seen.append(len(named["input_ids"]))
        return real(self, *arguments, **named)

    monkeypatch.setattr(BertModel, "forward", forward)
    one = small("one", {"kind": "feature_extraction", "regularisation": [0.01]}, TASK)
    tw.train(one, progress=False)
    after_one = sum(rows_seen)
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(Path(one["out"]) / "cache"))
    rows_seen.clear()
    ten = [10.0**-power for power in range(10)]
    tw.train(small("ten", {"kind": "feature_extraction", "regularisation": ten}, TASK), progress=False)
    assert sum(rows_seen) == after_one


def test_the_head_is_fitted_to_convergence_like_scikit_learns(tiny, tmp_path):
    """Multinomial logistic regression with the same penalty has one solution."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from tunewright.training.head import Split, fit_head
    from tunewright.training.state import State

    generator = np.random.default_rng(0)
    values = generator.normal(3, 2, (200, 8)).astype(np.float32)
    labels = (values[:, 0] + generator.normal(0, 1, 200) > 3).astype(int) + (values[:, 1] > 4)
    head = torch.nn.Linear(8, 3)
    task = SequenceClassification(labels=("a", "b", "c"), multi_label=False)
    rows = [Row(number, ("x",), "abc"[label]) for number, label in enumerate(labels)]
    fit_head(head, task, Split(values, list(labels), rows), None, [0.01], State(1, 1), lambda line: None)
    scaled = (values - values.mean(0)) / (values.std(0) + 1e-6)
    theirs = LogisticRegression(C=1 / (0.01 * 200), tol=1e-8, max_iter=5000).fit(scaled, labels).predict_proba(scaled)
    ours = torch.softmax(head(torch.from_numpy(values)), 1).detach().numpy()
    assert np.abs(ours - theirs).max() < 2e-3


def test_validation_chooses_the_regularisation(small, tmp_path):
    import json

    raw = small("run", {"kind": "feature_extraction", "regularisation": [1e-4, 1e-2, 100.0]}, TASK)
    write_rows(Path(raw["data"]["train"]), 96)
    result = tw.train(raw, progress=False)
    lines = [json.loads(line) for line in (result.path / "history.jsonl").read_text().splitlines()]
    assert [line["regularisation"] for line in lines] == [100.0, 1e-2, 1e-4]
    best = max(line["validation"]["accuracy"] for line in lines)
    assert result.metrics["best_metric"]["value"] == best
    assert result.metrics["validation"]["accuracy"] == pytest.approx(best)


def test_feature_extraction_with_a_models_own_head_is_refused_before_loading(small, monkeypatch):
    from tunewright import models
    from tunewright.errors import ConfigError

    monkeypatch.setattr(models, "load_model", lambda *a, **k: pytest.fail("a model was loaded"))
    with pytest.raises(ConfigError, match=r"set task\.pooling to mean or cls"):
        tw.train(
            small("run", "feature_extraction", {"kind": "sequence_classification", "pooling": "model"}), progress=False
        )
