"""Rows of language models: every form that people write becomes the same messages, or an error that names the turn."""

from __future__ import annotations

import json

import pytest

from tunewright.data import dialogues, sources
from tunewright.data.row import Row
from tunewright.data.table import Table
from tunewright.errors import DataError

HI, HELLO = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
CALL = {"type": "function", "function": {"name": "find_order", "arguments": {"number": 7}}}
TOOLS = [{"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}}}]


def table_of(*rows: dict) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    filled = [{name: row.get(name) for name in columns} for row in rows]
    return Table("made.jsonl", columns, filled, list(range(1, len(rows) + 1)), "")


def read_one(row: dict, shape: str | None = None, labelled: bool = True, known: tuple = ()) -> Row | str:
    """The row of one record; its shape by its columns where none is asked for."""
    table = table_of(row)
    shape = shape or dialogues.find(table)
    assert shape
    return dialogues.read(table, 0, dialogues.roles(table, shape, None, None), shape, labelled, known)


def roles_and_contents(row: Row | str) -> list[tuple[str, str]]:
    assert isinstance(row, Row), row
    assert row.dialogue
    return [(message["role"], message["content"]) for message in row.dialogue.messages]


# --- columns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"messages": [HI, HELLO], "tools": TOOLS}, "messages"),
        ({"Messages": json.dumps([HI, HELLO]), "id": 1}, "messages"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}, "sharegpt"),
        ({"conversation": [HI, HELLO]}, "sharegpt"),
        ({"instruction": "Add", "input": "1 + 1", "output": "2"}, "instruction"),
        ({"instruction": "Add", "context": "", "response": "2", "category": "sums"}, "instruction"),
        ({"instruction": "Add", "answer": "2"}, "instruction"),
        ({"question": "1 + 1?", "answer": "2"}, "instruction"),
        ({"prompt": "1 + 1 =", "completion": " 2"}, "completion"),
        ({"prompt": "1 + 1 =", "response": " 2"}, "completion"),
        ({"text": "Once upon a time."}, "text"),
        ({"content": "Once upon a time.", "path": ["a"]}, "text"),
        ({"text": "late", "label": "delay"}, None),  # a label: classification
        ({"question": "Who?", "context": "Ann left.", "answer": "Ann"}, None),  # extractive question answering
        ({"question": "Who?", "answer": "Ann", "label": 0}, None),  # judged answers: half of them are wrong
        ({"prompt": "Hi", "completion": "Go away", "label": False}, None),
        ({"prompt": "Hi", "chosen": "Hello", "rejected": "Go away"}, None),
        ({"messages": "where is my parcel?", "topic": "delay"}, None),  # a message is no list of messages
        ({"article": "long", "summary": "short"}, None),  # asked for, never detected
    ],
)
def test_the_columns_tell_the_shape(row, shape):
    assert dialogues.find(table_of(row, row)) == shape


def test_what_was_detected_is_said():
    found = dialogues.roles(table_of({"instruction": "a", "input": "", "output": "b"}), "instruction", None, None)
    assert (found.text, found.label, found.form) == (("instruction", "input"), ("output",), "instruction")
    assert found.notes == ("rows: instruction (instruction, input -> output)",)


def test_named_columns_win():
    table = table_of({"instruction": "a", "output": "b", "task": "c", "better": "d"})
    found = dialogues.roles(table, "instruction", ["task"], ["better"])
    row = dialogues.read(table, 0, found, "instruction", True)
    assert roles_and_contents(row) == [("user", "c"), ("assistant", "d")]


@pytest.mark.parametrize(
    ("shape", "text", "label", "said"),
    [
        ("completion", ["promt"], None, "did you mean 'prompt'"),
        ("completion", ["prompt", "answer"], None, "read from 1"),
        ("completion", None, ["answer", "prompt"], "one column"),
        ("text", None, ["answer"], "hold their answers themselves"),
        ("summarisation", None, None, "no columns of summarisation rows; there are 'prompt', 'answer'"),
    ],
)
def test_columns_that_do_not_fit_are_refused_by_name(shape, text, label, said):
    with pytest.raises(DataError, match=said):
        dialogues.roles(table_of({"prompt": "a", "answer": "b"}), shape, text, label)


@pytest.mark.parametrize("answer", ["response", "output"])
def test_another_file_may_name_its_columns_otherwise(answer):
    training = dialogues.roles(table_of({"instruction": "a", "input": "", "output": "b"}), "instruction", None, None)
    other = table_of({"instruction": "a", "context": "x", answer: "b"})
    found = dialogues.match(other, training, "instruction", True)
    assert (found.text, found.label) == (("instruction", "context"), (answer,))
    assert found.notes == (f"made.jsonl: rows: instruction (instruction, context -> {answer})",)


