"""Sequence to sequence: every target token counts once, padding never, and what is served is what was learned."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import tunewright as tw
from tests.conftest import WORDS, assert_same_weights, weights_of
from tests.language_models import ENCODER_DECODERS, make_language_model, make_language_tokenizer
from tests.training.test_resume import killed
from tunewright import decoding
from tunewright.config import RunConfig
from tunewright.data.table import Table
from tunewright.errors import ConfigError, DataError
from tunewright.evaluation import outputs_of
from tunewright.models import locate
from tunewright.tasks.base import Row
from tunewright.tasks.seq2seq import Seq2Seq, shifted

TASK = Seq2Seq(kind="seq2seq")


def rows_of(count: int = 8, seed: int = 0) -> list[Row]:
    """Texts of uneven length, and their first words."""
    generator = random.Random(seed)
    made = []
    for number in range(1, count + 1):
        words = generator.choices(WORDS, k=generator.randint(3, 20))
        made.append(Row(number, (" ".join(words),), " ".join(words[: generator.randint(1, 4)])))
    return made


def write(path: Path, count: int = 24, seed: int = 0, **more) -> str:
    lines = [{"document": row.text[0], "summary": row.label, **more} for row in rows_of(count, seed)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture(params=ENCODER_DECODERS)
def kind(request):
    return request.param


def loaded(folder: Path, kind: str):
    """(model with visible weights, tokenizer)."""
    path = make_language_model(folder / kind, kind, spread=0.3)
    model = TASK.build(locate(str(path)))
    if kind == "bart":
        model.final_logits_bias.normal_()
    return model.eval(), make_language_tokenizer(kind)


def configured(
    tmp_path: Path, kind: str, name: str = "run", task: dict | None = None, data: dict | None = None, **training
):
    """A raw configuration of a small fp32 run; 20 rows of training, 4 of validation."""
    model = tmp_path / kind
    if not model.exists():
        make_language_model(model, kind)
        write(tmp_path / "rows.jsonl")
    return {
        "model": str(model),
        "data": {"train": str(tmp_path / "rows.jsonl"), "validation_share": 0.15, "test_share": 0, **(data or {})},
        "task": {"kind": "seq2seq", "max_new_tokens": 6, **(task or {})},
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


def plain_losses(model, tokenizer, rows, prefix: str = "", smoothing: float = 0.0) -> list[float]:
    """Of each row alone, by the plain model and torch's loss: summed over its target's tokens."""
    found = []
    for row in rows:
        read = torch.tensor([tokenizer(prefix + row.text[0])["input_ids"]])
        known = encoded_target(tokenizer, row.label)
        logits = model(input_ids=read, decoder_input_ids=torch.tensor([[start_of(model), *known[:-1]]])).logits[0]
        found.append(float(cross_entropy(logits, torch.tensor(known), reduction="sum", label_smoothing=smoothing)))
    return found


def encoded_target(tokenizer, text: str) -> list[int]:
    """By the tokenizer's own habit, as its model was pretrained."""
    return tokenizer(text_target=text)["input_ids"]


def start_of(model) -> int:
    return model.config.decoder_start_token_id


# --- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_torchs_over_target_tokens_and_not_over_padding(tmp_path, kind, smoothing):
    model, tokenizer = loaded(tmp_path, kind)
    task = TASK.model_copy(update={"label_smoothing": smoothing})
    rows = rows_of()
    batch = task.collate(task.encode(rows, tokenizer, 64).features, tokenizer)
    assert (batch.labels == -100).any()
    with torch.no_grad():
        found, expected = task.objective(model, batch), plain_losses(model, tokenizer, rows, smoothing=smoothing)
    np.testing.assert_allclose(float(found.sum.detach()), sum(expected), rtol=1e-5)
    assert int(task.weight(batch)) == sum(len(encoded_target(tokenizer, row.label)) for row in rows)


