"""Encoding a split: in parts, because a tokenizer's own objects take a hundred bytes a token; a large one only once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..files import cache_folder, digest, read_json, replacing_folder, sha256, write_json
from .base import Encoded, Row, Task
from .encoded import Columns, Flat

PART = 4096  # rows that are encoded together
CHARACTERS = 2_000_000  # of theirs
MUCH = 10_000_000  # characters of a split that is kept in the cache: six seconds of a tokenizer's time on one core

Show = Callable[[int, int], None]  # rows done, rows in all


def encode(
    task: Task, rows: Sequence[Row], tokenizer: Any, max_length: int, origin: Callable[[], dict[str, Any]],
    show: Show = lambda done, total: None,
) -> Encoded:  # fmt: skip
    """The features of a split, in flat arrays; those of a large one come from the cache where it knows them (N7).

    Args:
        origin: what they depend on besides the task, the length and the code: rows and tokenizer.
    """
    folder = None
    if sum(len(text) for row in rows for text in row.text) > MUCH:
        how = {"task": task.model_dump(mode="json"), "max_length": max_length, "code": code()}
        folder = cache_folder() / "encoded" / digest({**origin(), **how})
        if known := load(folder, len(rows)):
            return known

    def parts() -> Iterator[Encoded]:
        done = 0
        for part in portions(rows):
            yield task.encode(part, tokenizer, max_length)
            done += len(part)
            show(done, len(rows))

    made = Encoded.of_parts(parts())
    if folder is None:
        return made
    store(folder, made)
    return load(folder, len(rows)) or made


def code() -> list[str]:
    """Names the code by which rows become tokens: ours, and the tokenizers'."""
    package = Path(__file__).parents[1]
    ours = [sha256(file) for folder in ("data", "tasks") for file in sorted((package / folder).rglob("*.py"))]
    return [*ours, version("transformers"), version("tokenizers")]


def portions(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Runs of rows that are not many, nor long together."""
    part, size = list[Row](), 0
    for row in rows:
        part.append(row)
        size += sum(map(len, row.text))
        if len(part) == PART or size > CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def load(folder: Path, count: int) -> Encoded | None:
    """Encoded rows that were stored, memory-mapped; None where there are none that can be used."""
    try:
        told = read_json(folder / "counts.json")
        columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in told["shapes"]}
        whole = shapes(columns) == told["shapes"] and len(columns["row"]) == count
    except (OSError, ValueError, EOFError, KeyError):
        return None
    features = Flat({name: np.asarray(values) for name, values in columns.items()})
    return Encoded(features, Counter(told["faults"]), Counter(told["counts"])) if whole else None


def shapes(columns: Columns) -> dict[str, list[int]]:
    return {name: list(values.shape) for name, values in columns.items()}


def store(folder: Path, made: Encoded) -> None:
    """A full disk costs the cache, not the run."""
    assert isinstance(made.features, Flat)
    with contextlib.suppress(OSError), replacing_folder(folder) as beside:
        for name, values in made.features.columns.items():
            np.save(beside / f"{name}.npy", values, allow_pickle=False)
        told = {"faults": made.faults, "counts": made.counts, "shapes": shapes(made.features.columns)}
        write_json(beside / "counts.json", told)
