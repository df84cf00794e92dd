"""Preferences: nothing is preferred before the first step, and the reference is data."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import tunewright as tw
from tests.conftest import WORDS, assert_same_weights, weights_of
from tests.language_models import dressed, make_language_model
from tests.training.test_resume import killed
from tunewright import decoding
from tunewright.data.preference_rows import Pair
from tunewright.data.row import Dialogue
from tunewright.errors import DataError
from tunewright.evaluation import outputs_of
from tunewright.preferences import dpo
from tunewright.tasks.base import Features, Row
from tunewright.tasks.preference import UNKNOWN, Compared, Preference
from tunewright.training import reference

TASK = Preference(kind="preference")
LOSSES = ["dpo", "ipo", "robust", "hinge", "simpo", "orpo"]


def triples(count: int = 8, seed: int = 0) -> list[dict[str, str]]:
    generator = random.Random(seed)
    words = lambda most: " ".join(generator.choices(WORDS, k=generator.randint(1, most)))  # noqa: E731
    return [{"prompt": words(12) + "?\n", "chosen": words(6) + " a", "rejected": words(9) + " b"} for _ in range(count)]


def rows_of(count: int = 8, known: bool = True) -> list[Row]:
    made = []
    for number, line in enumerate(triples(count), 1):
        chosen, rejected = (({"role": "assistant", "content": line[name]},) for name in ("chosen", "rejected"))
        prompt = Dialogue(({"role": "user", "content": line["prompt"]},))
        made.append(Row(number, (line["prompt"],), Pair(chosen, rejected) if known else None, dialogue=prompt))
    return made


def write(path: Path, count: int = 24, seed: int = 0) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in triples(count, seed)))
    return str(path)


def configured(tmp_path: Path, kind: str = "llama", name: str = "run", task: dict | None = None,
               data: dict | None = None, strategy: object = "full", **training):  # fmt: skip
    """A raw configuration of a small fp32 run; 20 pairs of training, 4 of validation."""
    model, rows = tmp_path / kind, tmp_path / "pairs.jsonl"
    if not model.exists():
        make_language_model(model, kind)
    if not rows.exists():
        write(rows)
    return {
        "model": str(model),
        "data": {"train": str(rows), "validation_share": 0.15, "test_share": 0, "max_length": 64, **(data or {})},
        "task": {"kind": "preference", **(task or {})},
        "strategy": strategy,
        "training": {
            "max_steps": 6,
            "batch_size": 8,
            "learning_rate": 1e-3,
            "precision": "fp32",
            "warmup": 0,
            **training,
        },
        "out": str(tmp_path / name),
    }


def asked(model, tokenizer, rows, task=TASK, at_once: bool = True) -> list:
    parts = [rows] if at_once else [[row] for row in rows]
    collate = partial(task.collate, tokenizer=tokenizer)
    return [
        output
        for part in parts
        for output in outputs_of(model, task, task.encode(part, tokenizer, 64), collate, torch.device("cpu"))
    ]


def with_reference(model, tokenizer, rows, task=TASK):
    """The batch of these rows with what the model says of them as the reference."""
    encoded = task.encode(rows, tokenizer, 64)
    known = task.with_reference(encoded, [output.log_probabilities for output in asked(model, tokenizer, rows, task)])
    return task.collate(known.features, tokenizer)


def history(run: str | Path) -> list[dict]:
    lines = [json.loads(line) for line in (Path(run) / "history.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_log_probabilities_are_sums_over_answers_and_their_end(tmp_path, kind):  # D3, D4
    model, tokenizer = dressed(TASK, tmp_path, kind)
    front = [tokenizer.bos_token_id] if kind == "llama" else []
    ids_of = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    for line, output in zip(triples(), asked(model, tokenizer, rows_of()), strict=True):
        for place, name in enumerate(("chosen", "rejected")):
            prompt, answer = [*front, *ids_of(line["prompt"])], [*ids_of(line[name]), tokenizer.eos_token_id]
            with torch.no_grad():
                logs = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            expected = float(logs.gather(1, torch.tensor(answer)[:, None]).sum())
            np.testing.assert_allclose(output.log_probabilities[place], expected, rtol=1e-5)
            assert output.lengths[place] == len(answer)


def test_together_and_alone_pairs_have_the_same_probabilities(tmp_path, kind):  # N5, D9
    model, tokenizer = dressed(TASK, tmp_path, kind)
    together, alone = (asked(model, tokenizer, rows_of(), at_once=at_once) for at_once in (True, False))
    for first, second in zip(together, alone, strict=True):
        np.testing.assert_allclose(first.log_probabilities, second.log_probabilities, rtol=1e-5)


def test_before_the_first_step_nothing_is_preferred(tmp_path, kind):  # N6
    model, tokenizer = dressed(TASK, tmp_path, kind)
    found = TASK.objective(model, with_reference(model, tokenizer, rows_of()))
    assert float(found.sum.detach()) / 8 == pytest.approx(math.log(2), abs=1e-5)
    assert abs(float(found.parts["margin"].detach())) < 1e-3
    assert float(found.parts["chosen_reward"].detach()) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("strategy", "tokens"), [("full", 60), ("lora", 8192), ("ia3", 60), ("bottleneck_adapter", 8192)]
)
def test_a_runs_first_loss_is_that_of_indifference(tmp_path, strategy, tokens):  # N6
    """Also where the packs of training are cut otherwise than those that the reference was asked in."""
    raw = configured(tmp_path, strategy=strategy, max_steps=1, micro_batch_tokens=tokens, dropout=0)
    first = history(tw.train(raw, progress=False).path)[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["margin"] == pytest.approx(0, abs=1e-5)


def test_precomputed_reference_is_that_on_the_fly(tmp_path, kind):  # N6
    """Three steps against a second, frozen model that is asked every time, with torch's own AdamW."""
    model, tokenizer = dressed(TASK, tmp_path, kind)
    frozen, _ = dressed(TASK, tmp_path / "again", kind)
    batch = with_reference(model, tokenizer, rows_of())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(3):
        ours = TASK.objective(model, batch).sum
        pairs = TASK.pairs(model, batch)
        with torch.no_grad():
            theirs = TASK.pairs(frozen, batch)
        fly = dpo(replace(pairs, reference_chosen=theirs.chosen, reference_rejected=theirs.rejected), beta=0.1)
        assert float(ours.detach()) == pytest.approx(float(fly.detach()), rel=1e-6)
        optimizer.zero_grad()
        ours.backward()
        optimizer.step()
    assert float(ours.detach()) / 8 < math.log(2) - 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_lowers_itself_and_parts_the_answers(tmp_path, loss):
    raw = configured(tmp_path, task={"loss": loss}, max_steps=12, learning_rate=3e-3)
    result = tw.train(raw, progress=False)
    lines = history(result.path)
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert {"accuracy", "margin", "chosen_reward", "rejected_reward"} <= set(lines[0])
    scores = result.metrics["validation"]
    assert {"loss", "accuracy", "margin", "log_probability_accuracy"} <= set(scores)
    assert scores["accuracy"] >= 0.75  # the chosen answers end with another letter


