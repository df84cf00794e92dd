"""Causal language modelling: what is learned, what is refused, and that answers know no neighbours."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import tunewright as tw
from tests.conftest import WORDS, assert_same_weights, weights_of
from tests.language_models import DECODERS, dressed, make_language_model
from tests.training.test_resume import killed
from tunewright import decoding
from tunewright.data.row import Dialogue
from tunewright.errors import CheckpointError, ConfigError, DataError
from tunewright.evaluation import outputs_of
from tunewright.tasks.base import Row
from tunewright.tasks.causal_lm import CausalLM
from tunewright.tasks.generative import Said

TASK = CausalLM(kind="causal_lm", shape="completion", max_new_tokens=8)
TEXTS = CausalLM(kind="causal_lm", shape="text")


def pairs_of(count: int = 8, seed: int = 0) -> list[tuple[str, str]]:
    """Prompts and answers of uneven lengths."""
    generator = random.Random(seed)
    words = lambda most: " ".join(generator.choices(WORDS, k=generator.randint(1, most)))  # noqa: E731
    return [(words(12) + "?\n", words(6)) for _ in range(count)]


def rows_of(count: int = 8, known: bool = True) -> list[Row]:
    made = []
    for number, (prompt, answer) in enumerate(pairs_of(count), 1):
        turns = ({"role": "user", "content": prompt}, {"role": "assistant", "content": answer})
        made.append(Row(number, (prompt,), answer if known else None, dialogue=Dialogue(turns if known else turns[:1])))
    return made


def write(path: Path, count: int = 24, shape: str = "completion", seed: int = 0) -> str:
    pairs = pairs_of(count, seed)
    if shape == "text":
        lines = [{"text": f"{prompt}{answer} {answer}"} for prompt, answer in pairs]
    else:
        lines = [{"prompt": prompt, "completion": answer} for prompt, answer in pairs]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def configured(tmp_path: Path, kind: str = "llama", name: str = "run", shape: str = "completion",
               task: dict | None = None, data: dict | None = None, strategy: object = "full", **training):  # fmt: skip
    """A raw configuration of a small fp32 run; 20 rows of training, 4 of validation."""
    model, rows = tmp_path / kind, tmp_path / f"{shape}.jsonl"
    if not model.exists():
        make_language_model(model, kind)
    if not rows.exists():
        write(rows, shape=shape)
    return {
        "model": str(model),
        "data": {"train": str(rows), "validation_share": 0.15, "test_share": 0, "max_length": 64, **(data or {})},
        "task": {"kind": "causal_lm", **({} if shape == "text" else {"max_new_tokens": 6}), **(task or {})},
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


def said(model, tokenizer, rows, task=TASK, at_once: bool = True, max_length: int = 64) -> list[Said]:
    parts = [rows] if at_once else [[row] for row in rows]
    collate = partial(task.collate, tokenizer=tokenizer)
    return [
        output
        for part in parts
        for output in outputs_of(model, task, task.encode(part, tokenizer, max_length), collate, torch.device("cpu"))
    ]


# --- the loss ---------------------------------------------------------------------------------------------------------


def test_the_loss_is_torchs_over_the_answers_tokens_and_their_end(tmp_path, kind):  # D3, D4
    model, tokenizer = dressed(TASK, tmp_path, kind)
    rows = rows_of()
    batch = TASK.collate(TASK.encode(rows, tokenizer, 64).features, tokenizer)
    expected, count = 0.0, 0
    for row, (prompt, answer) in zip(rows, pairs_of(), strict=True):
        front = [tokenizer.bos_token_id] if kind == "llama" else []
        asked = [*front, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        answered = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([asked + answered])).logits[0, len(asked) - 1 : -1]
        expected += float(cross_entropy(logits, torch.tensor(answered), reduction="sum"))
        count += len(answered)
        assert row.label == answer
    with torch.no_grad():
        np.testing.assert_allclose(float(TASK.objective(model, batch).sum), expected, rtol=1e-5)
    assert float(TASK.weight(batch)) == count


def test_a_prompts_weight_is_counted_in_the_loss_and_in_what_it_is_divided_by(tmp_path):
    model, tokenizer = dressed(TASK, tmp_path, "llama")

    def of(**changed) -> tuple[float, float]:
        task = TASK.model_copy(update=changed)
        batch = task.collate(task.encode(rows_of(), tokenizer, 64).features, tokenizer)
        with torch.no_grad():
            return float(task.objective(model, batch).sum), float(task.weight(batch))

    answers, everything, light = of(), of(loss_on="everything"), of(prompt_weight=0.25)
    for first, all_of_it, found in zip(answers, everything, light, strict=True):
        np.testing.assert_allclose(found, first + 0.25 * (all_of_it - first), rtol=1e-5)


def test_every_token_of_a_text_but_the_first_is_a_target_once(tmp_path, kind):
    model, tokenizer = dressed(TASK, tmp_path, kind)
    text = " ".join(WORDS * 3)
    row = Row(1, (text,), text)
    (whole,) = said(model, tokenizer, [row], TEXTS, max_length=200)
    encoded = TEXTS.encode([row], tokenizer, 16)
    (cut,) = said(model, tokenizer, [row], TEXTS, max_length=16)
    size = len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 + (kind == "llama")
    assert len(whole.log_probabilities) == len(cut.log_probabilities) == size - 1 == encoded.counts["supervised tokens"]
    windows = encoded.features[0].windows
    assert max(map(len, windows)) == 16
    assert [*windows[0], *(token for window in windows[1:] for token in window[1:])] == [
        *([tokenizer.bos_token_id] if kind == "llama" else []),
        *tokenizer(text, add_special_tokens=False)["input_ids"],
        tokenizer.eos_token_id,
    ]
    assert len(TEXTS.examples(encoded).features) == len(windows)  # a training step counts windows
    np.testing.assert_allclose(cut.log_probabilities[:15], whole.log_probabilities[:15], rtol=0, atol=1e-5)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_together_and_alone_rows_have_the_same_probabilities_and_answers(tmp_path, kind):  # N5, D9
    model, tokenizer = dressed(TASK, tmp_path, kind)
    together, alone = (said(model, tokenizer, rows_of(), at_once=at_once) for at_once in (True, False))
    for first, second in zip(together, alone, strict=True):
        np.testing.assert_allclose(first.log_probabilities, second.log_probabilities, rtol=0, atol=1e-5)
        assert (first.hits == second.hits).all()
        assert (first.text, first.num_tokens, first.finished) == (second.text, second.num_tokens, second.finished)
    assert len({output.text for output in together}) > 1


def test_greedy_answers_padded_on_the_left_are_those_without_a_cache(tmp_path, kind):  # N5
    model, tokenizer = dressed(TASK, tmp_path, kind)
    rows = rows_of(known=False)
    features = TASK.encode(rows, tokenizer, 64).features
    assert len({len(item.windows[0]) for item in features}) > 2
    for item, output in zip(features, said(model, tokenizer, rows), strict=True):
        ids = list(item.windows[0])
        with torch.no_grad():
            while len(ids) < item.prompt + 8 and ids[-1] != tokenizer.eos_token_id:
                ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        assert output.text == tokenizer.decode(ids[item.prompt :], skip_special_tokens=True).strip()


def test_a_neighbour_without_room_does_not_shorten_an_answer(tmp_path):  # D9
    """Of 256 positions one prompt takes nearly all; the other's answer is as long as alone."""
    model, tokenizer = dressed(TASK, tmp_path, "gpt2")
    wanted = decoding.Decoding(8, 0.0, 1.0, 1, 1.0)
    write_all = partial(decoding.write, model, tokenizer, decoding=wanted, end=None)
    long, short = [5] * 253, [7, 8, 9]
    (full,), (alone,) = write_all([long]), write_all([short])
    assert full[1] == 3
    assert alone[1] == 8
    assert write_all([short, long, short]) == [alone, full, alone]


