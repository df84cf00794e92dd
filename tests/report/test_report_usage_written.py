"""The card's lines for models that write answers: run as they stand, plain transformers writes Tunewright's answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.language_models import make_language_model
from tests.report import made_up_writers as writers
from tunewright.report import files as report_files
from tunewright.report import usage, usage_written

Record = dict[str, Any]

# (model, task, strategy): every saved form, templates with and without a token of their own at an answer's end.
FORMS: list[tuple[str, Record, str]] = [
    ("llama", {"kind": "causal_lm", "shape": "messages", "template": "chatml"}, "full"),
    ("llama", {"kind": "causal_lm", "shape": "instruction", "template": "alpaca"}, "prompt_tuning"),
    ("gpt2", {"kind": "causal_lm", "shape": "classification", "labels": ["app", "box"], "template": "plain"}, "full"),
    ("gpt2", {"kind": "causal_lm", "shape": "question_answering", "template": "instruction"}, "bottleneck_adapter"),
    ("llama", {"kind": "causal_lm", "shape": "text"}, "prefix_tuning"),
    ("qwen2", {"kind": "preference", "template": "chatml", "num_beams": 3}, "full"),
    ("llama", {"kind": "preference", "template": "auto", "temperature": 0.7, "top_p": 0.9}, "ia3"),
    ("t5", {"kind": "seq2seq", "prefix": "summarize: "}, "full"),
    ("bart", {"kind": "seq2seq", "num_beams": 2, "repetition_penalty": 1.3}, "full"),
    ("bart", {"kind": "seq2seq"}, "prompt_tuning"),
]


def saved(folder: Path, model: str, task: Record, strategy: str) -> Record:
    """A run of a random model, whose trained parts are random, too; gives its configuration."""
    import torch
    from pydantic import TypeAdapter

    from tunewright import artifact, models
    from tunewright.component import one_of
    from tunewright.strategies.base import Strategy
    from tunewright.tasks.base import Task

    made = TypeAdapter(one_of(Task)).validate_python({**task, "max_new_tokens": 12})
    method = TypeAdapter(one_of(Strategy)).validate_python({"kind": strategy})
    source = models.locate(model)
    tokenizer = models.load_tokenizer(source)
    if made.kind != "seq2seq":
        made.dress(tokenizer)
    torch.manual_seed(7)
    changed = method.apply(made.build(source).requires_grad_(False), made).eval()
    with torch.no_grad():
        for parameter in changed.parameters():
            if parameter.requires_grad and strategy != "full":
                parameter.add_(0.3 * torch.randn_like(parameter))
    columns = artifact.Columns(("text",), ("label",), None, False)
    artifact.save(folder / "model", changed, tokenizer, made, method, source, 200, columns)
    return {"model": model, "task": made.model_dump(mode="json"), "strategy": method.model_dump(mode="json"),
            "out": "run"}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.* not supported for parameter efficient tuning")  # by PEFT: it says what it does
@pytest.mark.parametrize(("model", "task", "strategy"), FORMS)
def test_the_plain_lines_write_the_same_answer(
    model: str, task: Record, strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import torch

    from tunewright.predict import Predictor

    base = make_language_model(tmp_path / "base", model, spread=0.2)
    config = saved(tmp_path / "run", str(base), task, strategy)
    files = writers.writer_files() | {"config": config, "manifest": None}
    found = report_files.read(writers.write_run(tmp_path / "run", files))
    monkeypatch.chdir(tmp_path)
    asked = usage_written.example(found)
    ours = Predictor.load(tmp_path / "run")([asked if len(asked) > 1 else asked[0]])[0]
    before, call, after = usage.plain_lines(found).partition("output = model.generate")
    names: Record = {}
    exec(before, names)
    capsys.readouterr()
    torch.manual_seed(0)  # as Tunewright does where it samples
    exec(call + after, names)
    assert ours.num_tokens > 0
    assert capsys.readouterr().out == f"{ours.text}\n"


def test_the_habits_of_a_checkpoint_are_turned_off(tmp_path: Path) -> None:
    """Checkpoints of summarisers ask for beams, and for at least 56 tokens."""
    run = writers.write_writer(tmp_path / "run", writers.rewriter_files(), None)
    (run / "model").mkdir()
    habits = (
        '{"min_length": 56, "num_beams": 4, "no_repeat_ngram_size": 3, "forced_bos_token_id": 0, "max_length": 142}'
    )
    (run / "model" / "generation_config.json").write_text(habits)
    lines = usage.plain_lines(report_files.read(run))
    for said in ("min_length=0", "num_beams=1", "no_repeat_ngram_size=0", "forced_bos_token_id=None"):
        assert said in lines
    assert "length_penalty" not in lines


def test_the_end_of_a_turn_that_is_no_end_of_sequence_stops_an_answer(tmp_path: Path) -> None:
    base = make_language_model(tmp_path / "base", "gpt2")
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(base))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
    run = writers.write_writer(tmp_path / "run", writers.writer_files(), None)
    tokenizer.save_pretrained(run / "model")
    found = report_files.read(run)
    assert found.stored.end == "<|im_end|>"
    lines = usage.plain_lines(found)
    assert "ends = [tokenizer.convert_tokens_to_ids('<|im_end|>'), tokenizer.eos_token_id]" in lines
    assert "eos_token_id=ends" in lines


def test_what_a_template_writes_before_the_end_is_no_part_of_an_answer(tmp_path: Path) -> None:
    """ChatML's end is no token of this model, so it is written out."""
    chatml = {"kind": "causal_lm", "shape": "messages", "template": "chatml"}
    config = saved(tmp_path / "run", str(make_language_model(tmp_path / "base", "llama")), chatml, "full")
    files = writers.writer_files() | {"config": config}
    lines = usage.plain_lines(report_files.read(writers.write_writer(tmp_path / "run", files, None)))
    assert lines.endswith("print(text.strip().removesuffix('<|im_end|>').rstrip())")


def test_a_question_of_a_generated_answer_has_a_context(tmp_path: Path) -> None:
    found = report_files.read(writers.write_writer(tmp_path / "run", writers.writer_files("question_answering")))
    assert '--context "the context that holds the answer"' in usage.predict_command(found)


def test_a_prompt_is_one_text(tmp_path: Path) -> None:
    files = writers.preference_files()
    files["config"]["data"]["text"] = ["prompt", "system"]
    found = report_files.read(writers.write_writer(tmp_path / "run", files))
    assert usage.predict_command(found).endswith('--text "the prompt"')
