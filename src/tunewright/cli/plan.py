"""Say what a run would take in memory and time, on this machine or another, and what would fit; trains nothing.

Example: tunewright plan inbox.csv --strategies full,lora --memory 16GB

Example: tunewright plan recipe.yaml --gpu 1x24GB training.batch_size=32
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import HELD_OUT, READING, AsJson, Given, Gpu, Memory, print_json, reads_data

if TYPE_CHECKING:
    from ..planner.plan import Plan
    from ..planner.table import Candidate

Strategies = Annotated[str | None, typer.Option(help="others to look at: full,lora,freeze; all when left out")]
Probe = Annotated[bool, typer.Option("--probe", help="take a few real steps here, and correct the numbers by them")]
SHOWN = 24  # ways in the table; --json has all


@reads_data(*HELD_OUT, *READING, "strategy", "model", "trust_remote_code")
def command(
    given: Given, strategies: Strategies = None, memory: Memory = None, gpu: Gpu = None, probe: Probe = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    config = given.stages()[0]

    from ..api import plan

    found = plan(config, strategies=strategies or (), memory=memory, gpu=gpu, probe=probe)
    if as_json:
        print_json(found.to_json())
    else:
        show(found)


def show(plan: Plan) -> None:
    from rich import box
    from rich.table import Column, Table

    from ..planner.plan import by_cause
    from ..planner.table import gigabytes
    from .tables import console

    out, item = console(), plan.configured
    how = "two steps were measured" if plan.probed else "from the configuration; --probe measures two steps"
    out.print(f"{plan.machine.name}: {gigabytes(plan.machine.memory_bytes)} ({how})", markup=False, soft_wrap=True)
    table = Table(Column("strategy", no_wrap=True), "micro-batch", "tokens", "peak", "time", "", box=box.SIMPLE)
    for each in plan.candidates[:SHOWN]:
        table.add_row(*cells(each))
    for refused in plan.refused:
        table.add_row(refused.strategy, "", "", "", "", f"refused: {refused.reason}")
    out.print(table)
    out.print(f"\n{item.strategy}, as configured", markup=False)
    causes = {**by_cause(item.memory), "at the fullest moment": item.peak_bytes}
    columns([(name, gigabytes(value)) for name, value in causes.items()])
    columns([(name, f"{value:,.1f} s") for name, value in seconds_of(item).items() if value >= 0.05])
    columns([(f"on disk: {name}", gigabytes(value)) for name, value in plan.disk.items()])
    out.print(plan.verdict, markup=False, soft_wrap=True)


def cells(item: Candidate) -> list[str]:
    """A row of the table."""
    from ..planner.plan import duration
    from ..planner.table import gigabytes

    shape = item.shape
    rows = f"{shape.pack_tokens} tokens" if shape.packed else f"{shape.micro_batch_size} rows"
    fits = ("fits" if item.fits else "does not fit") + (f": {item.why}" if item.why else "")
    rows += ", checkpointing" if shape.gradient_checkpointing else ""
    seconds = duration(item.seconds.total)
    return [item.strategy, rows, str(shape.length), gigabytes(item.peak_bytes), seconds, fits]


def seconds_of(item: Candidate) -> dict[str, float]:
    from dataclasses import asdict

    return {**asdict(item.seconds), "in all": item.seconds.total}


def columns(rows: list[tuple[str, Any]]) -> None:
    """Lines of a name and a number, flush right."""
    from .inspect import aligned
    from .tables import console

    console().print("\n".join(f"  {line}" for line in aligned([list(row) for row in rows])), markup=False)
