"""Malformed data of tasks that write answers: exit 2, file, row, column, remedy; no traceback, no weights loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import make_model
from tests.language_models import make_language_model
from tests.test_malformed_inputs import Case, command, lines
from tunewright import cli, models

ASK, SAY = {"role": "user", "content": "red box?"}, {"role": "assistant", "content": "late parcel"}
DIALOGUE = {"messages": [ASK, SAY]}
TASK = {"chat": "causal_lm", "told": "causal_lm", "pairs": "preference", "sums": "seq2seq"}
GOOD = {
    "chat": [{"messages": [{**ASK, "content": f"red box {n}?"}, SAY]} for n in range(20)],
    "told": [{"instruction": f"red box {n}?", "output": "late parcel"} for n in range(20)],
    "pairs": [{"prompt": f"red box {n}?", "chosen": "late parcel", "rejected": "no"} for n in range(20)],
    "sums": [{"document": f"red box {n}", "summary": "late parcel"} for n in range(20)],
}


def case(
    form: str, last: dict | None, place: str, *says: str, flags=(), beside=(), blames: str = "", rows=None
) -> Case:
    """20 good rows of a form, and row 21 as given."""
    content = lines(*(GOOD[form] if rows is None else rows), *([] if last is None else [last]))
    flags = ("--task", TASK[form], *flags)
    return Case(f"{form}.jsonl", content, place, says, flags, dict(beside), blames)


HH = "\n\nHuman: red box?\n\nAssistant: late parcel"
COLUMN = ", row 21, column 'messages'"
ROWS = {
    "messages_broken_json": case("chat", {"messages": '[{"role": "user"'}, COLUMN, "is no JSON", "as JSON"),
    "unknown_role": case(
        "chat", {"messages": [{**ASK, "role": "asistant"}, SAY]}, f"{COLUMN}, turn 1",
        "unknown role 'asistant' .*did you mean 'assistant'", "write user, assistant",
    ),
    "content_an_image": case(
        "chat", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAY]}, f"{COLUMN}, turn 1",
        "is no text", "images and sounds are not read",
    ),
    "no_answer": case("chat", {"messages": [ASK]}, COLUMN, "the last turn is of the user", "end each dialogue"),
    "no_turns": case("chat", {"messages": []}, ", row 21", r"no turns \(column 'messages'\)", "on_bad_row=drop"),
    "empty_answer": case(
        "chat", {"messages": [ASK, {**SAY, "content": " "}]}, ", row 21", r"no answer \(column 'messages'\)", "drop"
    ),
    "broken_tools": case(
        "chat", {**DIALOGUE, "tools": "[{"}, ", row 21, column 'tools'", "is no JSON", "as JSON"
    ),
    "null_output": case(
        "told", {"instruction": "a", "output": None}, ", row 21", r"no answer \(column 'output'\)", "on_bad_row=drop"
    ),
    "output_an_object": case(
        "told", {"instruction": "a", "output": {"x": 1}}, ", row 21", "column 'output' holds .*dict", "write a text"
    ),
    "chosen_is_rejected": case(
        "pairs", {"prompt": "a", "chosen": "b", "rejected": "b"}, ", row 21",
        r"are the same \(columns 'chosen', 'rejected'\)", "drop",
    ),
    "empty_prompt": case(
        "pairs", {"prompt": "  ", "chosen": "b", "rejected": "c"}, ", row 21", "column 'prompt' is empty", "drop"
    ),
    "transcript_without_assistant": case(
        "pairs", {"chosen": "\n\nHuman: red box?", "rejected": HH}, ", row 21, column 'chosen'", "is no dialogue",
        "Assistant: ...", rows=[{"chosen": HH + str(n), "rejected": HH} for n in range(20)],
    ),
    "two_prompts": case(
        "pairs", {"chosen": HH, "rejected": HH.replace("red", "blue")}, ", row 21", "part at turn 1", "the same turns",
        rows=[{"chosen": HH + str(n), "rejected": HH} for n in range(20)],
    ),
    "null_summary": case("sums", {"document": "a", "summary": None}, ", row 21", "column 'summary' is empty", "drop"),
    "document_an_object": case(
        "sums", {"document": {"x": 1}, "summary": "a"}, ", row 21", "column 'document' holds", "write a text"
    ),
}  # fmt: skip
OTHER = [{"note": "red box", "x": 1}] * 20
COLUMNS = {
    "causal_columns": case("told", None, "", "the columns 'note', 'x' are no instructions", "task.shape", rows=OTHER),
    "preference_columns": case("pairs", None, "", "no columns of prompts and answers; there are 'note', 'x'",
                               "data.label", rows=OTHER),
    "no_such_answer_column": case("told", None, "", "no column 'outptu'.*did you mean 'output'", "data.label",
                                  flags=("--label", "outptu")),
    "one_answer_column": case("pairs", None, "data.label", "a chosen and a rejected", "name both",
                              flags=("--label", "chosen"), blames="-"),
    "test_has_no_answers": case("told", None, "", "no column 'output'", "", flags=("--test", "{folder}/later.jsonl"),
                                beside={"later.jsonl": lines({"instruction": "a"})}.items(), blames="later.jsonl"),
}  # fmt: skip
SETTINGS = {
    "schema_no_json": case("told", None, "task.json_schema: {folder}/s.json", "cannot be read", "JSON schema file",
                           flags=("task.json_schema={folder}/s.json",), beside={"s.json": "{"}.items(), blames="-"),
    "schema_a_list": case("told", None, "task.json_schema: {folder}/s.json", "is no JSON schema", "JSON schema file",
                          flags=("task.json_schema={folder}/s.json",), beside={"s.json": "[1]"}.items(), blames="-"),
    "schema_invalid": case("told", None, "task.json_schema, $.type", "is no JSON schema: 'objekt'", "correct it",
                           flags=("task.json_schema={folder}/s.json",), beside={"s.json": '{"type": "objekt"}'}.items(),
                           blames="-"),
    "score_without_schema": case("told", None, "task.scores", "needs a schema", "task.json_schema",
                                 flags=("task.scores=[json_schema]",), blames="-"),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def verbs():
    if not cli.app.registered_commands:
        cli.add_verbs()


def refuse(*arguments, **options):
    raise AssertionError("a model was asked for")


@pytest.fixture
def no_model(monkeypatch):
    """Whoever asks for a model before the data are understood gets an error that is a defect."""
    for name in ("locate", "load_model", "load_tokenizer"):
        monkeypatch.setattr(models, name, refuse)


def told(case: Case, folder: Path, said: str) -> bool:
    """Whether a message names the place (a file, or a setting where `blames` is "-"), the fault and the remedy."""
    place = case.place.format(folder=folder)
    where = place if case.blames == "-" else f"{folder / (case.blames or case.name)}{place}"
    return f"error: {where}: " in said and re.search(".*; .*".join(case.says), said, re.DOTALL) is not None


def ids(cases: dict[str, Case]) -> list:
    return [pytest.param(case, id=name) for name, case in cases.items()]


@pytest.mark.parametrize("case", ids({**ROWS, **COLUMNS, **SETTINGS}))
def test_a_malformed_input_is_told_before_any_model_is_asked_for(case, tmp_path, capsys, no_model):  # D10
    code = cli.run(command(case, tmp_path))
    said = capsys.readouterr().err
    assert code == 2, said
    assert "Traceback" not in said
    assert told(case, tmp_path, said), said
    assert not (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.parametrize("form", GOOD)
def test_the_same_rows_without_the_fault_come_as_far_as_the_model(form, tmp_path, capsys, no_model):
    assert cli.run([*command(case(form, None, ""), tmp_path), "--model", "some/model"]) == 1
    assert "a model was asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["messages_broken_json", "no_turns", "output_an_object", "chosen_is_rejected", "null_summary"]
)
def test_what_is_merely_empty_may_be_dropped_and_what_is_broken_may_not(name, tmp_path, capsys, no_model):
    case = ROWS[name]
    code = cli.run([*command(case, tmp_path), "data.on_bad_row=drop", "--model", "some/model"])
    said = capsys.readouterr().err
    assert (code, "a model was asked for" in said) == ((1, True) if "drop" in case.says[-1] else (2, False))


# --- what a model's folder tells, without its weights ---------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Tiny models: bert, llama, t5."""
    made = tmp_path_factory.mktemp("models")
    make_model(made / "bert")
    for kind in ("llama", "t5"):
        make_language_model(made / kind, kind)
    return made


