"""Cross-validation: a run for each fold of one file, and what their scores say together."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .config import RunConfig
from .data.splits.auto import Auto
from .desk.splitting import MANIFEST, split_file
from .directory import default_out
from .errors import ConfigError, RunDirectoryError
from .evaluation import scalars
from .evidence import LEVEL, RESAMPLES, intervals
from .files import read_json, sha256, write_json
from .metrics.rows import scorer
from .run import RunResult, train
from .training.progress import Listener

FOLDS, DATA = "folds.json", "folds"


@dataclass(frozen=True)
class CrossValidation:
    """The finished runs of all folds. `summary` is the content of folds.json."""

    path: Path
    runs: list[RunResult]
    summary: dict[str, Any]


def cross_validate(
    config: RunConfig, folds: int = 5, *, resume: bool = False, overwrite: bool = False,
    allow_missing: tuple[str, ...] = (), listener: Listener | None = None,
) -> CrossValidation:  # fmt: skip
    """Trains and tests one run for each fold, in OUT/fold-1, OUT/fold-2, ..., on the files in OUT/folds.

    Args:
        config: of a run without a test file; `data.split` and `data.split_seed` draw the folds.
        resume: folds that are finished stay as they are, the one that was interrupted goes on.
        overwrite: replace the folds that are in `config.out`.

    Raises:
        TunewrightError: as for a run; the settings are looked at before the first fold.
    """
    listener = listener or Listener()
    refuse(config)
    out = Path(config.out) if config.out else default_out(config.data.train, f"{config.strategy.kind}-folds", resume)
    manifest = fold_files(config, out, folds, resume, overwrite, listener)
    runs = []
    for fold in range(1, folds + 1):
        listener.note(f"fold {fold} of {folds}")
        one = config_of(config, manifest, out, fold)
        runs.append(train(one, resume=resume, overwrite=overwrite, allow_missing=allow_missing, listener=listener))
    summary = summary_of(runs, config.data.split_seed)
    found = {"folds": folds, "seed": config.data.split_seed, "how": manifest["how"], **summary}
    write_json(out / FOLDS, found)
    return CrossValidation(out, runs, found)


def refuse(config: RunConfig) -> None:
    """Raises ConfigError where a setting has no meaning for folds."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError("several processes", where="folds", fix="start it without accelerate launch")
    if config.data.test:
        fix = "leave one of the two out: each fold is tested on the rows that it holds out"
        raise ConfigError("does not go with folds", where="data.test", fix=fix)
    if config.data.test_share not in (0, type(config.data).model_fields["test_share"].default):
        fix = "leave it out: each of K folds holds out a Kth of the rows"
        raise ConfigError("has no effect with folds", where="data.test_share", fix=fix)


def fold_files(
    config: RunConfig, out: Path, folds: int, resume: bool, overwrite: bool, listener: Listener
) -> dict[str, Any]:
    """The manifest of OUT/folds, which is made where it is not there yet.

    Raises:
        RunDirectoryError: it is of another file or other settings than those that shall be resumed.
    """
    folder = out / DATA
    if not (resume and (folder / MANIFEST).is_file()):
        return split_file(config, folder, folds=folds, overwrite=overwrite, listener=listener)
    found: dict[str, Any] = read_json(folder / MANIFEST)
    wanted = {"folds": folds, "seed": config.data.split_seed, "split": config.data.split.model_dump(mode="json")}
    path = Path(config.data.train)
    if path.is_file():
        wanted["sha256"] = sha256(path)
    other = [name for name, value in wanted.items() if found.get(name) != value]
    if other:
        what = f"holds folds of another {' and '.join(other)}"
        raise RunDirectoryError(what, where=str(folder), fix="choose another --out, or say --overwrite")
    return found


def config_of(config: RunConfig, manifest: dict[str, Any], out: Path, fold: int) -> RunConfig:
    """The run of one fold: its files, the columns as they were understood, and no limit a second time."""
    files = {name: str(out / DATA / manifest["parts"][f"fold-{fold}/{name}"]["file"]) for name in ("train", "test")}
    data = config.data
    makes_validation = not data.validation and data.validation_share
    update = {
        **files,
        "header": manifest["header"],
        "limit": None,
        "test_share": type(data).model_fields["test_share"].default,
        "split": data.split if makes_validation else Auto(),
        "text": tuple(manifest["text"]) or None,
        "label": tuple(manifest["label"]) or None,
        "label_delimiter": manifest["label_delimiter"],
        "allow": (*data.allow, "leakage"),  # folds of our own making: repeats are told, and left out of clean scores
    }
    return config.model_copy(update={"data": data.model_copy(update=update), "out": str(out / f"fold-{fold}")})


def summary_of(runs: list[RunResult], seed: int) -> dict[str, Any]:
    """Scores of each fold, their mean and standard deviation, and intervals over all rows that were held out."""
    scores = [scalars(run.metrics.get("test") or {}) for run in runs]
    shared = [name for name in scores[0] if all(name in found for found in scores) and not name.startswith("num_")]
    values = {name: np.array([found[name] for found in scores], dtype=np.float64) for name in shared}
    lines = [line for run in runs for line in predictions(run.path)]
    rows = scorer(lines)  # each row keeps the prediction of the model that did not see it
    return {
        "each": [{"path": str(run.path), "test": found} for run, found in zip(runs, scores, strict=True)],
        "mean": {name: float(found.mean()) for name, found in values.items()},
        "standard_deviation": {name: float(found.std(ddof=1)) for name, found in values.items()},
        "pooled": intervals(rows, seed) if rows else {},
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "rows": len(lines)},
    }


def predictions(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's test predictions."""
    with open(run / "predictions" / "test.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
