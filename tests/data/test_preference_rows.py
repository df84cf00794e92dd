"""Preferences: every shape becomes a prompt, a chosen and a rejected answer; transcripts come back letter by letter."""

from __future__ import annotations

import json

import pytest

from tunewright.data import preference_rows, sources
from tunewright.data.preference_rows import DIALOGUES, NO_USER, PROMPTED, SAME, Pair
from tunewright.data.row import Dialogue
from tunewright.data.table import Table
from tunewright.errors import DataError

USER = {"role": "user", "content": "Where is my parcel?"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("On its way.", "No idea."))
SYSTEM = {"role": "system", "content": "Be kind."}
PAIR = Pair((GOOD,), (BAD,))
HUMAN = "\n\nHuman: Where is my parcel?"


def table_of(*rows: dict) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    filled = [{name: row.get(name) for name in columns} for row in rows]
    return Table("made.jsonl", columns, filled, list(range(1, len(rows) + 1)), "")


def read_one(labelled: bool = True, **cells):
    """The row of one pair, or the reason why it is unusable."""
    table = table_of(cells)
    return preference_rows.read(table, 0, preference_rows.roles(table, None, None), labelled)


# --- shapes -----------------------------------------------------------------------------------------------------------

TEXTS = {"chosen": "On its way.", "rejected": "No idea."}
SHAPES = {
    "prompt": {"prompt": USER["content"], **TEXTS},
    "question": {"question": USER["content"], **TEXTS},
    "written large": {"Prompt": USER["content"], "Chosen": "On its way.", "Rejected": "No idea."},
    "messages": {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    "messages and texts": {"prompt": [USER], **TEXTS},
    "one message": {"prompt": USER["content"], "chosen": GOOD, "rejected": BAD},
    "JSON in a cell": {"prompt": json.dumps([USER]), "chosen": json.dumps([GOOD]), "rejected": json.dumps([BAD])},
    "ShareGPT": {"prompt": [{"from": "human", "value": USER["content"]}],
                 "chosen": {"from": "gpt", "value": "On its way."}, "rejected": {"from": "gpt", "value": "No idea."}},
    "dialogues": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "dialogues as JSON": {"chosen": json.dumps([USER, GOOD]), "rejected": json.dumps([USER, BAD])},
    "dialogues beside their prompt": {"prompt": USER["content"], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "transcripts": {"chosen": f"{HUMAN}\n\nAssistant: On its way.", "rejected": f"{HUMAN}\n\nAssistant: No idea."},
    "transcripts without blank lines before": {"chosen": "Human: Where is my parcel?\n\nAssistant: On its way.",
                                               "rejected": "Human: Where is my parcel?\n\nAssistant: No idea."},
    "a transcript as prompt": {"prompt": f"{HUMAN}\n\nAssistant:", **TEXTS},
    "fields that parquet leaves empty": {"chosen": [{**USER, "name": None}, {**GOOD, "tool_calls": None}],
                                         "rejected": [{**USER, "name": None}, {**BAD, "tool_calls": None}]},
    "renamed": {"question": USER["content"], "answer_matching_behavior": "On its way.",
                "answer_not_matching_behavior": "No idea.", "statement": "x", "label_confidence": 0.9},
}  # fmt: skip


@pytest.mark.parametrize("cells", SHAPES.values(), ids=SHAPES)
def test_every_shape_is_the_same_pair_and_without_labels_the_same_prompt(cells):
    row = read_one(**cells)
    assert (row.dialogue, row.label, row.text, row.group) == (Dialogue((USER,)), PAIR, (USER["content"],), None)
    row = read_one(labelled=False, **cells)
    assert (row.dialogue, row.label, row.text) == (Dialogue((USER,)), None, (USER["content"],))


@pytest.mark.parametrize("names", [("chosen", "rejected"), ("output", "rejected")])
def test_an_instruction_has_its_input_below_it(names):
    answers = dict(zip(names, ("On its way.", "No idea."), strict=True))
    row = read_one(instruction="Answer.", input="Where is my parcel?", **answers)
    assert row.label == PAIR
    assert row.dialogue.messages[0]["content"] == "Answer.\n\nWhere is my parcel?" == row.text[0]
    assert row.dialogue.messages[0]["input"] == "Where is my parcel?"  # templates may set it apart
    assert read_one(instruction="Answer.", input=None, **answers).text == ("Answer.",)


@pytest.mark.parametrize("cells", [SHAPES["prompt"], SHAPES["dialogues"], SHAPES["transcripts"]])
@pytest.mark.parametrize("name", ["system", "system_prompt"])
def test_a_system_column_comes_first(name, cells):
    assert read_one(**cells, **{name: "Be kind."}).dialogue.messages == (SYSTEM, USER)
    assert read_one(**cells, **{name: ""}).dialogue.messages == (USER,)


def test_a_dialogues_own_system_turn_is_kept():
    row = read_one(chosen=[SYSTEM, USER, GOOD], rejected=[SYSTEM, USER, BAD], system="Be terse.")
    assert row.dialogue.messages == (SYSTEM, USER)


def test_the_common_prompt_of_dialogues_is_all_turns_before_they_part():
    before = [USER, GOOD, {"role": "user", "content": "When?"}]
    row = read_one(chosen=[*before, GOOD], rejected=[*before, BAD])
    assert (row.dialogue.messages, row.label, row.text) == (tuple(before), PAIR, ("When?",))


def test_answers_may_have_several_turns_and_calls_of_tools():
    call = {"role": "assistant", "tool_calls": [{"name": "find", "arguments": {"number": 7}}]}
    found = {"role": "tool", "content": "in Ulm"}
    tools = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
    row = read_one(chosen=[USER, call, found, GOOD], rejected=[USER, BAD], tools=json.dumps(tools))
    assert row.dialogue == Dialogue((USER,), tuple(tools))
    assert [message["role"] for message in row.label.chosen] == ["assistant", "tool", "assistant"]
    assert row.label.rejected == (BAD,)


def test_of_a_dialogue_that_goes_on_where_the_other_ends_the_last_common_turn_is_the_answer():
    row = read_one(chosen=[USER, GOOD, BAD], rejected=[USER, GOOD])
    assert (row.dialogue.messages, row.label) == ((USER,), Pair((GOOD, BAD), (GOOD,)))


def test_blanks_within_a_transcript_are_kept_and_words_that_look_like_speakers_too():
    said = " Two  blanks. Human: not a turn \nHuman: nor this\n\nCon: nor this "
    row = read_one(chosen=f"{HUMAN}\n\nAssistant: {said}", rejected=f"{HUMAN}\n\nAssistant: No idea.")
    assert row.label.chosen == ({"role": "assistant", "content": said},)


# --- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [{"text": "a", "label": "b"}, {"chosen": "a", "rejected": "b"}, {"prompt": "a", "chosen": "b"},
     {"instruction": "a", "output": "b"}, {"chosen": [GOOD], "rejected": [BAD]}],
)  # fmt: skip
def test_other_tables_are_none_of_these(cells):
    assert preference_rows.find(table_of(cells)) is None
    with pytest.raises(DataError, match=r"data\.text=\[prompt\] data\.label=\[chosen,rejected\]"):
        preference_rows.roles(table_of(cells), None, None)


