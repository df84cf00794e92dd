"""Rules: one table of conditions on facts and what they conclude; which of them speak, and what would change that."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError
from ..files import parse_yaml
from .facts import FACTS, altered, complete

FINE_TUNE = ("yes", "few_shot", "prompting", "retrieval", "linear_model")
STAGES = ("sft", "dpo")
PREPARE = {
    "clean_labels": "read the suspects and correct them: tunewright data check, then --apply",
    "deduplicate": "drop repeated rows: tunewright data check --fix duplicates --write FILE",
    "label_more": "label more rows, the ones that teach most first: tunewright data label",
    "smaller_model": "take a smaller model",
    "domain_model": "try a model from this domain or language beside this one (compare --models)",
}
GUARDS = {
    "adapter": "leave the base as it is and train an adapter",
    "replay": "mix a share of general rows into the training file",
    "kl_to_reference": "keep task.beta at its default; a lower one strays farther",
    "low_layers": "compare with the lower half frozen (freeze) or rates that fall with depth (layerwise_decay)",
    "many_steps": "leave epochs and warm-up to auto: about 1,500 steps, a tenth of them warm-up",
    "macro_score": "judge by macro F1, not by accuracy",
}
LISTS: dict[str, Sequence[str]] = {"prepare": tuple(PREPARE), "guards": tuple(GUARDS)}  # conclusions that add up


class Range(NamedTuple):
    """Numbers from `low` on and below `high`."""

    low: float
    high: float

    def holds(self, value: Any) -> bool:
        return bool(self.low <= value < self.high)

    def meets(self, other: Any) -> bool:
        return bool(max(self.low, other.low) < min(self.high, other.high))

    def within(self, other: Any) -> bool:
        return bool(other.low <= self.low and self.high <= other.high)

    def witness(self) -> float:
        return self.low if self.low > -math.inf else self.high / 2 if self.high > 0 else self.high - 1


class OneOf(NamedTuple):
    """Choices, or true or false."""

    choices: frozenset[Any]

    def holds(self, value: Any) -> bool:
        return value in self.choices

    def meets(self, other: Any) -> bool:
        return bool(self.choices & other.choices)

    def within(self, other: Any) -> bool:
        return bool(self.choices <= other.choices)

    def witness(self) -> Any:
        return sorted(self.choices)[0]


@dataclass(frozen=True)
class Rule:
    """One line of the table. when: by fact. then: by target. because: with {facts} to be filled in."""

    id: str
    when: dict[str, Range | OneOf]
    then: dict[str, Any]
    because: str
    source: str
    priority: int

    def holds(self, facts: Mapping[str, Any]) -> bool:
        return all(name in facts and condition.holds(facts[name]) for name, condition in self.when.items())

    def missing(self, facts: Mapping[str, Any]) -> list[str]:
        """The facts that this rule lacks to speak; empty where another fact silences it anyway."""
        silent = any(name in facts and not condition.holds(facts[name]) for name, condition in self.when.items())
        return [] if silent else [name for name in self.when if name not in facts]

    def reason(self, facts: Mapping[str, Any]) -> str:
        """`because` with the facts; without those that nobody knows, as it stands in the table."""
        return " ".join(self.because.format_map(_Known(facts)).split())


class _Known(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        return _Unknown()


class _Unknown:
    def __format__(self, form: str) -> str:
        return "?"


@dataclass(frozen=True)
class Conclusion:
    """value: of a target. rules: those that say so, the one that decided first."""

    value: Any
    rules: tuple[Rule, ...]


@cache
def table() -> tuple[Rule, ...]:
    """The rules of rules.yaml, in its order."""
    path = Path(__file__).with_name("rules.yaml")
    return tuple(parsed(raw) for raw in parse_yaml(path.read_text(encoding="utf-8"), path.name))


def parsed(raw: Mapping[str, Any]) -> Rule:
    """One rule. Raises ConfigError for a key, fact or condition that there is not."""
    wanted = {"id", "when", "then", "because", "source", "priority"}
    if set(raw) != wanted:
        odd = ", ".join(sorted(wanted ^ set(raw)))
        raise ConfigError(f"lacks or has too much: {odd}", where=f"rule {raw.get('id')}")
    when = {name: condition(name, value, raw["id"]) for name, value in raw["when"].items()}
    return Rule(**{**raw, "when": when})


def condition(name: str, value: Any, rule: str) -> Range | OneOf:
    where = f"rule {rule}, when.{name}"
    if name not in FACTS:
        raise ConfigError("there is no such fact", where=where)
    form = FACTS[name].form
    if form == "flag" and isinstance(value, bool):
        return OneOf(frozenset({value}))
    if isinstance(form, tuple) and isinstance(value, list) and value and set(value) <= set(form):
        return OneOf(frozenset(value))
    found = re.fullmatch(r"(<|>=)(\S+)|(\S+?)\.\.(\S+)", str(value)) if form == "number" else None
    if not found:
        raise ConfigError(f"{value!r} is no condition", where=where, fix="write '<1', '>=1', '1..2', [a, b] or true")
    if found[3] is not None:
        return Range(float(found[3]), float(found[4]))
    return Range(-math.inf, float(found[2])) if found[1] == "<" else Range(float(found[2]), math.inf)


def decide(facts: Mapping[str, Any], rules: Sequence[Rule] | None = None) -> dict[str, list[Conclusion]]:
    """What the rules that speak conclude, by target, the highest priority first; equal conclusions are one."""
    found: dict[str, list[Conclusion]] = {}
    for rule in sorted(table() if rules is None else rules, key=lambda rule: -rule.priority):
        if not rule.holds(facts):
            continue
        for target, said in rule.then.items():
            for value in said if target in LISTS else [said]:
                add(found.setdefault(target, []), value, rule)
    return found


def add(conclusions: list[Conclusion], value: Any, rule: Rule) -> None:
    for place, known in enumerate(conclusions):
        if known.value == value:
            conclusions[place] = Conclusion(value, (*known.rules, rule))
            return
    conclusions.append(Conclusion(value, (rule,)))


def contradictions(rules: Sequence[Rule]) -> list[tuple[str, str, str]]:
    """(rule, rule, target) of two that may speak together, weigh the same and conclude otherwise."""
    found = []
    for place, first in enumerate(rules):
        for second in rules[:place]:
            shared = set(first.when) & set(second.when)
            if first.priority == second.priority and all(first.when[n].meets(second.when[n]) for n in shared):
                differ = [t for t in set(first.then) & set(second.then) - set(LISTS) if first.then[t] != second.then[t]]
                found += [(second.id, first.id, target) for target in differ]
    return found


class Flip(NamedTuple):
    """What would be said if one fact were different: `change` in words, and by target (then, now)."""

    fact: str
    value: Any
    change: str
    targets: dict[str, tuple[Any, Any]]


def flips(values: Mapping[str, Any], answer: Callable[[dict[str, Any]], dict[str, Any]]) -> list[Flip]:
    """The nearest other value of each fact that a person can change which changes the answer, found by asking again.

    Args:
        values: facts without those that follow from them.
        answer: what is advised, by target, of facts.
    """
    now, found = answer(dict(values)), []
    for name in (name for name, fact in FACTS.items() if fact.can_change and name in values):
        for tries in others(name, values):
            for value, change in tries:
                then = answer(altered(values, name, value))
                if then != now:
                    differ = {key: (then.get(key), now.get(key)) for key in then if then.get(key) != now.get(key)}
                    found.append(Flip(name, value, change, differ))
                    break
    return found


def others(name: str, values: Mapping[str, Any]) -> list[list[tuple[Any, str]]]:
    """Other values worth trying, in groups of which the first that changes the answer counts: the nearest first."""
    now, form = values[name], FACTS[name].form
    if isinstance(form, tuple):
        return [[(choice, f"--need {choice}" if name == "need" else choice)] for choice in form if choice != now]
    edges = thresholds(name, values)
    up = [(edge, f"from {shown_edge(name, edge)} on") for edge in edges if edge > now]
    down = [(below(edge), f"below {shown_edge(name, edge)}") for edge in reversed(edges) if edge <= now]
    return [up, down]


def shown_edge(name: str, edge: float) -> str:
    return f"{math.ceil(10 * edge) / 10:g} GB" if name == "memory_gb" else f"{edge:,.0f} {name}"


def below(edge: float) -> float:
    return edge - 1 if edge == int(edge) and edge > 1 else edge * (1 - 1e-9)


def thresholds(name: str, values: Mapping[str, Any]) -> list[float]:
    """Where a number crosses a condition: its own, and those of what follows from it."""
    known = complete(values)
    if name == "memory_gb":
        return sorted(known[f"peak_{kind}_gb"] for kind in ("full", "lora", "qlora") if f"peak_{kind}_gb" in known)
    edges = set()
    for fact in (name, *(("rows_per_class", "rows_of_rarest") if name == "rows" else ())):
        scale = values["rows"] / known[fact] if fact != name and known.get(fact) else 1.0
        for rule in table():
            if isinstance(each := rule.when.get(fact), Range):
                edges |= {math.ceil(edge * scale) for edge in each if math.isfinite(edge) and edge > 0}
    return sorted(edges)
