"""Files that exist whole or not at all, and their fingerprints."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from .errors import UnsafeError

SHARE_OF_DISK = 0.25  # that the cache folder may have: of what it has and of what is free


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """The SHA-256 of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_all(values: Iterable[Any]) -> str:
    """`digest` of a list of these values, which are never all there at once."""
    encoder, left, between = json.JSONEncoder(sort_keys=True, default=str), iter(values), b""
    content = hashlib.sha256(b"[")
    while part := list(islice(left, 1000)):
        content.update(between + encoder.encode(part)[1:-1].encode())
        between = b", "
    content.update(b"]")
    return content.hexdigest()


def flush_to_disk(path: Path) -> None:
    """fsync of a file or of a folder's entries: after it, a power cut loses nothing."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write into; it becomes `path` in one move when the block ends well, else it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        flush_to_disk(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one move: a reader sees the old or the new text, never half of it."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (NaN and infinity become null: other readers reject them)."""
    write_text(path, json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def finite(value: Any) -> Any:
    """The same value with None for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def inside(root: Path, name: str) -> Path:
    """`root/name`, or UnsafeError where the name would leave the folder (S3).

    Absolute names, `..` and symbolic links that point out of the folder are refused.
    """
    path = root / name
    resolved, home = path.resolve(), root.resolve()
    if Path(name).is_absolute() or ".." in Path(name).parts or not resolved.is_relative_to(home):
        raise UnsafeError(f"{name!r} leads out of the folder", where=str(root), fix="use a plain name inside it")
    return path


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Holds an advisory lock on `path` while the block runs; yields whether it was free.

    The kernel drops the lock when the process dies, however it dies, so nothing stale is left to clean up.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    try:
        yield free
    finally:
        os.close(descriptor)


def cache_folder() -> Path:
    """TUNEWRIGHT_CACHE, else tunewright/ in the user's cache."""
    chosen = os.environ.get("TUNEWRIGHT_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen) if chosen else Path(base) / "tunewright"


def make_room(size: int) -> None:
    """Deletes what was used longest ago, until `size` more bytes fit into the cache folder's share of the disk.

    Raises OSError where they never will, or nothing can be written there.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    kept = sorted(
        (found.stat().st_mtime, found.stat().st_size, found) for found in folder.glob("*/**/*") if found.is_file()
    )
    used = sum(bytes_of for _, bytes_of, _ in kept)
    limit = SHARE_OF_DISK * (used + shutil.disk_usage(folder).free)
    if size > limit:
        raise OSError(errno.ENOSPC, f"they need {size / 2**20:.0f} MiB of {folder}")
    for _, bytes_of, path in kept:
        if used + size <= limit:
            break
        path.unlink(missing_ok=True)
        used -= bytes_of