def test_a_prompt_is_fed_as_it_was_in_training(tmp_path, kind):
    _, tokenizer = dressed(TASK, tmp_path, kind)
    trained = TASK.encode(rows_of(), tokenizer, 64).features
    asked = TASK.encode(rows_of(known=False), tokenizer, 64).features
    for known, unknown in zip(trained, asked, strict=True):
        assert list(known.windows[0][: known.prompt]) == list(unknown.windows[0])


@pytest.mark.parametrize("kind", [*DECODERS])
def test_an_answer_is_learned_with_its_end_and_written(tmp_path, kind):  # D3
    raw = configured(tmp_path, kind, task={"max_new_tokens": 20}, max_steps=60, learning_rate=1e-2)
    (tmp_path / "one.jsonl").write_text('{"prompt": "red box?", "completion": " late parcel"}\n' * 4)
    raw["data"] = {"train": str(tmp_path / "one.jsonl"), "validation_share": 0, "test_share": 0}
    result = tw.train(raw, progress=False)
    (answer,) = result.predictor(["red box?"])
    assert (answer.text, answer.finished) == ("late parcel", True)
    assert answer.num_tokens < 20


def test_scores_are_chosen_by_the_references():
    rows = rows_of(2)
    ones = np.ones(2, dtype=np.float32)
    outputs = [Said(-ones, ones, ones > 0, row.label, 2, True) for row in rows]
    scores = TASK.score(outputs, rows)
    assert scores["answers"] == 2
    assert scores["perplexity"] == pytest.approx(np.e)
    jsons = [Row(1, ("a",), '{"x": 1}'), Row(2, ("b",), '{"x": 2}')]
    written = [Said(-ones, ones, ones > 0, text, 2, True) for text in ('{"x": 1}', "no")]
    assert TASK.score(written, jsons)["json_valid"] == 0.5
    named = TASK.model_copy(update={"scores": ("chrf",)}).score(outputs, rows)
    assert not {"rougeL", "bleu", "exact_match"} & set(named)
    assert named["chrf"] == pytest.approx(100, abs=1e-6) or named["chrf"] == pytest.approx(1)
    patterned = TASK.model_copy(update={"pattern": "^.+$"}).score(outputs, rows)
    assert patterned["regex"] == 1


