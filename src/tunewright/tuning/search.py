"""Search: a small space tried under a budget; then whether what was found beats the default beyond noise."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..config import RunConfig, load
from ..data.sources import is_hub_id
from ..directory import CHECKPOINTS, default_out, is_started
from ..errors import CheckpointError, ConfigError, Paused, RunDirectoryError, TunewrightError
from ..evaluation import scalars
from ..files import exclusive, read_json, sha256, write_json
from ..outcome import command_line, versions
from ..report.search import write as write_report
from ..resolve import now
from ..run import RunResult, train
from ..sharing import Shared
from ..tasks.base import Metric
from ..training.progress import Listener
from ..training.state import is_number
from . import final
from . import space as spaces
from .space import Dimension
from .study import Study, course, require_optuna

SEARCH, BASE, STUDY, DEFAULT = "search.json", "base.json", "study.db", "trial-000"
REPEATS = 20  # draws of what was tried already, after which the space counts as exhausted


@dataclass(frozen=True)
class Search:
    """A finished search. `summary` is the content of search.json."""

    path: Path
    summary: dict[str, Any]


def search(
    config: RunConfig, space: str = "", *, trials: int = 20, budget: float | None = None, seeds: int = 3,
    resume: bool = False, overwrite: bool = False, listener: Listener | None = None,
) -> Search:  # fmt: skip
    """Tries settings, the default first, in OUT/trial-000, OUT/trial-001, ...; compares the best with the default.

    Args:
        config: what every trial has in common.
        space: `learning_rate=1e-5:1e-3,strategy.r=4|8|16`; empty: what the strategy's defaults suggest.
        trials: at most, the default included; pruned ones count.
        budget: seconds, for trials and the comparison together; a trial that was begun ends.
        seeds: runs of the best and of the default each, whose test scores are compared.
        resume: go on with the search in `config.out`; what is finished there stays.

    Raises:
        TunewrightError: the user can fix it; of single trials only the default's.
        Interrupted: by a signal; `resume` goes on.
    """
    require_optuna()
    refuse(config)
    given = spaces.parse(space)
    out = Path(config.out) if config.out else default_out(config.data.train, f"{config.strategy.kind}-search", resume)
    with exclusive(out / ".lock") as free:
        if not free:
            fix = "wait for it, or choose another --out"
            raise RunDirectoryError("another process works in it", where=str(out), fix=fix)
        prepare(out, config, space, resume, overwrite)
        hunt = Hunt(config, out, given, seeds, listener or Listener(), budget)
        hunt.begin()
        hunt.go_on(trials)
        return hunt.end()


def refuse(config: RunConfig) -> None:
    """Raises ConfigError where there is nothing to search by."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError("several processes", where="search", fix="start it without accelerate launch")
    if not (config.data.validation or config.data.validation_share or is_hub_id(config.data.train)):
        fix = "raise data.validation_share or give data.validation: trials are judged by it"
        raise ConfigError("there is no validation split", where="search", fix=fix)


def prepare(out: Path, config: RunConfig, space: str, resume: bool, overwrite: bool) -> None:
    """A folder that is new, or that has the same search. Raises RunDirectoryError otherwise."""
    if overwrite:
        for path in (*out.glob("trial-*"), *out.glob("default"), *out.glob("tuned")):
            shutil.rmtree(path)
        for name in (STUDY, SEARCH, BASE, "comparison.json", "report.html"):
            (out / name).unlink(missing_ok=True)
    files = {name: sha256(Path(file)) for name in ("train", "validation", "test")
             if (file := getattr(config.data, name)) and Path(file).is_file()}  # fmt: skip
    wanted = {"space": space, "files": files, "recipe": config.model_dump(mode="json", exclude={"out"})}
    if not (out / BASE).is_file():
        write_json(out / BASE, wanted)
        return
    if not resume:
        fix = "continue it with --resume, replace it with --overwrite, or choose another --out"
        raise RunDirectoryError("has a search", where=str(out), fix=fix)
    before = read_json(out / BASE)
    changed = [name for name in wanted if before.get(name) != wanted[name]]
    if changed:
        fix = "undo the change, or start anew with another --out"
        raise RunDirectoryError(f"holds a search of another {' and '.join(changed)}", where=str(out), fix=fix)


