"""The story of an advice: facts -> rules -> what fits -> what would flip it -> commands; with a probe, evidence."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..component import members
from ..config import RunConfig
from ..models import widths
from ..resolve import changed
from ..strategies.base import Strategy
from ..training.memory import SHARE
from ..training.progress import Listener
from .facts import FACTS, Facts, complete
from .measure import Subject, measure, open_subject, pairs_in
from .rules import GUARDS, PREPARE, Conclusion, decide, flips, table

SECONDS = 30.0  # for all that is measured of the data
ANSWERS = {
    "yes": "fine-tune",
    "few_shot": "do not train yet: put the labelled rows into the prompt (few-shot)",
    "prompting": "do not train: prompt, and constrain the decoding to the format",
    "retrieval": "do not train for knowledge: retrieve it when asked, and give it to the model",
    "linear_model": "do not fine-tune: a linear model is as good",
}
WHOLE = ("full", "layerwise_decay", "gradual_unfreezing")  # strategies that train every parameter
TRACED = 1e9  # parameters of the largest model whose passes are traced for every strategy: a large one takes minutes
COMPARED = 3  # strategies in the command that compares
TELLING = ("fine_tune", "strategy", "stages")  # what must change for a flip to be told


@dataclass(frozen=True)
class Advice:
    """What is advised.

    Args:
        fine_tune: one of ANSWERS.
        strategy: the first that suits, can be had and fits; None where none does.
        told: all of it as plain values: what `--json` prints.
    """

    fine_tune: str
    strategy: str | None
    told: dict[str, Any] = field(repr=False)


def advise(
    config: RunConfig, *, memory: str | None = None, gpu: str | None = None, need: str = "none",
    facts: Mapping[str, Any] | None = None, preferences: str | Path | None = None, probe: bool = False,
    seconds: float = SECONDS, listener: Listener | None = None,
) -> Advice:  # fmt: skip
    """Measures data, model and machine, asks the rules, and says what would change the answer.

    Args:
        config: as for a run; `data`, `task`, `model` and `strategy` (the settings of one) are read.
        memory, gpu: of another machine, as "16GB" and "4x80GB"; this one where both are left out.
        need: latency, quality, many-tasks, freshness, format or none.
        facts: known better than they can be measured; see facts.FACTS.
        preferences: a file of pairs beside the data.
        probe: runs the two best for a short time, and the learning curve.
        seconds: for looking at the data.

    Raises:
        TunewrightError: the data, the model or a fact can't be used.
    """
    from ..planner.machine import Machine

    listener = listener or Listener()
    subject = open_subject(config, Machine.parse(memory, gpu), seconds, listener)
    given = dict(facts or {})
    if preferences:
        given.setdefault("pairs", pairs_in(preferences, config))
    found = measure(subject, need, given)
    evidence: dict[str, Any] | None = None
    if probe:
        from .probe import learning_curve

        learning_curve(subject, found)
    else:
        found.unknown["curve_gain"] = "only --probe draws a learning curve"
    costs = costs_of(subject, found)
    told = considered(found, costs, subject.numbers)
    told |= {"data": config.data.train, "model": subject.config.model, "machine": subject.machine.name,
             "notes": subject.notes, "commands": commands(subject, told, preferences)}  # fmt: skip
    if probe:
        from .probe import contest

        evidence = contest(subject, told, listener)
    told["probe"] = evidence
    return Advice(told["fine_tune"]["answer"], told["strategy"]["kind"] if told["strategy"] else None, told)


@dataclass(frozen=True)
class Cost:
    """What a strategy takes: peak_gb and seconds where they are known; refused: why it can't be had at all."""

    strategy: str
    peak_gb: float | None = None
    seconds: float | None = None
    refused: str | None = None
    settings: tuple[str, ...] = ()


def costs_of(subject: Subject, facts: Facts) -> dict[str, Cost]:
    """By strategy; and the peaks as facts. Where another number of parameters was given, only what is refused."""
    if facts.values.get("parameters") != subject.parameters:
        refusals = {kind: subject.refusal(kind) for kind in members(Strategy)}  # type: ignore[type-abstract]
        return {kind: Cost(kind, refused=reason) for kind, reason in refusals.items()}
    if subject.resolved and subject.parameters <= TRACED:
        costs = planned(subject)
    else:
        subject.notes.append("peaks are of weights, gradients and moments; activations come on top (tunewright plan)")
        costs = {kind: from_shapes(subject, kind) for kind in members(Strategy)}  # type: ignore[type-abstract]
    for kind in ("full", "lora", "qlora"):
        if costs[kind].peak_gb is not None:
            facts.values.setdefault(f"peak_{kind}_gb", costs[kind].peak_gb)
    return costs


