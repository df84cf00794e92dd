"""The verbs from Python: train, compare, evaluate, load, check."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .advice.advise import Advice
from .advice.advise import advise as run_advise
from .checkup import check as run_check
from .config import RunConfig, edits
from .config import load as load_config
from .contest.compare import Comparison
from .contest.compare import compare as run_compare
from .contest.halving import seconds_of
from .data import sources
from .desk.checking import Checked
from .evaluation import largest_distance, scalars
from .files import read_mapping
from .folds import CrossValidation
from .folds import cross_validate as run_cross_validate
from .intake import read_rows
from .planner.machine import Machine
from .planner.plan import Plan, make_plan
from .predict import Predictor, refuse
from .preview.prepared import prepare
from .run import RunResult
from .run import train as run_train
from .stages import expand, has_stages
from .tasks.scores import scores_of
from .training.progress import Listener, listener
from .tuning.search import Search
from .tuning.search import search as run_search


def heard(progress: bool) -> closing[Listener]:
    """Who is told of progress, until the end of a `with`."""
    return closing(listener() if progress else Listener())


def configured(config: Any, data: Any, overrides: Sequence[str], settings: dict[str, Any]) -> RunConfig:
    """A validated configuration from what a caller in Python gives; a RunConfig stays as it is."""
    if isinstance(config, RunConfig):
        return config
    raw: Any = {} if config is None else config
    if not isinstance(raw, dict) and (data is not None or settings):
        raw = read_mapping(raw)
    if data is not None:
        raw = {**raw, "data": {"train": data} if isinstance(data, str) else data}
    return load_config({**raw, **settings} if isinstance(raw, dict) else raw, list(overrides))


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
    config = configured(config, data, overrides, settings)
    with heard(progress) as hears:
        return run_train(config, resume=resume, overwrite=overwrite, allow_missing=allow_missing, listener=hears)


def check(
    data: str | dict[str, Any], *, out: str | Path | None = None, task: Any = None, model: str = "auto",
    progress: bool = True, **options: Any,
) -> Checked:  # fmt: skip
    """Looks for faults in data files, as `tunewright data check` does.

    Args:
        data: the training file, or a mapping of the `data` section (train, validation, test, text, label, ...).
        out: the report's folder; checks/<data> when left out.
        task: its kind or a mapping; inferred from the columns when left out.
        model: whose tokenizer measures lengths.
        options: of checkup.check (only, seconds, sample_size, corrections, repairs, repaired).

    Raises:
        TunewrightError: the files can't be used. Severe findings do not raise: see Checked.severe.
    """
    config = configured(None, data, (), {"model": model, **({"task": task} if task else {})})
    with heard(progress) as hears:
        return run_check(config, Path(out) if out else None, listener=hears, **options)[1]


def advise(
    data: str | dict[str, Any], *, model: str = "auto", task: Any = None, progress: bool = True, **options: Any
) -> Advice:
    """Whether to fine-tune, with which strategy and settings, and what would change that, as `tunewright advise` says.

    Args:
        data: the training file, or a mapping of the `data` section.
        model: an embedded alias, a local folder (its configuration is enough) or a hub id.
        task: its kind or a mapping; inferred from the columns when left out.
        options: of advice.advise.advise (memory, gpu, need, facts, preferences, probe, seconds).

    Raises:
        TunewrightError: the data, the model or an option can't be used.
    """
    config = configured(None, data, (), {"model": model, **({"task": task} if task else {})})
    with heard(progress) as hears:
        return run_advise(config, listener=hears, **options)


def cross_validate(
    config: RunConfig | str | Path | dict[str, Any], *, folds: int = 5, overrides: Sequence[str] = (),
    resume: bool = False, overwrite: bool = False, allow_missing: tuple[str, ...] = (), progress: bool = True,
) -> CrossValidation:  # fmt: skip
    """Trains and tests a run for each of `folds` parts of the training file, as `tunewright train --folds` does.

    Args:
        config: a RunConfig, a YAML file or a mapping, without a test file; `data.split` says how folds are drawn.
        overrides, resume, overwrite, allow_missing, progress: as in `train`.

    Returns:
        The runs; in `summary` each fold's scores, their mean and spread, and bootstrap intervals over all rows.

    Raises:
        TunewrightError: you can fix it; see errors.py.
    """
    if not isinstance(config, RunConfig):
        config = load_config(config, list(overrides))
    with heard(progress) as hears:
        return run_cross_validate(
            config, folds, resume=resume, overwrite=overwrite, allow_missing=allow_missing, listener=hears
        )


def compare(
    config: RunConfig | str | Path | dict[str, Any] | None = None, *, data: str | dict[str, Any] | None = None,
    strategies: Sequence[str] | str = (), overrides: Sequence[str] = (), variants: Sequence[str] = (),
    progress: bool = True, models: Sequence[str] = (), seeds: int = 3, budget: float | str | None = None,
    jobs: int = 1, out: str | Path | None = None, resume: bool = False, overwrite: bool = False, **settings: Any,
) -> Comparison:  # fmt: skip
    """Trains contestants on the same rows and seeds, and says which is best and how sure that is.

    Args:
        config, data, overrides, settings, progress: as in `train`.
        strategies: "full,lora.r=4,16", or a list of such.
        variants: of the training rows, besides those given: augmented, cleaned.
        models, seeds, budget, jobs, out, resume, overwrite: as in `contest.compare.compare`.

    Raises:
        TunewrightError: you can fix it; see errors.py. A run that fails is a failed contestant.
    """
    config = configured(config, data, overrides, settings)
    with heard(progress) as hears:
        return run_compare(config, strategies, models=models, seeds=seeds, budget=budget, jobs=jobs, data=variants,
                           out=out, resume=resume, overwrite=overwrite, listener=hears)  # fmt: skip


def plan(
    config: RunConfig | str | Path | dict[str, Any] | None = None, *, data: str | dict[str, Any] | None = None,
    strategies: Sequence[str] | str = (), memory: str | None = None, gpu: str | None = None, probe: bool = False,
    overrides: Sequence[str] = (), **settings: Any,
) -> Plan:  # fmt: skip
    """What a run would take in memory and time, as `tunewright plan` says; trains nothing.

    Args:
        config, data, overrides, settings: as in `train`.
        strategies: "full,lora", or a list of such, to look at besides the run's own; all where empty.
        memory, gpu: of another machine: "16GB", "4xA100"; see planner.machine.Machine.parse.
        probe: take a few real steps here, and correct the numbers by them.

    Raises:
        TunewrightError: whatever the run would refuse, or a machine that can't be read.
    """
    config = configured(config, data, overrides, settings)
    machine, began = Machine.parse(memory, gpu), time.perf_counter()
    prepared = prepare(config)
    kinds = strategies.split(",") if isinstance(strategies, str) and strategies else strategies
    return make_plan(prepared, config, machine, list(kinds), probe, time.perf_counter() - began)


def search(
    config: RunConfig | str | Path | dict[str, Any] | None = None, *, data: str | dict[str, Any] | None = None,
    space: str = "", trials: int = 20, budget: float | str | None = None, seeds: int = 3,
    overrides: Sequence[str] = (), resume: bool = False, overwrite: bool = False, progress: bool = True,
    **settings: Any,
) -> Search:  # fmt: skip
    """Tries settings, the default first, and says whether the best beats the default beyond noise.

    Args:
        config, data, overrides, settings, progress: as in `train`.
        space: "learning_rate=1e-5:1e-3,strategy.r=4|8|16"; around the strategy's defaults when left out.
        trials, budget, seeds, resume, overwrite: as in `tuning.search.search`; the budget also as in 90s, 20m, 1h.

    Raises:
        TunewrightError: you can fix it; see errors.py. Needs Optuna: pip install 'tunewright[search]'.
    """
    config = configured(config, data, overrides, settings)
    with heard(progress) as hears:
        return run_search(config, space, trials=trials, budget=seconds_of(budget), seeds=seeds, resume=resume,
                          overwrite=overwrite, listener=hears)  # fmt: skip


def load(run: str | Path, trust_remote_code: bool = False) -> Predictor:
    """The predictor of a run's directory. Raises ModelError where it holds no whole model."""
    return Predictor.load(run, trust_remote_code)