def test_a_batchs_loss_is_a_sum_over_pairs_for_every_loss(tmp_path):  # N2
    model, tokenizer = dressed(TASK, tmp_path, "llama")
    for name in LOSSES:
        task = TASK.model_copy(update={"loss": name})
        batch = with_reference(model, tokenizer, rows_of(), task)
        with torch.no_grad():
            for item in batch.features:
                item.label[:] -= np.float32([0.5, 1.5])  # else all are indifferent
            whole = float(task.objective(model, batch).sum)
            parts = [task.collate([item], tokenizer) for item in batch.features]
            each = [float(task.objective(model, part).sum) for part in parts]
            assert whole == pytest.approx(sum(each), rel=1e-5), name
            assert [float(task.weight(part)) for part in parts] == [1.0] * 8


def test_without_a_prompt_nothing_predicts_an_answers_first_token(tmp_path, kind):
    """A template may leave nothing of a prompt: the answer's neighbour in the pack must not stand in for it (N4)."""
    model, tokenizer = dressed(TASK, tmp_path, kind)
    bare = Features(1, [[9, 6, 7], [4, 8]], None, UNKNOWN, prompt=0)
    asked_too = Features(0, [[5, 6, 7], [5, 8]], None, UNKNOWN, prompt=1)
    with torch.no_grad():
        pairs = [TASK.pairs(model, TASK.collate(part, tokenizer)) for part in ([bare], [asked_too, bare])]
        logs = model(input_ids=torch.tensor([[9, 6]])).logits[0].log_softmax(-1)
    assert float(pairs[0].chosen[0]) == pytest.approx(float(logs[0, 6] + logs[1, 7]), rel=1e-5)
    assert float(pairs[1].chosen[1]) == pytest.approx(float(pairs[0].chosen[0]), rel=1e-5)
    assert pairs[1].chosen_length.tolist() == [2, 2]


