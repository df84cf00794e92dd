"""Malformed data of tasks that write answers: exit 2, file, row, column, remedy; no traceback, no weights loaded."""

from __future__ import annotations

import json
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


def case(form: str, last: dict | None, place: str, *says: str, flags=(), beside=(), blames: str = "", rows=None) -> Case:
    """20 good rows of a form, and row 21 as given."""
    content = lines(*(GOOD[form] if rows is None else rows), *([] if last is None else [last]))
    flags = ("--task", TASK[form], *flags)
    return Case(f"{form}.jsonl", content, place, says, flags, dict(beside), blames)


HH = "\n\nHuman: red box?\n\nAssistant: late parcel"
COLUMN = ", row 21, column 'messages'"
ROWS = {
    "messages_broken_json": case("chat", {"messages": '[{"role": "user"'}, COLUMN, "is no JSON", "as JSON"),
    "messages_a_number": case("chat", {"messages": 7}, COLUMN, "7 is no list of turns", "write"),
    "turn_no_object": case("chat", {"messages": ["hello"]}, f"{COLUMN}, turn 1", "'hello' is no turn", "write"),
    "unknown_role": case(
        "chat", {"messages": [{**ASK, "role": "asistant"}, SAY]}, f"{COLUMN}, turn 1",
        "unknown role 'asistant' .*did you mean 'assistant'", "write user, assistant",
    ),
    "no_role": case("chat", {"messages": [{"content": "a"}, SAY]}, f"{COLUMN}, turn 1", "no role", '"role": "user"'),
    "content_an_image": case(
        "chat", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAY]}, f"{COLUMN}, turn 1",
        "is no text", "images and sounds are not read",
    ),
    "two_systems": case(
        "chat", {"messages": [{**ASK, "role": "system"}, {**ASK, "role": "system"}, ASK, SAY]}, f"{COLUMN}, turn 2",
        "a second system turn", "it comes first",
    ),
    "no_answer": case("chat", {"messages": [ASK]}, COLUMN, "the last turn is of the user", "end each dialogue"),
    "no_turns": case("chat", {"messages": []}, ", row 21", "column 'messages'.* no turns", "on_bad_row=drop"),
    "null_messages": case("chat", {"messages": None}, ", row 21", "column 'messages'.* no turns", "on_bad_row=drop"),
    "empty_answer": case(
        "chat", {"messages": [ASK, {**SAY, "content": " "}]}, ", row 21", "column 'messages'.* no answer", "drop"
    ),
    "empty_question": case(
        "chat", {"messages": [{**ASK, "content": ""}, SAY]}, ", row 21", "column 'messages'.*prompt is empty", "drop"
    ),
    "broken_tools": case(
        "chat", {**DIALOGUE, "tools": "[{"}, ", row 21, column 'tools'", "is no JSON", "as JSON"
    ),
    "null_instruction": case(
        "told", {"instruction": None, "output": "a"}, ", row 21", "column 'instruction'.*prompt is empty", "drop"
    ),
    "null_output": case(
        "told", {"instruction": "a", "output": None}, ", row 21", "column 'output'.*no answer", "on_bad_row=drop"
    ),
    "output_an_object": case(
        "told", {"instruction": "a", "output": {"x": 1}}, ", row 21", "column 'output' holds .*dict", "write a text"
    ),
    "chosen_is_rejected": case(
        "pairs", {"prompt": "a", "chosen": "b", "rejected": "b"}, ", row 21", "'chosen' and 'rejected'.* the same", "drop"
    ),
    "empty_prompt": case(
        "pairs", {"prompt": "  ", "chosen": "b", "rejected": "c"}, ", row 21", "column 'prompt' is empty", "drop"
    ),
    "null_rejected": case(
        "pairs", {"prompt": "a", "chosen": "b", "rejected": None}, ", row 21", "column 'rejected' is empty", "drop"
    ),
    "chosen_an_object": case(
        "pairs", {"prompt": "a", "chosen": {"x": 1}, "rejected": "b"}, ", row 21", "column 'chosen'", "write"
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
    "seq2seq_columns": case("sums", None, "", "not clear from 'note', 'x'", "data.label", rows=OTHER),
    "no_such_answer_column": case("told", None, "", "no column 'outptu'.*did you mean 'output'", "data.label",
                                  flags=("--label", "outptu")),
    "one_answer_column": case("pairs", None, "data.label", "a chosen and a rejected", "name both",
                              flags=("--label", "chosen"), blames="-"),
    "test_has_no_answers": case("told", None, "", "no column 'output'", "", flags=("--test", "{folder}/later.jsonl"),
                                beside={"later.jsonl": lines({"instruction": "a"})}.items(), blames="later.jsonl"),
}  # fmt: skip
SETTINGS = {
    "schema_missing": case("told", None, "task.json_schema: {folder}/none.json", "No such file", "JSON schema file",
                           flags=("task.json_schema={folder}/none.json",), blames="-"),
    "schema_no_json": case("told", None, "task.json_schema: {folder}/s.json", "cannot be read", "JSON schema file",
                           flags=("task.json_schema={folder}/s.json",), beside={"s.json": "{"}.items(), blames="-"),
    "schema_a_list": case("told", None, "task.json_schema: {folder}/s.json", "is no JSON schema", "JSON schema file",
                          flags=("task.json_schema={folder}/s.json",), beside={"s.json": "[1]"}.items(), blames="-"),
    "schema_invalid": case("told", None, "task.json_schema", "is no JSON schema: 'objekt'", "correct it",
                           flags=("task.json_schema={folder}/s.json",), beside={"s.json": '{"type": "objekt"}'}.items(),
                           blames="-"),
    "pattern_broken": case("told", None, "task.pattern", "is no regular expression", "write it",
                           flags=("task.pattern=[a",), blames="-"),
    "score_without_schema": case("told", None, "task.scores", "needs a schema", "task.json_schema",
                                 flags=("task.scores=[json_schema]",), blames="-"),
}  # fmt: skip
