"""Cross-validation: a run for each fold of one file, and what their scores say together."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import RunConfig
from .data.splits.auto import Auto
from .desk.splitting import MANIFEST, split_file
from .directory import default_out
from .errors import ConfigError, RunDirectoryError
from .evaluation import scalars
from .files import read_json, sha256, write_json
from .metrics.classification import averages
from .run import RunResult, train
from .training.progress import Listener

FOLDS, DATA = "folds.json", "folds"
RESAMPLES = 1000  # enough for the ends of a 95 % interval (Efron and Tibshirani 1993, section 13.3)
LEVEL = 0.95


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
    return {
        "each": [{"path": str(run.path), "test": found} for run, found in zip(runs, scores, strict=True)],
        "mean": {name: float(found.mean()) for name, found in values.items()},
        "standard_deviation": {name: float(found.std(ddof=1)) for name, found in values.items()},
        "pooled": intervals(lines, seed),
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "rows": len(lines)},
    }


def predictions(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's test predictions."""
    with open(run / "predictions" / "test.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def intervals(lines: Sequence[dict[str, Any]], seed: int) -> dict[str, dict[str, float]]:
    """Scores of all held-out rows together, with percentile bootstrap intervals: rows are drawn anew with replacement.

    Each row keeps the prediction of the model that did not see it. Empty where predictions do not tell a score.
    """
    score, count = scorer(lines), len(lines)
    if score is None:
        return {}
    generator = np.random.default_rng([seed, 24])
    drawn = [score(np.bincount(generator.integers(count, size=count), minlength=count)) for _ in range(RESAMPLES)]
    found = {}
    for name, value in score(np.ones(count, dtype=np.int64)).items():
        low, high = np.percentile([scores[name] for scores in drawn], [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        found[name] = {"value": value, "low": float(low), "high": float(high)}
    return found


Items = set[tuple[Any, ...]]  # of a row: each starts with its class
Scorer = Callable[[NDArray[np.int64]], dict[str, float]]  # (N,) how often each row counts


def scorer(lines: Sequence[dict[str, Any]]) -> Scorer | None:
    """What the predictions of N rows tell: by classes, by entities, by answers, or by losses; None: nothing."""
    first = lines[0] if lines else {}
    if "probability" in first:
        pairs = [({(line["label"],)}, {(line["predicted"],)}) for line in lines]
        return by_class(pairs, {"accuracy": "f1_micro", "f1_macro": "f1_macro"})  # one of each: the same number
    if "probabilities" in first:
        pairs = [({(name,) for name in line["label"]}, {(name,) for name in line["predicted"]}) for line in lines]
        return by_class(pairs, {"f1_macro": "f1_macro", "f1_micro": "f1_micro"}, list(first["probabilities"]))
    if "confidence" in first:
        from .metrics.squad import answer_scores

        each = [answer_scores([line["predicted"] or ""], [line["label"]]) for line in lines]
        return by_mean({name: [found[name] for found in each] for name in ("exact_match", "f1")})
    if isinstance(first.get("label"), list):
        pairs = [(spans(line["label"]), spans(line["predicted"])) for line in lines]
        return by_class(pairs, {"f1": "f1_micro", "f1_macro": "f1_macro"})
    losses = [line.get("loss") for line in lines]
    return by_mean({"loss": losses}) if lines and all(isinstance(loss, float) for loss in losses) else None


def spans(entities: Sequence[dict[str, Any]]) -> Items:
    return {(item["type"], item["start"], item["end"]) for item in entities}


def by_mean(values: dict[str, list[Any]]) -> Scorer:
    """Means over rows."""
    columns = {name: np.array(each, dtype=np.float64) for name, each in values.items()}
    return lambda weights: {name: float(weights @ each / weights.sum()) for name, each in columns.items()}


def by_class(pairs: Sequence[tuple[Items, Items]], names: dict[str, str], every: Sequence[str] = ()) -> Scorer:
    """Scores from counts by class of what is there and what was said.

    Args:
        names: of the scores, and what `averages` calls them.
        every: classes that macro averages count although they may not occur.
    """
    kinds = sorted({*every, *(item[0] for pair in pairs for items in pair for item in items)})
    place = {kind: at for at, kind in enumerate(kinds)}
    tables = [
        np.array([(row, place[item[0]]) for row, pair in enumerate(pairs) for item in taken(*pair)], dtype=np.int64)
        for taken in (set.intersection, lambda there, said: said, lambda there, said: there)
    ]

    def score(weights: NDArray[np.int64]) -> dict[str, float]:
        counts = [
            np.bincount(at, weights[rows], len(kinds)).astype(np.int64)
            for rows, at in (found.reshape(-1, 2).T for found in tables)
        ]
        found = averages(*counts, every=bool(every))
        return {name: found[source] for name, source in names.items()}

    return score
