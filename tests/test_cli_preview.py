"""The verb `preview`: for people in a terminal, for pipes, and as JSON."""

from __future__ import annotations

import io
import json

import pytest

from tests.conftest import make_model, write_rows
from tests.test_preview import QUESTIONS, TAGGED, write
from tunewright import cli
from tunewright.cli import preview as verb


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = tmp_path_factory.mktemp("home")
    make_model(made / "bert")
    write_rows(made / "inbox.csv")
    write(made / "tagged.jsonl", TAGGED)
    write(made / "questions.jsonl", QUESTIONS)
    (made / "odd.jsonl").write_text(
        "\n".join(json.dumps({"text": f"red\u001b[31m\nbox {place}", "topic": "ab"[place]}) for place in range(2))
    )
    return made


@pytest.fixture
def call(capsys, home, monkeypatch):
    """`call("inbox.csv")` previews in `home`; gives the exit code, standard output and standard error."""
    monkeypatch.chdir(home)
    cli.add_verbs()

    def run(*arguments: str, whole: bool = True) -> tuple[int, str, str]:
        shares = ["data.test_share=0", "data.validation_share=0"] if whole else []
        code = cli.run(["preview", *arguments, "--model", "bert", *shares])
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


def table_of(text: str) -> list[dict[str, str]]:
    """The rows of the first table of tokens, by its columns."""
    lines = text.splitlines()
    first = next(place for place, line in enumerate(lines) if line.lstrip().startswith("token  "))
    names = lines[first].split()
    starts = [lines[first].index(f" {name}") + 1 for name in names]
    rows = lines[first + 1 :]
    rows = rows[: next(place for place, line in enumerate(rows) if not line.startswith("  "))]
    edges = list(zip(starts, [*starts[1:], None], strict=True))
    return [dict(zip(names, (line[start:end].strip() for start, end in edges), strict=True)) for line in rows]


def test_a_pipe_gets_one_token_a_line(call):
    code, out, err = call("tagged.jsonl", "--row", "1")
    assert (code, err) == (0, "")
    rows = table_of(out)
    assert [row["entry"] for row in rows] == ["[CLS]", *TAGGED[0]["tokens"], "[SEP]"]
    assert [row["label"] for row in rows] == ["ignored", *TAGGED[0]["tags"], "ignored"]
    assert [row["word"] for row in rows] == ["", *map(str, range(6)), ""]
    assert [row["id"] for row in rows[:2]] == ["2", "15"]


def test_an_answer_is_marked_in_its_window(call):
    _, out, _ = call("questions.jsonl", "--row", "1", "data.max_length=64")
    rows = table_of(out)
    assert [(row["text"], row["label"], row["of"]) for row in rows if row["label"]] == [
        ("blue", "start", "context"),
        ("box", "end", "context"),
    ]
    assert "answer: tokens 34 to 35, 'blue box'" in out
    assert "blue box 210-218" in out


def test_a_window_without_the_answer_says_so(call):
    _, out, _ = call("questions.jsonl", "--row", "1", "data.max_length=16")
    assert "no answer in it: the target is token 0" in out
    assert "of them also in an earlier window" in out


def test_what_is_cut_is_told(call):
    _, out, _ = call("inbox.csv", "--rows", "48", "data.max_length=5")
    assert "cut from text, " in out
    assert "truncated rows" in out


@pytest.mark.parametrize("name", ["inbox.csv", "tagged.jsonl", "questions.jsonl", "odd.jsonl"])
def test_a_pipe_gets_no_escape_codes(call, name):
    code, out, _ = call(name)
    assert code == 0
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())


def test_a_terminal_is_not_commanded_by_the_data(call, terminal):
    assert call("odd.jsonl")[0] == 0
    assert "\x1b[31m\nbox" not in terminal.getvalue()
    assert r"red\x1b[31m\nbox 0" in terminal.getvalue()


