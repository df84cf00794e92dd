"""training.balance: uneven classes by weights, by sampling or by focal loss."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import tunewright as tw
from tests.conftest import WORDS, assert_same_weights, weights_of
from tests.tasks.test_invariants import difference
from tests.training.test_loop import largest_gap
from tests.training.test_resume import killed
from tunewright import losses
from tunewright.data.sampler import evenly
from tunewright.errors import ConfigError
from tunewright.tasks.base import Row
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.training.loop import Loop

HEAD = {"kind": "feature_extraction", "regularisation": [0.001]}


def write_uneven(path: Path, count: int, rare: float, seed: int, tags: bool = False) -> str:
    """Texts of two classes, told apart by the word red, mostly; with tags the rare ones have two."""
    generator = random.Random(seed)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(count):
            is_rare = number < rare * count
            sign = "red" if generator.random() < (0.95 if is_rare else 0.05) else "one"
            label = ("usual|rare" if tags else "rare") if is_rare else "usual"
            words = generator.sample(WORDS[:11], generator.randint(2, 8))
            writer.writerow([" ".join([*words, sign]), label])
    return str(path)


@pytest.fixture
def uneven(tiny, tmp_path):
    """`uneven(balance="focal")` is a raw configuration on 20 rare rows of 160; validation has as many of both."""
    data = {
        "train": write_uneven(tmp_path / "train.csv", 160, 0.125, 0),
        "validation": write_uneven(tmp_path / "validation.csv", 60, 0.5, 1),
        "check_seconds": 0,
    }

    def make(name: str = "run", strategy: object = "full", task: dict | None = None, **training) -> dict:
        loop = {"batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "dropout": 0.0, "epochs": 1}
        chosen = {} if strategy == HEAD else loop
        return {"model": tiny, "data": data, "strategy": strategy, "training": {**chosen, **training},
                "task": {"kind": "sequence_classification", **(task or {})}, "out": str(tmp_path / name)}  # fmt: skip

    return make


# --- the focal loss ---------------------------------------------------------------------------------------------


def test_focal_loss_of_one_label_is_the_papers(tmp_path):
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-40.0, 40.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 2, 1])
    p = logits.softmax(1)[range(3), labels]
    total, count = losses.cross_entropy(logits, labels, focus=2.0)
    assert float(total) == pytest.approx(float((-((1 - p) ** 2) * p.log()).sum()), rel=1e-5)  # eq. 4
    assert float(count) == 3
    weights = torch.tensor([1.0, 2.0, 5.0])
    total, count = losses.cross_entropy(logits, labels, weights, focus=2.0)
    assert float(total) == pytest.approx(float((-weights[labels] * (1 - p) ** 2 * p.log()).sum()), rel=1e-5)  # eq. 5
    assert float(count) == 8


def test_focal_loss_of_several_labels_is_the_papers():
    logits, labels = torch.tensor([[2.0, -1.0], [-30.0, 0.3]]), torch.tensor([[1, 0], [1, 1]])
    p = torch.where(labels == 1, logits.sigmoid(), 1 - logits.sigmoid())
    total, count = losses.binary_cross_entropy(logits, labels, focus=2.0)
    assert float(total) == pytest.approx(float((-((1 - p) ** 2) * p.log()).sum()) / 2, rel=1e-5)
    assert float(count) == 2


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("several", [False, True])
def test_focal_gradients_are_finite_however_sure_the_model_is(scale, several):  # N1
    logits = (scale * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])).requires_grad_()
    function = losses.binary_cross_entropy if several else losses.cross_entropy
    labels = torch.tensor([[1, 0], [1, 0]]) if several else torch.tensor([0, 0])
    function(logits, labels, focus=2.0)[0].backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert float(logits.grad[1].abs().sum()) > 0


# --- runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["focal", "sampling"])
def test_a_balanced_batch_makes_one_update_however_it_is_cut(uneven, balance):  # N2
    found = []
    for micro in (8, 4, 1):
        raw = uneven(f"cut{micro}", max_steps=2, micro_batch_size=micro, balance=balance)
        tw.train(raw, progress=False)
        found.append(weights_of(raw["out"]))
    assert difference(found[0], found[1]) < 1e-6
    assert difference(found[0], found[2]) < 1e-6


def test_a_sampled_run_resumes_bitwise(uneven):  # R5
    whole, cut = (uneven(name, max_steps=25, checkpoint_every=11, balance="sampling") for name in ("whole", "cut"))
    tw.train(whole, progress=False)
    killed(cut, 24)  # in the second epoch
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])


def test_sampling_draws_each_class_alike_in_every_epoch(uneven, monkeypatch):
    drawn: list[Counter] = []
    real = Loop.batches

    def kept(self):
        batches, share = real(self)
        drawn.append(Counter(item.label for batch in batches for item in batch.features))
        return batches, share

    monkeypatch.setattr(Loop, "batches", kept)
    tw.train(uneven(epochs=2, balance="sampling"), progress=False)
    assert len(drawn) == 40  # an epoch has as many steps as without
    for epoch in (drawn[:20], drawn[20:]):
        assert sum(epoch, Counter()) == {0: 80, 1: 80}


def test_class_weights_by_either_setting_and_from_the_resolved_configuration_are_one_run(uneven, tmp_path):
    first = uneven("first", max_steps=2, balance="class_weights")
    second = uneven("second", max_steps=2, task={"class_weights": "balanced"})
    tw.train(first, progress=False)
    tw.train(second, progress=False)
    assert_same_weights(first["out"], second["out"])
    resolved = yaml.safe_load((tmp_path / "first" / "run.yaml").read_text())
    assert resolved["training"]["balance"] == "class_weights"
    assert resolved["task"]["class_weights"] == {"rare": 4.0, "usual": 160 / 280}
    tw.train(resolved | {"out": str(tmp_path / "again")}, progress=False)
    assert_same_weights(first["out"], str(tmp_path / "again"))


@pytest.mark.parametrize("balance", ["sampling", "class_weights"])
def test_class_weights_that_say_something_else_are_refused(uneven, balance):
    with pytest.raises(ConfigError, match=f"training.balance is {balance}") as caught:
        tw.train(uneven(task={"class_weights": {"rare": 3.0}}, balance=balance), progress=False)
    assert caught.value.where == "task.class_weights"


def recall(raw: dict) -> float:
    return tw.train(raw, progress=False).metrics["validation"]["per_class"]["rare"]["recall"]


def overlapping(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """1,000 points of two overlapping clouds, every twentieth of the rare one."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(1000) % 20 == 0).long()
    return torch.randn(1000, 2, generator=generator) + 1.5 * labels[:, None], labels