def test_nothing_is_written_between_steps(tmp_path, monkeypatch):
    assert TASK.during_training().score_answers == 0
    written: list[int] = []
    real = decoding.write_batch

    def counted(*given):
        written.append(len(given[2]))
        return real(*given)

    monkeypatch.setattr(decoding, "write_batch", counted)
    result = tw.train(configured(tmp_path, task={"score_answers": 2}, evaluate_every=2), progress=False)
    assert 0 < sum(written) <= 2 * 2  # the final validation, and the served model's
    assert result.metrics["validation"]["answers"] == 2


# --- data -------------------------------------------------------------------------------------------------------------


def test_prompts_that_leave_no_answer_are_refused_before_training(tmp_path):  # D1
    raw = configured(tmp_path, task={"max_truncated": 1}, data={"max_length": 8})
    lines = [{"prompt": " ".join(WORDS), "completion": "late"}] * 12
    Path(raw["data"]["train"]).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=r"0 of \d+ tokens in 10 rows are supervised"):
        tw.train(raw, progress=False)
    assert not (Path(raw["out"]) / "checkpoints").exists()


def test_answers_that_are_cut_are_counted_and_too_many_are_an_error(tmp_path):  # D2
    raw = configured(tmp_path, data={"max_length": 12})
    with pytest.raises(DataError, match=r"\d+ of 20 answers do not fit and would be cut .*max_truncated"):
        tw.train(raw, progress=False)
    allowed = configured(tmp_path, name="allowed", task={"max_truncated": 1}, data={"max_length": 12})
    tw.train(allowed, progress=False)
    ledger = json.loads((Path(allowed["out"]) / "data.json").read_text())["splits"]["train"]
    assert 2 < ledger["answers_cut"] < 20
    assert ledger["supervised_tokens"] < ledger["tokens"]


