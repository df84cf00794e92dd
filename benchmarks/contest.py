"""A contest: contestants alternate, each run in a process of its own; medians, ratios, and which promises are kept."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .data import UnusableError, pretrained
from .jobs import PREDICTIONS, Job, JobError, run
from .machine import machine, positive
from .table import COLUMNS, Column, as_markdown, put_into, shown

OURS, PEAK = "tunewright", "peak"
STEPS = 25  # that an estimated contestant runs, the first ones left out of its figures
Runs = dict[str, list[dict[str, Any]]]  # measurements by contestant
Summary = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Files:
    """What all contestants read, written or found before any clock runs. `model`: the folder of the weights."""

    train: Path
    test: Path | None = None
    model: Path | None = None


@dataclass(frozen=True)
class Scope:
    """How much is run. limit: rows of each split at most; full: nothing is estimated, and the test set is whole."""

    limit: int | None = None
    full: bool = False


@dataclass(frozen=True)
class Contestant:
    """How one trains.

    Args:
        function: `MODULE:NAME` below benchmarks.
        equal_steps: each of its steps costs the same, so that a part of them tells the time of all.
        once: slow; one run is enough.
    """

    title: str
    function: str
    settings: dict[str, Any] = field(default_factory=dict)
    equal_steps: bool = False
    once: bool = False


@dataclass(frozen=True)
class Verdict:
    """A line of the table of promises."""

    work: str
    asked: str
    found: str
    met: bool


Promise = Callable[[Summary], Verdict | None]  # None: not all that it needs was run


@dataclass(frozen=True)
class Contest:
    """What differs between the contests.

    Args:
        what: of the data and the model, for the table's title.
        runs: of each, unless the user says otherwise.
        prepare: files in a folder.
        bases: contestants that the others are compared with, by total seconds.
        lengths: `MODULE:NAME` of the function that gives a row's tokens; None: no tokens are counted.
        passes: forward passes that a step's work is worth: 3 with the backward of all, 2 where weights are frozen.
        score: scores by name, of a test file and the answers to it.
        scores: those of them that the table shows, the main one first.
        columns: besides those of every contest.
        derive: adds figures to the summary.
        note: what is equal and what is not.
    """

    name: str
    what: str
    contestants: dict[str, Contestant]
    prepare: Callable[[Path, Scope], Files]
    promises: tuple[Promise, ...] = ()
    bases: tuple[str, ...] = ()
    epochs: int = 1
    runs: int = 2
    lengths: str | None = None
    passes: int = 3
    score: Callable[[Path, Any], dict[str, float]] | None = None
    scores: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    derive: Callable[[Summary], Summary] = lambda summary: summary
    note: str = ""


@dataclass(frozen=True)
class Faster:
    """The promise that `ours` is so many times as fast as `base`; by total seconds, or by those of training alone."""

    work: str
    base: str
    asked: float
    by: str = "total_seconds"
    ours: str = OURS

    def __call__(self, summary: Summary) -> Verdict | None:
        if self.base not in summary or self.ours not in summary:
            return None
        ratios = {key: summary[self.base][key] / summary[self.ours][key] for key in ("total_seconds", "fit_seconds")}
        alone = {"total_seconds": "by total s", "fit_seconds": "by fit s"}
        other = next(key for key in alone if key != self.by)
        estimated = " (est.)" if summary[self.base].get("steps_run") else ""
        found = f"{ratios[self.by]:.2f}x{estimated} {alone[self.by]}; {ratios[other]:.2f}x {alone[other]}"
        return Verdict(self.work, f"{self.asked:g}x {self.base}", found, ratios[self.by] >= self.asked)


@dataclass(frozen=True)
class NoWorse:
    """The promise that no score is lower than the base's, by more than its own standard error."""

    work: str
    base: str
    score: str
    error: float
    ours: str = OURS

    def __call__(self, summary: Summary) -> Verdict | None:
        ours, theirs = (summary.get(name, {}).get(self.score) for name in (self.ours, self.base))
        if ours is None or theirs is None:
            return None
        found = f"{ours:.3f} against {theirs:.3f} (standard error {self.error:g})"
        return Verdict(self.work, f"no lower {self.score} than {self.base}", found, ours >= theirs - self.error)


@dataclass(frozen=True)
class Reaches:
    """The promise that a contestant's training reaches a share of the machine's matrix products."""

    work: str
    contestant: str = OURS
    asked: float = 0.6

    def __call__(self, summary: Summary) -> Verdict | None:
        found = summary.get(self.contestant, {}).get("share_of_peak")
        if found is None:
            return None
        arithmetic = summary[self.contestant]["arithmetic"]
        return Verdict(
            f"{self.work}, {arithmetic}", f"{self.asked:.0%} of the peak", f"{found:.0%}", found >= self.asked
        )


