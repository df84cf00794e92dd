"""Reads a comparison's directory into one value: comparison.json, and of each contestant what its runs left behind."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import RunDirectoryError
from ..files import inside, read_json
from . import files, privacy
from .analysis import Point, curve
from .comparison_rows import Reply, reply
from .files import Record
from .words import count, finite, listing, percent, plural, score_name, shorten

FAR = 3  # how many times further off than its neighbour, or than the best one's interval is wide, is far
PARTS = {"has_answer_f1": "questions with an answer", "no_answer_f1": "questions without an answer"}


@dataclass(frozen=True)
class Contestant:
    """One line of the table. The evaluations and replies are of its first seed."""

    record: Record  # as in comparison.json
    evaluations: list[Point]  # (share of the planned steps, score on validation)
    replies: dict[Any, Reply]  # by the row's number; empty where it did not finish
    groups: dict[str, float]  # F1 by class, entity type or kind of question: the mean over its finished seeds

    @property
    def name(self) -> str:
        return str(self.record["name"])

    @property
    def floor(self) -> bool:
        return self.record.get("kind") == "floor"

    @property
    def runs(self) -> list[Record]:
        return list(self.record.get("runs") or [])

    @property
    def score(self) -> Record:
        """value, low, high, seed_deviation; empty where it has no score."""
        return self.record.get("score") or {}

    @property
    def statuses(self) -> list[str]:
        """What became of its runs, where that is not only that they finished: `failed`, `1 of 3 stopped`."""
        each = [str(run.get("status")) for run in self.runs]
        return [s if each.count(s) == len(each) else f"{each.count(s)} of {len(each)} {s}"
                for s in ("stopped", "failed", "waiting") if s in each]  # fmt: skip

    @property
    def told(self) -> list[str]:
        """Why runs did not finish, the seeds of one reason together; and its notes."""
        reasons: dict[str, list[str]] = {}
        for run in self.runs:
            if run.get("status") in ("stopped", "failed"):
                planned = finite(run.get("planned_steps"))
                steps = f" after {count(run.get('steps'))} of {plural(planned, 'step')}" if planned else ""
                said = f"{run['status']}{steps}: {run.get('reason') or 'no reason is known'}"
                reasons.setdefault(said, []).append(str(run.get("seed")))
        told = [f"{said} ({'seed' if len(each) == 1 else 'seeds'} {listing(each)})" for said, each in reasons.items()]
        return [*told, *map(str, self.record.get("notes") or [])]

    @property
    def interval(self) -> Point:
        """Of the score; the score itself where there is none."""
        value = self.number("score", "value") or 0.0
        low, high = self.number("score", "low"), self.number("score", "high")
        return value if low is None else low, value if high is None else high

    def number(self, *path: str) -> float | None:
        value: Any = self.record
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return finite(value)


@dataclass(frozen=True)
class Comparison:
    """A comparison with secrets and absolute paths taken out; the best contestant first, those without a score last."""

    where: str  # the directory as a person names it
    record: Record  # comparison.json
    contestants: list[Contestant]
    lines: dict[Any, Record]  # the rows of the split by their number, as the best contestant's predictions have them

    @property
    def metric(self) -> str:
        return str(self.record["metric"]["name"])

    @property
    def metric_name(self) -> str:
        """`Macro F1`; the loss of a model that writes is no classifier's."""
        return "Loss" if self.metric == "loss" and self.task in files.GENERATIVE else score_name(self.metric)

    @property
    def higher(self) -> bool:
        """Whether a higher score is a better one."""
        return bool(self.record["metric"].get("higher_is_better", True))

    @property
    def verdict(self) -> Record:
        return self.record.get("verdict") or {}

    @property
    def task(self) -> str:
        return str(self.record.get("task"))

    @property
    def level(self) -> str:
        """Of the intervals: `95 %`."""
        return percent(self.record.get("level", 0.95), 0)

    def tags(self, item: Contestant) -> list[str]:
        """What is to be said of a contestant beside its name."""
        wins = item.name == self.verdict.get("winner")
        good = not wins and not self.verdict.get("detectable") and item.name in (self.verdict.get("equals") or [])
        marks = {"wins": wins, "as good": good, "floor": item.floor}
        return [*(mark for mark, there in marks.items() if there), *item.statuses]

    @property
    def title(self) -> str:
        """The verdict in a few words."""
        if not self.verdict:
            return "No verdict" if self.record.get("complete") else "Not decided yet"
        winner = shorten(str(self.verdict["winner"]), 48)
        said = (
            f"{winner} wins"
            if self.verdict.get("detectable")
            else f"No detectable difference: {winner} is the cheapest"
        )
        said = f"{winner} is the only contestant" if len(self.scored) == 1 else said
        return said if self.record.get("complete") else f"So far: {said}"

    @property
    def sentence(self) -> str:
        """The verdict's own, else what there is until now."""
        if self.verdict:
            return str(self.verdict["sentence"])
        each = [str(run.get("status")) for run in self.every_run]
        said = [f"{each.count(s)} {s}" for s in ("finished", "stopped", "failed", "waiting") if s in each]
        return f"Of {plural(len(each), 'run')}: {listing(said)}." if each else "No run has begun."

    @property
    def advice(self) -> list[str]:
        waiting = sum(run.get("status") == "waiting" for run in self.every_run)
        left = f": {plural(waiting, 'run')} to go" if waiting else ""
        more = [] if self.record.get("complete") else [f"It is not complete{left}; its command with --resume goes on."]
        return [*map(str, self.verdict.get("advice") or []), *more]

    @property
    def use(self) -> str:
        """How the winner is used."""
        context = ' --context "..."' if self.task == "question_answering" else ""
        return f'tunewright predict {shlex.quote(self.where)} --text "..."{context}'

    @property
    def scored(self) -> list[Contestant]:
        return [item for item in self.contestants if item.score]

    @property
    def near(self) -> list[Contestant]:
        """The scored ones without those so far behind the best that a picture of all would show nothing else."""
        distances = [abs((item.score["value"] or 0.0) - (self.scored[0].score["value"] or 0.0)) for item in self.scored]
        width = max(self.scored[0].interval[1] - self.scored[0].interval[0], 1e-9) if distances else 0.0
        jumps = enumerate(pairwise(distances), 1)
        at = [place for place, (near, far) in jumps if 2 * place >= len(distances) and far > FAR * max(near, width)]
        return self.scored[: max(at[0], 2)] if at else self.scored

    @property
    def every_run(self) -> list[Record]:
        return [run for item in self.contestants for run in item.runs]


