"""Files that exist whole or not at all, and their fingerprints; JSON, and YAML that is read strictly."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError, UnsafeError

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
def disk_errors(path: Path) -> Iterator[None]:
    """Turns what libraries in Rust (safetensors, tokenizers) raise of a full disk into an OSError."""
    try:
        yield
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None or isinstance(error, OSError):
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write into; it becomes `path` in one move when the block ends well, else it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.{time.monotonic_ns()}.tmp")  # the name itself may fill its 255 bytes
    try:
        yield beside
        flush_to_disk(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same of a folder; one that is there goes right before the new one comes."""
    beside = path.with_name(f".{os.getpid()}.{time.monotonic_ns()}.tmp")
    beside.mkdir(parents=True)
    try:
        with disk_errors(path):
            yield beside
        for file in (*beside.iterdir(), beside):
            flush_to_disk(file)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one move: a reader sees the old or the new text, never half of it."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (NaN and infinity become null: other readers reject them)."""
    write_text(path, json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises ValueError where it is no JSON, or nested by the thousand."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None


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


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML (S4) in which a key given twice is an error instead of the last one winning, and a date is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way)
        first: [item for item in known if item[0] != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = []
        for node_of_key, _ in node.value:
            if node_of_key.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(node_of_key, deep=True)
            if key in seen:
                problem = f"key {key!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node_of_key.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep)


class _ExactDumper(yaml.SafeDumper):
    """Safe YAML in which line ends are escaped: PyYAML would read the rarer ones (NEL) back as blanks."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = None if data.splitlines() == [data] else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_ExactDumper.add_representer(str, _ExactDumper.represent_str)


def parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or "not YAML"
    except (ValueError, RecursionError) as error:  # `!!int x`; brackets nested by the thousand
        place, problem = where, str(error)
    tag = re.search(r"constructor for the tag '(.*)'", problem)
    problem = f"the tag {tag[1].replace('tag:yaml.org,2002:', '!!')} is not allowed" if tag else problem
    fix = "indent with spaces" if "\\t" in problem else "write plain YAML: keys, values, lists"
    raise ConfigError(f"cannot be read: {problem}", where=place, fix=fix)


def to_yaml(value: Any) -> str:
    """YAML from which `parse_yaml` makes an equal value."""
    return yaml.dump(value, Dumper=_ExactDumper, sort_keys=False, allow_unicode=True, width=120)


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The raw mapping of a YAML file, not yet validated."""
    where = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=where, fix="give a YAML text file") from None
    raw = parse_yaml(text, where)
    if not isinstance(raw, dict):
        raise ConfigError("is no mapping of keys to values", where=where, fix="start with `data: {train: FILE}`")
    return raw