def hold(contests: Sequence[Contest], arguments: list[str], description: str | None = None) -> int:
    """Returns the exit code: 0 done, 1 a contestant failed, 2 the user can fix it."""
    chosen = options(contests, description, arguments)
    scope, began, failures = Scope(chosen.limit, chosen.full), time.monotonic(), Failures()
    found: dict[str, tuple[Summary, Runs]] = {}
    for contest in contests:
        try:
            for runs in compete(contest, scope, chosen.runs, chosen.only, failures):
                found[contest.name] = summarise(contest, runs), runs
                write(chosen, contests, found, time.monotonic() - began)  # hours may follow, and fail
        except UnusableError as error:
            print(error, file=sys.stderr)
            return 2
        except JobError as error:  # before any contestant ran
            failures.add(contest.name, "preparation", error)
        if contest.name in found:
            print(table_of(contest, found[contest.name][0], scope) + "\n", flush=True)
    print(promises_of(contests, found))
    print(f"every measurement: {chosen.json}")
    if chosen.markdown:
        put_into(chosen.markdown, page(contests, found, scope, time.monotonic() - began))
    return int(bool(failures.names))


@dataclass
class Failures:
    """Contestants that failed: they are not asked again, the others go on."""

    names: set[tuple[str, str]] = field(default_factory=set)

    def add(self, contest: str, name: str, error: JobError) -> None:
        self.names.add((contest, name))
        print(f"{contest}: {name} is left out: {error}", file=sys.stderr, flush=True)


def options(contests: Sequence[Contest], description: str | None, arguments: list[str]) -> argparse.Namespace:
    name = contests[0].name if len(contests) == 1 else "all"
    parser = argparse.ArgumentParser("python -m benchmarks NAME", description=description)
    parser.add_argument("--runs", type=positive, help="of each contestant; run n has seed n")
    parser.add_argument("--only", action="append", help="a contestant; may be repeated")
    parser.add_argument("--limit", type=positive, help="rows of each split at most: does it work? Figures mean nothing")
    parser.add_argument("--smoke", action="store_true", help="the same as --limit 64 --runs 1")
    parser.add_argument("--full", action="store_true", help="nothing estimated, all test rows; hours")
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / f"tunewright-{name}.json")
    parser.add_argument("--markdown", type=Path, help="the tables, between the marks of this file")
    chosen = parser.parse_args(arguments)
    if chosen.smoke:
        chosen.limit, chosen.runs = chosen.limit or 64, chosen.runs or 1
    known = {name for contest in contests for name in contest.contestants}
    if unknown := set(chosen.only or ()) - known:
        parser.error(f"no contestant {', '.join(sorted(unknown))}; there is: {', '.join(sorted(known))}")
    return chosen


def compete(
    contest: Contest, scope: Scope, asked: int | None, only: list[str] | None, failures: Failures
) -> Iterator[Runs]:
    """A B C, A B C, ...: a machine that slows down slows all of them. The peak is measured anew in each round."""
    runs: Runs = {}
    names = [name for name in contest.contestants if not only or name in only]
    with tempfile.TemporaryDirectory(prefix=f"tunewright-{contest.name}-") as work:
        files = contest.prepare(Path(work), scope) if names else Files(Path(work))
        for seed, name in order(contest, names, asked or contest.runs):
            if (contest.name, name) in failures.names:
                continue
            job = job_of(contest, name, files, scope, Path(work) / f"{name}-{seed}", seed)
            try:
                add(runs, contest, name, measured_by(contest, files, job))
            except JobError as error:
                failures.add(contest.name, name, error)
            yield runs


def order(contest: Contest, names: Sequence[str], runs: int) -> Iterator[tuple[int, str]]:
    """Seeds and contestants."""
    for seed in range(runs):
        yield from ((seed, name) for name in names if not (contest.contestants[name].once and seed))
        if contest.lengths and names:
            yield seed, PEAK


def job_of(contest: Contest, name: str, files: Files, scope: Scope, out: Path, seed: int) -> Job:
    peak = Contestant("", "peak:measure", {"lengths": f"benchmarks.{contest.lengths}"})
    contestant = peak if name == PEAK else contest.contestants[name]
    return Job(
        function=f"benchmarks.{contestant.function}",
        train=str(files.train),
        test=str(files.test or ""),
        model=str(files.model or pretrained()),
        out=str(out),
        seed=seed,
        epochs=contest.epochs,
        settings=contestant.settings,
        steps=(4 if scope.limit else STEPS) if contestant.equal_steps and not scope.full else None,
    )


def measured_by(contest: Contest, files: Files, job: Job) -> dict[str, Any]:
    """One run, scored; its files are removed."""
    measured, answers = run(job), Path(job.out) / PREDICTIONS
    if contest.score and files.test and answers.is_file():
        measured |= contest.score(files.test, json.loads(answers.read_text(encoding="utf-8")))
    shutil.rmtree(job.out)
    return measured


