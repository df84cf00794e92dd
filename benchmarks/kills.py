"""SIGKILLs at random moments of runs of every task and strategy: does each resumed run end as the uninterrupted one?

Tiny random models, a checkpoint after every step, CPU, fp32. Each run is killed at a random moment, resumed, and every
second time killed again. Weights and predictions must be the uninterrupted run's, bit for bit, no file may be missing,
and none left over (R1, R5).

python -m benchmarks kills [--kills 300] [--seed 0] [--only lora]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress

from .forked import Child, workplace

TRAINING = {"epochs": 2, "batch_size": 12, "learning_rate": 1e-3, "precision": "fp32", "checkpoint_every": 1}
CHANGING = (
    "run.yaml",
    "checks.json",
    "data.json",
    "report.html",
    "README.md",
    ".lock",
)  # they tell of times, and places


class Whole(NamedTuple):
    """An uninterrupted run: its configuration, what it left, and how long it took."""

    raw: dict[str, Any]
    left: dict[str, str]
    seconds: float


def make_files(folder: Path) -> int:
    """A model for every task, and its data. In a child: tokenizers start threads, which a fork would lose."""
    from tests.conftest import make_model
    from tests.language_models import make_language_model
    from tests.matrix.conftest import TASKS, data_for
    from tests.matrix.language import FIRST, write

    for task in (*TASKS, *FIRST):
        (folder / task).mkdir()
        make = partial(make_language_model, kind=FIRST[task]) if task in FIRST else make_model
        make(folder / task / "model")
        if task in FIRST:
            write(task, folder / task / "train.jsonl", 24)
            write(task, folder / task / "validation.jsonl", 8, seed=4)
        else:
            data_for(task, folder / task)
    return 0


def configurations(folder: Path) -> dict[str, dict[str, Any]]:
    """`lora of seq2seq` and so on: whatever the strategies do not refuse."""
    from tests.matrix.conftest import pooled
    from tests.matrix.language import FIRST
    from tunewright import models
    from tunewright.component import members
    from tunewright.config import load
    from tunewright.strategies.base import Strategy
    from tunewright.tasks.base import Task

    found = {}
    for task in members(Task):  # type: ignore[type-abstract]
        files = {name: str(next((folder / task).glob(f"{name}.*"))) for name in ("train", "validation")}
        writes = {"kind": task, "score_answers": 2, "max_new_tokens": 4}
        for strategy in members(Strategy):  # type: ignore[type-abstract]
            raw = {
                "model": str(folder / task / "model"),
                "data": {**files, "allow": ["leakage"], **({"max_length": 64} if task in FIRST else {})},
                "task": writes if task in FIRST else pooled(strategy, task),
                "strategy": {"kind": strategy},
            }
            config = load(raw)
            assert config.task is not None
            if config.strategy.refuses(models.locate(config.model).config, config.task) is None:
                found[f"{strategy} of {task}"] = raw | {
                    "training": {} if config.strategy.solves(config.task) else TRAINING
                }
    return found


def train(raw: dict[str, Any], out: Path, resume: bool) -> int:
    import tunewright

    os.environ["TUNEWRIGHT_CACHE"] = str(out.parent / "cache")
    tunewright.train(raw | {"out": str(out)}, progress=False, resume=resume)
    return 0


def left_by(out: Path) -> dict[str, str]:
    """What stands in every file of a run that may be compared with another run's; "" for the rest."""
    files = {str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: told_by(name, path) for name, path in files.items()}


def told_by(name: str, path: Path) -> str:
    if name in CHANGING or name.endswith(("manifest.json", "run.json", "state.json")):
        return ""
    if name == "metrics.json":
        known = json.loads(path.read_text())
        return str([known[key] for key in ("validation", "best_step", "best_metric", "steps", "warnings")])
    if name == "history.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return str(
            [
                {key: value for key, value in line.items() if "second" not in key and key != "memory_mb"}
                for line in lines
            ]
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()