def test_prompts_alone_can_be_predicted_but_not_scored():
    training = dialogues.roles(table_of({"instruction": "a", "input": "", "output": "b"}), "instruction", None, None)
    prompts = table_of({"instruction": "a"})
    row = dialogues.read(prompts, 0, dialogues.match(prompts, training, "instruction", False), "instruction", False)
    assert roles_and_contents(row) == [("user", "a")]
    with pytest.raises(DataError, match="no column 'output'"):
        dialogues.match(prompts, training, "instruction", True)


# --- forms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [HI, HELLO]},
        {"messages": json.dumps([HI, HELLO])},  # a cell of a csv file
        {"messages": [{**HI, "name": None}, {**HELLO, "tool_calls": None}]},  # parquet fills what others have
        {"messages": [{**HI, "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}, HELLO]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"prompt": "Hi", "completion": "Hello"},
    ],
)  # fmt: skip
def test_every_form_of_a_dialogue_is_the_same_messages(row):
    found = read_one(row)
    assert isinstance(found, Row)
    assert found.dialogue.messages == (HI, HELLO)
    assert (found.text, found.label) == (("Hi",), "Hello")


def test_tool_turns_are_kept():
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", **CALL}]}
    answer = {"role": "tool", "content": "sent", "name": "find_order", "tool_call_id": "c1"}
    found = read_one({"messages": [HI, called, answer, HELLO], "tools": json.dumps(TOOLS)})
    assert found.dialogue.messages == (HI, {**called, "content": ""}, answer, HELLO)
    assert found.dialogue.tools == tuple(TOOLS)


def test_arguments_as_json_text_become_objects():
    """OpenAI's form; templates would write them as a text within a text."""
    text = {"function": {"name": "find_order", "arguments": '{"number": 7}'}}
    found = read_one({"messages": [HI, {"role": "assistant", "tool_calls": [text]}]})
    assert found.dialogue.messages[1]["tool_calls"] == [CALL]
    assert json.loads(found.label) == [CALL["function"]]


def test_sharegpt_calls_and_observations_are_tool_turns():
    turns = [
        {"from": "system", "value": "Be kind."}, {"from": "human", "value": "Hi"},
        {"from": "function_call", "value": '{"name": "find_order", "arguments": {"number": 7}}'},
        {"from": "observation", "value": "sent"}, {"from": "gpt", "value": "Hello"},
    ]  # fmt: skip
    found = read_one({"conversations": turns})
    assert [role for role, _ in roles_and_contents(found)] == ["system", "user", "assistant", "tool", "assistant"]
    assert found.dialogue.messages[2]["tool_calls"] == [CALL]


def test_an_instruction_and_its_input_stay_apart_for_templates_that_want_them_so():
    message = read_one({"instruction": "Add", "input": "1 + 1", "output": 2}).dialogue.messages[0]
    assert message == {"role": "user", "content": "Add\n\n1 + 1", "instruction": "Add", "input": "1 + 1"}


def test_a_plain_text_has_no_dialogue():
    found = read_one({"text": "Once upon a time."})
    assert (found.text, found.label, found.dialogue) == (("Once upon a time.",), None, None)


@pytest.mark.parametrize(
    ("row", "last"),
    [
        ({"messages": [HI, HELLO, HI, HELLO]}, ("user", "Hi")),
        ({"messages": [HI, HELLO, HI]}, ("user", "Hi")),
        ({"prompt": "Hi", "completion": "Hello"}, ("user", "Hi")),
    ],
)
def test_without_labels_the_dialogue_is_the_prompt(row, last):
    found = read_one(row, labelled=False)
    assert found.label is None
    assert roles_and_contents(found)[-1] == last


# --- wrapped tasks --------------------------------------------------------------------------------------------------


def test_a_classification_prompt_lists_the_labels():
    found = read_one({"text": "It is late.", "label": "delay"}, "classification", known=("damage", "delay"))
    (_, asked), answer = roles_and_contents(found)
    assert "damage, delay" in asked
    assert "It is late." in asked
    assert answer == ("assistant", "delay")


@pytest.mark.parametrize(("answers", "said"), [({"text": ["Ann"], "answer_start": [0]}, "Ann"), ({"text": []}, None)])
def test_a_question_is_answered_from_its_context_or_not_at_all(answers, said):
    found = read_one({"question": "Who left?", "context": "Ann left.", "answers": answers}, "question_answering")
    (_, asked), answer = roles_and_contents(found)
    assert "Who left?" in asked
    assert "Ann left." in asked
    assert answer == ("assistant", said or "unanswerable")
    assert "unanswerable" in asked
    assert found.group == "Ann left."  # questions on one text are never parted by a split


def test_a_summary_is_asked_for():
    found = read_one({"source": ["One.", "Two."], "target": ["Both.", "All."]}, "summarisation")
    (_, asked), answer = roles_and_contents(found)
    assert "One. Two." in asked
    assert answer == ("assistant", "Both.")
    assert found.mended == (dialogues.SEVERAL,)


# --- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": []}, "there are no turns (column 'messages')"),
        ({"messages": [{**HI, "content": " "}, HELLO]}, "the prompt is empty (column 'messages')"),
        ({"messages": [HELLO]}, "the prompt is empty (column 'messages')"),
        ({"messages": [HI, {**HELLO, "content": ""}]}, "there is no answer (column 'messages')"),
        ({"instruction": "", "input": "1 + 1", "output": "2"}, "the prompt is empty (column 'instruction')"),
        ({"prompt": "a", "completion": None}, "there is no answer (column 'completion')"),
    ],
)
def test_a_row_that_teaches_nothing_says_why(row, reason):
    shape = next(shape for name, shape in {"messages": "messages", "instruction": "instruction",
                                           "prompt": "completion"}.items() if name in row)  # fmt: skip
    assert read_one(row, shape) == reason


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ([HI, {"content": "Hello"}], "row 1, column 'messages', turn 2: the turn has no role"),
        ([HI, {"role": "asistant", "content": "Hello"}], "turn 2: unknown role 'asistant' .did you mean 'assistant'"),
        ([{"from": "robot", "value": "Hi"}, HELLO], "turn 1: unknown role 'robot'"),
        ([HI, {"role": "assistant"}], "turn 2: the turn has no content"),
        ([{"role": "user", "content": [{"type": "image"}]}, HELLO], "is no text"),
        ([{"role": "user", "content": {"text": "Hi"}}, HELLO], "is no text"),
        ([HI, "Hello"], "turn 2: 'Hello' is no turn"),
        ([HI], "the last turn is of the user: nothing answers it"),
        (
            [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, HI, HELLO],
            "turn 2: a second system",
        ),
        ([HI, {"role": "system", "content": "a"}, HELLO], "turn 2: a system turn after others"),
        ([HI, {"role": "assistant", "tool_calls": [{"id": 1}]}], "turn 2: .* is no call of a function"),
        ({"role": "user"}, "is no list of turns"),
        ("[{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_a_wrong_form_is_an_error_that_names_the_turn(turns, said):
    with pytest.raises(DataError, match=said):
        read_one({"messages": turns}, "messages")


def test_tools_that_are_no_schemas_are_an_error():
    with pytest.raises(DataError, match=r"column 'tools': .* is no list of JSON schemas"):
        read_one({"messages": [HI, HELLO], "tools": "{}"})


# --- asking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "shape", "messages"),
    [
        ("Hi", "messages", [("user", "Hi")]),
        ([HI, HELLO, HI], "messages", [("user", "Hi"), ("assistant", "Hello"), ("user", "Hi")]),
        (("Add", "1 + 1"), "instruction", [("user", "Add\n\n1 + 1")]),
    ],
)
def test_what_a_person_types_becomes_a_prompt(given, shape, messages):
    row = dialogues.ask(1, given, shape)
    assert roles_and_contents(row) == messages
    assert row.label is None