def test_a_row_without_a_target_is_counted_and_left_out(tmp_path):  # D1
    _, tokenizer = dressed(TASK, tmp_path, "llama")
    long = Row(9, ("x",), "late", dialogue=Dialogue(({"role": "user", "content": " ".join(WORDS * 3)},
                                                     {"role": "assistant", "content": "late"})))  # fmt: skip
    encoded = TASK.encode([*rows_of(4), long], tokenizer, 40)
    assert encoded.counts["rows without a target"] == 1
    assert [item.row for item in TASK.examples(encoded).features] == [0, 1, 2, 3]


def test_an_encoder_alone_is_refused(tmp_path, tiny):
    with pytest.raises(ConfigError, match="does not predict the next token"):
        tw.train(configured(tmp_path) | {"model": tiny}, progress=False)


@pytest.mark.parametrize("shape", ["text", "completion"])
def test_the_columns_say_what_a_row_is(tmp_path, shape):
    raw = configured(tmp_path, shape=shape)
    raw["task"] = {"kind": "causal_lm"}
    result = tw.train(raw, progress=False)
    saved = json.loads((result.path / "model" / "tunewright.json").read_text())["task"]
    assert saved["shape"] == shape


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["text", "completion"])
@pytest.mark.parametrize("tokens", [40, 8192])
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(tmp_path, shape, tokens):  # R5
    more = {"checkpoint_every": 2, "evaluate_every": 3, "micro_batch_tokens": tokens}
    whole = configured(tmp_path, "gpt2", "whole", shape, **more)  # with its dropout
    cut = configured(tmp_path, "gpt2", "cut", shape, **more)
    tw.train(whole, progress=False)
    killed(cut, 5)
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])


def test_another_earlier_turn_is_another_run(tmp_path):  # R6
    def put(system: str) -> None:
        lines = [
            {"messages": [{"role": "system", "content": system}, {"role": "user", "content": prompt},
                          {"role": "assistant", "content": answer}]}
            for prompt, answer in pairs_of(24)
        ]  # fmt: skip
        (tmp_path / "messages.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    raw = configured(tmp_path, shape="messages", checkpoint_every=2, data={"max_length": 200})
    put("red")
    killed(raw, 3)
    put("blue")
    with pytest.raises(CheckpointError, match=r"data.train"):
        tw.train(raw, progress=False, resume=True)


@pytest.mark.parametrize(("kind", "shape"), [("llama", "completion"), ("gpt2", "text"), ("qwen2", "completion")])
def test_however_a_step_is_cut_it_is_one_update(tmp_path, kind, shape):  # N2, N4
    runs = {}
    for micro, tokens in ((8, 8192), (4, 8192), (2, 8192), (8, 30)):
        raw = configured(tmp_path, kind, f"{micro}-{tokens}", shape, max_steps=2, micro_batch_size=micro,
                         micro_batch_tokens=tokens, dropout=0)  # fmt: skip
        runs[micro, tokens] = weights_of(tw.train(raw, progress=False).path)
    whole = runs.pop((8, 8192))
    for cut in runs.values():
        for name, value in whole.items():
            if name.endswith("k_proj.bias"):
                continue  # softmax is blind to it: its gradient is rounding
            np.testing.assert_allclose(cut[name], value, rtol=0, atol=2e-5, err_msg=name)


def test_a_model_that_is_padded_learns_the_same(tmp_path, monkeypatch):  # N4
    from tunewright import language_model

    packed = weights_of(tw.train(configured(tmp_path, max_steps=2), progress=False).path)
    monkeypatch.setattr(language_model, "packs", lambda model: False)
    padded = weights_of(tw.train(configured(tmp_path, name="padded", max_steps=2), progress=False).path)
    for name, value in packed.items():
        np.testing.assert_allclose(padded[name], value, rtol=0, atol=2e-5, err_msg=name)
