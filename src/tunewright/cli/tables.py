"""What the verbs print: tables for people, on standard output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

SHOWN = (
    "accuracy", "f1_macro", "f1_micro", "f1_samples", "precision_macro", "recall_macro", "mcc", "exact_match",
    "average_precision_macro", "loss", "calibration_error", "num_rows",
)  # fmt: skip
EXAMPLES = 5


def console() -> Console:
    return Console(highlight=False, soft_wrap=False)


def scores(splits: dict[str, dict[str, Any]]) -> None:
    """One column per split."""
    table = Table("score", *map(escape, splits), title_justify="left")
    for name in SHOWN:
        if any(name in found for found in splits.values()):
            table.add_row(name, *(number(found.get(name)) for found in splits.values()))
    console().print(table)


def number(value: Any) -> str:
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def examples(run: Path) -> None:
    """A few predictions with their probabilities."""
    path = next((run / "predictions" / f"{name}.jsonl" for name in ("test", "validation")
                 if (run / "predictions" / f"{name}.jsonl").is_file()), None)  # fmt: skip
    if path is None:
        return
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    table = Table("text", "label", "predicted", "probability", show_lines=False)
    for line in lines[:: max(1, len(lines) // EXAMPLES)][:EXAMPLES]:
        text = line["text"] if len(line["text"]) <= 70 else line["text"][:69] + "…"
        table.add_row(escape(text), *(escape(cell) for cell in answer(line)))
    console().print(table)


def answer(line: dict[str, Any]) -> tuple[str, str, str]:
    if "probability" in line:
        return line["label"], line["predicted"], f"{line['probability']:.2f}"
    chosen = [f"{line['probabilities'][name]:.2f}" for name in line["predicted"]]
    return ", ".join(line["label"]) or "-", ", ".join(line["predicted"]) or "-", ", ".join(chosen) or "-"


def closing(result: Any) -> None:
    """Time, memory, and where to go on."""
    metrics, run = result.metrics, result.path
    share = metrics["trainable_parameters"] / metrics["total_parameters"]
    out = console()
    out.print(
        f"{metrics['stopped']} after {metrics['total_seconds']:.0f} s ({metrics['fit_seconds']:.0f} s of fitting), "
        f"{metrics['peak_memory_mb']} MB, {metrics['trainable_parameters']:,} of {metrics['total_parameters']:,} "
        f"parameters trained ({share:.1%})"
    )
    for warning in metrics["warnings"]:
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    out.print(f"report:  {escape(str(run / 'report.html'))}", soft_wrap=True)
    out.print(f'try it:  tunewright predict {escape(str(run))} --text "..."', soft_wrap=True)