@pytest.mark.parametrize(
    ("row", "shape", "given", "known"),
    [
        ({"instruction": "Add", "input": "1", "output": "2"}, "instruction", ("Add", "1"), ()),
        ({"instruction": "Add", "input": "", "output": "2"}, "instruction", "Add", ()),
        ({"prompt": "Add", "completion": "2"}, "completion", "Add", ()),
        ({"text": "late", "label": "a"}, "classification", "late", ("a", "b")),
        ({"question": "Who?", "context": "Ann.", "answer": "Ann"}, "question_answering", ("Who?", "Ann."), ()),
        ({"text": "long", "summary": "short"}, "summarisation", "long", ()),
    ],
)
def test_a_typed_prompt_is_the_prompt_of_such_a_row(row, shape, given, known):
    read = read_one(row, shape, labelled=False, known=known)
    assert dialogues.ask(1, given, shape, known).dialogue == read.dialogue


@pytest.mark.parametrize(
    ("given", "shape", "said"),
    [
        ("Who?", "question_answering", "asks for a question and its context"),
        (("a", "b"), "completion", "asks for one text"),
        (7, "messages", "is no prompt"),
        ([], "messages", "is no prompt"),
        (" ", "messages", "the prompt is empty"),
        ([HI, HELLO], "messages", "asks for no answer"),
    ],
)
def test_what_is_no_prompt_is_refused(given, shape, said):
    with pytest.raises(DataError, match=said):
        dialogues.ask(1, given, shape)


# --- real data ------------------------------------------------------------------------------------------------------


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "shape", "asked"),
    [
        ("dolly_3k/dolly_3k.json", "instruction", None),
        ("gsm8k/test.jsonl", "instruction", None),
        ("llms_from_scratch/instruction-data.json", "instruction", None),
        ("scitldr/dev.jsonl", None, "summarisation"),
    ],
)
def test_every_row_of_public_data_can_be_read(real_data, name, shape, asked):
    table = sources.read(str(real_data / name))
    assert dialogues.find(table) == shape
    shape = asked or shape
    roles = dialogues.roles(table, shape, None, None)
    rows = [dialogues.read(table, index, roles, shape, True) for index in range(len(table.rows))]
    assert all(isinstance(row, Row) and row.label and row.dialogue for row in rows)
