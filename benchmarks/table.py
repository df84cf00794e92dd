"""Tables for people, as Markdown: the same in a terminal and in docs/performance.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


@dataclass(frozen=True)
class Column:
    """A figure of the summary. form: as in `format`; a percent sign at its end makes it a share."""

    key: str
    title: str
    form: str


COLUMNS = (
    Column("runs", "runs", "d"),
    Column("total_seconds", "total s", ".1f"),
    Column("range", "min-max", ""),
    Column("fit_seconds", "fit s", ".1f"),
    Column("examples_per_second", "examples/s", ",.0f"),
    Column("tokens_per_second", "tokens/s", ",.0f"),
    Column("share_of_peak", "of peak", ".0%"),
    Column("arithmetic", "in", ""),
    Column("first_step_seconds", "first step s", ".1f"),
    Column("peak_memory_mb", "MB", ",.0f"),
)
ESTIMATED = ("total_seconds", "fit_seconds")  # scaled, where `steps_run` is less than `steps_scaled_to`


def shown(line: dict[str, Any], column: Column) -> str:
    """A cell."""
    value = line.get(column.key)
    if value is None:
        return "-"
    if column.key == "range":
        return "{:.1f}-{:.1f}".format(*value)
    mark = "est. " if column.key in ESTIMATED and "steps_run" in line else ""
    return mark + format(value, column.form)


def as_markdown(heads: list[str], rows: list[list[str]]) -> str:
    """Aligned: the first column to the left, figures to the right."""
    widths = [max(map(len, cells)) for cells in zip(heads, *rows, strict=True)]
    rule = ["-" * max(width, 3) for width in widths]
    lines = [heads, [rule[0], *(f"{dashes[:-1]}:" for dashes in rule[1:])], *rows]
    return "\n".join(f"| {' | '.join(padded(cells, widths))} |" for cells in lines)


def padded(cells: list[str], widths: list[int]) -> list[str]:
    return [
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]


def put_into(path: Path, text: str) -> None:
    """Between the marks of a file; a file without them holds the text alone."""
    known = path.read_text(encoding="utf-8") if path.is_file() else f"{BEGIN}\n{END}\n"
    before, found, rest = known.partition(BEGIN)
    after = rest.partition(END)[2]
    whole = f"{before}{BEGIN}\n\n{text}\n\n{END}{after}" if found else text + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(whole, encoding="utf-8")
