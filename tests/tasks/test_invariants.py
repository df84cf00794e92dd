"""What every task promises: one update however a batch is cut, transformers' own arithmetic, no trace of padding."""

from __future__ import annotations

import json
import random
from functools import partial

import pytest
import torch

import tunewright as tw
from tests.conftest import WORDS, make_tokenizer, weights_of
from tests.matrix.conftest import COLOURS, TASKS, data_for
from tests.training.test_distributed import launch
from tests.training.test_loop import batches_of, largest_gap
from tunewright import models
from tunewright.config import load
from tunewright.intake import take_in

SMALL = {"token_classification": {"window_overlap": 3}, "question_answering": {"window_overlap": 3}}


def raw_of(tiny, task: str, files: tuple[str, str], out, max_length: int | str = "auto", **training) -> dict:
    """A run in fp32 without chance."""
    chosen = {"max_steps": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "dropout": 0.0, "warmup": 0}
    return {
        "model": tiny,
        "data": {"train": files[0], "validation": files[1], "max_length": max_length, "check_seconds": 0},
        "task": {"kind": task, **({} if max_length == "auto" else SMALL.get(task, {}))},
        "training": chosen | {"evaluate_every": 100} | training,
        "out": str(out),
    }


def trained(raw: dict) -> dict:
    tw.train(raw, progress=False)
    return seen(weights_of(raw["out"]), raw["task"]["kind"])


def seen(weights: dict, task: str) -> dict:
    """Without what the loss does not see: a softmax over places is blind to what is added to all of them, so that the
    gradient of these biases is nothing but rounding, of which AdamW makes steps."""
    blind = ("qa_outputs.bias", "layer.1.output.LayerNorm.bias") if task == "question_answering" else ()
    return {name: value for name, value in weights.items() if not name.endswith(blind)}


def difference(first: dict, second: dict) -> float:
    """Of all weights together, relative to their size."""
    assert first.keys() == second.keys()
    left, right = (torch.cat([found[name].double().ravel() for name in sorted(found)]) for found in (first, second))
    return float((left - right).norm() / left.norm())


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_makes_one_update_however_it_is_cut(tiny, tmp_path, task):  # N2
    files = data_for(task, tmp_path)
    runs = [trained(raw_of(tiny, task, files, tmp_path / f"cut{cut}", 12, micro_batch_size=cut)) for cut in (8, 3)]
    windows = [len(item.windows) for item in encoded_of(raw_of(tiny, task, files, tmp_path / "none"), 12)]
    assert task == "sequence_classification" or len(set(windows)) > 1
    for other in runs[1:]:
        assert difference(runs[0], other) < 1e-6


@pytest.mark.parametrize("task", TASKS)
def test_a_step_of_so_many_tokens_makes_one_update_however_it_is_cut(tiny, tmp_path, task):  # N2
    files = data_for(task, tmp_path)
    how = {"batch_size": "auto", "batch_tokens": 90}
    cuts = [{}, {"micro_batch_tokens": 30}]
    raws = [raw_of(tiny, task, files, tmp_path / f"cut{place}", 12, **how, **cut) for place, cut in enumerate(cuts)]
    runs = [trained(raw) for raw in raws]
    for other in runs[1:]:
        assert difference(runs[0], other) < 1e-6


def test_two_processes_make_the_update_of_one(tiny, tmp_path):  # N2
    """21 rows in batches of 8: the last step has 5, so that the processes have unequal shares. One launch for both."""
    alone, runs = {}, {}
    for task in TASKS[1:]:
        (tmp_path / task).mkdir()
        files = data_for(task, tmp_path / task, 21)
        one, runs[task] = (
            raw_of(tiny, task, files, tmp_path / task / name, 12, micro_batch_size=2, max_steps=None, epochs=1)
            for name in ("one", "two")
        )
        alone[task] = trained(one)
    asked = [{"raw": raw, "resume": False, "stops": [None]} for raw in runs.values()]
    (tmp_path / "runs.json").write_text(json.dumps(asked))
    ended = launch("ddp", "tests.training.launched", str(tmp_path / "runs.json"))
    assert ended.returncode == 0, ended.stderr
    for task, raw in runs.items():
        assert difference(alone[task], seen(weights_of(raw["out"]), task)) < 1e-6


