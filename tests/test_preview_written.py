"""Preview of tasks that write: what is marked as learned is what the batches learn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tunewright as tw
from tests.language_models import make_language_model
from tunewright.config import load
from tunewright.errors import ConfigError, DataError
from tunewright.preview import prepare


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


INSTRUCTIONS = [
    {"instruction": "red box", "input": "", "output": "blue parcel"},
    {"instruction": "one", "input": "two three", "output": "four"},
]
DIALOGUES = [
    {"messages": [turn("system", "be kind"), turn("user", "red"), turn("assistant", "blue box"), turn("user", "one"),
                  turn("assistant", "two")]},
    {"messages": [turn("user", "red"), turn("assistant", "green")]},
]  # fmt: skip
PAIRS = [
    {"prompt": "red box", "chosen": "blue parcel late", "rejected": "no"},
    {"prompt": "one", "chosen": "two", "rejected": "three four"},
]
SUMMARIES = [{"document": "red box late driver", "summary": "late"}, {"document": "one two", "summary": "one ü"}]


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    """`language("gpt2")` is the folder of a tiny model of that kind, without weights."""
    made: dict[str, str] = {}

    def folder(kind: str) -> str:
        if kind not in made:
            home = make_language_model(tmp_path_factory.mktemp(kind), kind)
            (home / "model.safetensors").unlink()
            made[kind] = str(home)
        return made[kind]

    return folder


@pytest.fixture
def previewed(language, tmp_path):
    """`previewed(rows, "gpt2", {"kind": "causal_lm"}, max_length=16)`, with all rows in one split."""

    def make(rows: list[dict], model: str, task: dict, **data):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        shares = {"test_share": 0, "validation_share": 0}
        return prepare(load({"model": language(model), "task": task, "data": {"train": str(file), **shares, **data}}))

    return make


def batch_of(preview, number: int):
    _, place = preview.owned[number]
    return preview.task.collate([preview.encoded["train"].features[place]], preview.tokenizer)


def ids_of(passage) -> list[int]:
    return [token for stretch in passage.stretches for token in stretch.ids]


def learned(passage) -> list[str]:
    return [stretch.text for stretch in passage.stretches if stretch.weight]


# --- causal_lm ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "template", "loss_on", "weight"), [
    ("llama", "chatml", "answers", 0.25), ("qwen2", "chatml", "last_answer", 0), ("gpt2", "plain", "answers", 0),
    ("llama", "alpaca", "everything", 0), ("gpt2", "instruction", "last_answer", 0.25),
])  # fmt: skip
def test_what_is_marked_is_what_the_pack_learns(previewed, model, template, loss_on, weight):
    task = {"kind": "causal_lm", "template": template, "loss_on": loss_on, "prompt_weight": weight}
    preview = previewed(DIALOGUES, model, task)
    for number in (1, 2):
        pack, (passage,) = batch_of(preview, number).more.pack, preview.describe(number).passages
        assert ids_of(passage) == pack.ids[0].tolist()
        weights = [stretch.weight for stretch in passage.stretches for _ in stretch.ids]
        told = [0.0] * len(weights)
        for source, value in zip(pack.sources.tolist(), pack.weights.tolist(), strict=True):
            told[source + 1] = value
        assert weights == told
        assert "".join(stretch.text for stretch in passage.stretches) == preview.tokenizer.decode(pack.ids[0])


def test_answers_are_marked_with_their_ends(previewed):
    preview = previewed(DIALOGUES, "qwen2", {"kind": "causal_lm", "template": "chatml"})
    (row,) = preview.describe(1).passages
    assert learned(row) == ["blue box<|im_end|>", "two<|im_end|>"]
    assert row.stretches[0].text.startswith("<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nred")
    last = previewed(DIALOGUES, "qwen2", {"kind": "causal_lm", "template": "chatml", "loss_on": "last_answer"})
    assert learned(last.describe(1).passages[0]) == ["two<|im_end|>"]


def test_a_plain_text_is_shown_by_its_windows(previewed):
    rows = [{"text": "red " * 30}, {"text": "blue"}]
    preview = previewed(rows, "llama", {"kind": "causal_lm"}, max_length=16)
    row = preview.describe(1)
    assert [item.name for item in row.passages] == [
        f"window {number} of {len(row.passages)}" for number in range(1, len(row.passages) + 1)
    ]
    assert "".join("".join(learned(passage)) for passage in row.passages) == "red " * 30 + "</s>"
    assert sum(passage.num_learned for passage in row.passages) == len(batch_of(preview, 1).more.pack.targets)


# --- seq2seq, preference --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["t5", "bart"])
def test_a_text_and_its_target_are_the_batchs(previewed, model):
    preview = previewed(SUMMARIES, model, {"kind": "seq2seq", "prefix": "shorten: "})
    for number, row in enumerate(SUMMARIES, 1):
        read, written = preview.describe(number).passages
        batch = batch_of(preview, number)
        assert ids_of(read) == batch.inputs["input_ids"][0].tolist()
        assert ids_of(written) == batch.labels[0].tolist()
        assert (read.num_learned, written.num_learned) == (0, len(batch.labels[0]))
        assert "".join(learned(written)).removeprefix("<s>") == row["summary"] + "</s>"
        assert "shorten: " + row["document"] in read.stretches[0].text


@pytest.mark.parametrize("model", ["llama", "gpt2"])
def test_both_answers_are_the_batchs(previewed, model):
    preview = previewed(PAIRS, model, {"kind": "preference", "template": "chatml"})
    for number, row in enumerate(PAIRS, 1):
        prompt, *answers = preview.describe(number).passages
        pack = batch_of(preview, number).more.pack
        assert [passage.name for passage in (prompt, *answers)] == ["prompt", "chosen", "rejected"]
        assert ids_of(prompt) == pack.ids[0, : prompt.num_tokens].tolist()
        for place, (answer, name) in enumerate(zip(answers, ("chosen", "rejected"), strict=True)):
            assert ids_of(answer) == pack.targets[pack.owners == place].tolist()
            assert learned(answer)[0].startswith(row[name])
        assert prompt.num_learned == 0
        assert row["prompt"] in prompt.stretches[0].text


# --- the ledger -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "model", "task"), [
    (DIALOGUES, "llama", {"kind": "causal_lm", "template": "alpaca"}),
    (SUMMARIES, "t5", {"kind": "seq2seq"}),
    (PAIRS, "llama", {"kind": "preference", "template": "chatml"}),
])  # fmt: skip
def test_supervised_tokens_are_those_that_are_marked(previewed, rows, model, task):
    preview = previewed(rows, model, task)
    passages = [passage for number in (1, 2) for passage in preview.describe(number).passages]
    (found,) = preview.summaries()
    supervised, tokens = sum(item.num_learned for item in passages), sum(item.num_tokens for item in passages)
    assert found.supervised == (supervised, tokens)
    assert found.account["supervised_tokens"] == supervised
    assert found.windows["100"] == 1


def test_a_cut_answer_is_shown_though_a_run_would_refuse_it(previewed):  # D2
    task = {"kind": "causal_lm", "template": "instruction"}
    rows = [*INSTRUCTIONS, {"instruction": "red", "input": "", "output": "parcel " * 40}]
    preview = previewed(rows, "llama", task, max_length=40)
    assert "1 of 3 answers do not fit" in preview.refusal
    row = preview.describe(3)
    assert (row.answer_cut, row.truncated > 20) == (True, True)
    assert learned(row.passages[0])[0].startswith("parcel parcel")
    assert not preview.describe(1).answer_cut
    assert preview.summaries()[0].account["answers_cut"] == 1
    assert previewed(rows, "llama", task | {"max_truncated": 0.5}, max_length=40).refusal == ""


def test_a_row_without_a_target_is_counted_and_has_no_mark(previewed):  # D1
    task = {"kind": "causal_lm", "template": "instruction", "max_truncated": 1}
    preview = previewed([*INSTRUCTIONS, {"instruction": "red " * 40, "output": "box"}], "llama", task, max_length=40)
    assert preview.describe(3).passages[0].num_learned == 0
    assert preview.summaries()[0].account["rows_without_a_target"] == 1
    with pytest.raises(DataError, match=r"0 of .* tokens in 2 rows are supervised"):
        previewed([{"instruction": "red " * 40, "output": "box"}] * 2, "llama", task, max_length=40)


def test_a_prompt_whose_tokens_change_is_a_fault_of_its_row(previewed):  # D5
    rows = [{"prompt": "red par", "completion": "cel"}, {"prompt": "red\n", "completion": "box"}]
    preview = previewed(rows, "llama", {"kind": "causal_lm"})
    merged, fine = preview.describe(1), preview.describe(2)
    assert ["tokens change" in fault for fault in merged.faults] == [True]
    assert fine.faults == ()
    assert list(preview.summaries()[0].account["faults"].values()) == [1]
    assert learned(merged.passages[0]) == ["cel</s>"]


# --- models ---------------------------------------------------------------------------------------------------------


def test_a_multi_byte_character_is_not_torn(previewed):
    preview = previewed([{"prompt": "red ", "completion": "🙂ü"}] * 2, "llama", {"kind": "causal_lm"})
    assert learned(preview.describe(1).passages[0]) == ["🙂ü</s>"]


def test_where_no_model_is_named_it_is_the_tasks_own(previewed, tmp_path, monkeypatch):
    previewed(INSTRUCTIONS, "llama", {"kind": "causal_lm"})  # writes the rows
    asked = []

    def locate(name, *given, **more):
        asked.append(name)
        raise ConfigError("enough")

    monkeypatch.setattr("tunewright.preview.prepared.locate", locate)
    with pytest.raises(ConfigError, match="enough"):
        prepare(load({"data": {"train": str(tmp_path / "rows.jsonl"), "test_share": 0, "validation_share": 0}}))
    assert asked == ["pocket-lm"]


def test_a_run_lends_its_template_and_nothing_is_merged(tmp_path):
    model, file = make_language_model(tmp_path / "llama", "llama"), tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in INSTRUCTIONS * 6))
    raw = {
        "model": str(model), "data": {"train": str(file), "test_share": 0}, "strategy": "lora",
        "task": {"kind": "causal_lm", "template": "instruction", "score_answers": 0},
        "training": {"max_steps": 1, "precision": "fp32"}, "out": str(tmp_path / "run"),
    }  # fmt: skip
    run = tw.train(raw, progress=False).path
    before = sorted(Path(tmp_path).rglob("*"))
    preview = prepare(load({"model": str(run), "data": raw["data"], "task": {"kind": "causal_lm"}}))
    assert preview.describe(1).passages[0].stretches[0].text == "<s>Instruction:\nred box\n\nResponse:\n"
    assert sorted(Path(tmp_path).rglob("*")) == before