@dataclass
class Hunt:
    """One search under way."""

    config: RunConfig
    out: Path
    space: Sequence[Dimension]
    seeds: int
    listener: Listener
    budget: float | None
    shared: Shared = field(default_factory=Shared)

    @cached_property
    def study(self) -> Study:
        return Study(self.out / STUDY, self.metric, self.config.training.seed)

    @cached_property
    def metric(self) -> Metric:
        """The task's main score."""
        task = self.resolved.task
        assert task is not None
        return task.metric

    @cached_property
    def resolved(self) -> RunConfig:
        """The default with every `auto` resolved."""
        return load(self.out / DEFAULT / "run.yaml")

    def config_of(self, settings: dict[str, Any], path: str) -> RunConfig:
        """The run of one trial."""
        raw = self.config.model_dump(mode="json") | {"out": str(self.out / path)}
        return load(raw, [(name.split("."), value) for name, value in settings.items()])

    def run(self, settings: dict[str, Any], path: str, **options: Any) -> RunResult:
        """A run in its own folder: begun, continued, or finished already."""
        config = self.config_of(settings, path)
        common = {"listener": self.listener, "shared": self.shared, **options}
        try:
            found = train(config, resume=is_started(self.out / path), **common)
        except CheckpointError:  # the rest of a killed run of other settings
            found = train(config, overwrite=True, **common)
        shutil.rmtree(self.out / path / CHECKPOINTS, ignore_errors=True)
        return found

    def begin(self) -> None:
        """The default is the first trial; what it resolves `auto` to is the middle of the space."""
        result = self.run({}, DEFAULT)
        self.space = self.space or spaces.suggested(self.resolved.strategy, self.resolved.training)
        for one in self.space:
            for value in one.choices:
                if one.path != "strategy.kind" and one.applies(self.config.strategy.kind):
                    self.config_of({one.path: value}, DEFAULT)  # a value that can't be is told before the first trial
        if self.study.trials:
            return
        value = self.value(result.metrics)
        if value is None:
            raise ConfigError(f"the default has no {self.metric.name} on validation", where=str(result.path))
        scores = course(evaluations(result.path), result.metrics["steps"], self.metric)
        record = {"path": DEFAULT, "value": value, "course": scores, **recorded(result.metrics)}
        self.study.add(values_of(self.resolved, self.space), self.space, value, record)

    def value(self, metrics: dict[str, Any]) -> float | None:
        """The best score on validation."""
        best = (metrics.get("best_metric") or {}).get("value", scalars(metrics["validation"]).get(self.metric.name))
        return None if best is None or not is_number(best) else float(best)

    def go_on(self, trials: int) -> None:
        """Draws and runs trials until there are enough of them, or time is short, or nothing new is drawn."""
        repeated = 0
        while len(self.study.trials) < trials and repeated < REPEATS and self.has_time():
            trial, settings = self.study.ask(self.space, self.config.strategy.kind, repeated)
            if settings in [known.user_attrs["settings"] for known in self.study.trials]:
                self.study.drop(trial)
                repeated += 1
                continue
            repeated = 0
            self.attempt(trial, settings, f"trial-{len(self.study.trials):03d}")

    def attempt(self, trial: Any, settings: dict[str, Any], path: str) -> None:
        """One trial, told to the study however it ends."""
        said = ", ".join(f"{name.split('.')[-1]} {shown(value)}" for name, value in settings.items())
        self.listener.note(f"{path}: {said}")
        value, began = None, time.perf_counter()
        try:
            result = self.run(settings, path, pause=self.study.pruning(trial))
            value, record = self.value(result.metrics), recorded(result.metrics)
            record |= {} if value is not None else {"status": "failed", "reason": f"no {self.metric.name}"}
        except Paused as ended:
            share = ended.state.step / ended.state.total_steps
            last = course(ended.state.evaluations, ended.state.total_steps, self.metric)[-1][1]
            record = {"status": "pruned", "reason": f"below the median at {share:.0%} of its steps", "value": last}
        except TunewrightError as error:
            record = {"status": "failed", "reason": str(error)}
        shutil.rmtree(self.out / path / CHECKPOINTS, ignore_errors=True)
        record = {"path": path, "seconds": round(time.perf_counter() - began, 3), "value": value, **record}
        self.study.tell(trial, settings, value, record)
        self.listener.note(f"{path}: {record['status']}, {self.metric.name} {shown(record['value'])}")

    def has_time(self) -> bool:
        """Whether a trial like the default fits into the budget, with the runs of the comparison after it."""
        if self.budget is None:
            return True
        known = [trial.user_attrs["seconds"] for trial in self.study.trials]
        needed = known[0] * (1 + 2 * (self.seeds - 1))
        if fits := sum(known) + needed <= self.budget:
            return fits
        self.listener.note(f"no time for a further trial: {sum(known):.0f} s spent, {needed:.0f} s are needed")
        return False

    def best(self) -> Any:
        """The trial with the best validation score; of equals the first, so that ties are the default's."""
        sign = 1 if self.metric.higher_is_better else -1
        finished = [trial for trial in self.study.trials if trial.user_attrs["status"] == "finished"]
        return max(finished, key=lambda trial: sign * trial.value)

    def end(self) -> Search:
        """The best against the default; search.json and the report."""
        best = self.best()
        paths = {final.DEFAULT: DEFAULT}
        chosen: dict[str, Any] = best.user_attrs["settings"]
        if best.user_attrs["path"] != DEFAULT:
            paths[final.TUNED] = best.user_attrs["path"]
        configs = {name: self.config_of(chosen if name == final.TUNED else {}, path) for name, path in paths.items()}
        settings = tuple(f"{name}={shown(value)}" for name, value in chosen.items())
        compared = final.contest(self.out, configs, paths, settings, self.seeds, self.shared, self.listener)
        found = self.summary(best.user_attrs["path"], compared)
        write_json(self.out / SEARCH, found)
        write_report(self.out)
        return Search(self.out, found)

    def summary(self, best: str, compared: dict[str, Any]) -> dict[str, Any]:
        """search.json."""
        names = ("path", "status", "reason", "value", "settings", "seconds", "steps")
        each = [{name: trial.user_attrs.get(name) for name in names} for trial in self.study.trials]
        return {
            "format": 1,
            "task": compared["task"],
            "strategy": self.config.strategy.kind,
            "metric": compared["metric"],
            "space": [str(one) for one in self.space],
            "trials": each,
            "best": best,
            "verdict": compared["verdict"],
            "budget_seconds": self.budget,
            "seconds": round(sum(item["seconds"] for item in each), 3),
            "command": command_line(),
            "created": now(),
            "versions": versions(),
        }


def evaluations(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's history that have scores."""
    lines = map(json.loads, (run / "history.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if isinstance(line.get("validation"), dict) and "step" in line]


def recorded(metrics: dict[str, Any]) -> dict[str, Any]:
    """What the study keeps of a finished run."""
    return {"status": "finished", "reason": None, "seconds": metrics["total_seconds"], "steps": metrics["steps"]}


def values_of(config: RunConfig, space: Sequence[Dimension]) -> dict[str, Any]:
    """The settings of a space as a configuration has them."""
    raw = {"training": config.training.model_dump(), "strategy": config.strategy.model_dump()}
    found = [(one.path, *one.path.split(".")) for one in space]
    return {path: raw[section][name] for path, section, name in found if name in raw[section]}


def shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
