"""A job: one contestant, once, in a process of its own, so that its memory peak and its imports are its own.

`python -m benchmarks.jobs JOB` runs it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import clock

ROOT = Path(__file__).resolve().parents[1]
PREDICTIONS = "predictions.json"  # in a job's `out`: what the contestant answered to the test set


class JobError(Exception):
    """A contestant's process failed; the message ends with its last lines."""


@dataclass(frozen=True)
class Job:
    """What a contestant is told; the same for all of one contest but for `function`, `settings` and `out`.

    Args:
        function: `benchmarks.MODULE:NAME`; takes this, and returns what it measured.
        model: the folder of the pretrained weights.
        out: an empty folder for what it saves.
        settings: of this contestant alone.
        steps: where every step costs the same: run so many of them, and scale.
    """

    function: str
    train: str
    test: str
    model: str
    out: str
    seed: int = 0
    epochs: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int | None = None


def run(job: Job) -> dict[str, Any]:
    """What the contestant measured, and `total_seconds`: from the start of its process to its end.

    Raises:
        JobError: it failed.
    """
    out = Path(job.out)
    out.mkdir(parents=True)
    cache = out / "cache"  # nothing that another run has computed; but what is known of the machine
    probes = known_probes(cache)
    told = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TUNEWRIGHT_CACHE": str(cache)}
    command = [sys.executable, "-m", "benchmarks.jobs", json.dumps(asdict(job))]
    started = time.perf_counter()
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        environment = {**os.environ, **told, clock.LAUNCHED: str(time.time())}
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False).returncode
    seconds = time.perf_counter() - started
    if code:
        raise JobError(f"{job.function} failed (exit {code}):\n{tail(out / 'log.txt')}")
    if (cache / probes.name).is_file():
        probes.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cache / probes.name, probes)
    found: dict[str, Any] = json.loads((out / "measured.json").read_text(encoding="utf-8"))
    return {"seed": job.seed, **found, "total_seconds": seconds + found.get("added_seconds", 0.0)}


def known_probes(cache: Path) -> Path:
    """The machine's probes, from the user's cache into a fresh one: asked again each time, they might answer anew."""
    from tunewright.files import cache_folder

    probes = cache_folder() / "arithmetic.json"
    cache.mkdir()
    if probes.is_file():
        shutil.copyfile(probes, cache / probes.name)
    return probes


def tail(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text(encoding="utf-8").splitlines()[-lines:])


def answer(job: Any, answers: Any) -> None:
    """Called by a contestant: its answers to the test set."""
    (Path(job.out) / PREDICTIONS).write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")


def perform(job: Job) -> None:
    """What a contestant's process does."""
    module, name = job.function.split(":")
    measured = getattr(importlib.import_module(module), name)(job)
    used = resource.getrusage(resource.RUSAGE_SELF)
    made = {"cpu_seconds": used.ru_utime + used.ru_stime, "peak_memory_mb": peak_memory_mb()}
    first = {"first_step_seconds": clock.first_step()} if clock.ENDS else {}
    text = json.dumps({**made, **first, **measured})
    (Path(job.out) / "measured.json").write_text(text, encoding="utf-8")


def peak_memory_mb() -> int:
    """Peak resident MiB of this process, and of the largest that it started: workers hold memory too.

    Linux counts the parent's at the fork: so that one imports no torch.
    """
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return int(sum(resource.getrusage(who).ru_maxrss for who in whose) // 1024)


if __name__ == "__main__":
    perform(Job(**json.loads(sys.argv[1])))