def recall_of_a_line(balance: str) -> float:
    """Of the rare class, on new points, of a linear model trained for 60 passes."""
    points, labels = overlapping(0)
    line = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(line.parameters(), 0.05)
    weights = torch.tensor([1000 / 1900, 10.0]) if balance == "class_weights" else None
    focus = losses.FOCUS if balance == "focal" else 0.0
    for epoch in range(60):
        rows = torch.from_numpy(evenly(labels.numpy(), 0, epoch)) if balance == "sampling" else torch.arange(1000)
        total, count = losses.cross_entropy(line(points[rows]), labels[rows], weights, 0.0, focus)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    points, labels = overlapping(1)
    return float((line(points).argmax(1) == 1)[labels == 1].float().mean())


@pytest.mark.parametrize(("balance", "by"), [("sampling", 0.3), ("class_weights", 0.3), ("focal", 0.05)])
def test_the_recall_of_the_rare_class_rises(balance, by):
    """By focal loss only early on: where training has converged, it draws the same line as cross-entropy."""
    torch.manual_seed(0)
    plain = recall_of_a_line("none")
    torch.manual_seed(0)
    assert plain < 0.5
    assert recall_of_a_line(balance) > plain + by


def test_weights_raise_the_recall_of_the_rare_class_for_a_head_alone(uneven):
    plain, weighted = (recall(uneven(how, HEAD, balance=how)) for how in ("none", "class_weights"))
    assert weighted > plain + 0.1


def test_a_head_is_solved_for_by_focal_loss(uneven):
    """It is smooth, though not convex: the solver ends where the gradient does."""
    from tunewright.training import head as solver

    ends, real = [], solver.solve

    def kept(weight, bias, inputs, variances, targets, task, strength):
        found = real(weight, bias, inputs, variances, targets, task, strength)
        labels = torch.from_numpy(np.asarray(targets, dtype=np.int64))
        weight, bias = found[0].requires_grad_(True), found[1]
        loss = task.loss_of(inputs @ weight.T + bias, labels).sum / task.weight_of(labels)
        (loss + strength / 2 * weight.square().sum()).backward()
        ends.append((task._focus, float(weight.grad.abs().max())))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solver, "solve", kept)
        tw.train(uneven("focal", HEAD, balance="focal"), progress=False)
    assert ends[0][0] == 2.0
    assert ends[0][1] < 1e-3
    tw.train(uneven("plain", HEAD), progress=False)
    assert largest_gap(weights_of(uneven("focal")["out"]), weights_of(uneven("plain")["out"])) > 1e-3


def test_sampling_is_refused_where_nothing_is_drawn(uneven):
    with pytest.raises(ConfigError, match=r"training.balance: .*feature_extraction .*take class_weights"):
        tw.train(uneven("run", HEAD, balance="sampling"), progress=False)


def test_tasks_without_classes_refuse_it(uneven, tiny, tmp_path):
    rows = [{"tokens": ["red", "box"], "tags": ["B-colour", "O"]}] * 20
    (tmp_path / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw = {"model": tiny, "data": {"train": str(tmp_path / "tags.jsonl")}, "task": "token_classification",
           "training": {"balance": "focal"}, "out": str(tmp_path / "run")}  # fmt: skip
    with pytest.raises(ConfigError, match=r"training.balance: has no effect, because the rows of token_classification"):
        tw.train(raw, progress=False)


# --- several labels a row ---------------------------------------------------------------------------------------


def test_rows_of_several_labels_are_drawn_by_the_rarest():
    task = SequenceClassification(labels=("a", "b", "c"), multi_label=True)
    labels = [("a",), ("a", "b"), ("b", "a"), ("a", "b", "c"), (), ("a",)]
    classes = task.classes([Row(number, ("x",), label) for number, label in enumerate(labels)])
    assert classes == [2, 1, 1, 0, 3, 2]
    drawn = Counter(np.array(classes)[evenly(classes, 0, 0)].tolist())
    assert sorted(drawn.values()) == [1, 1, 2, 2]


def test_several_labels_a_row_train_with_each(uneven, tmp_path):
    data = {"train": write_uneven(tmp_path / "tags.csv", 40, 0.25, 0, tags=True), "label_delimiter": "|"}
    runs = {}
    for how in ("none", "focal", "sampling", "class_weights"):
        raw = uneven(how, max_steps=1, balance=how) | {"data": data | {"check_seconds": 0}}
        tw.train(raw, progress=False)
        runs[how] = weights_of(raw["out"])
    assert all(largest_gap(runs["none"], runs[how]) > 0 for how in ("focal", "sampling", "class_weights"))
