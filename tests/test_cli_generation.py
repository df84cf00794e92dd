"""The command line with models that write: chat, predict, evaluate, show."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path

import pytest

import tunewright as tw
from tests.conftest import WORDS
from tests.language_models import make_language_model
from tunewright import cli
from tunewright.chat import Chat
from tunewright.predict import Predictor
from tunewright.tasks.generative import Written


def write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path.name


def texts(count: int = 12) -> list[str]:
    generator = random.Random(0)
    return [" ".join(generator.choices(WORDS, k=generator.randint(2, 9))) for _ in range(count)]


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


ROWS = {
    "instruction": [{"instruction": text, "input": text[:3], "output": text[:5]} for text in texts()],
    "messages": [{"id": f"m{place}", "messages": [turn("user", text), turn("assistant", text[:5])]}
                 for place, text in enumerate(texts())],
    "plain": [{"text": text} for text in texts()],
    "seq2seq": [{"document": text, "summary": text[:5]} for text in texts()],
    "pairs": [{"prompt": text, "chosen": text[:5], "rejected": "no"} for text in texts()],
    "dialogues": [{"chosen": [turn("user", text), turn("assistant", text[:5])],
                   "rejected": [turn("user", text), turn("assistant", "no")]} for text in texts()],
}  # fmt: skip
TASKS = {
    "instruction": {"kind": "causal_lm", "template": "instruction"},
    "messages": {"kind": "causal_lm", "template": "plain"},
    "plain": {"kind": "causal_lm", "shape": "text"},
    "seq2seq": {"kind": "seq2seq"},
    "pairs": {"kind": "preference", "loss": "simpo"},
    "dialogues": {"kind": "preference", "loss": "simpo"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a run and its data for each form of rows: `messages` and `messages.jsonl`, and so on."""
    made = tmp_path_factory.mktemp("home")
    for kind in ("llama", "t5"):
        make_language_model(made / kind, kind, spread=0.3)
    for name, rows in ROWS.items():
        file = made / write(made / f"{name}.jsonl", rows)
        raw = {
            "model": str(made / ("t5" if name == "seq2seq" else "llama")),
            "data": {"train": str(file), "test_share": 0, "max_length": 100},
            "task": TASKS[name] | {"max_new_tokens": 6} | ({} if name == "plain" else {"score_answers": 2}),
            "training": {"max_steps": 1, "batch_size": 4, "precision": "fp32", "learning_rate": 1e-4},
            "out": str(made / name),
        }
        tw.train(raw, progress=False)
    return made


def pipe(monkeypatch, raw: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))


def answers(out: str) -> list[dict]:
    return [json.loads(line) for line in out.split("\n") if line]


# --- predict -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_predict_answers_a_prompt_and_a_file_alike(call, home, name):
    first = "text" if name in ("plain", "messages") else next(iter(ROWS[name][0]))
    prompt = {"messages": {"messages": [turn("user", "red box")]}, "dialogues": {"prompt": "red box"}}
    write(home / "asked.jsonl", [prompt.get(name, {first: "red box"})])  # answers are not needed
    expected = [said.to_json() for said in tw.load(home / name)(["red box"])]
    code, out, error = call("predict", name, "--json", "--text", "red box")
    assert (code, error) == (0, "")
    assert answers(out) == [{"text": "red box", **expected[0]}]
    assert call("predict", name, "--json", "asked.jsonl")[1] == out


@pytest.mark.parametrize("name", ROWS)
def test_predict_answers_the_training_file_without_its_answers(call, name):
    code, out, error = call("predict", name, "--json", f"{name}.jsonl")
    assert (code, error) == (0, "")
    found = answers(out)
    given = [f"{text}\n\n{text[:3]}" for text in texts()] if name == "instruction" else texts()
    assert [item["text"] for item in found] == given
    assert [item.get("id") for item in found] == [row.get("id") for row in ROWS[name]]


