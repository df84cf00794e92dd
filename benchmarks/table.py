"""From single measurements to medians and ratios, and to a table."""

from __future__ import annotations

from statistics import median
from typing import Any

from rich.table import Table

Runs = dict[str, list[dict[str, Any]]]  # measurements by contestant
Summary = dict[str, dict[str, Any]]

MEDIANS = ("end_to_end_seconds", "training_seconds", "process_seconds", "peak_memory_mb", "accuracy")


def summarise(runs: Runs, num_rows: int, epochs: int) -> Summary:
    """Medians per contestant, and how many times faster each is than the two Trainer recipes."""
    peaks = runs.get("peak", [])
    found = {name: medians(measured) for name, measured in runs.items() if name != "peak" and measured}
    for line in found.values():
        line["training_rows_per_second"] = num_rows * epochs / line["training_seconds"]
        line["share_of_peak"] = share_of_peak(line, peaks)
        for base in ("trainer-plain", "trainer-best"):
            line[f"times_{base}"] = faster(found.get(base), line)
    return found


def medians(measured: list[dict[str, Any]]) -> dict[str, Any]:
    line: dict[str, Any] = {key: median(run[key] for run in measured) for key in MEDIANS}
    seconds = [run["end_to_end_seconds"] for run in measured]
    return {
        "runs": len(measured),
        "arithmetic": measured[0]["arithmetic"],
        "range": [min(seconds), max(seconds)],
        **line,
    }


def faster(base: dict[str, Any] | None, line: dict[str, Any]) -> float | None:
    return base["end_to_end_seconds"] / line["end_to_end_seconds"] if base else None


def share_of_peak(line: dict[str, Any], peaks: list[dict[str, Any]]) -> float | None:
    """Of the fastest peak seen in this contestant's arithmetic; padding counts as no work."""
    if not peaks:
        return None
    best = max(run["peak_flops"][line["arithmetic"]] for run in peaks)
    return float(peaks[0]["training_flops"] / line["training_seconds"] / best)


def table_of(summary: Summary, titles: dict[str, str], title: str, caption: str) -> Table:
    """One line a contestant, for a person to read."""
    table = Table(title=title, caption=caption, caption_justify="left", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("runs", "seconds", "min-max", "x plain", "x best", "process s", "rows/s", "of peak", "MB", "accuracy"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, line in summary.items():
        table.add_row(titles[name], *cells(line))
    return table


def cells(line: dict[str, Any]) -> list[str]:
    low, high = line["range"]
    return [
        str(line["runs"]),
        f"{line['end_to_end_seconds']:.2f}",
        f"{low:.2f}-{high:.2f}",
        shown(line["times_trainer-plain"], ".1f"),
        shown(line["times_trainer-best"], ".2f"),
        f"{line['process_seconds']:.1f}",
        f"{line['training_rows_per_second']:.0f}",
        shown(line["share_of_peak"], ".0%") + f" {line['arithmetic']}",
        f"{line['peak_memory_mb']:.0f}",
        f"{line['accuracy']:.4f}",
    ]


def shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