def test_transformers_own_loss_and_gradients_are_the_same(tmp_path, kind):
    model, tokenizer = loaded(tmp_path, kind)
    batch = TASK.collate(TASK.encode(rows_of(), tokenizer, 64).features, tokenizer)
    (TASK.objective(model, batch).sum / TASK.weight(batch)).backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    theirs = model(**batch.inputs, labels=batch.labels)
    theirs.loss.backward()
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(ours[name], parameter.grad, rtol=0, atol=2e-6, err_msg=name)


def test_the_decoder_reads_its_start_and_the_target_before(tmp_path, kind):
    model, tokenizer = loaded(tmp_path, kind)
    start = {"t5": tokenizer.pad_token_id, "bart": tokenizer.eos_token_id}[kind]
    labels = torch.tensor([[11, 12, tokenizer.eos_token_id], [13, tokenizer.eos_token_id, -100]])
    expected = [[start, 11, 12], [start, 13, tokenizer.eos_token_id]]
    assert shifted(labels, model).tolist() == expected


def test_targets_are_as_the_tokenizer_writes_them_and_end_once(kind):  # D3
    tokenizer = make_language_tokenizer(kind)
    (features,) = TASK.encode([Row(1, ("red box",), "late parcel")], tokenizer, 64).features
    assert features.label.tolist() == tokenizer(text_target="late parcel")["input_ids"]
    assert Counter(features.label.tolist())[tokenizer.eos_token_id] == 1
    tokenizer._tokenizer.post_processor = None  # a tokenizer that writes no end by itself
    (bare,) = TASK.encode([Row(1, ("red box",), "late parcel")], tokenizer, 64).features
    assert bare.label[-1] == tokenizer.eos_token_id
    assert Counter(bare.label.tolist())[tokenizer.eos_token_id] == 1


def test_the_prefix_is_read_with_every_text(tmp_path):
    tokenizer = make_language_tokenizer("t5")
    task = TASK.model_copy(update={"prefix": "summarize: "})
    (features,) = task.encode([Row(1, ("red box",))], tokenizer, 64).features
    assert tokenizer.decode(features.windows[0], skip_special_tokens=True) == "summarize: red box"
    model, _ = loaded(tmp_path, "t5")
    rows = rows_of(3)
    batch = task.collate(task.encode(rows, tokenizer, 64).features, tokenizer)
    with torch.no_grad():
        expected = sum(plain_losses(model, tokenizer, rows, "summarize: "))
        np.testing.assert_allclose(float(task.objective(model, batch).sum), expected, rtol=1e-5)


def test_barts_own_bias_is_part_of_every_logit(tmp_path):
    model, tokenizer = loaded(tmp_path, "bart")
    batch = TASK.collate(TASK.encode(rows_of(3), tokenizer, 64).features, tokenizer)
    with torch.no_grad():
        with_bias = float(TASK.objective(model, batch).sum)
        model.final_logits_bias.zero_()
        assert abs(float(TASK.objective(model, batch).sum) - with_bias) > 0.1


# --- answers ----------------------------------------------------------------------------------------------------------


def said(model, tokenizer, rows, task=TASK, at_once: bool = True):
    """`Said` of rows, together or each by itself."""
    parts = [rows] if at_once else [[row] for row in rows]
    collate = partial(task.collate, tokenizer=tokenizer)
    return [
        output
        for part in parts
        for output in outputs_of(model, task, task.encode(part, tokenizer, 64), collate, torch.device("cpu"))
    ]


def test_together_and_alone_texts_have_the_same_probabilities_and_answers(tmp_path, kind):  # N5, D9
    model, tokenizer = loaded(tmp_path, kind)
    task = TASK.model_copy(update={"max_new_tokens": 8})
    together, alone = (said(model, tokenizer, rows_of(), task, at_once) for at_once in (True, False))
    for first, second in zip(together, alone, strict=True):
        np.testing.assert_allclose(first.log_probabilities, second.log_probabilities, rtol=0, atol=1e-5)
        assert (first.hits == second.hits).all()
        assert first.text == second.text
        assert (first.num_tokens, first.finished) == (second.num_tokens, second.finished)
    assert len({output.log_probabilities.tobytes() for output in together}) > 1


