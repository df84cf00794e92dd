"""A run's directory: one owner at a time, and no finished run is ever overwritten unasked (R11)."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import RunDirectoryError
from .files import exclusive, read_json

LOCK, METRICS, CHECKPOINTS = ".lock", "metrics.json", "checkpoints"
RESULTS = (METRICS, "history.jsonl", "data.json", "run.yaml", "report.html", "README.md", "model", "predictions")

HALF_WRITTEN = re.compile(r"\..+\.\d+\.tmp")  # as files.replacing names them


def is_finished(run: Path) -> bool:
    return (run / METRICS).is_file()


def read_metrics(run: Path) -> dict[str, Any]:
    """metrics.json of a finished run.

    Raises:
        RunDirectoryError: it is damaged.
    """
    try:
        found = read_json(run / METRICS)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        fix = "restore a copy, or train again with --overwrite"
        raise RunDirectoryError("is damaged", where=str(run / METRICS), fix=fix)
    return found


def is_started(run: Path) -> bool:
    return (run / CHECKPOINTS / "run.json").is_file() or (run / "run.yaml").is_file()


def default_out(train: str, strategy: str, resume: bool) -> Path:
    """`runs/inbox-lora`, or the next free number of it; with `resume`, the last one that was started."""
    stem = re.sub(r"[^\w.-]+", "-", Path(train).name.split(".")[0]).strip("-.") or "run"
    stem = stem.encode()[:120].decode(errors="ignore")  # a name has 255 bytes at most, and more is put to this one
    base = Path("runs") / f"{stem}-{strategy}"
    taken, number = [], 1
    while (path := base if number == 1 else base.with_name(f"{base.name}-{number}")).exists():
        taken.append(path)
        number += 1
    return taken[-1] if resume and taken else path


@contextlib.contextmanager
def claimed(run: Path, resume: bool, overwrite: bool) -> Iterator[None]:
    """Holds the directory while the block runs.

    Raises:
        RunDirectoryError: another process holds it, or it has a run that nobody asked to continue or overwrite.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        held = exclusive(run / LOCK)
        free = held.__enter__()
    except OSError as error:
        fix = "choose a writable place with --out"
        raise RunDirectoryError(f"cannot be used: {error.strerror}", where=str(run), fix=fix) from None
    try:
        if not free:
            raise RunDirectoryError(
                "another process works in it", where=str(run), fix="wait for it, or choose another --out"
            )
        if overwrite:
            clear(run)
        elif is_finished(run) and not resume:
            fix = "choose another --out, or replace it with --overwrite"
            raise RunDirectoryError("has a finished run", where=str(run), fix=fix)
        elif is_started(run) and not resume:
            fix = "continue it with --resume, replace it with --overwrite, or choose another --out"
            raise RunDirectoryError("has an unfinished run", where=str(run), fix=fix)
        sweep(run)
        yield
    finally:
        held.__exit__(None, None, None)


def sweep(run: Path) -> None:
    """Removes what killed processes left half-written; whoever holds the directory is the only one in it."""
    for path in (*run.iterdir(), *run.glob("predictions/*"), *run.glob(f"{CHECKPOINTS}/*")):
        if HALF_WRITTEN.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def clear(run: Path) -> None:
    """Removes what a run writes, and nothing else; checkpoints of other runs stay."""
    for name in RESULTS:
        path = run / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if (run / CHECKPOINTS / "run.json").is_file():
        from .files import read_json
        from .training.checkpoint import Checkpoints

        with contextlib.suppress(ValueError, KeyError, TypeError):
            for path in Checkpoints(run / CHECKPOINTS, str(read_json(run / CHECKPOINTS / "run.json")["run_id"])).ours():
                shutil.rmtree(path)
        (run / CHECKPOINTS / "run.json").unlink()