LLAMA = ("--model", "{home}/llama")
BROKEN, RAISES = "{% for message in messages %}", "{{ raise_exception('no such thing as a user') }}"
PICKY = (
    "{% for message in messages %}{% if 'shout' in message.content %}{{ raise_exception('no shouting') }}{% endif %}"
    "{{ message.role }}: {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
FOLDERS = {
    "bert_for_causal_lm": case("told", None, "model: {home}/bert", "of type bert does not predict", "give a decoder",
                               flags=("--model", "{home}/bert"), blames="-"),
    "llama_for_seq2seq": case("sums", None, "model: {home}/llama", "llama has no encoder and decoder", "T5 or BART",
                              flags=LLAMA, blames="-"),
    "no_model_for_seq2seq": case("sums", None, "model", "no embedded model for seq2seq", "--model", blames="-"),
    "unknown_template": case("told", None, "task.template: chatmll", "did you mean 'chatml'", ".jinja file",
                             flags=(*LLAMA, "task.template=chatmll"), blames="-"),
    "template_broken": case("told", None, "task.template: {folder}/t.jinja", "line 1: .*endfor", "mend the template",
                            flags=(*LLAMA, "task.template={folder}/t.jinja"), beside={"t.jinja": BROKEN}.items(),
                            blames="-"),
    "template_refuses_all": case("told", None, "task.template", "no such thing as a user", "another template",
                                 flags=(*LLAMA, "task.template={folder}/t.jinja"), beside={"t.jinja": RAISES}.items(),
                                 blames="-"),
    "template_refuses_a_row": case("told", {"instruction": "shout", "output": "a"}, ", row 21", "no shouting",
                                   "another template", flags=(*LLAMA, "task.template={folder}/t.jinja"),
                                   beside={"t.jinja": PICKY}.items()),
    "answers_cut": case("told", None, "", "answers do not fit and would be cut", "task.max_truncated",
                        flags=(*LLAMA, "task.template=plain", "data.max_length=12")),
    "nothing_supervised": case("told", None, "", "0 of .* tokens .* are supervised", "raise data.max_length",
                               flags=(*LLAMA, "data.max_length=8")),
    "length_beyond_the_model": case("told", None, "data.max_length", "9999 tokens", "choose 4 to 256",
                                    flags=(*LLAMA, "data.max_length=9999"), blames="-"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_what_does_not_fit_the_model_is_told_before_its_weights_are_loaded(name, home, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(models, "load_model", refuse)
    case = FOLDERS[name]
    flags = tuple(flag.replace("{home}", str(home)) for flag in case.flags)
    case = case._replace(flags=flags, place=case.place.replace("{home}", str(home)))
    code = cli.run(command(case, tmp_path))
    said = capsys.readouterr().err
    assert code == 2, said
    assert "Traceback" not in said
    assert told(case, tmp_path, said), said