def add(runs: Runs, contest: Contest, name: str, measured: dict[str, Any]) -> None:
    runs.setdefault(name, []).append(measured)
    if name == PEAK:
        return
    scores = [f"{score} {measured[score]:.4f}" for score in contest.scores if score in measured]
    told = ", ".join([f"{measured['total_seconds']:.1f} s", *scores])
    print(f"{contest.name}: {name}, run {len(runs[name])}: {told}", flush=True)


def summarise(contest: Contest, runs: Runs) -> Summary:
    """Medians by contestant, and what follows from them."""
    peaks = runs.get(PEAK)
    found = {name: medians(measured) for name, measured in runs.items() if name != PEAK}
    for line in found.values():
        for base in contest.bases:
            if base in found:
                line[f"times_{base}"] = found[base]["total_seconds"] / line["total_seconds"]
        if peaks and line.get("fit_seconds"):
            line |= rates(contest, line, peaks)
    return contest.derive(found)


def medians(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Of every number; whatever else there is, from the first run."""
    line = dict(measured[0])
    for key, value in line.items():
        if isinstance(value, int | float):
            line[key] = median(run[key] for run in measured)
    seconds = [run["total_seconds"] for run in measured]
    return {**line, "runs": len(measured), "range": [min(seconds), max(seconds)]}


def rates(contest: Contest, line: dict[str, Any], peaks: list[dict[str, Any]]) -> dict[str, float]:
    """Of training alone. The peak is the best seen in this contestant's arithmetic; padding counts as no work."""
    work, seconds = peaks[0], line["fit_seconds"] / contest.epochs
    found = {"examples_per_second": work["rows"] / seconds, "tokens_per_second": work["tokens"] / seconds}
    best = max(run["peak_flops"].get(line["arithmetic"], 0) for run in peaks)
    if best:
        found["share_of_peak"] = contest.passes * work["forward_flops"] / seconds / best
    return found


def table_of(contest: Contest, summary: Summary, scope: Scope) -> str:
    """One line a contestant."""
    scores = [Column(name, name, ".3f") for name in contest.scores]
    bases = [Column(f"times_{base}", f"x {base}", ".2f") for base in contest.bases]
    columns = [*COLUMNS[:3], *bases, *COLUMNS[3:], *contest.columns, *scores]
    columns = [column for column in columns if any(column.key in line for line in summary.values())]
    titles = {name: contest.contestants[name].title for name in summary}
    rows = [[titles[name], *(shown(line, column) for column in columns)] for name, line in summary.items()]
    limited = f", AT MOST {scope.limit} ROWS OF EACH SPLIT: the figures mean nothing" if scope.limit else ""
    title = f"### {contest.name}: {contest.what}, {os.cpu_count()} CPU cores{limited}"
    table = as_markdown(["", *(column.title for column in columns)], rows)
    return "\n\n".join(filter(None, [title, table, contest.note]))


def verdicts(contests: Iterable[Contest], found: dict[str, tuple[Summary, Runs]]) -> list[Verdict]:
    asked = [
        (promise, found[contest.name][0])
        for contest in contests
        if contest.name in found
        for promise in contest.promises
    ]
    return [verdict for promise, summary in asked if (verdict := promise(summary))]


def promises_of(contests: Iterable[Contest], found: dict[str, tuple[Summary, Runs]]) -> str:
    rows = [[told.work, told.asked, told.found, "yes" if told.met else "NO"] for told in verdicts(contests, found)]
    return as_markdown(["work", "asked", "found", "met"], rows) if rows else ""


def page(contests: Sequence[Contest], found: dict[str, tuple[Summary, Runs]], scope: Scope, seconds: float) -> str:
    """What `--markdown` writes."""
    told = machine()
    versions = ", ".join(f"{name} {value}" for name, value in told.items() if name not in ("processor", "load_average"))
    load = ", ".join(f"{value:.1f}" for value in told["load_average"])
    head = f"{told['processor']}; {versions}; load average at the end {load}; {seconds / 60:.0f} minutes in all."
    tables = [table_of(contest, found[contest.name][0], scope) for contest in contests if contest.name in found]
    return "\n\n".join([head, promises_of(contests, found), *tables])


def write(
    chosen: argparse.Namespace, contests: Sequence[Contest], found: dict[str, tuple[Summary, Runs]], seconds: float
) -> None:
    """Everything measured so far, and on what."""
    told = {
        "machine": machine(),
        "options": {name: value for name, value in vars(chosen).items() if name not in ("json", "markdown")},
        "seconds": seconds,
        "promises": [vars(verdict) for verdict in verdicts(contests, found)],
        "contests": {name: {"summary": summary, "runs": runs} for name, (summary, runs) in found.items()},
    }
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