def test_greedy_answers_are_transformers_own(tmp_path, kind):
    model, tokenizer = loaded(tmp_path, kind)
    task = TASK.model_copy(update={"max_new_tokens": 8})
    for row, output in zip(rows_of(4), said(model, tokenizer, rows_of(4), task), strict=True):
        read = torch.tensor([tokenizer(row.text[0])["input_ids"]])
        ids = [start_of(model)]
        with torch.no_grad():
            while len(ids) < 9 and (len(ids) == 1 or ids[-1] != tokenizer.eos_token_id):
                ids.append(int(model(input_ids=read, decoder_input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        assert output.text == tokenizer.decode(ids[1:], skip_special_tokens=True).strip()


def test_a_models_own_habits_of_writing_have_no_say(tmp_path):
    """Checkpoints for summaries come with a least length, no repeated words and a forced first token."""
    model, tokenizer = loaded(tmp_path, "bart")
    rows = [Row(1, ("red box",))]
    (before,) = said(model, tokenizer, rows, TASK.model_copy(update={"max_new_tokens": 12}))
    model.generation_config.update(min_length=10, no_repeat_ngram_size=1, forced_bos_token_id=7, length_penalty=9.0)
    (after,) = said(model, tokenizer, rows, TASK.model_copy(update={"max_new_tokens": 12}))
    assert (after.text, after.num_tokens) == (before.text, before.num_tokens)


def test_no_more_is_written_than_a_decoder_has_positions_for(tmp_path):
    model, tokenizer = loaded(tmp_path, "bart")
    (output,) = said(model, tokenizer, [Row(1, ("red box",))], TASK.model_copy(update={"max_new_tokens": 400}))
    assert output.num_tokens <= 255


def test_a_known_target_is_learned_with_its_end_and_written(tmp_path, kind):  # D3
    raw = configured(tmp_path, kind, task={"max_new_tokens": 20}, max_steps=60, learning_rate=1e-2)
    raw["data"] = {"train": str(tmp_path / "one.jsonl"), "validation_share": 0, "test_share": 0}
    (tmp_path / "one.jsonl").write_text('{"document": "red box", "summary": "late parcel"}\n' * 4)
    (answer,) = tw.train(raw, progress=False).predictor(["red box"])
    assert (answer.text, answer.finished) == ("late parcel", True)


def test_scores_are_chosen_by_the_references():
    outputs = [tw_said("late parcel"), tw_said("red box")]
    rows = [Row(1, ("a",), "late parcel"), Row(2, ("b",), "red box")]
    scores = TASK.score(outputs, rows)
    assert scores["answers"] == 2
    assert scores["finished"] == 1
    named = TASK.model_copy(update={"scores": ("chrf",)}).score(outputs, rows)
    assert "chrf" in named
    assert not {"rougeL", "bleu", "exact_match"} & set(named)
    unwritten = TASK.score([tw_said(None), tw_said(None)], rows)
    assert unwritten["perplexity"] == pytest.approx(np.e)
    assert not {"answers", "finished", "rougeL", "bleu", "chrf", "exact_match"} & set(unwritten)


def tw_said(text):
    from tunewright.tasks.generative import Said

    ones = np.ones(2, dtype=np.float32)
    return Said(-ones, ones, ones > 0, text, 2, True)


def test_nothing_is_written_between_steps(tmp_path, monkeypatch):
    assert TASK.during_training().score_answers == 0
    steps: list[int] = []
    real = decoding.write_batch

    def counted(*given):
        steps.append(len(given[2]))
        return real(*given)

    monkeypatch.setattr(decoding, "write_batch", counted)
    result = tw.train(configured(tmp_path, "t5", task={"score_answers": 2}, evaluate_every=2), progress=False)
    assert sum(steps) <= 2 * 2  # the final validation, and the served model's, of two rows each
    assert result.metrics["validation"]["answers"] == 2


# --- data -------------------------------------------------------------------------------------------------------------


def test_targets_that_are_cut_are_counted_and_too_many_are_an_error(tmp_path):  # D2
    task = TASK.model_copy(update={"max_target_length": 4})
    tokenizer = make_language_tokenizer("t5")
    encoded = task.encode(rows_of(), tokenizer, 64)
    longer = sum(len(encoded_target(tokenizer, row.label)) > 4 for row in rows_of())
    assert encoded.counts["answers cut"] == longer > 0
    assert all(len(item.label) <= 4 for item in encoded.features)
    with pytest.raises(DataError, match=rf"{longer} of 8 answers do not fit.*max_truncated"):
        task.accept(encoded, "rows.jsonl")
    task.model_copy(update={"max_truncated": 1.0}).accept(encoded, "rows.jsonl")


def test_too_many_cut_targets_end_a_run_before_it_begins(tmp_path):  # D2
    raw = configured(tmp_path, "t5", task={"max_target_length": 2})
    with pytest.raises(DataError, match="answers do not fit"):
        tw.train(raw, progress=False)
    assert not (Path(raw["out"]) / "checkpoints").exists()
    allowed = configured(tmp_path, "t5", "allowed", {"max_target_length": 2, "max_truncated": 1})
    tw.train(allowed, progress=False)
    ledger = json.loads((Path(allowed["out"]) / "data.json").read_text())
    assert ledger["splits"]["train"]["answers_cut"] > 2


def test_a_decoder_alone_is_refused(tmp_path):
    raw = configured(tmp_path, "t5") | {"model": str(make_language_model(tmp_path / "llama", "llama"))}
    with pytest.raises(ConfigError, match="no encoder and decoder"):
        tw.train(raw, progress=False)


def table(*rows: dict) -> Table:
    return Table("rows.jsonl", list(rows[0]), list(rows), list(range(1, len(rows) + 1)), "")


def test_columns_are_found_by_name_or_named(tmp_path):
    from tunewright.data import sequences

    found = sequences.assign(table({"Document": "a", "Summary": "b"}), None, None)
    assert (found.text, found.label) == (("Document",), ("Summary",))
    named = sequences.assign(table({"x": "a", "y": "b"}), ["x"], ["y"])
    assert sequences.read(table({"x": "a", "y": "b"}), 0, named, True).label == "b"
    with pytest.raises(DataError, match=r"not clear from 'x', 'y'.*data.text"):
        sequences.assign(table({"x": "a", "y": "b"}), None, None)
    given = table({"translation": {"de": "Kiste", "en": "box"}})
    roles = sequences.assign(given, None, None)
    row = sequences.read(given, 0, roles, True)
    assert (row.text, row.label) == (("Kiste",), "box")


@pytest.mark.parametrize("cell", ["", None, "  ", []])
def test_an_empty_target_is_a_reason_to_leave_a_row(cell):  # D10
    from tunewright.data import sequences

    given = table({"document": "a", "summary": cell})
    assert sequences.read(given, 0, sequences.assign(given, None, None), True) == "column 'summary' is empty"


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_resumed_run_is_bitwise_the_uninterrupted_one(tmp_path, kind):  # R5
    whole = configured(tmp_path, kind, "whole", checkpoint_every=2, evaluate_every=3)
    cut = configured(tmp_path, kind, "cut", checkpoint_every=2, evaluate_every=3)
    tw.train(whole, progress=False)
    killed(cut, 5)
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])


def test_however_a_step_is_cut_it_is_one_update(tmp_path, kind):  # N2
    runs = {}
    for micro in (8, 4, 2):
        raw = configured(tmp_path, kind, f"micro-{micro}", max_steps=2, micro_batch_size=micro, dropout=0)
        runs[micro] = weights_of(tw.train(raw, progress=False).path)
    for micro in (4, 2):
        for name, value in runs[8].items():
            np.testing.assert_allclose(runs[micro][name], value, rtol=0, atol=2e-5, err_msg=name)


def test_the_saved_configuration_trains_again_to_the_same_weights(tmp_path):  # C2
    first = tw.train(configured(tmp_path, "t5", max_steps=2), progress=False)
    again = tw.train(RunConfig.model_validate(loaded_yaml(first.path / "run.yaml") | {"out": str(tmp_path / "again")}),
                     progress=False)  # fmt: skip
    assert_same_weights(first.path, again.path)


def loaded_yaml(path: Path) -> dict:
    import yaml

    return yaml.safe_load(path.read_text())
