"""The verb `preview` for tasks that write: texts as they are fed, what is learned marked."""

from __future__ import annotations

import io
import json

import pytest

from tests.language_models import make_language_model
from tests.test_preview_written import DIALOGUES, INSTRUCTIONS, PAIRS, SUMMARIES, turn
from tunewright import cli
from tunewright.cli import preview as verb


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = tmp_path_factory.mktemp("home")
    for kind in ("llama", "qwen2", "t5"):
        make_language_model(made / kind, kind)
    odd = [{"messages": [turn("user", "\x1b[31mred"), turn("assistant", "blue\n\x07box")]}] * 2
    files = {"instructions": INSTRUCTIONS, "dialogues": DIALOGUES, "pairs": PAIRS, "summaries": SUMMARIES, "odd": odd}
    for name, rows in files.items():
        (made / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


@pytest.fixture
def call(capsys, home, monkeypatch):
    """`call("pairs.jsonl", "llama")` previews in `home`; gives the exit code, standard output and standard error."""
    monkeypatch.chdir(home)
    cli.add_verbs()

    def run(file: str, model: str, *arguments: str) -> tuple[int, str, str]:
        shares = ["data.test_share=0", "data.validation_share=0"]
        code = cli.run(["preview", file, "--model", model, *arguments, *shares])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal of 100 columns is sent."""
    from rich.console import Console

    sent = io.StringIO()
    made = Console(file=sent, force_terminal=True, width=100, highlight=False, color_system="standard")
    monkeypatch.setattr(verb, "console", lambda: made)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return sent


DIALOGUE = """\
dialogues.jsonl, row 1 (train)
row: 154 tokens, 13 learned
  <|im_start|>system
  be kind<|im_end|>
  <|im_start|>user
  red<|im_end|>
  <|im_start|>assistant
  ⟦blue box<|im_end|>⟧
  <|im_start|>user
  one<|im_end|>
  <|im_start|>assistant
  ⟦two<|im_end|>⟧
"""
PAIR = """\
pairs.jsonl, row 1 (train)
prompt: 3 tokens, not learned
  <s>red box
chosen: 4 tokens, learned
  ⟦blue parcel late</s>⟧
rejected: 3 tokens, learned
  ⟦no</s>⟧
"""
SUMMARY = """\
summaries.jsonl, row 1 (train)
read: 5 tokens, not learned
  red box late driver</s>
written: 2 tokens, learned
  ⟦late</s>⟧
"""


@pytest.mark.parametrize(("file", "model", "expected"), [
    ("dialogues.jsonl", "qwen2", DIALOGUE), ("pairs.jsonl", "llama", PAIR), ("summaries.jsonl", "t5", SUMMARY),
])  # fmt: skip
def test_a_pipe_gets_the_text_with_what_is_learned_in_brackets(call, file, model, expected):
    code, out, error = call(file, model, "--row", "1")
    assert (code, error) == (0, "")
    assert without_counts(expected) in without_counts(out)


def without_counts(text: str) -> str:
    """Token counts are the tiny tokenizer's; tests/test_preview_written.py holds them against the batches."""
    import re

    return re.sub(r"\d+ (tokens?|learned)", r"N \1", text)


def test_a_terminal_gets_what_is_learned_in_colour(call, terminal):
    assert call("pairs.jsonl", "llama", "--row", "1")[0] == 0
    sent = terminal.getvalue()
    assert "\x1b[1;32mblue parcel late</s>\x1b[0m" in sent
    assert "\x1b[2m<s>red box\x1b[0m" in sent
    assert "⟦" not in sent


@pytest.mark.parametrize("where", ["pipe", "terminal"])
def test_nobody_is_commanded_by_the_data(call, request, where):
    sent = request.getfixturevalue("terminal") if where == "terminal" else None
    out = call("odd.jsonl", "qwen2")[1] + (sent.getvalue() if sent else "")
    assert "\x1b[31mred" not in out
    assert "\x07" not in out
    assert r"\x1b[31mred" in out
    assert r"\x07box" in out


def test_weights_between_are_told(call):
    out = call("instructions.jsonl", "llama", "--task", "causal_lm", "task.prompt_weight=0.25")[1]
    assert "⟦0.25 x " in out


def test_json_has_the_ids(call):
    code, out, _ = call("pairs.jsonl", "llama", "--json", "--row", "2")
    assert code == 0
    (row,) = map(json.loads, out.splitlines())
    assert row["number"] == 2
    chosen = row["passages"][1]
    assert (chosen["name"], [part["text"] for part in chosen["stretches"]]) == ("chosen", ["two</s>"])
    assert all(isinstance(token, int) for token in chosen["stretches"][0]["ids"])


def test_the_summary_is_the_ledger(call):
    template = ("--task", "causal_lm", "task.template=instruction")
    _, out, _ = call("instructions.jsonl", "llama", "--rows", "0", *template)
    lines = {line[:24].strip(): line.split()[-1] for line in out.splitlines() if line}
    rows = map(json.loads, call("instructions.jsonl", "llama", "--json", *template)[1].splitlines())
    stretches = [stretch for row in rows for passage in row["passages"] for stretch in passage["stretches"]]
    assert lines["supervised tokens"] == str(sum(len(part["ids"]) for part in stretches if part["weight"]))
    assert lines["supervised share"].endswith("%")
    assert "labels of" not in out


def test_faults_and_a_refusal_are_told(call, home):
    (home / "cut.jsonl").write_text(
        "".join(json.dumps({"prompt": "red par", "completion": "cel " * 30}) + "\n" for _ in range(2))
    )
    code, out, _ = call("cut.jsonl", "llama", "data.max_length=16")
    assert code == 0
    assert "a run would be refused: cut.jsonl: 2 of 2 answers do not fit and would be cut (100%)" in out
    assert "the answer is cut: " in out
    assert "fault: prompts whose tokens change once the answer follows" in out
    assert "train: 2 x prompts whose tokens change" in out


def test_of_a_recipe_with_stages_the_first_is_shown(call, home):
    shares = {"test_share": 0, "validation_share": 0}
    stages = [
        {"name": "sft", "data": {"train": "instructions.jsonl"} | shares, "task": {"kind": "causal_lm"}},
        {"name": "dpo", "data": {"train": "pairs.jsonl"} | shares},
    ]
    recipe = {"model": "llama", "stages": stages}
    (home / "stages.yaml").write_text(json.dumps(recipe))
    code, out, error = call("stages.yaml", "llama")
    assert (code, error) == (0, "")
    assert "instructions.jsonl, row 1" in out
    assert "stage 1 of 2" in out


def test_nothing_is_written(call, home):
    before = sorted(home.rglob("*"))
    assert call("dialogues.jsonl", "qwen2", "out=elsewhere")[0] == 0
    assert sorted(home.rglob("*")) == before
