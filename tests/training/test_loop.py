"""The loop's arithmetic: one update however the batch is cut, and the same one as the oracle's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tunewright as tw
from tests.conftest import assert_same_weights, make_model, weights_of
from tunewright.errors import DivergedError
from tunewright.training import optim

CUTS = [8, 4, 1]
BALANCED = {"pooling": "mean", "class_weights": "balanced", "label_smoothing": 0.1}


def trained(raw: dict, **options) -> dict:
    tw.train(raw, progress=False, **options)
    return weights_of(raw["out"])


def largest_gap(first: dict, second: dict) -> float:
    return max(float((first[name] - second[name]).abs().max()) for name in first)


@pytest.mark.parametrize(
    ("strategy", "task"),
    [("full", {}), ("full", BALANCED), ("full", {"multi_label": True}), ({"kind": "lora", "dropout": 0}, BALANCED)],
)
def test_accumulation_does_not_change_the_update(small, strategy, task):  # N2; all pairs: tests/matrix/test_updates.py
    task = {"kind": "sequence_classification", **task}
    runs = [trained(small(f"cut{cut}", strategy, task, max_steps=3, micro_batch_size=cut, dropout=0.0)) for cut in CUTS]
    for other in runs[1:]:
        assert largest_gap(runs[0], other) < 2e-6


def test_a_mean_of_means_would_change_the_update(small, monkeypatch):  # N2: the test above can fail
    from tunewright.training.loop import Loop

    def backward(self, batches, counted):
        losses = [self.task.objective(self.engine.wrapped, batch).sum / self.task.weight(batch) for batch in batches]
        (sum(losses)).backward()
        return sum(losses).detach(), {}

    whole = trained(small("whole", max_steps=3, micro_batch_size=8, dropout=0.0))
    monkeypatch.setattr(Loop, "backward", backward)
    wrong = trained(small("wrong", max_steps=3, micro_batch_size=2, dropout=0.0))
    assert largest_gap(whole, wrong) > 1e-4


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_run_that_diverges_stops_before_the_step(small, monkeypatch, where):  # N1
    from tunewright.tasks.sequence_classification import SequenceClassification

    raw = small(checkpoint_every=1, batch_size=8)
    real, calls = SequenceClassification.loss_of, []

    def broken(self, logits, targets):
        calls.append(1)
        found = real(self, logits, targets)
        if len(calls) < 4:
            return found
        bad = found.sum * float("nan") if where == "loss" else found.sum + (logits.sum() * 0).sqrt()
        return found._replace(sum=bad)

    monkeypatch.setattr(SequenceClassification, "loss_of", broken)
    with pytest.raises(DivergedError, match=f"{where} is not finite at step 4") as caught:
        tw.train(raw, progress=False)
    assert "training rows" in caught.value.where
    assert caught.value.exit_code == 2
    from tunewright.training.checkpoint import read, step_of

    (kept,) = __import__("pathlib").Path(raw["out"]).glob("checkpoints/step-*")
    assert step_of(kept) == 3
    assert all(value.isfinite().all() for value in read(kept).model.values())


def test_bf16_checkpoints_train_with_fp32_masters(small, tmp_path):  # N3
    model = make_model(tmp_path / "bf16", dtype="bfloat16")
    raw = small(learning_rate=1e-5, max_steps=4) | {"model": str(model)}
    after = trained(raw)
    from safetensors.torch import load_file

    before = load_file(model / "model.safetensors")
    name = "encoder.layer.0.intermediate.dense.weight"
    moved = after[f"model.safetensors/bert.{name}"]
    assert moved.dtype == torch.float32
    change = (moved - before[name].float()).abs()
    assert 0 < float(change.max()) < 1e-4
    assert float((change > 0).float().mean()) > 0.9


def test_five_steps_equal_the_trainer(small, tiny, tmp_path, inbox):  # N10
    """Transformers' Trainer without accumulation, on the same batches, is right: we must agree with it."""
    from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

    raw = small("ours", max_steps=5, dropout=0.0, schedule="linear", learning_rate=1e-3, evaluate_every=100)
    raw["strategy"] = {"kind": "full", "head_learning_rate": 1.0}
    ours = trained(raw)

    batches = batches_of(raw)
    torch.manual_seed(0)
    names = {"id2label": {0: "app", 1: "billing", 2: "damage"}, "label2id": {"app": 0, "billing": 1, "damage": 2}}
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = AutoModelForSequenceClassification.from_pretrained(tiny, **names, **no_dropout)
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "theirs"), per_device_train_batch_size=1, max_steps=5, learning_rate=1e-3,
        weight_decay=0.01, lr_scheduler_type="linear", warmup_steps=0, max_grad_norm=1.0, report_to=[],
        use_cpu=True, save_strategy="no", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip

    class InOrder(Trainer):
        def get_train_dataloader(self):
            return batches

    InOrder(model=model, args=arguments).train()
    theirs = {f"model.safetensors/{name}": value for name, value in model.state_dict().items()}
    assert {name for name in ours if name not in theirs} == set()
    # two paths through float arithmetic (sum / count here, mean there): AdamW's first steps are sign-like,
    # so that rounding of tiny gradients may show at a thousandth of the rate
    assert largest_gap(ours, theirs) < 2e-5