def test_what_was_detected_is_said():
    prompts = preference_rows.find(table_of({**SHAPES["prompt"], "system": "Be kind."}))
    assert (prompts.text, prompts.label, prompts.form) == (("prompt",), ("chosen", "rejected"), PROMPTED)
    assert prompts.notes == ("prompt: prompt; chosen: chosen; rejected: rejected; system: system",)
    whole = preference_rows.find(table_of(SHAPES["dialogues beside their prompt"]))
    assert (whole.text, whole.label, whole.form) == (("chosen",), ("chosen", "rejected"), DIALOGUES)
    assert whole.notes[0].endswith("; whole dialogues; what they have in common is the prompt")


def test_columns_may_be_named():
    table = table_of({"ask": USER["content"], "good": "On its way.", "bad": "No idea."})
    roles = preference_rows.roles(table, ["ask"], ["good", "bad"])
    assert preference_rows.read(table, 0, roles, True).label == PAIR
    whole = table_of({"good": [USER, GOOD], "bad": [USER, BAD]})
    assert preference_rows.read(whole, 0, preference_rows.roles(whole, None, ["good", "bad"]), True).label == PAIR


def test_a_column_that_is_missing_or_one_answer_alone_is_refused():
    table = table_of(SHAPES["prompt"])
    with pytest.raises(DataError, match=r"no column 'promt'.*did you mean 'prompt'"):
        preference_rows.roles(table, ["promt"], None)
    with pytest.raises(DataError, match=r"data\.label.*name both columns"):
        preference_rows.roles(table, None, ["chosen"])


def test_another_file_may_have_other_names_or_another_shape():
    roles = preference_rows.roles(table_of(SHAPES["prompt"]), None, None)
    assert preference_rows.match(table_of(SHAPES["prompt"]), roles, True) == preference_rows.Roles(
        ("prompt",), ("chosen", "rejected"), form=PROMPTED)  # fmt: skip
    for cells in (SHAPES["renamed"], SHAPES["transcripts"]):
        other = table_of(cells)
        own = preference_rows.match(other, roles, True)
        assert own.notes[0].startswith("made.jsonl: ")
        assert preference_rows.read(other, 0, own, True).label == PAIR


def test_without_labels_a_file_of_prompts_is_enough():
    roles = preference_rows.roles(table_of(SHAPES["dialogues"]), None, None)
    prompts = table_of({"question": USER["content"]})
    row = preference_rows.read(prompts, 0, preference_rows.match(prompts, roles, False), False)
    assert (row.dialogue, row.label) == (Dialogue((USER,)), None)
    with pytest.raises(DataError, match="there is no column 'chosen'"):
        preference_rows.match(prompts, roles, True)


