"""Say whether to fine-tune at all, with which strategy and settings, and what would change that; trains nothing.

Rows, lengths, labels and words are measured, and rules with their sources are asked (advice/rules.yaml). With --probe
a learning curve and a short run of the two best are held against them.

Example: tunewright advise inbox.csv --need latency

Example: tunewright advise instructions.jsonl --model models/seven-billion --memory 16GB
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from . import Import, import_files
from .train import (
    Delimiter,
    Header,
    Label,
    Model,
    Names,
    Settings,
    Source,
    TaskKind,
    TestFile,
    TextColumn,
    Trust,
    Validation,
    configuration,
)

Memory = Annotated[str | None, typer.Option(help="main memory of the machine that will train: 16GB; this one's free")]
Gpu = Annotated[str | None, typer.Option(help="its GPUs: 1x24GB, 4x80GB, 4xA100; this machine's when left out")]
Need = Annotated[str, typer.Option(help="latency, quality, many-tasks, freshness or format: what matters most")]
Known = Annotated[list[str] | None, typer.Option("--fact", help="name=value, known better than it can be measured")]
Pairs = Annotated[str | None, typer.Option("--preferences", help="a file of preference pairs beside the data")]
Seconds = Annotated[float, typer.Option(min=0, help="for looking at the data; 0: only what takes none")]
Probe = Annotated[bool, typer.Option("--probe", help="evidence: a learning curve and a short run of the two best")]
AsJson = Annotated[bool, typer.Option("--json", help="the advice as one JSON object on standard output")]


def command(
    source: Source, settings: Settings = None, test: TestFile = None, validation: Validation = None,
    text: TextColumn = None, label: Label = None, label_names: Names = None, label_delimiter: Delimiter = None,
    header: Header = None, model: Model = None, task: TaskKind = None, memory: Memory = None, gpu: Gpu = None,
    need: Need = "none", fact: Known = None, preferences: Pairs = None, seconds: Seconds = 30.0, probe: Probe = False,
    as_json: AsJson = False, trust_remote_code: Trust = False, imports: Import = None,
) -> None:  # fmt: skip
    import_files(imports)
    flags = {
        "data.test": test, "data.validation": validation, "data.text": text or None, "data.label": label or None,
        "data.label_names": label_names, "data.label_delimiter": label_delimiter, "data.header": header,
        "model": model, "task.kind": task, "trust_remote_code": trust_remote_code or None,
    }  # fmt: skip
    flags = {path: value for path, value in flags.items() if value is not None}
    config, *later = configuration(source, flags, settings or [])
    pairs = (run.data.train for run in later if run.task and run.task.kind == "preference")
    preferences = preferences or next(pairs, None)

    from ..config import edits
    from ..training.progress import listener

    hears = listener()
    from ..advice.advise import advise

    try:
        found = advise(
            config, memory=memory, gpu=gpu, need=need, facts={path[0]: value for path, value in edits(fact or [])},
            preferences=preferences, probe=probe, seconds=seconds, listener=hears,
        )  # fmt: skip
    finally:
        hears.close()
    if as_json:
        from ..files import finite

        print(json.dumps(finite(found.told), ensure_ascii=False))
        return
    show(found.told)


def show(told: dict[str, Any]) -> None:
    """The advice for people: the answer first, then what it rests on, what would flip it, and what to run."""
    from rich.padding import Padding
    from rich.text import Text

    from ..advice.advise import ANSWERS
    from ..advice.facts import FACTS, shown
    from .tables import console

    out = console()

    def say(text: str, style: str = "", left: int = 0) -> None:
        out.print(Padding(Text(text, style), (0, 0, 0, left)))

    def reasoned(title: str, item: dict[str, Any], known: Any = None) -> None:
        say(title, "bold")
        if item["rule"] is None or item["rule"] != known:
            say(item["because"], left=2)
            say(item["source"], "dim", left=2)

    reasoned(ANSWERS[told["fine_tune"]["answer"]], told["fine_tune"])
    own = told["strategy"]
    if own:
        head = "strategy" if told["fine_tune"]["answer"] == "yes" else "if trained"
        numbers = [f"{name.replace('_', ' ')} {own[name]:g}" for name in NUMBERS if own.get(name) is not None]
        rest = f" ({', '.join(told['ordering'][1:])} next)" if told["ordering"][1:] else ""
        reasoned(f"{head}: {own['kind']}{rest}", own, told["fine_tune"]["rule"])
        say(", ".join(numbers) or "nothing to set: its head is solved for", left=2)
    else:
        say("no strategy suits, can be had and fits", "bold red")
    if told["stages"]:
        reasoned(f"stages: {' then '.join(told['stages']['answer'])}", told["stages"])
    for item in told["settings"]:
        reasoned(f"{item['setting']}={str(item['value']).replace('True', 'true')}", item)
    for item in told["prepare"]:
        reasoned(f"first: {item['how']}", item)
    for item in told["guards"]:
        reasoned(f"guard: {item['how']}", item)
    if told["flips"]:
        say("what would change this", "bold")
        for flip in told["flips"]:
            say(f"{flip['when']}: {flip['then']}", left=2)
    if told["probe"]:
        say("evidence", "bold")
        for line in told["probe"]["lines"]:
            say(line, left=2)
    out.print(memory_table(told))
    facts = {name: value for name, value in told["facts"].items() if not name.endswith(("_fits", "_gb"))}
    say("; ".join(f"{FACTS[name].means} {shown(name, value)}" for name, value in facts.items()), "dim")
    lacking = {name for item in told["not_asked"] for name in item["lacks"]}
    for name in sorted(lacking & set(told["unknown"])):
        rules = ", ".join(item["rule"] for item in told["not_asked"] if name in item["lacks"])
        say(f"not known: {FACTS[name].means}: {told['unknown'][name]} (silent rules: {rules})", "dim")
    say("next", "bold")
    for line in told["commands"]:
        out.print(f"  {line}", markup=False, soft_wrap=True)


NUMBERS = ("learning_rate", "batch_size", "epochs", "warmup", "weight_decay")


def memory_table(told: dict[str, Any]) -> Any:
    """Strategies that can be had: predicted peak and time, and whether they fit."""
    from rich.table import Table

    memory = told["facts"].get("memory_gb")
    held = f"fits into {memory:,.1f} GB" if memory else "fits"
    found = Table("strategy", "peak, GB", "time", held)
    for cost in told["costs"]:
        if not cost["refused"]:
            peak = "" if cost["peak_gb"] is None else f"{cost['peak_gb']:,.1f}"
            fits = {True: "yes", False: "no", None: "not known"}[cost["fits"]]
            found.add_row(cost["strategy"], peak, duration(cost["seconds"]), " ".join([fits, *cost["settings"]]))
    return found


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