def encoded_of(raw: dict, max_length: int):
    intake = take_in(load(raw))
    return intake.task.encode(intake.splits["train"].rows, make_tokenizer(), max_length).features


def write_even(task: str, folder) -> tuple[str, str]:
    """40 rows of the same length to train on, so that a mean of rows and a mean of tokens are one thing; and 8 more."""
    generator = random.Random(7)
    files = []
    for name, count in (("train", 40), ("validation", 8)):
        rows = []
        for _ in range(count):
            words = generator.sample(WORDS, k=9)
            if task == "token_classification":
                rows.append({"tokens": words, "tags": ["B-colour" if word in COLOURS else "O" for word in words]})
            else:
                answer = {"text": [words[3]], "answer_start": [len(" ".join(words[:3])) + 1]}
                rows.append({"question": words[2], "context": " ".join(words), "answers": answer})
        files.append(str(folder / f"{name}.jsonl"))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files[0], files[1]


@pytest.mark.parametrize("task", TASKS[1:])
def test_five_steps_equal_transformers_own_loss_and_adamw(tiny, tmp_path, task):  # N10
    raw = raw_of(tiny, task, write_even(task, tmp_path), tmp_path / "ours", max_steps=5, schedule="constant")
    raw["strategy"] = {"kind": "full", "head_learning_rate": 1.0}
    ours = trained(raw)
    batches = batches_of(raw)
    assert len(batches) == 5
    assert all(bool(batch["attention_mask"].all()) for batch in batches)
    model = plain_model(tiny, task, raw)
    matrices, vectors = ([value for value in model.parameters() if (value.ndim > 1) is big] for big in (True, False))
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}], lr=1e-3
    )
    model.train()
    losses = []
    for batch in batches:
        labels = batch.pop("labels")
        if task == "question_answering":
            named = {"start_positions": labels[:, 0], "end_positions": labels[:, 1]}
        else:
            named = {"labels": labels}
        optimizer.zero_grad()
        loss = model(**batch, **named).loss
        loss.backward()
        losses.append(float(loss.detach()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    state = {f"model.safetensors/{name}": value.detach() for name, value in model.state_dict().items()}
    theirs = seen(state, task)
    history = [json.loads(line) for line in (tmp_path / "ours" / "history.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in history if "loss" in line] == pytest.approx(losses, rel=1e-5)
    assert set(ours) == set(theirs)
    assert largest_gap(ours, theirs) < 2e-5  # as for the Trainer: AdamW's first steps are sign-like


def plain_model(tiny: str, task: str, raw: dict):
    """Transformers' own model with the same new head."""
    import transformers

    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    torch.manual_seed(0)
    if task == "question_answering":
        return transformers.AutoModelForQuestionAnswering.from_pretrained(tiny, **no_dropout)
    count = len(take_in(load(raw)).task.tags)
    return transformers.AutoModelForTokenClassification.from_pretrained(tiny, num_labels=count, **no_dropout)


@pytest.mark.parametrize("task", TASKS)
def test_log_probabilities_do_not_depend_on_padding(tiny, tmp_path, task):  # N5
    intake = take_in(load(raw_of(tiny, task, data_for(task, tmp_path), tmp_path / "none")))
    known, tokenizer = intake.task.settle(models.locate(tiny), False), make_tokenizer()
    model = known.build(models.locate(tiny)).eval()
    features = known.encode(intake.splits["train"].rows[:8], tokenizer, 40).features
    assert len({item.length for item in features}) > 3
    collate = partial(known.collate, tokenizer=tokenizer)
    together = log_probabilities(known, model, collate(features))
    for place, item in enumerate(features):
        (alone,) = log_probabilities(known, model, collate([item]))
        assert alone.shape == together[place].shape
        assert float((alone - together[place]).abs().max()) < 1e-5


def log_probabilities(task, model, batch) -> list[torch.Tensor]:
    """Of each row (of one window), without its padding."""
    with torch.no_grad():
        if task.kind != "question_answering":
            return [torch.from_numpy(output).log_softmax(-1) for output in task.predict(model, batch)]
        both = torch.stack(task.logits(model, batch), -1).log_softmax(1)
    return [row[: item.length] for row, item in zip(both, batch.features, strict=True)]
