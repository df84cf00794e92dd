"""Checkpoints: whole or not at all; safetensors and JSON; every file with its checksum.

    RUN/checkpoints/run.json                     whose checkpoints these are, and of what
    RUN/checkpoints/step-00000120/
        model.safetensors                        the trainable weights
        optimizer.safetensors                    AdamW's moments (absent after the last step)
        state.json                               step, evaluations, run id
        manifest.json                            SHA-256 of the above; written last

There is no file of random states: every step seeds its generators from (seed, step, process).
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError
from ..files import flush_to_disk, read_json, sha256, write_json

if TYPE_CHECKING:
    from torch import Tensor

NAME = re.compile(r"step-(\d{8})(-[0-9a-f]{6})?")
MODEL, OPTIMIZER, STATE, MANIFEST, RUN = (
    "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json", "run.json",
)  # fmt: skip


class DamagedError(CheckpointError):
    """A checkpoint whose files are not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """One that was read and found whole. `optimizer` is None after the last step, or where allowed missing."""

    path: Path
    state: dict[str, Any]
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor] | None


class Checkpoints:
    """The checkpoints of one run in one folder.

    Args:
        folder: RUN/checkpoints.
        run_id: only checkpoints that carry it are ours; others are never read, counted or deleted (R7).
        keep: how many of the newest stay, besides the best.
    """

    def __init__(self, folder: Path, run_id: str, keep: int = 1) -> None:
        self.folder, self.run_id, self.keep = folder, run_id, keep

    def save(self, state: dict[str, Any], model: dict[str, Tensor], optimizer: dict[str, Tensor] | None) -> Path:
        """Writes beside, flushes to the disk, renames: at no moment is there half a checkpoint with its real name.

        Raises:
            CheckpointError: the disk is full or fails; earlier checkpoints are untouched (R2).
        """
        target = self.path_for(state["step"])
        beside = self.folder / f".{target.name}.{os.getpid()}.tmp"
        tensors = {MODEL: model} | ({OPTIMIZER: optimizer} if optimizer is not None else {})
        try:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
            write_files(beside, {**state, "run_id": self.run_id}, tensors)
            if target.exists():
                shutil.rmtree(target)
            os.rename(beside, target)
            flush_to_disk(self.folder)
        except Exception as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not is_disk_error(error):
                raise
            need = sum(value.nbytes for group in tensors.values() for value in group.values()) // 2**20 + 1
            fix = f"make room for {need} MB and go on with --resume; earlier checkpoints are intact"
            raise CheckpointError(f"cannot be written: {error}", where=str(target), fix=fix) from error
        return target

    def path_for(self, step: int) -> Path:
        """`step-00000120`, or with a piece of our id where another run's checkpoint has that name."""
        path = self.folder / f"step-{step:08d}"
        return path if not path.exists() or self.owns(path) else path.with_name(f"{path.name}-{self.run_id[:6]}")

    def owns(self, path: Path) -> bool:
        """By either file that carries the run's id: one of them may be damaged."""
        return any(f'"run_id": "{self.run_id}"' in text_of(path / name) for name in (STATE, MANIFEST))

    def ours(self) -> list[Path]:
        """This run's checkpoints, oldest first."""
        found = [path for path in self.folder.glob("step-*") if NAME.fullmatch(path.name) and self.owns(path)]
        return sorted(found, key=step_of)

    def newest(self, warn: Any, allow_missing: tuple[str, ...] = ()) -> Checkpoint | None:
        """The newest whole checkpoint; damaged ones are named by `warn` and passed over (R1, R3).

        Args:
            warn: called with a sentence about each damaged checkpoint.
            allow_missing: "optimizer" lets a checkpoint without it restart the optimizer (R4).
        """
        for path in reversed(self.ours()):
            try:
                return read(path, allow_missing)
            except DamagedError as error:
                warn(f"{error}; the checkpoint before it is used")
        return None

    def at(self, step: int) -> Checkpoint | None:
        """The checkpoint of one step, without its optimizer; None where there is none."""
        path = next((path for path in self.ours() if step_of(path) == step), None)
        return read(path, ("optimizer",)) if path else None

    def prune(self, best_step: int | None) -> None:
        """Deletes all of ours but the newest `keep` and the best (R8), and what a killed process left half-written."""
        for path in self.ours()[: -self.keep]:
            if step_of(path) != best_step:
                shutil.rmtree(path)
        for path in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(path, ignore_errors=True)