def from_shapes(subject: Subject, kind: str) -> Cost:
    """A strategy's cost without tokens: of its parameters alone."""
    from ..footprint import Refusal, footprint

    if reason := subject.refusal(kind):
        return Cost(kind, refused=reason)
    found = footprint(subject.source, subject.task, subject.strategy(kind))
    return Cost(kind, refused=found.reason) if isinstance(found, Refusal) else Cost(kind, found.bytes / SHARE / 1e9)


def planned(subject: Subject) -> dict[str, Cost]:
    """As `tunewright plan` has it: of each strategy the quickest way that fits and cuts no row, else the smallest."""
    from ..planner.table import Case, candidates, needed
    from ..training import precision

    width, depth = widths(subject.source.config)
    machine = subject.machine
    name = "bf16" if machine.device == "cuda" else precision.choose("auto", width, depth, subject.device).name
    run = Case(subject.resolved, subject.task, subject.source, subject.encoded)
    found, refused = candidates(run, subject.config, machine, name)
    costs = {item.strategy: Cost(item.strategy, refused=item.reason) for item in refused}
    for item in found:
        if not item.cut and item.strategy not in costs:
            settings = tuple(setting for setting in item.settings if not setting.startswith("strategy.kind="))
            peak = needed(item.memory, machine) / 1e9
            costs[item.strategy] = Cost(item.strategy, peak, item.seconds.total, settings=settings)
    return costs


def considered(facts: Facts, costs: Mapping[str, Cost], numbers: Any = lambda kind: {}) -> dict[str, Any]:
    """All that follows from facts; pure.

    Args:
        costs: by strategy; one that is absent can be had and fits.
        numbers: of a strategy: its rate, batch, epochs and warm-up.
    """
    known = complete(facts.values)
    said = decide(known)
    kinds = fitting(said, known, costs)
    fine_tune = said.get("fine_tune", [None])[0]
    told: dict[str, Any] = {
        "fine_tune": {"answer": fine_tune.value if fine_tune else "yes", **because(fine_tune, known)},
        "strategy": None, "ordering": kinds,
        "stages": None,
    }  # fmt: skip
    if "stages" in said:
        told["stages"] = {"answer": said["stages"][0].value, **because(said["stages"][0], known)}
    if kinds:
        own = next(each for each in said["strategy"] if kinds[0] in each.value)
        settings = {target: found[0].value for target, found in said.items() if "." in target}
        told["strategy"] = {"kind": kinds[0], **because(own, known), **numbers(kinds[0]), "settings": settings}
    told["settings"] = [{"setting": target, "value": found[0].value, **because(found[0], known)}
                        for target, found in said.items() if "." in target]  # fmt: skip
    for target, texts in (("prepare", PREPARE), ("guards", GUARDS)):
        told[target] = [{"what": each.value, "how": texts[each.value], **because(each, known)}
                        for each in said.get(target, [])]  # fmt: skip
    told["flips"] = flipped(facts, costs)
    told["costs"] = [fate(cost, known) for cost in sorted(costs.values(), key=lambda cost: cost.peak_gb or 1e99)]
    told["facts"] = {name: known[name] for name in FACTS if name in known}
    told["unknown"] = {name: facts.reason(name) for name in FACTS if name not in known and asked_for(name)}
    told["not_asked"] = [{"rule": rule.id, "lacks": missing} for rule in table() if (missing := rule.missing(known))]
    return told


def asked_for(name: str) -> bool:
    return any(name in rule.when for rule in table())


def because(conclusion: Conclusion | None, known: Mapping[str, Any]) -> dict[str, Any]:
    if conclusion is None:
        return {"because": "no rule says otherwise", "source": "", "rule": None}
    first = conclusion.rules[0]
    others = [rule.id for rule in conclusion.rules[1:]]
    return {"because": first.reason(known), "source": first.source, "rule": first.id, "rules_beside": others}


def fitting(said: Mapping[str, Sequence[Conclusion]], known: Mapping[str, Any], costs: Mapping[str, Cost]) -> list[str]:
    """Strategies in the rules' order, without those that are refused or take too much memory."""
    kinds = dict.fromkeys(kind for conclusion in said.get("strategy", []) for kind in conclusion.value)
    return [kind for kind in kinds if fate(costs.get(kind, Cost(kind)), known)["fits"] is not False]


