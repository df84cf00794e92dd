"""`tunewright inspect`: what it prints, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import transformers

from tunewright.component import members
from tunewright.strategies.base import Strategy

BERT = ("inspect", "--model", "bert-base")
LORA = ("--strategy", "lora", "strategy.r=8", "strategy.targets=[query,value]")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with the configurations of two models, and no weights."""
    made = tmp_path_factory.mktemp("home")
    transformers.BertConfig().save_pretrained(made / "bert-base")
    transformers.DistilBertConfig().save_pretrained(made / "distilbert")
    return made


def rows(out: str) -> dict[str, list[str]]:
    """Lines by their first word."""
    return {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}


# --- the table -----------------------------------------------------------------------------------------------------


def test_the_known_figures_of_bert_base_are_printed(call):
    code, out, _ = call(*BERT, *LORA)
    assert code == 0
    lora = " ".join(rows(out)["lora"])
    assert lora.startswith("294,912 109,482,240 0.27 % 1,538 439.1 MB 1.2 MB 2.4 MB ")
    assert "Activations come on top" in out


def test_every_strategy_has_a_row_and_a_refused_one_its_reason(call):
    _, out, _ = call("inspect", "--model", "distilbert")
    found = rows(out)
    assert set(members(Strategy)) <= set(found)
    assert "refused: the attention of distilbert takes no past keys and values" in out
    assert found["full"][:4] == ["66,362,880", "66,362,880", "100.00", "%"]


def test_rows_keep_the_order_of_the_strategies_given(call):
    _, out, _ = call(*BERT, "--strategy", "lora", "--strategy", "feature_extraction", "--strategy", "full")
    names = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert names[names.index("strategy") + 1 :][:3] == ["lora", "feature_extraction", "full"]


def test_a_table_of_refusals_alone_can_be_printed(call):
    code, out, _ = call("inspect", "--model", "distilbert", "--strategy", "prefix_tuning")
    assert code == 0
    assert "prefix_tuning  refused: " in out


def test_the_layer_map_joins_blocks_of_one_size(call):
    _, out, _ = call(*BERT, "--strategy", "full")
    shown = [line.split("  ")[0] for line in out[out.index("layers ") :].splitlines()]
    assert shown == ["layers", "embeddings", "blocks 0 to 11, each", "bert.pooler.dense", "classifier"]


def test_no_line_is_cut_however_narrow_the_terminal_is(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = call(*BERT, *LORA)
    assert "…" not in out
    assert any("294,912" in line and "109,482,240" in line and "439.1 MB" in line for line in out.splitlines())


def test_task_and_labels_decide_on_the_head(call):
    assert rows(call(*BERT, *LORA, "--labels", "5")[1])["lora"][4] == "3,845"  # 5 * (768 + 1)
    assert rows(call(*BERT, *LORA, "--task", "question_answering")[1])["lora"][4] == "1,538"
    tokens = ("--task", "token_classification", "--labels", "4", "task.scheme=plain")
    assert rows(call(*BERT, *LORA, *tokens)[1])["lora"][4] == "3,076"


def test_settings_of_the_task_hold_for_every_strategy(call):
    _, out, _ = call(*BERT, "task.pooling=mean")
    assert "refused" not in " ".join(rows(out)["feature_extraction"])
    assert rows(out)["full"][1] == "108,891,648"  # nothing reads the pooler


# --- JSON ----------------------------------------------------------------------------------------------------------


def test_json_has_the_exact_numbers(call):
    code, out, _ = call("inspect", "--model", "bert-base/config.json", *LORA, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["model"], found["task"]) == ("bert-base/config.json", "sequence_classification")
    assert found["parameters"] == {"encoder": 109_482_240, "head": 1_538, "total": 109_483_778}
    assert found["layers"]["blocks"] == [7_087_872] * 12
    (lora,) = found["strategies"]
    assert (lora["strategy"], lora["trainable"]) == ("lora", {"encoder": 294_912, "head": 1_538})
    assert lora["share"] == pytest.approx(294_912 / 109_482_240)
    parts = lora["bytes"]
    assert parts["sum"] == parts["weights"] + parts["gradients"] + parts["optimizer"]


def test_json_has_the_reason_of_a_refusal(call):
    found = json.loads(call("inspect", "--model", "distilbert", "--json")[1])
    refused = {item["strategy"]: item["refused"] for item in found["strategies"] if "refused" in item}
    assert {"prefix_tuning", "feature_extraction"} <= set(refused)
    assert [item["strategy"] for item in found["strategies"]] == sorted(members(Strategy))


# --- mistakes ------------------------------------------------------------------------------------------------------

MISTAKES = {
    "no model": (["inspect", "--strategy", "lora"], "--model"),
    "model": (["inspect", "--model", "minlm"], "did you mean 'minilm'?"),
    "file": (["inspect", "--model", "./none/config.json"], "there is no such folder"),
    "kind": ([*BERT, "--strategy", "lorra"], "did you mean 'lora'?"),
    "task": ([*BERT, "--task", "token_clasification"], "did you mean 'token_classification'?"),
    "setting": ([*BERT, "--strategy", "lora", "strategy.rank=8"], "strategy.rank: unknown key"),
    "value": ([*BERT, "--strategy", "lora", "strategy.r=0"], "strategy.r: must be at least 1"),
    "no strategy": ([*BERT, "strategy.r=8"], "strategy.r: is a setting of one strategy; give --strategy KIND"),
    "two strategies": ([*BERT, *LORA, "--strategy", "qlora"], "is a setting of one strategy"),
    "training": ([*BERT, "training.epochs=3"], "training.epochs: is no setting of inspect"),
    "kind as setting": ([*BERT, "--strategy", "lora", "strategy.kind=full"], "is no setting of inspect"),
    "no setting": ([*BERT, "r8"], "'r8' is no setting"),
    "labels": ([*BERT, "--task", "question_answering", "--labels", "3"], "--labels: has no effect"),
    "no labels": ([*BERT, "--labels", "0"], "--labels"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_with_2_a_remedy_and_no_traceback(call, mistake):
    arguments, said = MISTAKES[mistake]
    code, out, error = call(*arguments)
    assert code == 2
    assert said in error
    assert "Traceback" not in error
    assert out == ""


def test_help_and_mistaken_settings_import_nothing_heavy():
    code = (
        "import sys\nfrom tunewright import cli\ncli.add_verbs()\n"
        "assert cli.run(['inspect', '--help']) == 0\nassert cli.run(['inspect', '--model', 'x', 'strategy.r=8']) == 2\n"
        "print([name for name in ('torch', 'transformers', 'peft') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