def step_of(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def text_of(path: Path) -> str:
    """A file's text, whatever has become of it; "" where it is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def write_files(folder: Path, state: dict[str, Any], tensors: dict[str, dict[str, Tensor]]) -> None:
    from safetensors.torch import save_file

    for name, group in tensors.items():
        save_file({key: value.detach().contiguous() for key, value in group.items()}, folder / name)
        flush_to_disk(folder / name)
    write_json(folder / STATE, state)
    sums = {name: sha256(folder / name) for name in (*tensors, STATE)}
    write_json(folder / MANIFEST, {"run_id": state["run_id"], "sha256": sums})
    flush_to_disk(folder)


def is_disk_error(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError"


def read(path: Path, allow_missing: tuple[str, ...] = ()) -> Checkpoint:
    """Reads a checkpoint after checking every file against its checksum.

    Raises:
        DamagedError: a file is truncated or changed.
        CheckpointError: a file is gone (R4): continuing would silently restart what it held.
    """
    from safetensors.torch import load_file

    try:
        sums = read_json(path / MANIFEST)["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DamagedError(f"{MANIFEST} is missing or unreadable", where=str(path)) from None
    if not {MODEL, STATE} <= set(sums) <= {MODEL, OPTIMIZER, STATE}:
        raise DamagedError(f"{MANIFEST} is damaged (it names other files)", where=str(path))
    for name, expected in sums.items():
        if not (path / name).is_file():
            if name == OPTIMIZER and "optimizer" in allow_missing:
                continue
            fix = "put it back, or delete this checkpoint to go on from the one before"
            if name == OPTIMIZER:
                fix += "; --allow-missing optimizer restarts the optimizer knowingly"
            raise CheckpointError(f"{name} is missing", where=str(path), fix=fix)
        if sha256(path / name) != expected:
            raise DamagedError(f"{name} is damaged (its checksum differs)", where=str(path))
    has_optimizer = (path / OPTIMIZER).is_file()
    optimizer = load_file(path / OPTIMIZER) if has_optimizer else None
    return Checkpoint(path, read_json(path / STATE), load_file(path / MODEL), optimizer)


def start_run(folder: Path, fingerprint: dict[str, Any], run_id: str | None = None, **known: Any) -> str:
    """Marks the folder as a new run's and returns its id. Other runs' checkpoints stay where they are.

    Args:
        run_id, known: of a run that is there already, what was found out since.
    """
    run_id = run_id or uuid.uuid4().hex
    write_json(folder / RUN, {"run_id": run_id, "fingerprint": fingerprint, **known})
    return run_id


def read_run(folder: Path) -> dict[str, Any]:
    """run.json of a folder that has one.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        known: dict[str, Any] = read_json(folder / RUN)
        if isinstance(known["run_id"], str) and isinstance(known["fingerprint"], dict):
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass
    fix = "restore a copy, or train anew with --overwrite or another --out"
    raise CheckpointError("is damaged", where=str(folder / RUN), fix=fix)


def continue_run(folder: Path, fingerprint: dict[str, Any]) -> str | None:
    """The id of the run to continue, or None where there is none.

    Raises:
        CheckpointError: it was another run: data, model or settings differ; each difference is named (R6).
    """
    if not (folder / RUN).is_file():
        return None
    known = read_run(folder)
    before = known["fingerprint"]
    keys = sorted({*before, *fingerprint})
    changed = [
        f"{key} was {before.get(key)!r}, is {fingerprint.get(key)!r}"
        for key in keys
        if before.get(key) != fingerprint.get(key)
    ]
    if changed:
        fix = "undo the change, or start anew with another --out"
        raise CheckpointError("this is not the same run: " + "; ".join(changed), where=str(folder.parent), fix=fix)
    return str(known["run_id"])
