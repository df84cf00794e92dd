"""Windows, pooling, targets and decisions of the classifier."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

import tunewright as tw
from tests.conftest import make_model, make_tokenizer
from tunewright import models
from tunewright.config import load
from tunewright.errors import ConfigError
from tunewright.heads import PooledClassifier, mean_by_owner
from tunewright.intake import take_in
from tunewright.tasks.base import Row
from tunewright.tasks.sequence_classification import SequenceClassification


def encoded_batch(task, texts, label="a", max_length=12):
    tokenizer = make_tokenizer()
    encoded = task.encode([Row(n, (text,), label) for n, text in enumerate(texts)], tokenizer, max_length)
    return task.collate(encoded.features, tokenizer)


def test_a_rows_logits_are_the_mean_over_its_windows(tiny):
    task = SequenceClassification(labels=("a", "b"), pooling="mean", long_text="windows", window_overlap=2)
    model = task.build(models.locate(tiny)).eval()
    batch = encoded_batch(task, ["broken " * 25, "app"])
    assert batch.inputs["input_ids"].shape[0] > 2
    with torch.no_grad():
        windows = model(**batch.inputs)
        rows = task.logits(model, batch)
    assert torch.allclose(rows[0], windows[:-1].mean(0), atol=1e-6)
    assert torch.allclose(rows[1], windows[-1], atol=1e-6)
    assert float(task.weight(batch)) == 2  # rows, not windows


def test_mean_by_owner():
    values, owners = torch.tensor([[1.0], [3.0], [10.0]]), torch.tensor([0, 0, 1])
    assert mean_by_owner(values, owners, 2).tolist() == [[2.0], [10.0]]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padding_does_not_change_the_features(tiny, pooling):  # D9
    task = SequenceClassification(labels=("a", "b"), pooling=pooling)
    model = task.build(models.locate(tiny)).eval()
    alone, padded = encoded_batch(task, ["app login"]), encoded_batch(task, ["app login", "one two three four box"])
    with torch.no_grad():
        assert torch.allclose(model(**alone.inputs)[0], model(**padded.inputs)[0], atol=1e-6)


def test_the_two_poolings_differ_and_do_what_they_say(tiny):
    task = SequenceClassification(labels=("a", "b"), pooling="mean")
    model = task.build(models.locate(tiny)).eval()
    batch = encoded_batch(task, ["app login"])
    with torch.no_grad():
        hidden = model.encoder(**batch.inputs).last_hidden_state[0]
        assert torch.allclose(model.features(**batch.inputs)[0], hidden.mean(0), atol=1e-6)
        first = PooledClassifier(model.encoder, 2, "cls", 0.0).features(**batch.inputs)[0]
        assert torch.equal(first, hidden[0])


def settled(source_kind, tmp_path, head_only=False, sentence=False):
    folder = make_model(tmp_path / source_kind, source_kind)
    if sentence:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    return SequenceClassification().settle(models.locate(str(folder)), head_only).pooling


def test_the_default_pooling_suits_the_model(tmp_path):
    assert settled("bert", tmp_path / "a") == "model"
    assert settled("bert", tmp_path / "b", head_only=True) == "mean"
    assert settled("bert", tmp_path / "c", sentence=True) == "cls"
    assert SequenceClassification().settle(models.locate("minilm"), False).pooling == "mean"


def learned(inbox, tmp_path, **task):
    raw = {"data": {"train": inbox}, "task": {"kind": "sequence_classification", **task}}
    return take_in(load(raw))


def test_balanced_weights_make_classes_count_alike(tmp_path):
    path = tmp_path / "uneven.csv"
    rows = ["invoice,a"] * 60 + ["broken,b"] * 20 + ["app,c"] * 20
    path.write_text(
        "text,label\n" + "\n".join(f"{row.split(',')[0]} {n},{row[-1]}" for n, row in enumerate(rows)) + "\n"
    )
    intake = learned(str(path), tmp_path, class_weights="balanced")
    counts = {name: sum(row.label == name for row in intake.splits["train"].rows) for name in "abc"}
    weighted = [intake.task.class_weights[name] * counts[name] for name in "abc"]
    assert weighted == pytest.approx([weighted[0]] * 3)
    assert sum(weighted) == pytest.approx(sum(counts.values()))


def test_weights_for_an_unknown_label_are_refused(inbox, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'billing'"):
        learned(inbox, tmp_path, class_weights={"biling": 2.0})


def test_labels_are_learned_from_the_training_split_in_natural_order(tmp_path):  # D8
    path = tmp_path / "numbers.csv"
    path.write_text("text,label\n" + "\n".join(f"box {n},{[10, 9, 2][n % 3]}" for n in range(60)) + "\n")
    assert learned(str(path), tmp_path).task.labels == ("2", "9", "10")


def test_multi_label_targets_and_decisions():
    task = SequenceClassification(labels=("a", "b", "c"), multi_label=True, thresholds=(0.5, 0.9, 0.1))
    assert task.target(Row(1, ("x",), ("c", "a"))).tolist() == [1, 0, 1]
    said = task.decode(np.array([0.1, 2.0, -2.0]), Row(1, ("x",)))
    assert said.labels == ("a", "c")
    assert said.label is None
    assert set(said.to_json()) == {"labels", "probabilities"}


def test_single_label_decision():
    said = SequenceClassification(labels=("a", "b")).decode(np.array([0.0, np.log(3)]), Row(1, ("x",)))
    assert (said.label, round(said.probability, 6)) == ("b", 0.75)
    assert sum(said.probabilities.values()) == pytest.approx(1)


def test_thresholds_are_tuned_on_validation_and_saved(small, tmp_path):
    raw = small("run", "full", {"kind": "sequence_classification", "multi_label": True}, max_steps=6)
    result = tw.train(raw, progress=False)
    thresholds = result.predictor.artifact.task.thresholds
    assert thresholds is not None
    assert len(thresholds) == 3
    from tunewright.files import read_json

    per_class = read_json(result.path / "metrics.json")["validation"]["per_class"]
    assert [per_class[name]["threshold"] for name in result.predictor.artifact.task.labels] == pytest.approx(thresholds)


def test_text_pairs_train_and_predict(tiny, tmp_path):
    path = tmp_path / "pairs.csv"
    rows = [f"invoice {n},money label {n},{'same' if n % 2 else 'other'}" for n in range(40)]
    path.write_text("sentence1,sentence2,label\n" + "\n".join(rows) + "\n")
    raw = {"model": tiny, "data": {"train": str(path)}, "out": str(tmp_path / "run")}
    result = tw.train(raw | {"training": {"max_steps": 2, "precision": "fp32"}}, progress=False)
    (answer,) = result.predictor([("invoice", "money")])
    assert answer.label in ("same", "other")
    task, tokenizer = result.predictor.artifact.task, result.predictor.artifact.tokenizer
    batch = partial(task.collate, tokenizer=tokenizer)(task.encode([Row(1, ("one", "two"))], tokenizer, 16).features)
    expected = tokenizer("one", "two")
    assert batch.inputs["input_ids"][0].tolist() == expected["input_ids"]
    assert batch.inputs["token_type_ids"][0].tolist() == expected["token_type_ids"]


@pytest.mark.parametrize(
    ("task", "named"),
    [({"thresholds": [0.5, 0.5, 0.5]}, "task.thresholds"), ({"window_overlap": 8}, "task.window_overlap")],
)
def test_settings_without_effect_are_refused(small, task, named):  # C1
    with pytest.raises(ConfigError, match=named):
        tw.train(small("run", "full", {"kind": "sequence_classification", **task}), progress=False)


def test_loop_settings_are_refused_for_a_strategy_without_loop(small):  # C1
    raw = small("run", "feature_extraction", {"kind": "sequence_classification", "pooling": "mean"})
    raw["training"] = {"epochs": 3, "learning_rate": 0.1, "seed": 4}
    with pytest.raises(ConfigError, match=r"training\.epochs") as caught:
        tw.train(raw, progress=False)
    assert "training.learning_rate" in str(caught.value)
    assert "seed" not in str(caught.value)


def test_a_run_with_numbered_labels_is_evaluated_on_numbered_labels(tiny, tmp_path):
    (tmp_path / "names.txt").write_text("app\nbilling\nnever\n")
    rows = [f"{['login', 'money'][n % 2]} {n}\t{n % 2}{',0' if n % 5 == 0 else ''}\tid{n}" for n in range(60)]
    (tmp_path / "train.tsv").write_text("\n".join(rows) + "\n")
    data = {"train": str(tmp_path / "train.tsv"), "label_names": str(tmp_path / "names.txt")}
    raw = {"model": tiny, "data": data, "out": str(tmp_path / "run"), "training": {"max_steps": 2, "precision": "fp32"}}
    result = tw.train(raw, progress=False)
    scores = tw.evaluate(result.path, data["train"])
    assert set(scores["per_class"]) == {"app", "billing", "never"}
    assert scores["num_rows"] == 60


@pytest.mark.parametrize("names", [None, "a\nb\n"])
def test_nothing_supervised_is_refused_with_the_counts(tmp_path, names):  # D1
    from tunewright.errors import DataError

    (tmp_path / "none.jsonl").write_text("\n".join(f'{{"text": "box {n}", "labels": []}}' for n in range(30)) + "\n")
    data = {"train": str(tmp_path / "none.jsonl")}
    if names:
        (tmp_path / "names.txt").write_text(names)
        data["label_names"] = str(tmp_path / "names.txt")
    with pytest.raises(DataError, match=r"0 of \d+ rows have a label"):
        take_in(load({"data": data}))


@pytest.mark.parametrize("label", ["--5", "-5", "²", "5" * 400, "x"])
def test_any_label_can_be_ordered(label):
    from tunewright.tasks.sequence_classification import natural_order

    assert sorted(["b", label, "1"], key=natural_order)[0] in ("1", "-5")


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ({"multi_label": True, "thresholds": [0.5]}, "1 thresholds for 3 labels"),
        ({"labels": ["app", "billing", "damage", "app"]}, "a label is there twice"),
    ],
)
def test_labels_and_thresholds_must_fit_together(inbox, tmp_path, task, named):
    with pytest.raises(ConfigError, match=named):
        learned(inbox, tmp_path, **task)
