"""The study: which settings were tried, what came of them, and what is tried next; kept in OUT/study.db."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..tasks.base import Metric
from ..training.state import State, is_number
from .space import Dimension

STARTUP = 4  # finished trials before any is pruned: their median should mean something
WARMUP = 20  # percent of its steps that a trial has for itself
RANDOM = 6  # trials before TPE's model is asked (its own default of 10 would be half of a small search)


def require_optuna() -> Any:
    """Optuna, silenced. Raises ConfigError where it is not installed."""
    try:
        import optuna
    except ImportError:
        fix = "install it: pip install 'tunewright[search]'"
        raise ConfigError("needs Optuna, which is not installed", where="search", fix=fix) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Study:
    """Trials in a database that outlives the process; TPE (Bergstra et al. 2011) draws, a median rule prunes.

    Args:
        path: OUT/study.db.
        seed: of what is drawn; each draw is a function of it and of the trials before, so that a resume draws alike.
    """

    def __init__(self, path: Path, metric: Metric, seed: int) -> None:
        self.optuna, self.metric, self.seed = require_optuna(), metric, seed
        self.study = self.optuna.create_study(
            storage=f"sqlite:///{path.resolve()}",
            study_name="search",
            load_if_exists=True,
            direction="maximize" if metric.higher_is_better else "minimize",
            pruner=self.optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARMUP),
        )
        self.begin_again()

    @property
    def trials(self) -> list[Any]:
        """Those that ended, oldest first. What a kill cut off, and what was tried before, has no record and no name."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if "settings" in trial.user_attrs]

    def begin_again(self) -> None:
        """Trials that a killed process left are told as failed; their settings come first, under the same name."""
        for trial in self.study.get_trials(states=(self.optuna.trial.TrialState.RUNNING,)):
            self.study.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)
            self.study.enqueue_trial(trial.params)

    def add(self, settings: dict[str, Any], space: Sequence[Dimension], value: float, record: dict[str, Any]) -> None:
        """A trial that was not drawn: the default. Its settings guide the search where they lie in the space."""
        known = {one.path: one.distribution for one in space if one.path in settings}
        known = {path: found for path, found in known.items() if contains(found, settings[path])}
        self.study.add_trial(
            self.optuna.trial.create_trial(
                value=value,
                params={path: settings[path] for path in known},
                distributions=known,
                intermediate_values=dict(record.pop("course")),
                user_attrs={"settings": settings, **record},
            )
        )

    def ask(self, space: Sequence[Dimension], kind: str, repeated: int) -> tuple[Any, dict[str, Any]]:
        """The next trial and its settings.

        Args:
            kind: the strategy, where the space does not say it.
            repeated: draws since the last new trial.
        """
        seed = zlib.crc32(f"{self.seed} {len(self.trials)} {repeated}".encode())
        self.study.sampler = self.optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM)
        trial = self.study.ask()
        settings: dict[str, Any] = {}
        for one in sorted(space, key=lambda one: one.path != "strategy.kind"):
            if one.applies(settings.get("strategy.kind", kind)):
                settings[one.path] = one.suggest(trial)
        return trial, settings

    def tell(self, trial: Any, settings: dict[str, Any], value: float | None, record: dict[str, Any]) -> None:
        """How a trial ended; without a value it failed or, where `record` says so, was pruned."""
        states = self.optuna.trial.TrialState
        for name, item in {"settings": settings, **record}.items():
            trial.set_user_attr(name, item)
        ended = {"finished": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[record["status"]]
        self.study.tell(trial, value if ended == states.COMPLETE else None, state=ended)

    def drop(self, trial: Any) -> None:
        """A trial of settings that are known already."""
        self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)

    def pruning(self, trial: Any) -> Callable[[State], bool]:
        """For the loop: hears of each evaluation; True where its score is below the median of the trials before at the
        same share of their steps."""
        told = set[int]()

        def pause(state: State) -> bool:
            fresh = [pair for pair in course(state.evaluations, state.total_steps, self.metric) if pair[0] not in told]
            for share, value in fresh:
                told.add(share)
                trial.report(value, share)
            return bool(fresh and trial.should_prune())

        return pause


def contains(distribution: Any, value: Any) -> bool:
    if hasattr(distribution, "choices"):
        return value in distribution.choices
    return is_number(value) and bool(distribution.low <= value <= distribution.high)


def course(evaluations: Sequence[dict[str, Any]], total_steps: int, metric: Metric) -> list[tuple[int, float]]:
    """(percent of the run's steps, score) of each evaluation: runs of different lengths are compared by their share."""
    found = [(100 * item["step"] // total_steps, item["validation"].get(metric.name)) for item in evaluations]
    return [(share, value) for share, value in found if is_number(value)]
