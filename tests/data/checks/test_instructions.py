"""The check of instructions: answers that teach nothing or the wrong thing, and turns out of order."""

from __future__ import annotations

import pytest

from tests.desks import make_desk, run
from tests.language_models import make_language_tokenizer
from tunewright.data.checks.instructions import Instructions

PROMPT = "Tell the customer when the parcel will arrive, please."


def told(prompt: str, answer: str) -> dict:
    return {"instruction": prompt, "output": answer}


def spoken(*turns: tuple[str, str]) -> dict:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def found(train: list[dict], task: str = "causal_lm", **options):
    return run(Instructions(), make_desk(train, task=task, **options))


def rules(notebook) -> dict[str, list[int]]:
    return {
        rule.removeprefix("instructions."): [f.row for f in tally.shown] for rule, tally in notebook.tallies.items()
    }


def test_good_answers_are_not_blamed():
    rows = [told(PROMPT, "It will be there on Monday."), told("Say yes.", "Yes"), told("Which letter?", "B")]
    assert not found(rows).tallies
    assert not found([spoken(("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"))]).tallies


def test_empty_and_near_empty_answers_are_told():
    rows = [told(PROMPT, "On Monday."), told(PROMPT, ""), told(PROMPT, " ... "), told(PROMPT, "是")]
    assert rules(found(rows)) == {"empty": [3], "near_empty": [4]}


@pytest.mark.parametrize("answer", [PROMPT, PROMPT.upper(), f"{PROMPT}\nIt arrives on Monday.", PROMPT[:-2]])
def test_answers_that_copy_the_prompt_are_told(answer):
    notebook = found([told(PROMPT, answer)])
    assert rules(notebook) == {"copy": [2]}
    assert notebook.tallies["instructions.copy"].severity == "warning"


def test_a_text_that_needed_no_correction_is_only_noted():
    notebook = found([{"source": PROMPT, "target": PROMPT}, {"source": "a", "target": "b"}], "seq2seq")
    assert rules(notebook) == {"copy": [2]}
    assert notebook.tallies["instructions.copy"].severity == "note"


def test_quoting_a_few_words_of_the_prompt_is_no_copy():
    assert not found([told(PROMPT, "Tell the customer: the parcel will arrive on Monday.")]).tallies


def test_turns_out_of_order_are_told_whether_they_can_be_read_or_not():
    user, assistant, system = ("user", "Hi"), ("assistant", "Hello!"), ("system", "Be brief.")
    rows = [
        spoken(user, assistant),
        spoken(user, user, assistant),
        spoken(assistant, user, assistant),
        spoken(user, system, assistant),
        spoken(user, assistant, user),
        spoken(user, assistant, assistant),
    ]
    assert sorted(rules(found(rows))["roles"]) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "As an AI language model, I have no favourite colour.",
        "I cannot assist with this request.",
        "I am unable to provide the order number.",
    ],
)
def test_refusals_are_counted(answer):
    assert rules(found([told(PROMPT, answer)])) == {"refusal": [2]}


def test_an_apology_is_no_refusal():
    assert not found([told(PROMPT, "I'm sorry for the delay. I can help you, and it arrives on Monday.")]).tallies


def test_answers_in_circles_are_told():
    circles = "the parcel is late and " * 12
    notebook = found([told(PROMPT, circles.strip() + "."), told(PROMPT, " ".join(map(str, range(60))))])
    assert rules(notebook) == {"repetitive": [2]}


def test_long_answers_that_break_off_are_told():
    broken = " ".join(f"word{n}" for n in range(20))
    ends = [f"{broken} and the", f"{broken},", f"{broken} parcel", f"{broken}\n- with the", "from the"]
    assert rules(found([told(f"{PROMPT} {end}", end) for end in ends])) == {"cut_off": [2, 3]}


def test_one_answer_to_many_prompts_is_told_once():
    same = [told(f"{PROMPT} {n}", "Please have a look at our page.") for n in range(5)]
    notebook = found([told("Who?", "Nobody at all, I fear."), *same])
    (finding,) = notebook.tallies["instructions.same_answer"].shown
    assert (finding.row, finding.details) == (3, {"prompts": 5})
    assert not found([same[0]] * 5).tallies  # one prompt, five times: a duplicate


def test_answers_longer_than_the_model_reads_are_told_with_their_tokens():
    rows = [told(PROMPT, "x y z " * 40), told(PROMPT, "On Monday.")]
    tokenizer = make_language_tokenizer()
    (finding,) = found(rows, tokenizer=tokenizer, max_length=64).tallies["instructions.too_long"].shown
    assert finding.row == 2
    assert finding.details["tokens"] > 64
    assert found(rows).facts["instructions"]["train"]["too_long"] == "skipped: no tokenizer is known"


def test_plain_texts_are_not_asked():
    desk = make_desk([{"text": "Once upon a time."}, {"text": "The end."}], task="causal_lm")
    assert "no answers" in str(Instructions().cannot(desk))
