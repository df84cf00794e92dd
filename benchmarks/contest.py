"""A contest over a test set: contestants alternate, each run in a process of its own; one piece of code scores all."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from .data import UnusableError, pretrained
from .jobs import Job, JobError, run
from .machine import machine, positive
from .table import Runs, Summary, shown

PREDICTIONS = "predictions.json"  # in a job's `out`: what the contestant answered to the test set
EXAMPLE, BEST, OURS = "example", "trainer-best", "tunewright"
MEDIANS = ("process_seconds", "cpu_seconds", "fit_seconds", "peak_memory_mb")
CAPTION = (
    "seconds: median, the whole process from start to end: imports, reading, training, the saved model, the answers to "
    "the test set. x example, x best: how many times as fast, by seconds. CPU s: of all threads; steadier than seconds "
    "where others use the machine. fit s: training alone, by each tool's own clock (Tunewright's holds its evaluations "
    "of the validation set and its checkpoints). MB: peak resident memory. "
    "Scores: medians on the test set, by one implementation."
)


@dataclass(frozen=True)
class ContestJob(Job):
    """A job with answers: PREDICTIONS for the file `test`. `dev` is the validation set."""

    test: str


@dataclass(frozen=True)
class Files:
    """What all contestants read, written or found before any clock runs."""

    train: Path
    validation: Path
    test: Path


@dataclass(frozen=True)
class Contest:
    """What differs between the contests.

    Args:
        what: of the data and the model, for the table's title.
        module: where the contestants EXAMPLE, BEST and OURS are defined.
        titles: of the contestants.
        runs: of each, unless the user says otherwise.
        prepare: files in a folder, at most so many rows in each (None: all).
        score: scores by name, of a test file and the answers to it.
        scores: those of them that the table shows, the main one first.
    """

    name: str
    what: str
    module: str
    titles: dict[str, str]
    epochs: int
    runs: int
    prepare: Callable[[Path, int | None], Files]
    score: Callable[[Path, Any], dict[str, float]]
    scores: tuple[str, ...]


def hold(contest: Contest, description: str | None, arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 1 a contestant failed, 2 the user can fix it."""
    chosen = options(contest, description, arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    names = [name for name in contest.titles if not chosen.only or name in chosen.only]
    runs: Runs = {}
    try:
        with tempfile.TemporaryDirectory(prefix=f"tunewright-{contest.name}-") as work:
            for name, measured in compete(contest, Path(work), names, chosen.runs, chosen.limit):
                runs.setdefault(name, []).append(measured)
                told = f"{name}, run {len(runs[name])}: {line_of(measured, contest.scores)}"
                console.print(f"[dim]{told}[/dim]", highlight=False)
                write(chosen, runs, summarise(runs, contest.scores))  # hours may follow, and fail
    except (UnusableError, JobError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UnusableError) else 1
    limited = f", AT MOST {chosen.limit} ROWS OF EACH SPLIT" if chosen.limit else ""
    title = f"{contest.what}, {os.cpu_count()} CPU cores{limited}"
    console.print(table_of(contest, summarise(runs, contest.scores), title))
    console.print(f"every measurement: {chosen.json}", soft_wrap=True)
    return 0


def options(contest: Contest, description: str | None, arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(f"python -m benchmarks {contest.name}", description=description)
    parser.add_argument("--runs", type=positive, default=contest.runs, help="of each contestant; run n has seed n")
    parser.add_argument("--only", action="append", choices=list(contest.titles), help="a contestant; may be repeated")
    parser.add_argument(
        "--limit", type=positive, help="rows of each split at most: does it work? The scores mean nothing"
    )
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / f"tunewright-{contest.name}.json")
    return parser.parse_args(arguments)


def compete(
    contest: Contest, work: Path, names: Sequence[str], runs: int, limit: int | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A B C, A B C, ...: a machine that slows down slows all of them."""
    files, model = contest.prepare(work, limit), str(pretrained())
    train, validation, test = str(files.train), str(files.validation), str(files.test)
    for seed in range(runs):
        for name in names:
            out = work / f"{name}-{seed}"
            job = ContestJob(train, validation, model, str(out), seed, contest.epochs, test)
            measured = run(name, job, contest.module)
            answers = json.loads((out / PREDICTIONS).read_text(encoding="utf-8"))
            shutil.rmtree(out)  # the example leaves a gigabyte of checkpoints
            yield name, {**measured, **contest.score(files.test, answers)}


def line_of(measured: dict[str, Any], scores: tuple[str, ...]) -> str:
    """For the impatient: one run."""
    told = (f"{score} {measured[score]:.4f}" for score in scores)
    return ", ".join([f"{measured['process_seconds']:.1f} s", *told])


def summarise(runs: Runs, scores: tuple[str, ...]) -> Summary:
    """Medians and ranges by contestant, and how many times faster each is than the two of the Trainer."""
    found = {
        name: {
            "runs": len(measured),
            "arithmetic": measured[0]["arithmetic"],
            **{key: median(run[key] for run in measured) for key in (*MEDIANS, *scores)},
            **{f"{key}_range": span(run[key] for run in measured) for key in ("process_seconds", *scores)},
        }
        for name, measured in runs.items()
    }
    for line in found.values():
        for base in (EXAMPLE, BEST):
            times = found[base]["process_seconds"] / line["process_seconds"] if base in found else None
            line[f"times_{base}"] = times
    return found


def span(values: Any) -> list[float]:
    ordered = sorted(values)
    return [ordered[0], ordered[-1]]


def table_of(contest: Contest, summary: Summary, title: str) -> Table:
    """One line a contestant, for a person to read."""
    table = Table(title=title, caption=CAPTION, caption_justify="left", title_justify="left")
    table.add_column("", no_wrap=True)
    main, *others = contest.scores
    figures = ("runs", "seconds", "min-max", "x example", "x best", "CPU s", "fit s", "", "MB")
    for name in (*figures, main, "min-max", *others):
        table.add_column(name, justify="right", no_wrap=True)
    for name, line in summary.items():
        table.add_row(contest.titles[name], *cells(line, contest.scores))
    return table


def cells(line: dict[str, Any], scores: tuple[str, ...]) -> list[str]:
    main, *others = scores
    return [
        str(line["runs"]),
        f"{line['process_seconds']:.1f}",
        "{:.1f}-{:.1f}".format(*line["process_seconds_range"]),
        shown(line[f"times_{EXAMPLE}"], ".1f"),
        shown(line[f"times_{BEST}"], ".2f"),
        f"{line['cpu_seconds']:.1f}",
        f"{line['fit_seconds']:.1f}",
        line["arithmetic"],
        f"{line['peak_memory_mb']:.0f}",
        f"{line[main]:.3f}",
        "{:.3f}-{:.3f}".format(*line[f"{main}_range"]),
        *(f"{line[score]:.3f}" for score in others),
    ]


def write(chosen: argparse.Namespace, runs: Runs, summary: Summary) -> None:
    """Everything measured so far, and on what."""
    asked = {"runs": chosen.runs, "only": chosen.only, "limit": chosen.limit}
    found = {"machine": machine(), "options": asked, "summary": summary, "runs": runs}
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def answer(job: Job, answers: Any) -> None:
    """Called by a contestant: its answers to the test set."""
    (Path(job.out) / PREDICTIONS).write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")
