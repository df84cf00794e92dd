"""Full fine-tuning of MiniLM on SST-2, one epoch: transformers' Trainer, plain and at its best, and Tunewright."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from .contestants import Recipe
from .data import UnusableError, prepare, pretrained
from .jobs import JobError, run
from .machine import machine, positive
from .table import Runs, Summary, summarise, table_of

TITLES = {
    "trainer-plain": "Trainer, plain: padded to 256, fp32",
    "trainer-best": "Trainer, best: dynamic padding, bf16, group_by_length",
    "tunewright": "tunewright, full",
}
CAPTION = (
    "seconds: median, from reading the data file to the saved and evaluated model, imports done; "
    "process s: the whole process, imports too. "
    "x plain, x best: how many times as fast as that recipe of the Trainer. rows/s: of the optimizer steps alone. "
    "of peak: 6 x non-embedding parameters x real tokens (padding is no work), over the best measured matmul of the "
    "model's shapes. MB: peak resident memory.\n"
    "Each tool keeps its default head: the Trainer BERT's pooler, Tunewright mean pooling for minilm; and its own "
    "evaluation: the Trainer's in batches of 8 and in training's arithmetic, Tunewright's in fp32."
)


@dataclass(frozen=True)
class Size:
    """How much is run.

    Args:
        num_dev: None is the whole dev set, 872 rows.
        runs: of each contestant but the plain recipe.
    """

    num_train: int
    num_dev: int | None
    runs: int
    plain_runs: int


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks sst2", description=__doc__)
    parser.add_argument("--runs", type=positive, default=3, help="of each contestant; each has its own seed")
    parser.add_argument(
        "--plain-runs", type=int, default=1, help="of the plain recipe: 0 leaves it out; about 170 s each"
    )
    parser.add_argument("--smoke", action="store_true", help="64 rows, one run, no plain recipe: does it work?")
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "tunewright-sst2.json")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 1 a contestant failed, 2 the user can fix it."""
    chosen = options(arguments)
    size = Size(64, 64, 1, 0) if chosen.smoke else Size(1024, None, chosen.runs, chosen.plain_runs)
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        with tempfile.TemporaryDirectory(prefix="tunewright-sst2-") as work:
            runs = compete(Path(work), size, console)
    except (UnusableError, JobError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UnusableError) else 1
    summary = summarise(runs, size.num_train, epochs=1)
    write(chosen.json, size, runs, summary)
    title = f"SST-2, {size.num_train} rows, one epoch, MiniLM, batch 16, learning rate 1e-4, {os.cpu_count()} CPU cores"
    console.print(table_of(summary, TITLES, title, CAPTION))
    console.print(f"every measurement: {chosen.json}", soft_wrap=True)
    return 0


def compete(work: Path, size: Size, console: Console) -> Runs:
    """All runs, one after another, contestants alternating: a machine that slows down slows all of them."""
    train, dev = prepare(work, size.num_train, size.num_dev)
    model = pretrained()
    runs: Runs = {name: [] for name in (*TITLES, "peak")}
    for name, seed in order(size):
        job = Recipe(str(train), str(dev), str(model), str(work / f"{name}-{seed}"), seed, epochs=1)
        runs[name].append(run(name, job))
        seconds = runs[name][-1].get("end_to_end_seconds")
        if seconds:
            console.print(f"[dim]{name}, run {seed + 1}: {seconds:.2f} s[/dim]", highlight=False)
    return runs


def order(size: Size) -> Iterator[tuple[str, int]]:
    """Contestant and seed: A B C, A B C ...; the matmul peak is taken anew in each round."""
    for seed in range(max(size.runs, size.plain_runs)):
        if seed < size.plain_runs:
            yield "trainer-plain", seed
        if seed < size.runs:
            yield from ((name, seed) for name in ("trainer-best", "tunewright", "peak"))


def write(path: Path, size: Size, runs: Runs, summary: Summary) -> None:
    """Everything measured, and on what."""
    found: dict[str, Any] = {"machine": machine(), "size": vars(size), "summary": summary, "runs": runs}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
