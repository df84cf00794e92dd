"""A job: one contestant, once, in a process of its own, so that its memory peak and its imports are its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class JobError(Exception):
    """A contestant's process failed; the message ends with its last lines."""


@dataclass(frozen=True)
class Job:
    """What a contestant is told; the same for all of them but for `out`.

    Args:
        model: the folder of the pretrained weights.
        out: an empty folder for what it saves.
    """

    train: str
    dev: str
    model: str
    out: str
    seed: int
    epochs: int


def run(contestant: str, job: Job, module: str = "benchmarks.contestants") -> dict[str, Any]:
    """What the contestant measured, and `process_seconds`: from the start of its process to its end.

    Args:
        module: where it is defined; its last line calls `perform`.

    Raises:
        JobError: it failed.
    """
    out = Path(job.out)
    out.mkdir(parents=True)
    command = [sys.executable, "-m", module, contestant, json.dumps(asdict(job))]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    started = time.perf_counter()
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False).returncode
    seconds = time.perf_counter() - started
    if code:
        raise JobError(f"{contestant} failed (exit {code}):\n{tail(out / 'log.txt')}")
    found: dict[str, Any] = json.loads((out / "measured.json").read_text(encoding="utf-8"))
    return {"seed": job.seed, "process_seconds": seconds, **found}


def tail(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text(encoding="utf-8").splitlines()[-lines:])


def perform(contestants: Mapping[str, Callable[[Any], dict[str, Any]]], kind: type[Job]) -> None:
    """What a contestant's process does: `python -m MODULE NAME JOB`."""
    chosen, told = sys.argv[1:]
    job = kind(**json.loads(told))
    report(job, contestants[chosen](job))


def report(job: Job, measured: dict[str, Any]) -> None:
    """Called by the contestant's process at its end."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    text = json.dumps({**measured, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_memory_mb": peak_memory_mb()})
    (Path(job.out) / "measured.json").write_text(text, encoding="utf-8")


def peak_memory_mb() -> int:
    """Peak resident MiB of this process. Linux counts the parent's at the fork too: so that one imports no torch."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