# --- the reference ----------------------------------------------------------------------------------------------------


@pytest.fixture
def computed(monkeypatch):
    """How often the reference was asked."""
    calls: list[bool] = []
    real = reference.with_reference

    def counted(*given):
        found = real(*given)
        calls.append(not found[1])
        return found

    monkeypatch.setattr("tunewright.run.with_reference", counted)
    return calls


def test_the_reference_is_asked_once_for_a_model_and_its_data(tmp_path, computed):  # N6, N7
    first = tw.train(configured(tmp_path, name="first", max_steps=2), progress=False)
    assert computed == [True, True]  # train, validation
    computed.clear()
    again = tw.train(configured(tmp_path, name="again", max_steps=2), progress=False)
    other = tw.train(configured(tmp_path, name="lora", max_steps=2, strategy="lora"), progress=False)
    assert computed == [False] * 4  # whatever the strategy does to the model afterwards
    assert_same_weights(first.path, again.path)
    assert history(other.path)[0]["loss"] == pytest.approx(math.log(2), abs=2e-2)


def test_another_model_or_other_data_is_asked_anew(tmp_path, computed):  # N7
    tw.train(configured(tmp_path, name="first", max_steps=1), progress=False)
    computed.clear()
    other = configured(tmp_path, name="other", max_steps=1)
    other["model"] = str(make_language_model(tmp_path / "other-model", "llama", seed=7))
    result = tw.train(other, progress=False)
    assert computed == [True, True]
    assert history(result.path)[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    computed.clear()
    moved = configured(tmp_path, name="moved", max_steps=1)
    moved["data"]["train"] = write(tmp_path / "moved.jsonl", seed=3)
    assert history(tw.train(moved, progress=False).path)[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert computed == [True, True]


def test_where_the_prompt_ends_is_part_of_the_data(tmp_path, computed):  # N7
    """The same tokens, but the answer begins elsewhere: other log-probabilities."""
    lines = triples(24)
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tw.train(configured(tmp_path, name="first", max_steps=1), progress=False)
    computed.clear()
    for line in lines:
        word, _, rest = line["prompt"].rpartition(" ")
        if word:
            line |= {"prompt": word, "chosen": f" {rest}{line['chosen']}", "rejected": f" {rest}{line['rejected']}"}
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = tw.train(configured(tmp_path, name="second", max_steps=1), progress=False)
    assert history(result.path)[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert computed == [True, True]


@pytest.mark.parametrize("loss", ["simpo", "orpo"])
def test_losses_without_a_reference_ask_none(tmp_path, computed, loss):
    tw.train(configured(tmp_path, task={"loss": loss}, max_steps=1), progress=False)
    assert computed == []


# --- scores and answers -----------------------------------------------------------------------------------------------


def compared(*sums: tuple[float, float], reference: float = 0.0) -> list[Compared]:
    return [Compared(np.float32(pair), np.float32([2, 2]), np.float32([reference, reference])) for pair in sums]


def test_scores_are_means_over_pairs():
    scores = TASK.score(compared((-1, -3), (-2, -1)), rows_of(2))
    assert scores["accuracy"] == scores["log_probability_accuracy"] == 0.5
    assert scores["margin"] == pytest.approx(0.1 * (2 - 1) / 2)
    assert scores["chosen_reward"] == pytest.approx(0.1 * -1.5)
    losses = [math.log1p(math.exp(-0.1 * gap)) for gap in (2, -1)]
    assert scores["loss"] == pytest.approx(sum(losses) / 2)


def test_a_file_whose_reference_nobody_asked_is_scored_without(tmp_path):
    raw = configured(tmp_path, max_steps=2)
    tw.train(raw, progress=False)
    scores = tw.evaluate(raw["out"], write(tmp_path / "other.jsonl", 6, seed=9))
    assert 0 <= scores["log_probability_accuracy"] <= 1
    assert "margin" not in scores


def test_chosen_answers_that_become_less_likely_are_warned_of():
    assert TASK.worries({"chosen_reward": 0.1}) == []
    assert "less likely" in TASK.worries({"chosen_reward": -0.1})[0]
    assert TASK.model_copy(update={"loss": "simpo"}).worries({"chosen_reward": -3.0}) == []


def test_a_prompt_is_answered(tmp_path):
    result = tw.train(configured(tmp_path, max_steps=1, task={"max_new_tokens": 5}), progress=False)
    first, second = result.predictor(["red box?\n", "late"])
    assert first.num_tokens <= 5
    assert isinstance(second.text, str)


def test_nothing_is_written_between_steps(tmp_path, monkeypatch):
    written: list[int] = []
    real = decoding.write_batch

    def counted(*given):
        written.append(len(given[2]))
        return real(*given)

    monkeypatch.setattr(decoding, "write_batch", counted)
    task = {"score_answers": 2, "max_new_tokens": 4}
    result = tw.train(configured(tmp_path, task=task, evaluate_every=2), progress=False)
    assert 0 < sum(written) <= 2 * 2
    assert result.metrics["validation"]["answers"] == 2


# --- data -------------------------------------------------------------------------------------------------------------


def test_prompts_that_leave_no_answer_are_refused_before_training(tmp_path):  # D1
    raw = configured(tmp_path, task={"max_truncated": 1}, data={"max_length": 8})
    lines = [line | {"prompt": " ".join(WORDS)} for line in triples(12)]
    Path(raw["data"]["train"]).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=r"0 of \d+ tokens in 10 rows are supervised"):
        tw.train(raw, progress=False)
    assert not (Path(raw["out"]) / "checkpoints").exists()


def test_answers_that_are_cut_are_counted_and_too_many_are_an_error(tmp_path):  # D2
    with pytest.raises(DataError, match=r"\d+ of 20 answers do not fit.*max_truncated"):
        tw.train(configured(tmp_path, data={"max_length": 12}), progress=False)
    allowed = configured(tmp_path, name="allowed", task={"max_truncated": 1}, data={"max_length": 12})
    tw.train(allowed, progress=False)
    ledger = json.loads((Path(allowed["out"]) / "data.json").read_text())["splits"]["train"]
    assert 2 < ledger["answers_cut"] < 20


def test_a_pair_of_which_nothing_is_left_is_not_trained_on(tmp_path):
    _, tokenizer = dressed(TASK, tmp_path, "llama")
    long = Row(9, ("x",), rows_of(1)[0].label, dialogue=Dialogue(({"role": "user", "content": " ".join(WORDS * 4)},)))
    encoded = TASK.encode([*rows_of(3), long], tokenizer, 40)
    assert [item.row for item in TASK.examples(encoded).features] == [0, 1, 2]


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "tokens"), [("dpo", 60), ("orpo", 8192)])
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(tmp_path, loss, tokens):  # R5
    more = {"checkpoint_every": 2, "evaluate_every": 3, "micro_batch_tokens": tokens, "task": {"loss": loss}}
    whole, cut = (configured(tmp_path, "gpt2", name, **more) for name in ("whole", "cut"))  # with its dropout
    tw.train(whole, progress=False)
    killed(cut, 5)
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])


@pytest.mark.parametrize(("kind", "loss"), [("llama", "dpo"), ("gpt2", "simpo"), ("qwen2", "ipo")])
def test_however_a_step_is_cut_it_is_one_update(tmp_path, kind, loss):  # N2, N4
    runs = {}
    for micro, tokens in ((8, 8192), (4, 8192), (2, 8192), (8, 60)):
        raw = configured(tmp_path, kind, f"{micro}-{tokens}", {"loss": loss}, max_steps=2, micro_batch_size=micro,
                         micro_batch_tokens=tokens, dropout=0)  # fmt: skip
        runs[micro, tokens] = weights_of(tw.train(raw, progress=False).path)
    whole = runs.pop((8, 8192))
    for cut in runs.values():
        for name, value in whole.items():
            if name.endswith("k_proj.bias"):
                continue  # softmax is blind to it: its gradient is rounding
            np.testing.assert_allclose(cut[name], value, rtol=0, atol=2e-5, err_msg=name)