def batches_of(raw: dict) -> list[dict]:
    """The batches that our loop takes in its first steps, as a Trainer wants them."""
    from tunewright.config import load
    from tunewright.data.sampler import epoch_steps, micro_batches
    from tunewright.intake import take_in
    from tunewright.models import load_tokenizer, locate

    intake = take_in(load(raw))
    tokenizer = load_tokenizer(locate(raw["model"]))
    encoded = intake.task.encode(intake.splits["train"].rows, tokenizer, 64)
    steps = epoch_steps(encoded.lengths, 8, 0, 0)
    made = []
    for rows in steps:
        (micro,) = micro_batches(rows, encoded.lengths, 8)
        batch = intake.task.collate([encoded.features[row] for row in micro], tokenizer)
        made.append({**batch.inputs, "labels": batch.labels})
    return made


def test_the_model_never_sees_labels(small, monkeypatch):
    from transformers import BertForSequenceClassification

    seen = []
    real = BertForSequenceClassification.forward

    def forward(self, *arguments, **named):
        seen.append(set(named))
        return real(self, *arguments, **named)

    monkeypatch.setattr(BertForSequenceClassification, "forward", forward)
    tw.train(small(max_steps=1), progress=False)
    assert seen
    assert all("labels" not in names for names in seen)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("linear", [1, 0.75, 0.5, 0.25]), ("constant", [1] * 4), ("cosine", [1, 0.853553, 0.5, 0.146447])],
)
def test_schedules(schedule, expected):
    assert [optim.schedule_factor(step, 4, 0, schedule) for step in range(4)] == pytest.approx(expected, abs=1e-6)


def test_warmup_climbs_and_wastes_no_step():
    factors = [optim.schedule_factor(step, 10, 0.3, "constant") for step in range(5)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert factors == [optim.schedule_factor(step, 10, 3, "constant") for step in range(5)]


def test_biases_and_norms_are_not_decayed(small, tiny):
    from transformers import AutoModel

    from tunewright.layers import layer_map
    from tunewright.strategies.base import Rates
    from tunewright.strategies.full import Full

    model = AutoModel.from_pretrained(tiny)
    groups = Full().groups(model, layer_map(model), Rates(1e-3, 0.5))
    plain = {name for group in groups if group.weight_decay == 0 for name in group.parameters}
    assert plain == {name for name, value in model.named_parameters() if value.ndim == 1}
    assert {group.weight_decay for group in groups} == {0.0, 0.5}


def test_a_seed_repeats_a_run_bitwise_and_another_does_not(small):
    first, again = small("first", max_steps=4), small("again", max_steps=4)
    tw.train(first, progress=False)
    tw.train(again, progress=False)
    assert_same_weights(first["out"], again["out"])
    other = small("other", max_steps=4, seed=1)
    assert largest_gap(weights_of(first["out"]), trained(other)) > 0


def test_evaluating_more_often_changes_nothing_in_training(small):
    often, seldom = small("often", max_steps=6, evaluate_every=1), small("seldom", max_steps=6, evaluate_every=6)
    for raw in (often, seldom):
        raw["training"]["learning_rate"] = 1e-4
    tw.train(often, progress=False)
    tw.train(seldom, progress=False)
    assert last_weights(often) == last_weights(seldom)


def last_weights(raw: dict) -> dict:
    """Digests of the last checkpoint's weights."""
    from pathlib import Path

    from tunewright.training.checkpoint import read

    newest = sorted(Path(raw["out"]).glob("checkpoints/step-*"))[-1]
    return {name: np.asarray(value).tobytes() for name, value in read(newest).model.items()}
