"""What a contestant costs once it is trained: bytes on disk, and the time of an answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from ..artifact import MANIFEST
from ..files import read_json
from ..predict import Predictor
from ..tasks.base import Row

ROWS = 32  # at most, of the split that is scored
SECONDS = 2.0  # at most, for either way of asking
REPEATS = 3


def artefact_bytes(run: Path) -> int:
    """Of the saved model; of an adapter what it adds to its base."""
    folder = run / "model"
    adapter = read_json(folder / MANIFEST).get("form") == "adapter"
    return sum(path.stat().st_size for path in folder.glob("*.safetensors" if adapter else "*") if path.is_file())


def milliseconds_per_row(run: Path, rows: Sequence[Row], trust_remote_code: bool = False) -> dict[str, float]:
    """How long the saved model takes for a row: asked alone (the median), and among others (the fastest of three)."""
    predictor = Predictor.load(run, trust_remote_code)
    rows = rows[:ROWS]
    predictor.answer(rows[:1])  # the first call compiles and allocates
    alone = timed([[row] for row in rows], predictor)
    together = timed([list(rows[: len(alone)])] * REPEATS, predictor)
    return {"alone": round(median(alone), 3), "in_batches": round(min(together) / len(alone), 3)}


def timed(calls: Sequence[Sequence[Row]], predictor: Predictor) -> list[float]:
    """Milliseconds of each call, for as long as there is time."""
    found, began = list[float](), time.perf_counter()
    for rows in calls:
        start = time.perf_counter()
        predictor.answer(rows)
        found.append(1000 * (time.perf_counter() - start))
        if time.perf_counter() - began > SECONDS:
            break
    return found