def test_an_instruction_with_its_input_is_another_prompt(call, home):
    write(home / "both.jsonl", [{"instruction": "red", "input": "box"}, {"instruction": "red", "input": None}])
    given = answers(call("predict", "instruction", "--json", "both.jsonl")[1])
    asked = tw.load(home / "instruction")([("red", "box"), "red"])
    assert [item["answer"] for item in given] == [said.text for said in asked]
    with_context = answers(call("predict", "instruction", "--json", "--text", "red", "--context", "box")[1])
    assert with_context[0]["answer"] == given[0]["answer"] != given[1]["answer"]


def test_lines_of_a_text_are_instructions_without_inputs(call, monkeypatch):
    expected = call("predict", "instruction", "--json", "--text", "red", "--text", "blue box")[1]
    pipe(monkeypatch, b"red\n\nblue box\n")
    assert call("predict", "instruction", "--json")[1] == expected


def test_an_answer_of_several_lines_is_one_line(call, monkeypatch):
    monkeypatch.setattr("tunewright.tasks.generative.Generative.write", lambda *given: [("one\n\ttwo", 3, True)])
    assert call("predict", "messages", "--text", "red\nbox") == (0, "one two\tended\tred box\n", "")


@pytest.mark.parametrize(("name", "row", "said"), [
    ("messages", {"messages": [turn("user", " ")]}, "row 2: the prompt is empty"),
    ("instruction", {"instruction": ""}, "row 2: the prompt is empty"),
    ("seq2seq", {"document": ""}, "row 2: column 'document' is empty"),
    ("pairs", {"prompt": ""}, "row 2: column 'prompt' is empty"),
])  # fmt: skip
def test_a_row_without_a_prompt_is_told_before_anything_is_written(call, home, name, row, said):
    write(home / "gap.jsonl", [ROWS[name][0], row])
    code, out, error = call("predict", name, "gap.jsonl")
    assert (code, out) == (2, "")
    assert said in error


def test_answers_to_a_long_file_come_in_parts(call, home, monkeypatch):
    write(home / "long.jsonl", [{"prompt": f"red {place}"} for place in range(150)])
    sizes = []

    def answer(self, rows):
        sizes.append(len(rows))
        return [Written("yes", True, 1, None)] * len(rows)

    monkeypatch.setattr(Predictor, "answer", answer)
    code, out, _ = call("predict", "pairs", "long.jsonl")
    assert (code, sizes) == (0, [64, 64, 22])
    assert out == "".join(f"yes\tended\tred {place}\n" for place in range(150))


# --- evaluate, show ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_evaluate_scores_another_file_of_the_same_form(call, home, name):
    code, out, error = call("evaluate", name, f"{name}.jsonl", "--json")
    assert (code, error) == (0, "")
    scores = json.loads(out)
    assert scores["num_rows"] == 12
    assert scores["loss"] > 0
    if name == "messages":
        code, table, _ = call("evaluate", name, f"{name}.jsonl")
        assert code == 0
        assert f"{scores['loss']:.4f}" in table


@pytest.mark.parametrize("name", ["instruction", "seq2seq", "pairs"])
def test_evaluate_needs_the_answers(call, home, name):
    text = next(iter(ROWS[name][0]))
    write(home / "bare.jsonl", [{text: "red", "number": 1}])
    code, _, error = call("evaluate", name, "bare.jsonl")
    assert code == 2
    assert "column" in error


@pytest.mark.parametrize("name", ROWS)
def test_show_tells_scores_and_where_to_go_on(call, name):
    code, out, _ = call("show", name)
    assert code == 0
    assert "loss" in out
    assert f"tunewright predict {name}" in out
    assert (f"tunewright chat {name}" in out) == (TASKS[name]["kind"] != "seq2seq")


# --- chat ----------------------------------------------------------------------------------------------------------


def dialogue(run: Path, *turns: str) -> list[str]:
    chat = Chat(tw.load(run))
    return ["".join(chat.say(text)) for text in turns]


