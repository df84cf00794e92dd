"""Ten thousand to a million made-up rows: seconds a row until the first step, seconds a step, and memory."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from . import clock
from .contest import Contest, Contestant, Files, Scope, Summary, Verdict
from .data import write_csv
from .jobs import Job
from .table import Column
from .trainers import by_tunewright

FEW, SIZES = 100, (10_000, 100_000, 1_000_000)
STEPS = 12
FLAT, MEMORY_MB = 1.1, 3 * 1024


def prepare(work: Path, scope: Scope) -> Files:
    """Files of made-up texts, 5 to 25 words, 2 labels; the sizes are divided where the scope is limited."""
    drawn = random.Random(0)
    words = ["".join(drawn.choices("abcdefghijklmnopqrstuvwxyz", k=drawn.randint(2, 8))) for _ in range(5000)]
    for size in (FEW, *SIZES):
        count = size if size == FEW or not scope.limit else max(2 * FEW, size // 500)
        rows = ((" ".join(drawn.choices(words, k=drawn.randint(5, 25))), str(row % 2)) for row in range(count))
        write_csv(work / f"{size}.csv", rows)
    return Files(work)


def grow(job: Job) -> dict[str, Any]:
    """A few steps over so many rows: seconds from reading to the first step's end, and of a step."""
    train = Path(job.train) / f"{job.settings['rows']}.csv"
    settings = {"data": {"check_seconds": 0}, "training": {"max_steps": STEPS, "batch_size": 16}}
    import tunewright

    assert tunewright.train  # its import is not of the rows
    began = time.time()
    _, measured = by_tunewright(Job(job.function, str(train), "", job.model, job.out, job.seed, settings=settings))
    with train.open(encoding="utf-8") as file:
        rows = sum(1 for _ in file) - 1
    return {"rows": rows, "prepared_seconds": clock.ENDS[0] - began, "step_ms": 1000 * clock.step_seconds(), **measured}


def of_rows(summary: Summary) -> Summary:
    """Besides the medians: microseconds a row and MB, over what a hundred rows take."""
    few = summary.get(str(FEW))
    for line in summary.values() if few else ():
        if line is not few:
            spent = line["prepared_seconds"] - few["prepared_seconds"]
            line["microseconds_a_row"] = 1e6 * spent / (line["rows"] - few["rows"])
            line["more_mb"] = line["peak_memory_mb"] - few["peak_memory_mb"]
    return summary


def flat(summary: Summary) -> Verdict | None:
    """From a hundred thousand to a million: at ten thousand a second or so is too little to divide."""
    costs = [summary[str(size)]["microseconds_a_row"] for size in SIZES if str(size) in summary]
    if len(costs) < len(SIZES):
        return None
    found = ", ".join(f"{cost:.0f}" for cost in costs) + " microseconds a row"
    return Verdict("growth, 1e4 to 1e6 rows: time a row", "flat within 10 %", found, costs[-1] <= FLAT * min(costs))


def same_steps(summary: Summary) -> Verdict | None:
    times = [summary[str(size)]["step_ms"] for size in SIZES if str(size) in summary]
    if len(times) < len(SIZES):
        return None
    found = ", ".join(f"{value:.0f}" for value in times) + " ms a step"
    return Verdict("growth: time a step", "flat within 10 %", found, times[-1] <= FLAT * min(times))


def small(summary: Summary) -> Verdict | None:
    line = summary.get(str(SIZES[-1]))
    if line is None or "more_mb" not in line:
        return None
    more = line["more_mb"]
    return Verdict(
        "growth: memory of 1e6 rows", f"{MEMORY_MB:,} MB besides the model", f"{more:,.0f} MB", more <= MEMORY_MB
    )


GROWTH = Contest(
    name="growth",
    what=f"made-up rows of 5 to 25 words, {STEPS} steps of 16 rows, MiniLM",
    contestants={str(size): Contestant(f"{size:,} rows", "growth:grow", {"rows": size}) for size in (FEW, *SIZES)},
    prepare=prepare,
    promises=(flat, same_steps, small),
    runs=1,
    derive=of_rows,
    columns=(
        Column("prepared_seconds", "to first step s", ".1f"),
        Column("microseconds_a_row", "µs a row", ".0f"),
        Column("step_ms", "step ms", ".0f"),
        Column("more_mb", "MB more", ",.0f"),
    ),
    note=f"µs a row, MB more: over what {FEW} rows take (imports, the model). Reading, labels, encoding, order of "
    "rows, up to the end of the first step; the checks before training are off (they have a time limit of "
    "their own).",
)
