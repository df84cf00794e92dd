"""The lines that the card gives to people without tunewright: run as they stand, they give the model's own logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.report import made_up_runs as made_up
from tunewright.report import files as report_files
from tunewright.report import usage

Record = dict[str, Any]

TASKS: dict[str, Record] = {
    "sequence_classification": {"labels": ["app", "billing", "damage"], "pooling": "mean", "multi_label": False},
    "own_head": {"labels": ["app", "billing", "damage"], "pooling": "model", "multi_label": False},
    "token_classification": {"labels": ["person", "town"], "scheme": "IOB2"},
    "question_answering": {"no_answer": True},
}
FORMS = [
    ("token_classification", "full"),
    ("question_answering", "full"),
    ("own_head", "lora"),
    ("question_answering", "lora"),
    ("sequence_classification", "prompt_tuning"),
    ("token_classification", "prompt_tuning"),
    ("question_answering", "prompt_tuning"),
    ("sequence_classification", "prefix_tuning"),
    ("own_head", "prefix_tuning"),
]


def saved(folder: Path, model: str, task_name: str, strategy_name: str) -> tuple[Any, Any, Record]:
    """A run of a random model: its task, its model, and its configuration. Heads are random, so a lost one shows."""
    import torch
    from pydantic import TypeAdapter

    from tunewright import artifact, models
    from tunewright.component import one_of
    from tunewright.strategies.base import Strategy
    from tunewright.tasks.base import Task

    kind = "sequence_classification" if task_name == "own_head" else task_name
    task = TypeAdapter(one_of(Task)).validate_python({"kind": kind, **TASKS[task_name]})
    strategy = TypeAdapter(one_of(Strategy)).validate_python({"kind": strategy_name})
    source = models.locate(model)
    torch.manual_seed(7)
    changed = strategy.apply(task.build(source).requires_grad_(False), task).eval()
    with torch.no_grad():
        for parameter in changed.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    columns = artifact.Columns(("text",), ("label",), None, False)
    artifact.save(folder / "model", changed, models.load_tokenizer(source), task, strategy, source, 32, columns)
    config = {"model": model, "task": task.model_dump(mode="json"), "strategy": strategy.model_dump(mode="json"),
              "out": "run"}  # fmt: skip
    return task, changed, config


@pytest.mark.filterwarnings("ignore:.* not supported for parameter efficient tuning")  # by PEFT: it says what it does
@pytest.mark.parametrize(("task_name", "strategy"), FORMS)
def test_the_plain_lines_give_the_models_own_logits(
    task_name: str, strategy: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import torch

    task, model, config = saved(tmp_path / "run", tiny, task_name, strategy)
    files = made_up.run_files(["a", "b"], [[1, 0], [0, 1]]) | {"config": config}
    made_up.write_run(tmp_path / "run", files)
    found = report_files.read(tmp_path / "run")
    asked = ("red box", "the late box") if task.kind == "question_answering" else ("red box",)
    monkeypatch.setattr(usage, "example", lambda _: asked)
    monkeypatch.chdir(tmp_path)
    names: Record = {}
    with torch.no_grad():
        exec(usage.plain_lines(found), names)
        ours = model(**names["batch"])
    assert capsys.readouterr().out
    if usage.is_pooled(found):
        torch.testing.assert_close(names["features"] @ names["head"]["weight"].T + names["head"]["bias"], ours)
    elif task.kind == "question_answering":
        torch.testing.assert_close(names["output"].start_logits, ours.start_logits)
    else:
        torch.testing.assert_close(names["output"].logits, ours.logits)


def lines_for(task_name: str, strategy: Record, tmp_path: Path, **data: Any) -> str:
    files = made_up.answer_files() if task_name == "question_answering" else made_up.entity_files()
    files["config"] |= {"strategy": strategy}
    files["config"]["data"] |= data
    files["manifest"] = None
    found = report_files.read(made_up.write_run(tmp_path / "run", files))
    return "\n".join([usage.predict_command(found), usage.python_lines(found), usage.plain_lines(found)])


def test_a_question_is_asked_with_its_context(tmp_path: Path) -> None:
    lines = lines_for("question_answering", {"kind": "full"}, tmp_path)
    assert '--text "the question" --context "the context that holds the answer"' in lines
    assert 'predictor([("the question", "the context that holds the answer")])' in lines


def test_a_base_in_four_bits_is_loaded_as_it_was_trained_on(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    lines = lines_for("token_classification", {"kind": "qlora", "double_quantisation": False}, tmp_path)
    assert "num_labels=5, quantization_config=four_bit)" in lines
    start, end = lines.index("four_bit = "), lines.index("model = AutoPeft")
    names = {"BitsAndBytesConfig": transformers.BitsAndBytesConfig}
    exec(lines[start:end], names)
    four_bit: Any = names["four_bit"]
    assert (four_bit.load_in_4bit, four_bit.bnb_4bit_use_double_quant) == (True, False)
    assert "classifier" in four_bit.llm_int8_skip_modules


def test_merged_weights_need_no_peft(tmp_path: Path) -> None:
    assert "peft" not in lines_for("token_classification", {"kind": "lora", "merge": True}, tmp_path)


def test_the_manifest_knows_better_than_the_strategy(tmp_path: Path) -> None:
    files = made_up.entity_files()
    files["config"]["strategy"] = {"kind": "my_own_method"}
    files["manifest"] = {"form": "adapter", "task": files["config"]["task"]}
    found = report_files.read(made_up.write_run(tmp_path / "run", files))
    assert "AutoPeftModelForTokenClassification" in usage.plain_lines(found)
