"""The table of rules: readable, sourced, without contradictions, and every line of it alive."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tunewright import config
from tunewright.advice.facts import FACTS, altered, checked, complete
from tunewright.advice.rules import (
    FINE_TUNE,
    GUARDS,
    LISTS,
    PREPARE,
    STAGES,
    Range,
    contradictions,
    decide,
    flips,
    parsed,
    table,
)
from tunewright.component import members
from tunewright.errors import ConfigError
from tunewright.strategies.base import Strategy

RULES = {rule.id: rule for rule in table()}
ROOT = Path(__file__).parents[2]


def rule(name: str, priority: int = 1, **raw):
    known = {"id": name, "because": "it is so", "source": "us", "priority": priority}
    return parsed({**known, **raw})


def witness(name: str) -> dict[str, object]:
    """Facts in which a rule speaks, and no more than that."""
    return {fact: condition.witness() for fact, condition in RULES[name].when.items()}


def test_every_rule_has_a_name_of_its_own():
    assert len(RULES) == len(table())


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_source_and_a_reason(name):
    found = RULES[name]
    paper, ours = re.search(r"[A-Z]\w+.* (19|20)\d\d", found.source), re.findall(r"docs/\w+\.md", found.source)
    assert paper or ours
    assert found.because.strip()
    assert all((ROOT / file).is_file() for file in ours)
    assert set(re.findall(r"\{(\w+)", found.because)) <= set(FACTS)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_speaks_and_is_not_always_overruled(name):
    found = RULES[name]
    said = decide(witness(name))
    assert any(target in LISTS or found in said[target][0].rules for target in found.then)


@pytest.mark.parametrize("name", RULES)
def test_every_conclusion_names_something_that_exists(name):
    kinds = members(Strategy)
    for target, value in RULES[name].then.items():
        known = {"fine_tune": FINE_TUNE, "stages": STAGES, "strategy": kinds, "prepare": PREPARE, "guards": GUARDS}
        if target in known:
            assert set(value if isinstance(value, list) else [value]) <= set(known[target])
        else:
            raw = {"data": {"train": "x.csv"}, "task": "sequence_classification"}
            config.load(raw, [(target.split("."), value)])


def test_every_conclusion_is_reached():
    reached = {(target, str(each.value)) for name in RULES for target, found in decide(witness(name)).items()
               for each in (found if target in LISTS else found[:1])}  # fmt: skip
    wanted = {("fine_tune", value) for value in FINE_TUNE} | {("prepare", value) for value in PREPARE}
    assert reached >= wanted | {("guards", value) for value in GUARDS}


def test_no_two_rules_contradict_each_other():
    assert contradictions(table()) == []


def test_a_contradiction_is_found():
    first = rule("a", when={"rows": "<100"}, then={"fine_tune": "yes"})
    second = rule("b", when={"rows": ">=50", "gpu": True}, then={"fine_tune": "few_shot"})
    assert contradictions([first, second]) == [("a", "b", "fine_tune")]
    apart = rule("c", when={"rows": ">=100"}, then={"fine_tune": "few_shot"})
    heavier = rule("d", priority=2, when={"rows": ">=50"}, then={"fine_tune": "few_shot"})
    of_lists = rule("e", when={"rows": ">=50"}, then={"prepare": ["label_more"]})
    assert contradictions([first, apart]) == contradictions([first, heavier]) == contradictions([first, of_lists]) == []


def test_what_nobody_measured_makes_no_rule_speak():
    found = rule("a", when={"rows": "<100", "gpu": True}, then={"fine_tune": "yes"})
    assert decide({"rows": 5}, [found]) == {}
    assert found.missing({"rows": 5}) == ["gpu"]
    assert found.missing({"rows": 500}) == []  # silent whatever the machine is


@pytest.mark.parametrize(
    "raw",
    [{"when": {"row": "<100"}}, {"when": {"rows": "100"}}, {"when": {"need": ["speed"]}}, {"when": {"gpu": "yes"}},
     {"when": {}, "why": "x"}],
)  # fmt: skip
def test_a_malformed_rule_is_refused(raw):
    with pytest.raises(ConfigError):
        rule("a", then={}, **raw)


def test_conditions_are_half_open():
    found = rule("a", when={"rows": "10..20"}, then={})
    assert [found.holds({"rows": rows}) for rows in (9, 10, 19, 20)] == [False, True, True, False]
    assert Range(0, 10).within(Range(0, 20))
    assert not Range(0, 20).within(Range(0, 10))


def test_facts_that_are_given_must_exist_and_be_right():
    assert checked({"rows": 5, "gpu": True, "need": "latency"}) == {"rows": 5, "gpu": True, "need": "latency"}
    for wrong in ({"row": 5}, {"rows": "many"}, {"rows": True}, {"gpu": 1}, {"need": "speed"}):
        with pytest.raises(ConfigError, match=r"facts\."):
            checked(wrong)


def test_what_follows_from_facts_is_added_and_classes_grow_with_rows():
    known = complete({"words_score": 0.8, "probe_score": 0.9, "parameters": 1e9, "memory_gb": 5.0})
    assert known["encoder_gain"] == pytest.approx(0.1)
    assert (known["full_fits"], known["lora_fits"]) == (False, True)
    assert altered({"rows": 100, "rows_per_class": 10}, "rows", 300) == {"rows": 300, "rows_per_class": 30}


def test_flips_are_the_nearest_values_that_change_the_answer():
    values = {"need": "none", "rows": 500, "model_kind": "causal", "parameters": 7e9, "memory_gb": 16.0}

    def answer(facts):
        return {target: found[0].value for target, found in decide(complete(facts)).items() if target == "fine_tune"}

    found = flips(values, answer)
    assert {(flip.fact, flip.value) for flip in found} == {("need", "freshness"), ("rows", 99)}
    for flip in found:
        assert answer(altered(values, flip.fact, flip.value)) != answer(values)
        assert flip.targets["fine_tune"][0] == answer(altered(values, flip.fact, flip.value))["fine_tune"]
    assert answer(altered(values, "rows", 100)) == answer(values)  # a row more and it is as before
