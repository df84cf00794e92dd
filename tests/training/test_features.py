"""Frozen work is done once, and is equal to the work it saves."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import tunewright as tw
from tests.conftest import WORDS, assert_same_weights, make_model, write_rows
from tests.training.test_resume import Heard
from tunewright.config import load
from tunewright.files import cache_folder
from tunewright.heads import mean_by_owner
from tunewright.run import train
from tunewright.tasks.base import Row
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.training import features
from tunewright.training.store import key_of

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
    model, encoded, collate = parts(tiny, ["invoice money", " ".join(WORDS[:20]), "app"], **task)
    first, computed = asked(model, encoded, collate)
    again, computed_again = asked(lambda: pytest.fail("asked"), encoded, collate)
    assert (computed, computed_again) == (sum(encoded.num_windows), 0)
    assert np.array_equal(first, again)
    batch = collate(encoded.features)
    with torch.no_grad():
        plain = model.features(**batch.inputs)
    owners = batch.owners if batch.owners is not None else torch.arange(len(plain))
    assert np.abs(first - mean_by_owner(plain, owners, len(first)).numpy()).max() < 1e-6


def asked(model, encoded, collate, origin=None, progress=None):
    get = model if not hasattr(model, "parameters") else lambda: model
    return features.features_of(get, encoded, collate, torch.device("cpu"), origin or {"model": "m"}, progress)


def cached_files() -> list[Path]:
    return sorted((cache_folder() / "features").rglob("*.npz"))


def test_the_head_on_cached_features_gives_the_models_logits(tiny):  # N7
    model, encoded, collate = parts(
        tiny, ["invoice money", "broken " * 20, "app"], long_text="windows", window_overlap=2
    )
    values, _ = asked(model, encoded, collate)
    made = SequenceClassification(labels=("a", "b"), pooling="mean")
    with torch.no_grad():
        through_head = model.head(torch.from_numpy(values)).numpy()
        through_model = np.stack(made.predict(model.eval(), collate(encoded.features)))
    assert np.abs(through_head - through_model).max() < 1e-6


TEXTS = ["invoice money", "app", "box red", "broken red box late parcel", "money money", "app"]


@pytest.mark.parametrize("other", ["model", "tokenizer", "pooling", "arithmetic"])
def test_another_model_tokenizer_pooling_or_arithmetic_never_hits(tiny, other):  # N7
    model, encoded, collate = parts(tiny, TEXTS)
    origin = {"model": "m", "tokenizer": "t", "pooling": "mean", "arithmetic": "a"}
    assert asked(model, encoded, collate, origin)[1] == 5
    assert asked(model, encoded, collate, {**origin, other: "another"})[1] == 5
    assert asked(model, encoded, collate, origin)[1] == 0


def test_other_token_ids_types_or_cuts_have_other_keys():  # N7
    asks = [([1, 2], None), ([2, 1], None), ([1], None), ([1, 2], [0, 0]), ([1, 2], [0, 1]), ([1, 2, 0, 1], None),
            ([], None), ([0], None)]  # fmt: skip
    keys = {key_of(*ask) for ask in asks} | {key_of([1, 2], None, 0), key_of([1, 2], None, 1), key_of([2, 1, 2], None)}
    assert len(keys) == len(asks) + 3


def test_rows_are_known_in_any_split_and_the_others_are_computed(tiny):  # N7
    model, encoded, collate = parts(tiny, TEXTS)
    whole, _ = asked(model, encoded, collate)
    for texts, computed in [(["box red", "app"], 0), (["app", "driver login", "invoice money", "driver login"], 1)]:
        _, other, _ = parts(tiny, texts)
        values, made = asked(model, other, collate)
        assert made == computed
        for text, value in zip(texts, values, strict=True):
            assert text not in TEXTS or np.array_equal(value, whole[TEXTS.index(text)])


def test_no_bit_depends_on_what_was_cached_before_or_stands_beside(tiny, monkeypatch):  # C2
    words = [*TEXTS, *(" ".join(WORDS[place : place + size]) for size in (1, 2, 3, 5) for place in range(9))]
    model, encoded, collate = parts(tiny, words)
    cold, _ = asked(model, encoded, collate)
    for number, known in enumerate((words[::7], words[5:20])):
        monkeypatch.setenv("TUNEWRIGHT_CACHE", f"{os.environ['TUNEWRIGHT_CACHE']}{number}")
        asked(model, parts(tiny, known)[1], collate)
        warm, computed = asked(model, encoded, collate)
        assert 0 < computed < len(words)
        assert np.array_equal(cold, warm)


def test_what_was_computed_before_an_interruption_is_kept(tiny):
    model, encoded, collate = parts(tiny, TEXTS)

    def stop(done, total):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        asked(model, encoded, collate, progress=stop)
    assert 0 < asked(model, encoded, collate)[1] < 5


def test_checks_runs_and_other_splits_share_what_was_computed(small):
    """The check knows the encoder of the desk; the tiny model is made that one."""
    raw = small("first", "feature_extraction", TASK)
    listener = Heard()
    train(load(raw), listener=listener)
    assert [note for note in listener.notes if note.startswith("features of")] == [
        "features of train: 43 x 32, 43 computed", "features of validation: 5 x 32, 5 computed"]  # fmt: skip
    again, other = small("again", "feature_extraction", TASK), Heard()
    again["data"] = {**again["data"], "split_seed": 5}
    train(load(again), listener=other)
    assert all(note.endswith("cached") for note in other.notes if note.startswith("features of"))


def test_a_run_on_another_model_computes_its_own_features(small, tmp_path):  # N7
    tw.train(small("first", "feature_extraction", TASK), progress=False)
    known = len(cached_files())
    other = small("other", "feature_extraction", TASK) | {"model": str(make_model(tmp_path / "other", "roberta"))}
    tw.train(other, progress=False)
    assert len(cached_files()) == 2 * known


@pytest.mark.parametrize("damage", [b"", b"not numpy", None])
def test_a_damaged_cache_file_is_computed_again(small, damage):  # N7
    raw = small("first", "feature_extraction", TASK)
    tw.train(raw, progress=False)
    assert cached_files()
    for path in cached_files():
        path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    again = small("again", "feature_extraction", TASK)
    tw.train(again, progress=False)
    assert_same_weights(raw["out"], again["out"])


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(small, monkeypatch):
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