def read(path: Path) -> Comparison:
    """Raises RunDirectoryError where the directory holds no comparison, or one that cannot be read."""
    try:
        raw = read_json(path / "comparison.json")
    except FileNotFoundError:
        fix = "give the directory of a comparison"
        raise RunDirectoryError("no comparison.json is here", where=str(path), fix=fix) from None
    except ValueError as error:
        fix = "compare again with --resume"
        raise RunDirectoryError(f"comparison.json is unreadable ({error})", where=str(path), fix=fix) from None
    record, contestants = _private(raw), []
    lines: dict[Any, Record] = {}
    for item in sorted(record["contestants"], key=lambda found: not found.get("score")):
        contestant, known = _contestant(path, item, record)
        contestants.append(contestant)
        lines = lines or {line.get("row"): line for line in known}
    where = path.resolve().name if path.is_absolute() else str(path)
    return Comparison(where, record, contestants, lines)


def of(record: Record, where: str) -> Comparison:
    """What comparison.json says, without what the runs left behind; nothing is taken out."""
    ordered = sorted(record["contestants"], key=lambda item: not item.get("score"))
    return Comparison(where, record, [Contestant(item, [], {}, {}) for item in ordered], {})


def _private(raw: Record) -> Record:
    record: Record = privacy.scrub_values(raw)
    record["command"] = privacy.scrub_command(str(raw["command"])) if raw.get("command") else None
    return record


def _contestant(folder: Path, record: Record, whole: Record) -> tuple[Contestant, Sequence[Record]]:
    """A contestant, and the lines of its predictions."""
    runs, split, metric = record.get("runs") or [], whole["split"], str(whole["metric"]["name"])
    ordered = sorted(runs, key=lambda run: run.get("status") != "finished")
    found = _left_behind(inside(folder, str(ordered[0]["path"]))) if ordered else None
    finished = [run for run in runs if run.get("status") == "finished"]
    lines = found.predictions or [] if found and finished and found.predictions_split == split else []
    replies = {line.get("row"): reply(line) for line in lines}
    evaluations = _evaluations(found, ordered[0], metric) if found else []
    return Contestant(record, evaluations, replies, _groups(folder, finished, split)), lines


def _left_behind(run: Path) -> files.RunFiles | None:
    """None where nothing is there yet: a report is still a report without it."""
    try:
        return files.read(run, template=False)
    except RunDirectoryError:
        return None


def _evaluations(found: files.RunFiles, run: Record, metric: str) -> list[Point]:
    """Empty where the lines are not over training, but over regularisations."""
    if any("regularisation" in line for line in found.evaluations):
        return []
    points = curve(found.evaluations, "validation", metric)
    planned = finite(run.get("planned_steps")) or (points[-1][0] if points else 1) or 1
    return [(step / planned, value) for step, value in points]


def _groups(folder: Path, runs: Sequence[Record], split: str) -> dict[str, float]:
    each: dict[str, list[float]] = {}
    for run in runs:
        for name, value in _group_scores(inside(folder, str(run["path"])) / "metrics.json", run, split):
            if (known := finite(value)) is not None:
                each.setdefault(name, []).append(known)
    return {name: statistics.fmean(values) for name, values in each.items()}


def _group_scores(path: Path, run: Record, split: str) -> list[tuple[str, Any]]:
    scores = (read_json(path).get(split) if path.is_file() else None) or {}
    groups = scores.get("per_class") or scores.get("per_type") or {}
    parts = [(told, (run.get("scores") or {}).get(name)) for name, told in PARTS.items()]
    return [(name, found.get("f1")) for name, found in groups.items()] or parts