# --- unusable rows ----------------------------------------------------------------------------------------------------

BOTH = f"{SAME} (columns 'chosen', 'rejected')"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, BOTH),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, BOTH),
        ({"prompt": " ", "chosen": "b", "rejected": "c"}, "column 'prompt' is empty"),
        ({"prompt": "a", "chosen": None, "rejected": "c"}, "column 'chosen' is empty"),
        ({"prompt": "a", "chosen": "b", "rejected": "\n"}, "column 'rejected' is empty"),
        ({"prompt": [USER], "chosen": [GOOD], "rejected": [{**BAD, "content": " "}]},
         "the answer in column 'rejected' is empty"),
        ({"chosen": f"{HUMAN}\n\nAssistant: ", "rejected": f"{HUMAN}\n\nAssistant: No."},
         "the answer in column 'chosen' is empty"),
        ({"chosen": [SYSTEM, GOOD], "rejected": [SYSTEM, BAD]}, f"{NO_USER} (column 'chosen')"),
        ({"prompt": [SYSTEM], "chosen": [GOOD], "rejected": [BAD]}, f"{NO_USER} (column 'prompt')"),
        ({"chosen": [{**USER, "content": ""}, GOOD], "rejected": [{**USER, "content": ""}, BAD]},
         f"{NO_USER} (column 'chosen')"),
    ],
)  # fmt: skip
def test_rows_without_a_preference_are_unusable_with_the_reason(cells, reason):
    assert read_one(**cells) == reason


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ({"chosen": [USER, GOOD], "rejected": [{**USER, "content": "Hello?"}, BAD]}, "part at turn 1, before the last"),
        ({"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, BAD, USER, GOOD]}, "part at turn 2, before the last"),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD, USER, BAD]}, "part at turn 2, before the last"),
        ({"chosen": [USER, GOOD], "rejected": [USER, BAD, USER]}, "'rejected' ends with a turn of the user"),
        ({"chosen": f"{HUMAN}\n\nAssistant: b\n\nHuman: c", "rejected": f"{HUMAN}\n\nAssistant: d"},
         "'chosen' ends with a turn of the user"),
        ({"prompt": [USER], "chosen": [GOOD], "rejected": [USER, BAD]}, "'rejected' holds a turn of the user"),
        ({"chosen": f"{HUMAN}\n\nAssistant: b", "rejected": "just a text"}, "'rejected': 'just a text' is no dialogue"),
        ({"chosen": f"{HUMAN}\n\nAssistant: b", "rejected": "\n\nAssistant: b"}, "is no dialogue"),
        ({"chosen": [USER, GOOD], "rejected": [USER, {"role": "judge", "content": "x"}]}, "unknown role 'judge'"),
        ({"chosen": [USER, GOOD], "rejected": [USER, {"role": "assistant", "content": 3}]}, "3 is no text"),
        ({"prompt": "a", "chosen": b"b", "rejected": "c"}, "'chosen' holds b'b'"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_an_error_that_names_row_and_remedy(cells, what):
    with pytest.raises(DataError) as raised:
        read_one(**cells)
    assert str(raised.value).startswith("made.jsonl, row 1")
    assert what in str(raised.value)
    assert raised.value.fix


# --- real data --------------------------------------------------------------------------------------------------------


def transcript(messages) -> str:
    names = {"user": "Human", "assistant": "Assistant"}
    return "".join(f"\n\n{names[message['role']]}: {message['content']}" for message in messages)


@pytest.mark.real_data
def test_all_of_hh_rlhf_comes_back_letter_by_letter(real_data):
    table = sources.read(str(real_data / "hh_rlhf_harmless_test" / "test.jsonl.gz"))
    roles = preference_rows.roles(table, None, None)
    assert roles.form == DIALOGUES
    rows = [preference_rows.read(table, index, roles, True) for index in range(len(table.rows))]
    unusable = [row for row in rows if isinstance(row, str)]
    assert (len(rows), unusable) == (2312, ["the answer in column 'chosen' is empty"] * 4)
    for row, cells in zip(rows, table.rows, strict=True):
        if not isinstance(row, str):
            for name in ("chosen", "rejected"):
                assert transcript(row.dialogue.messages + getattr(row.label, name)) == cells[name]
            assert row.dialogue.messages[-1]["role"] == "user"


@pytest.mark.real_data
def test_every_row_of_anthropics_personas_is_usable(real_data):
    table = sources.read(str(real_data / "anthropic_persona" / "openness.jsonl"))
    roles = preference_rows.roles(table, None, None)
    assert (roles.text, roles.form) == (("question",), PROMPTED)
    rows = [preference_rows.read(table, index, roles, True) for index in range(len(table.rows))]
    assert len(rows) == 1000
    for row, cells in zip(rows, table.rows, strict=True):
        assert row.dialogue.messages == ({"role": "user", "content": cells["question"]},)
        assert row.label.chosen[0]["content"] == cells["answer_matching_behavior"]
        assert row.label.rejected[0]["content"] == cells["answer_not_matching_behavior"]