def fate(cost: Cost, known: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy's line: where its own peak is not known, that of its nearest is; fits is None where none is."""
    nearest = "full" if cost.strategy in WHOLE else cost.strategy if cost.strategy == "qlora" else "lora"
    peak = known.get(f"peak_{nearest}_gb") if cost.peak_gb is None or nearest == cost.strategy else cost.peak_gb
    fits = None if peak is None or "memory_gb" not in known else peak <= known["memory_gb"]
    fits = known.get(f"{cost.strategy}_fits", fits) if not cost.refused else False
    return {"strategy": cost.strategy, "peak_gb": peak, "seconds": cost.seconds, "fits": fits,
            "refused": cost.refused, "settings": list(cost.settings)}  # fmt: skip


def flipped(facts: Facts, costs: Mapping[str, Cost]) -> list[dict[str, Any]]:
    """What would flip the advice, found by really asking the rules again."""

    def answer(values: dict[str, Any]) -> dict[str, Any]:
        known = complete(values)
        said = decide(known)
        kinds = fitting(said, known, costs)
        first = {target: found[0].value for target, found in said.items() if target in TELLING}
        return {"fine_tune": "yes", "stages": None, **first, "strategy": kinds[0] if kinds else None}

    found = []
    for flip in flips(facts.values, answer):
        then = " and ".join(in_words(key, new) for key, (new, _) in flip.targets.items())
        found.append({"fact": flip.fact, "value": flip.value, "when": flip.change, "then": then,
                      "targets": {key: new for key, (new, _) in flip.targets.items()}})  # fmt: skip
    return found


def in_words(target: str, value: Any) -> str:
    """A conclusion of a flip."""
    if target == "fine_tune":
        return "fine-tune" if value == "yes" else str(value).replace("_", " ").replace("shot", "shot prompting")
    if target == "strategy":
        return f"strategy {value}" if value else "no strategy fits"
    return f"stages {' then '.join(value)}" if value else "one stage"


def as_settings(name: str, section: Any) -> list[str]:
    """What a section sets otherwise than its defaults, as it is typed."""
    if section is None:
        return []
    values = section.model_dump(mode="json")
    typed = {key: values[key] for key in sorted(changed(section) - {"train", "kind"})}
    return [f"{name}.{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in typed.items()]


def commands(subject: Subject, told: Mapping[str, Any], preferences: str | Path | None) -> list[str]:
    """What to run next, exactly."""
    config, kinds = subject.config, told["ordering"]
    data, model = config.data.train, ["--model", config.model]
    task = [*(["--task", subject.task.kind] if config.task else []), *as_settings("data", config.data),
            *as_settings("task", config.task), *as_settings("training", config.training)]  # fmt: skip
    model += ["--trust-remote-code"] if config.trust_remote_code else []
    found = [["tunewright", "data", "check", data]] if any(
        item["what"] in ("clean_labels", "deduplicate") for item in told["prepare"]) else []  # fmt: skip
    if not kinds:
        return [shlex.join(line) for line in found]
    solved = not subject.numbers(kinds[0])
    settings = [f"{key}={value}".replace("=True", "=true") for key, value in told["strategy"]["settings"].items()
                if not (solved and key.startswith("training."))]  # fmt: skip
    own = [setting for cost in told["costs"] if cost["strategy"] == kinds[0] for setting in cost["settings"]]
    own = [setting for setting in own if setting not in settings] + as_settings("strategy", subject.strategy(kinds[0]))
    train = ["tunewright", "train", data, *task, *model, "--strategy", kinds[0], *settings, *own]
    if told["stages"] and told["stages"]["answer"] == ["sft", "dpo"] and preferences:
        first = Path("runs") / "sft"
        second = ["--task", "preference", "--from", str(first), "--strategy", kinds[0]]
        found += [[*train, "--out", str(first)], ["tunewright", "train", str(preferences), *second]]
    else:
        found.append(train)
    compared = kinds[:COMPARED]
    if subject.task.kind == "sequence_classification" and "feature_extraction" not in compared:
        compared = [*compared, "feature_extraction"]
    found.append(["tunewright", "compare", data, *task, *model, "--strategies", ",".join(compared), *settings])
    return [shlex.join(line) for line in found]
