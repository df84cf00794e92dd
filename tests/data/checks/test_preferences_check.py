"""The check of preferences: pairs that say nothing, contradict each other or teach length."""

from __future__ import annotations

import random

from tests.desks import make_desk, run
from tunewright.data.checks.preferences import Preferences


def pair(prompt: str, chosen: str, rejected: str) -> dict:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def found(rows: list[dict]):
    return run(Preferences(), make_desk(rows, task="preference"))


def rules(notebook) -> dict[str, list[int]]:
    return {rule.removeprefix("preferences."): [f.row for f in tally.shown] for rule, tally in notebook.tallies.items()}


GOOD = pair("When?", "On Monday, as promised.", "No idea at all.")


def test_good_pairs_are_not_blamed():
    notebook = found([GOOD, pair("Where?", "In Riga.", "Somewhere in the country.")])
    assert not notebook.tallies
    assert notebook.facts["preferences"]["train"]["pairs"] == 2


def test_equal_and_empty_sides_are_told():
    rows = [GOOD, pair("a?", "Yes.", "Yes."), pair("b?", "Yes, of course.", "yes,  OF course."), pair("c?", "", "No."),
            pair("d?", "...", "No.")]  # fmt: skip
    assert {rule: sorted(numbers) for rule, numbers in rules(found(rows)).items()} == {
        "equal": [3, 4],
        "empty": [5],
        "near_empty": [6],
    }


def test_pairs_that_contradict_each_other_are_told_once():
    turned = pair("when?", GOOD["rejected"], GOOD["chosen"])
    notebook = found([pair("Else?", "Yes.", "Not now."), GOOD, turned, pair("Who?", GOOD["rejected"], GOOD["chosen"])])
    (finding,) = notebook.tallies["preferences.contradiction"].shown
    assert (finding.row, finding.details) == (4, {"other": 3})


def test_dialogues_that_part_before_the_last_question_are_told():
    def talk(question: str, answer: str) -> str:
        return f"\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: {question}\n\nAssistant: {answer}"

    rows = [{"chosen": talk("When?", "Now."), "rejected": talk("When?", "Never.")},
            {"chosen": talk("When?", "Now."), "rejected": talk("Where?", "There.")}]  # fmt: skip
    assert rules(found(rows)) == {"prompt_differs": [3]}


def test_nearly_equal_sides_are_noted():
    words = "The parcel was handed to your neighbour in the second floor at noon"
    long = " ".join(f"word{number}" for number in range(200))
    rows = [
        GOOD,
        pair("a?", f"{words}.", f"{words}!"),
        pair("b?", f"{long} one.", f"{long} two."),
        pair("c?", words, words[30:]),
    ]
    assert rules(found(rows)) == {"near_equal": [3, 4]}


def uneven(share: float, count: int) -> list[dict]:
    draw = random.Random(0)
    short, long = "Not today.", "We are sorry, and it will be with you on Monday."
    return [
        pair(f"{n}?", *((f"{long} {n}", f"{short} {n}") if draw.random() < share else (f"{short} {n}", f"{long} {n}")))
        for n in range(count)
    ]


def test_a_length_bias_of_either_side_is_told_and_chance_is_not():
    (finding,) = found(uneven(0.75, 200)).tallies["preferences.length_bias"].shown
    assert "chosen answers are longer" in finding.message
    assert finding.details["p"] < 1e-6
    assert finding.details["share"] > 0.65
    assert finding.details["mean_log_ratio"] > 0
    (other,) = found(uneven(0.25, 200)).tallies["preferences.length_bias"].shown
    assert "chosen answers are shorter" in other.message
    assert not found(uneven(0.5, 200)).tallies
    assert not found(uneven(0.9, 6)).tallies  # six pairs prove nothing