def moment(out: Path) -> str:
    """What the kill hit, from what it left."""
    if list(out.glob("checkpoints/.step-*.tmp")):
        return "while saving a checkpoint"
    if (out / "metrics.json").exists():
        return "while reporting"
    if (out / "predictions").exists():
        return "while writing predictions"
    if list(out.glob(".model.*.tmp")):
        return "while saving the model"
    if (out / "model").exists():
        return "after saving the model"
    if list(out.glob("checkpoints/step-*")):
        return "between checkpoints"
    return "before the first checkpoint" if (out / "checkpoints").exists() else "while reading and checking"


def whole(raw: dict[str, Any], folder: Path) -> Whole:
    out = folder / "run"
    began = time.monotonic()
    if failed := complete(raw, out, False):
        sys.exit(f"an uninterrupted run failed, {failed}")
    found = Whole(raw, left_by(out), time.monotonic() - began)
    shutil.rmtree(folder)
    return found


def complete(raw: dict[str, Any], out: Path, resume: bool) -> str:
    """Runs it to its end; what was said where it ended badly."""
    out.parent.mkdir(exist_ok=True)
    child = Child(partial(train, raw, out, resume), out.parent / "log")
    child.finished()
    code = child.code()
    return f"exit {code}: {child.log.read_text()[-1500:]}" if code else ""


def killed(run: Whole, folder: Path, most: int, generator: random.Random) -> tuple[list[str], str]:
    """Kills a run, and every second time what resumes it, then completes it: what the kills hit, and what failed."""
    out, hits = folder / "run", list[str]()
    folder.mkdir()
    resume = False
    while len(hits) < most:
        child = Child(partial(train, run.raw, out, resume), folder / "log")
        done = child.finished(generator.uniform(0, run.seconds))
        child.kill()
        code = child.code()
        if done and code >= 0:
            break
        hits.append(moment(out))
        resume = out.exists()
        if generator.random() < 0.5:
            break
    return hits, complete(run.raw, out, out.exists())


def differences(run: Whole, found: dict[str, str]) -> list[str]:
    return sorted(name for name in {*run.left, *found} if run.left.get(name) != found.get(name))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="pairs whose name holds this")
    chosen = parser.parse_args(arguments)
    with workplace(make_files) as work:
        pairs = {name: raw for name, raw in configurations(work).items() if chosen.only in name}
        campaign = Campaign(work, pairs, random.Random(chosen.seed))
        try:
            campaign.go_on(chosen.kills)
        except KeyboardInterrupt:
            print("interrupted; so far:")
    campaign.tell()
    return 1 if campaign.wrong else 0


class Campaign:
    """Kills spread over pairs of strategy and task, and what became of their runs."""

    def __init__(self, work: Path, pairs: dict[str, dict[str, Any]], generator: random.Random) -> None:
        self.work, self.pairs, self.generator = work, pairs, generator
        self.runs: dict[str, Whole] = {}
        self.hits: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.ends = 0

    def go_on(self, kills: int) -> None:
        names: list[str] = []
        with Progress(console=Console(stderr=True)) as shown:
            bar = shown.add_task("kills", total=kills)
            while self.hits.total() < kills:
                names = names or self.generator.sample(sorted(self.pairs), len(self.pairs))
                self.one(names.pop(), kills - self.hits.total())
                shown.update(bar, completed=self.hits.total())

    def one(self, pair: str, most: int) -> None:
        """One run from its beginning to its end, with kills between."""
        if pair not in self.runs:
            self.runs[pair] = whole(self.pairs[pair], self.work / "whole")
        folder = self.work / f"run-{self.ends}"
        hits, failed = killed(self.runs[pair], folder, most, self.generator)
        self.hits.update(hits)
        self.ends += 1
        self.wrong += [f"{pair}, {failed}"] if failed else []
        self.wrong += [f"{pair}: {name}" for name in differences(self.runs[pair], left_by(folder / "run"))]
        shutil.rmtree(folder)

    def tell(self) -> None:
        moments = ", ".join(f"{count} {what}" for what, count in self.hits.most_common())
        print(f"{self.hits.total()} kills, {len(self.runs)} pairs of strategy and task: {moments}")
        print(f"{self.ends} runs completed; {len(self.wrong)} of their files differ, are missing or left over")
        print("\n".join(self.wrong))
