"""What is printed of a comparison: the table, the verdict and how to use the winner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from ..report import comparison_files as files
from ..report.comparison_sections import COSTS
from ..report.words import NARROW, NOTHING, chance, score_value, signed
from .tables import console, cut

NAME = 34  # characters of a name on one line; longer ones are folded
LEAST = ("trained", "size", "seeds", "memory", "ms a row", "interval", "p")  # left out first where there is no room


def show(comparison: dict[str, Any], path: Path) -> None:
    """Prints it; costs that do not fit the terminal are left to the report."""
    found, out = files.of(comparison, str(path)), console()
    columns = _columns(found)
    for name in LEAST:
        if Measurement.get(out, out.options.update(width=10_000), _table(found, columns)).maximum > out.width:
            columns.pop(name, None)
    out.print(_table(found, columns))
    out.print(escape(found.sentence), style="bold")
    told = [f"{item.name}: {said}" for item in found.contestants for said in item.told]
    for line in [*found.advice, *told]:
        out.print(f"- {escape(cut(line, 1000))}")
    out.print(f"report:  {escape(str(path / 'report.html'))}", soft_wrap=True)
    if found.verdict:
        out.print(f"winner:  {escape(str(path / found.verdict['path']))}", soft_wrap=True)
        out.print(f"use it:  {escape(found.use)}", soft_wrap=True)


def _columns(found: files.Comparison) -> dict[str, list[str]]:
    """By head, a cell for each contestant; without those in which nothing stands."""
    metric = found.metric

    def interval(item: files.Contestant) -> str:
        low, high = item.interval
        return f"{score_value(metric, low)} to {score_value(metric, high)}" if high > low else NOTHING

    cells: dict[str, Callable[[files.Contestant], str]] = {
        "contestant": lambda item: cut(item.name, 200) + "".join(f" ({tag})" for tag in found.tags(item)),
        metric: lambda item: score_value(metric, item.number("score", "value")),
        "interval": interval,
        "seeds": lambda item: score_value(metric, item.number("score", "seed_deviation")),
        "to best": lambda item: signed(metric, item.number("versus_best", "difference")),
        "p": lambda item: chance(item.number("versus_best", "p_corrected")),
        **{name.partition(",")[0]: said for name, said in COSTS.items()},
    }
    columns = {head: [cell(item).replace(NARROW, " ") for item in found.contestants] for head, cell in cells.items()}
    return {head: each for head, each in columns.items() if any(cell != NOTHING for cell in each)}


def _table(found: files.Comparison, columns: dict[str, list[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    for head in columns:
        if head == "contestant":
            table.add_column(head, overflow="fold", max_width=NAME)
        else:
            table.add_column(head, justify="right", no_wrap=True)
    for item, cells in zip(found.contestants, zip(*columns.values(), strict=True), strict=True):
        wins = item.name == found.verdict.get("winner")
        table.add_row(*map(escape, cells), style="bold" if wins else "dim" if not item.score else None)
    return table