def test_a_terminal_gets_tokens_in_lines_with_colours(call, terminal):
    from rich.text import Text

    assert call("tagged.jsonl", "--row", "1")[0] == 0
    sent = terminal.getvalue()
    assert "\x1b[2m[CLS]\x1b[0m" in sent  # ignored: dimmed
    assert "\x1b[1;32mparcel\x1b[0m" in sent  # an entity: in its type's colour
    plain = Text.from_ansi(sent).plain
    assert "[CLS] red₀ parcel₁/B-thing late₂ blue₃/B-thing box₄/I money₅ [SEP]" in plain
    assert all(len(line) <= 100 for line in plain.splitlines())


def test_an_answer_is_set_off_in_a_terminal(call, terminal):
    assert call("questions.jsonl", "--row", "1")[0] == 0
    assert "\x1b[1;30;42mblue\x1b[0m" in terminal.getvalue()


def test_json_is_an_object_a_row_and_nothing_else(call):
    code, out, _ = call("tagged.jsonl", "--row", "2", "--row", "1", "--json")
    assert code == 0
    second, first = map(json.loads, out.splitlines())
    assert (second["number"], first["number"]) == (2, 1)
    assert [token["label"] for token in first["windows"][0]["tokens"]] == [None, *TAGGED[0]["tags"], None]
    assert [token["ignored"] for token in first["windows"][0]["tokens"]] == [True, *[False] * 6, True]
    assert first["label"][0] == {"start": 4, "end": 10, "type": "thing", "text": "parcel"}


@pytest.mark.parametrize(("flags", "numbers"), [
    ((), [2, 3, 4]), (("--rows", "5"), [2, 3, 4, 5, 6]), (("--row", "9", "--row", "4"), [9, 4]), (("--rows", "0"), []),
])  # fmt: skip
def test_rows_are_chosen(call, flags, numbers):
    assert [json.loads(line)["number"] for line in call("inbox.csv", *flags, "--json")[1].splitlines()] == numbers


def test_the_summary_has_a_column_for_each_split(call):
    _, out, _ = call("inbox.csv", "--rows", "0", whole=False)
    head = out.index("summary")
    lines = out[head:].splitlines()
    assert lines[1].split() == ["train", "validation", "test"]
    assert lines[2].split() == ["rows", "38", "5", "5"]
    assert "labels of train: " in out


def test_flags_are_those_of_train(call, home):
    write(home / "wide.jsonl", [{"a": "red", "b": "blue", "c": "x|y"[place * 2 :]} for place in range(2)])
    flags = [
        "--text",
        "b",
        "--text",
        "a",
        "--label",
        "c",
        "--label-delimiter",
        "|",
        "--strategy",
        "lora",
        "strategy.r=2",
    ]
    first, _ = map(json.loads, call("wide.jsonl", *flags, "--json")[1].splitlines())
    assert (first["texts"], first["label"]) == ({"b": "blue", "a": "red"}, ["x", "y"])
    assert ", lora; " in call("wide.jsonl", *flags)[1]


MISTAKES = {
    "no such row": (["inbox.csv", "--row", "400"], "inbox.csv, row 400: there is no such row to feed"),
    "no file": (["inbx.csv"], "did you mean 'inbox.csv'?"),
    "both": (["inbox.csv", "--row", "3", "--rows", "2"], "both --rows and --row are given"),
    "column": (["inbox.csv", "--label", "topc"], "did you mean 'topic'?"),
    "setting": (["inbox.csv", "data.max_lenght=4"], "did you mean 'max_length'?"),
    "length": (["inbox.csv", "data.max_length=400"], "data.max_length: 400 tokens"),
    "task": (["inbox.csv", "--task", "question_answering"], "no columns of questions, contexts and answers"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_remedy(call, name):
    arguments, told = MISTAKES[name]
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_nothing_is_written(call, home):
    before = sorted(home.rglob("*"))
    assert call("inbox.csv", "out=elsewhere", whole=False)[0] == 0
    assert sorted(home.rglob("*")) == before
