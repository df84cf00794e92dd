"""Several runs at once, each a process of the normal `tunewright train` with a device or a share of the cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ..config import RunConfig, dump
from ..directory import is_started
from ..files import write_text


def places(jobs: int) -> list[dict[str, str]]:
    """The environment of each process: one device after the other, or an even share of the cores."""
    import torch

    known = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = known.split(",") if known else [str(number) for number in range(torch.cuda.device_count())]
    if torch.cuda.device_count():
        return [{"CUDA_VISIBLE_DEVICES": devices[place % len(devices)]} for place in range(jobs)]
    return [{"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}] * jobs


def command(config: RunConfig, recipe: Path) -> list[str]:
    """Writes the recipe, and gives the call that trains it."""
    write_text(recipe, dump(config))
    imports = [
        str(module.__file__) for name, module in list(sys.modules.items()) if name.startswith("tunewright_import_")
    ]
    resume = ["--resume"] if is_started(Path(str(config.out))) else []
    flags = [part for file in imports for part in ("--import", file)]
    return [sys.executable, "-m", "tunewright", "train", str(recipe), "--json", *resume, *flags]


def together(calls: Sequence[tuple[Any, Callable[[], list[str]]]], jobs: int) -> Iterator[tuple[Any, int, str]]:
    """Makes the calls, so many at once: (what it is, exit code, last line of what it said) of each, as they end.

    A signal that ends the caller is passed on to the processes, which write a checkpoint first.
    """
    free, running = SimpleQueue[dict[str, str]](), set[subprocess.Popen[str]]()
    for place in places(jobs):
        free.put(place)

    def call(what: Any, make: Callable[[], list[str]]) -> tuple[Any, int, str]:
        place = free.get()
        # a session of its own: Ctrl-C in the terminal is for the caller, and a second signal would kill at once
        child = subprocess.Popen(make(), env={**os.environ, **place}, text=True, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
        running.add(child)
        try:
            said = child.communicate()[1].strip().split("\n")[-1]
        finally:
            running.discard(child)
            free.put(place)
        return what, child.returncode, said

    pool = ThreadPoolExecutor(jobs)
    try:
        for done in as_completed([pool.submit(call, what, make) for what, make in calls]):
            yield done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in list(running):
            child.send_signal(signal.SIGINT)
        pool.shutdown(wait=True)
