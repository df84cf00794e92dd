"""Seconds from a command to what was asked for: --help, the first training step, one prediction."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from . import clock
from .contest import Contest, Contestant, Files, Scope, Summary, Verdict
from .data import prepare as sample
from .jobs import Job, run
from .table import Column

LIMITS = {"help": 0.3, "train": 6.0, "predict": 4.0}


def prepare(work: Path, scope: Scope) -> Files:
    """100 rows, and a model trained on them for one step."""
    from .data import pretrained

    train, _ = sample(work, 100, 1)
    run(Job("benchmarks.start:train", str(train), "", str(pretrained()), str(work / "trained")))
    return Files(train, model=work / "trained" / "run")


def command(job: Job) -> dict[str, Any]:
    """A whole process, from start to end. `{run}` is the trained one."""
    import subprocess

    arguments = [argument.replace("{run}", job.model) for argument in job.settings["arguments"]]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "tunewright", *arguments], check=True, stdout=subprocess.DEVNULL)
    return {"seconds": time.perf_counter() - began}


def train(job: Job) -> dict[str, Any]:
    """The command line's own main, in this process, so that its first step is heard of; three steps."""
    clock.watch()
    from tunewright.cli import main

    out = str(Path(job.out) / "run")
    with contextlib.suppress(SystemExit), open(os.devnull, "w") as silent, contextlib.redirect_stdout(silent):
        sys.argv = ["tunewright", "train", job.train, "--out", out, "training.max_steps=3"]
        main()
    return {"seconds": clock.first_step()}


def within(name: str, work: str) -> Any:
    def promise(summary: Summary) -> Verdict | None:
        if name not in summary:
            return None
        found = summary[name]["seconds"]
        return Verdict(work, f"{LIMITS[name]:g} s", f"{found:.2f} s", found <= LIMITS[name])

    return promise


START = Contest(
    name="start",
    what="whole processes, MiniLM",
    contestants={
        "help": Contestant("tunewright --help", "start:command", {"arguments": ["--help"]}),
        "train": Contestant("tunewright train, 100 rows, to the end of its first step", "start:train"),
        "predict": Contestant(
            "tunewright predict --text", "start:command", {"arguments": ["predict", "{run}", "--text", "a fine film"]}
        ),
    },
    prepare=prepare,
    promises=(
        within("help", "--help"),
        within("train", "100 rows: to the first step"),
        within("predict", "predict --text"),
    ),
    runs=3,
    columns=(Column("seconds", "seconds", ".2f"),),
    note="`seconds` counts; `total s` holds what measures it, and the rest of the training run.",
)
