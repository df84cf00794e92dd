"""Rows of prompts: only the user's last text changes, and what the answer depends on stays."""

from __future__ import annotations

import json

import pytest

from tests.desks import table_of
from tunewright.data.augment.base import Changed
from tunewright.data.augment.prompts import answer_in, filled
from tunewright.data.augment.slots import prompt, slots_of
from tunewright.errors import DataError
from tunewright.tasks.causal_lm import CausalLM
from tunewright.tasks.preference import Preference
from tunewright.tasks.seq2seq import Seq2Seq

ASKED, SAID = {"role": "user", "content": "where is it"}, {"role": "assistant", "content": "On its way."}
BEFORE = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "Hi."},
]


def changed_record(task, record: dict, new: str = "NEW") -> tuple[list[str], dict]:
    """The texts that may change, and the record with each of them replaced."""
    table = table_of([record])
    roles = task.roles(table, None, None, None)
    task = task.learn_form(table, roles, None)
    row = task.read(table, 0, roles, None, True)
    found, made = slots_of(task, table, 0, roles, row, None), dict(record)
    for slot in found:
        assert slot.put(made, Changed(new, (), None))
    return [slot.passage.text for slot in found], made


def test_of_a_dialogue_only_the_last_turn_of_the_user_changes():
    record = {"messages": [*BEFORE, ASKED, SAID]}
    texts, made = changed_record(CausalLM(), record)
    assert texts == ["where is it"]
    assert made == {"messages": [*BEFORE, {**ASKED, "content": "NEW"}, SAID]}
    assert record["messages"][-2] == {"role": "user", "content": "where is it"}


def test_a_dialogue_written_as_json_stays_json():
    turns = [{"from": "human", "value": "wo ist es"}, {"from": "gpt", "value": "Unterwegs."}]
    _, made = changed_record(CausalLM(), {"conversations": json.dumps(turns)})
    assert json.loads(made["conversations"]) == [{"from": "human", "value": "NEW"}, turns[1]]


def test_instruction_and_input_change_and_the_output_does_not():
    record = {"instruction": "Sum it up.", "input": "The van is late.", "output": "A late van."}
    texts, made = changed_record(CausalLM(), record)
    assert texts == ["Sum it up.", "The van is late."]
    assert made == {"instruction": "NEW", "input": "NEW", "output": "A late van."}


def test_an_empty_input_stays_empty():
    texts, made = changed_record(CausalLM(), {"instruction": "Say hello.", "input": "", "output": "Hello."})
    assert texts == ["Say hello."]
    assert made["input"] == ""


def test_plain_texts_are_refused():
    with pytest.raises(DataError, match="plain texts without a prompt"):
        changed_record(CausalLM(shape="text"), {"text": "Once upon a time"})


@pytest.mark.parametrize(
    ("record", "after"),
    [
        ({"source": "a long text", "target": "short"}, {"source": "NEW", "target": "short"}),
        ({"document": ["One.", "Two."], "summary": "1, 2"}, {"document": ["NEW"], "summary": "1, 2"}),
        ({"translation": {"de": "ja", "en": "yes"}}, {"translation": {"de": "NEW", "en": "yes"}}),
    ],
)
def test_of_a_sequence_pair_the_source_changes(record, after):
    assert changed_record(Seq2Seq(), record)[1] == after


def test_chosen_and_rejected_dialogues_get_the_same_new_prompt():
    wrong = {"role": "assistant", "content": "No idea."}
    record = {"chosen": [*BEFORE, ASKED, SAID], "rejected": [*BEFORE, ASKED, wrong]}
    _, made = changed_record(Preference(), record)
    assert made["chosen"] == [*BEFORE, {**ASKED, "content": "NEW"}, SAID]
    assert made["rejected"] == [*BEFORE, {**ASKED, "content": "NEW"}, wrong]


def test_of_transcripts_what_the_human_said_last_changes():
    start = "\n\nHuman: hello\n\nAssistant: Hi.\n\nHuman: where is it\n\nAssistant: "
    texts, made = changed_record(Preference(), {"chosen": start + "There.", "rejected": start + "Gone."})
    assert texts == ["where is it"]
    assert made["chosen"] == "\n\nHuman: hello\n\nAssistant: Hi.\n\nHuman: NEW\n\nAssistant: There."
    assert made["rejected"].endswith("Human: NEW\n\nAssistant: Gone.")


def test_numbers_and_words_that_the_answer_repeats_stay():
    passage = prompt("Order LP-17 to Tartu came broken", '{"order": "LP-17", "place": "Tartu"}')
    kept = {passage.text[start:end] for start, end in passage.spans}
    assert kept == {"Order", "LP-17", "Tartu"}
    assert not passage.exact


def test_what_a_model_says_around_a_text_is_taken_off():
    assert answer_in('  "It came broken."\n\nAnything else?', "x") == "It came broken."
    assert answer_in("- It came broken", "x") == "It came broken"
    assert answer_in("<think>\nhm\n</think>\nIt came", "x") == "It came"
    assert answer_in("One.\nTwo.", "a\nb") == "One.\nTwo."
    assert answer_in(" \n ", "x") == ""
    assert answer_in("a\0b\ud83d\x1b c", "x") == "ab c"


def test_braces_of_a_text_are_no_fields_of_the_prompt():
    assert filled("Into {language}: {text}", language="German", text="{language}") == "Into German: {language}"
