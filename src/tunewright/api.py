"""The three verbs from Python: train, evaluate, load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .config import RunConfig, edits, read_mapping
from .config import load as load_config
from .data import sources
from .intake import read_rows
from .predict import Predictor
from .run import RunResult
from .run import train as run_train
from .stages import expand, has_stages
from .training.progress import Listener, listener


def train(
    config: RunConfig | str | Path | dict[str, Any] | None = None,
    *,
    data: str | dict[str, Any] | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    allow_missing: tuple[str, ...] = (),
    progress: bool = True,
    **settings: Any,
) -> RunResult:
    """Trains one model.

    Args:
        config: a RunConfig, a YAML file or a mapping; or leave it out and give `data`. One with `stages` is several
            runs, each of which starts from the one before it; the last one's result is returned.
        data: the training file, or a mapping of the `data` section.
        overrides: `strategy.r=16` and the like, applied to a file or mapping.
        resume, overwrite, allow_missing: as in `run.train`.
        progress: show a bar or lines on standard error.
        settings: sections of the configuration: model, task, strategy, training, out.

    Raises:
        TunewrightError: you can fix it; see errors.py.
    """
    if not isinstance(config, RunConfig):
        raw: Any = {} if config is None else config
        mapping = raw if isinstance(raw, dict) else read_mapping(raw)
        if has_stages(mapping):
            runs = expand(mapping, "" if isinstance(raw, dict) else str(raw), edits(overrides))
            each = [train(run, resume=resume, overwrite=overwrite, allow_missing=allow_missing, progress=progress)
                    for run in runs]  # fmt: skip
            return each[-1]
        if data is not None:
            raw = {**raw, "data": {"train": data} if isinstance(data, str) else data}
        config = load_config({**raw, **settings} if isinstance(raw, dict) else raw, list(overrides))
    hears = listener() if progress else Listener()
    try:
        return run_train(config, resume=resume, overwrite=overwrite, allow_missing=allow_missing, listener=hears)
    finally:
        hears.close()


def load(run: str | Path, trust_remote_code: bool = False) -> Predictor:
    """The predictor of a run's directory. Raises ModelError where it holds no whole model."""
    return Predictor.load(run, trust_remote_code)


def evaluate(run: str | Path | Predictor, file: str, header: bool | None = None) -> dict[str, Any]:
    """Scores of a run on another labelled file of the same form.

    Raises:
        DataError: naming file, row and column; also for a label that training did not know.
    """
    predictor = run if isinstance(run, Predictor) else load(run)
    known = predictor.artifact.columns
    task: Any = predictor.artifact.task
    table = sources.read(file, header, "test")
    roles = task.match(table, known.roles)
    split = read_rows(table, task, roles, task.labels if known.label_names else None)
    task.check(split.rows, split.source, roles)
    scores: dict[str, Any] = task.score(predictor.outputs(split.rows), split.rows)
    return scores