def evaluate(
    run: str | Path | Predictor, file: str, header: bool | None = None, precision: str | None = None
) -> dict[str, Any]:
    """Scores of a run on another labelled file of the same form.

    Args:
        precision: fp32 where left out; or bf16 or int8, which a Predictor given as `run` then keeps. `lowered` then
            says what that changed: the scores in fp32, and the largest difference of a logit.

    Raises:
        DataError: naming file, row and column; also for a label that training did not know.
        ConfigError: there is no such precision here.
    """
    predictor = run if isinstance(run, Predictor) else load(run)
    precision = precision or predictor.precision
    refuse(precision, predictor)
    known = predictor.artifact.columns
    task: Any = predictor.artifact.task
    table = sources.read(file, header, "test")
    roles = task.match(table, known.roles)
    split = read_rows(table, task, roles, task.labels if known.label_names else None)
    task.check(split.rows, split.source, roles)
    exact = predictor.outputs(split.rows)
    scores = scores_of(task, exact, split.rows)
    if precision == predictor.precision:
        return scores
    predictor.lower(precision)
    outputs = predictor.outputs(split.rows)
    gap = largest_distance(task, exact, outputs)
    lowered = {"precision": precision, "fp32": scalars(scores), "largest_difference": gap}
    return {**scores_of(task, outputs, split.rows), "lowered": lowered}