def test_a_pipe_is_a_dialogue_a_line_a_turn(call, home, monkeypatch):
    pipe(monkeypatch, "\ufeffred box\n\nand blüe?\r\n".encode())
    code, out, _ = call("chat", "messages")
    assert code == 0
    assert out == "".join(f"{said}\n" for said in dialogue(home / "messages", "red box", "and blüe?"))


def test_texts_are_turns_of_one_dialogue(call, home):
    code, out, _ = call("chat", "pairs", "--text", "red", "--text", "box")
    assert code == 0
    assert out == "".join(f"{said}\n" for said in dialogue(home / "pairs", "red", "box"))
    assert out.split("\n")[1] != dialogue(home / "pairs", "box")[0]


def test_reset_and_quit(call, home, monkeypatch):
    pipe(monkeypatch, b"red\n/reset\nbox\n/quit\nnever\n")
    out = call("chat", "messages")[1]
    assert out == "".join(f"{dialogue(home / 'messages', said)[0]}\n" for said in ("red", "box"))


def test_an_answer_that_was_cut_and_turns_that_are_forgotten_are_told(call):
    code, out, error = call("chat", "messages", "--text", "red " * 20, "--text", "box " * 80, "--max-new-tokens", "1")
    assert (code, out.count("\n")) == (0, 2)
    assert "(cut after 1 tokens: --max-new-tokens allows more)" in error
    assert "(the dialogue got too long: its first 1 turns and their answers are forgotten)" in error


def test_ctrl_c_stops_an_answer_and_the_dialogue_goes_on(call, monkeypatch):
    def say(self, text):
        self.forgotten = self.cut = 0
        yield "so "
        if text == "one":
            raise KeyboardInterrupt
        yield "far"

    monkeypatch.setattr(Chat, "say", say)
    assert call("chat", "messages", "--text", "one", "--text", "two") == (0, "so \nso far\n", "(stopped)\n")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(call, monkeypatch):
    """`typed("red", EOFError)` is a person at a terminal; gives the exit code and what the terminal shows."""

    def run(*lines: object, run: str = "messages") -> tuple[int, str]:
        shown, keys = Terminal(), iter(lines)

        def line(prompt: str) -> str:
            shown.write(prompt)
            key = next(keys)
            if isinstance(key, type):
                raise key
            return str(key)

        monkeypatch.setattr("builtins.input", line)
        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr(sys, "stdout", shown)
        return cli.run(["chat", run]), shown.getvalue()

    return run


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt, "/quit"])
def test_a_terminal_gets_a_prompt_and_ends_cleanly(typed, end, home):
    code, shown = typed("red", end)
    assert code == 0
    first, rest = shown.split("\n", 1)
    assert first == "messages: /reset begins anew; /quit or Ctrl-D ends; Ctrl-C stops an answer"
    assert rest.startswith("> ")
    assert rest.count("> ") >= 2


def test_a_terminal_is_not_commanded_by_an_answer(typed, monkeypatch):
    def say(self, text):
        self.forgotten = self.cut = 0
        yield "\x1b[31mred\n"

    monkeypatch.setattr(Chat, "say", say)
    assert r"> \x1b[31mred" + "\n" in typed("one", EOFError)[1]


@pytest.mark.parametrize(("arguments", "said"), [
    (["chat", "seq2seq"], "turns one text into another (seq2seq) and holds no dialogues; use `tunewright predict`"),
    (["chat", "plain"], "goes on with plain texts"),
    (["chat", "nowhere"], "there is no trained model here"),
    (["chat", "messages", "--max-new-tokens", "0"], "--max-new-tokens"),
])  # fmt: skip
def test_what_cannot_be_talked_to_is_told(call, arguments, said):
    code, out, error = call(*arguments)
    assert (code, out) == (2, "")
    assert said in error


def test_a_line_that_is_no_utf8_is_named(call, monkeypatch):
    pipe(monkeypatch, b"red\nna\xefve\n")
    code, _, error = call("chat", "messages")
    assert code == 2
    assert "error: standard input, line 2: is not UTF-8" in error
