"""Say whether to fine-tune at all, with which strategy and settings, and what would change that; trains nothing.

Rows, lengths, labels and words are measured, and rules with their sources are asked (advice/rules.yaml). With --probe
a learning curve and a short run of the two best are held against them.

Example: tunewright advise inbox.csv --need latency

Example: tunewright advise instructions.jsonl --model models/seven-billion --memory 16GB
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import typer

from .options import HELD_OUT, READING, AsJson, Given, Gpu, Memory, print_json, reads_data

Need = Annotated[str, typer.Option(help="latency, quality, many-tasks, freshness or format: what matters most")]
Known = Annotated[list[str] | None, typer.Option("--fact", help="name=value, known better than it can be measured")]
Pairs = Annotated[str | None, typer.Option("--preferences", help="a file of preference pairs beside the data")]
Seconds = Annotated[float, typer.Option(min=0, help="for looking at the data; 0: only what takes none")]
Probe = Annotated[bool, typer.Option("--probe", help="evidence: a learning curve and a short run of the two best")]


@reads_data(*HELD_OUT, *READING, "model", "trust_remote_code")
def command(
    given: Given, memory: Memory = None, gpu: Gpu = None, need: Need = "none", fact: Known = None,
    preferences: Pairs = None, seconds: Seconds = 30.0, probe: Probe = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    config, *later = given.stages()

    from ..advice.advise import advise
    from ..config import edits
    from ..training.progress import listener

    pairs = (run.data.train for run in later if run.task and run.task.kind == "preference")
    preferences = preferences or next(pairs, None)

    with closing(listener()) as hears:
        found = advise(
            config, memory=memory, gpu=gpu, need=need, facts={path[0]: value for path, value in edits(fact or [])},
            preferences=preferences, probe=probe, seconds=seconds, listener=hears,
        )  # fmt: skip
    if as_json:
        print_json(found.told)
    else:
        show(found.told)


NUMBERS = ("learning_rate", "batch_size", "epochs", "warmup", "weight_decay")


def show(told: dict[str, Any]) -> None:
    """The advice for people: the answer first, then what it rests on, what would flip it, and what to run."""
    from .tables import console

    out = console()
    for line in conclusions(told):
        say(out, *line)
    for title, lines in rest(told).items():
        if lines:
            say(out, title, "bold")
        for text in lines:
            say(out, text, left=2)
    out.print(memory_table(told))
    for text in facts(told):
        say(out, text, "dim")
    say(out, "next", "bold")
    for line in told["commands"]:
        out.print(f"  {line}", markup=False, soft_wrap=True)


def say(out: Any, text: str, style: str = "", left: int = 0) -> None:
    from rich.padding import Padding
    from rich.text import Text

    out.print(Padding(Text(text, style), (0, 0, 0, left)))


def conclusions(told: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """(text, style, indentation) of what is concluded, each with its reason and source."""
    from ..advice.advise import ANSWERS

    answer, own, stages = told["fine_tune"], told["strategy"], told["stages"]
    yield from reasoned(ANSWERS[answer["answer"]], answer)
    if own:
        head = "strategy" if answer["answer"] == "yes" else "if trained"
        numbers = [f"{name.replace('_', ' ')} {own[name]:g}" for name in NUMBERS if own.get(name) is not None]
        others = f" ({', '.join(told['ordering'][1:])} next)" if told["ordering"][1:] else ""
        yield from reasoned(f"{head}: {own['kind']}{others}", own, answer["rule"])
        yield ", ".join(numbers) or "nothing to set: its head is solved for", "", 2
    else:
        yield "no strategy suits, can be had and fits", "bold red"
    if stages:
        yield from reasoned(f"stages: {' then '.join(stages['answer'])}", stages)
    for item in told["settings"]:
        yield from reasoned(f"{item['setting']}={str(item['value']).replace('True', 'true')}", item)
    for title, items in (("first", told["prepare"]), ("guard", told["guards"])):
        for item in items:
            yield from reasoned(f"{title}: {item['how']}", item)


def reasoned(title: str, item: dict[str, Any], known: Any = None) -> Iterator[tuple[Any, ...]]:
    """Args: known: the rule that was told just before."""
    yield title, "bold"
    if item["rule"] is None or item["rule"] != known:
        yield item["because"], "", 2
        yield item["source"], "dim", 2


def rest(told: dict[str, Any]) -> dict[str, list[str]]:
    """Lines under a title."""
    flips = [f"{flip['when']}: {flip['then']}" for flip in told["flips"]]
    return {"what would change this": flips, "evidence": told["probe"]["lines"] if told["probe"] else []}


def facts(told: dict[str, Any]) -> Iterator[str]:
    """What was measured, and what could not be, with the rules that say nothing for that."""
    from ..advice.facts import FACTS, shown

    found = {name: value for name, value in told["facts"].items() if not name.endswith(("_fits", "_gb"))}
    yield "; ".join(f"{FACTS[name].means} {shown(name, value)}" for name, value in found.items())
    lacking = {name for item in told["not_asked"] for name in item["lacks"]}
    for name in sorted(lacking & set(told["unknown"])):
        rules = ", ".join(item["rule"] for item in told["not_asked"] if name in item["lacks"])
        yield f"not known: {FACTS[name].means}: {told['unknown'][name]} (silent rules: {rules})"


def memory_table(told: dict[str, Any]) -> Any:
    """Strategies that can be had: predicted peak and time, and whether they fit."""
    from rich.table import Table

    from ..planner.plan import duration

    memory = told["facts"].get("memory_gb")
    found = Table("strategy", "peak, GB", "time", f"fits into {memory:,.1f} GB" if memory else "fits")
    for cost in told["costs"]:
        if not cost["refused"]:
            peak = "" if cost["peak_gb"] is None else f"{cost['peak_gb']:,.1f}"
            time = "" if cost["seconds"] is None else duration(cost["seconds"])
            fits = {True: "yes", False: "no", None: "not known"}[cost["fits"]]
            found.add_row(cost["strategy"], peak, time, " ".join([fits, *cost["settings"]]))
    return found
