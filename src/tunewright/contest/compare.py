"""The story of a comparison: contestants -> runs on the same rows and seeds -> evidence -> verdict -> report.

Floors come first, then the first seed of all, the cheap ones first, then the next seed: whenever it is stopped, there
is a whole table. Every run is a normal run directory; what runs have in common is computed once.
"""

from __future__ import annotations

import gc
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic as clock
from typing import Any

from ..component import members
from ..config import RunConfig
from ..directory import METRICS, claimed, default_out, is_finished, is_started
from ..errors import CheckpointError, ConfigError, DataError, Interrupted, Paused, RunDirectoryError, TunewrightError
from ..files import inside, read_json
from ..floors.base import Floor
from ..intake import take_in
from ..report import comparison
from ..run import RunResult, train
from ..sharing import Shared
from ..startup import settled
from ..training.memory import forget_peak
from ..training.progress import Listener
from ..training.state import State
from . import costs, halving, record
from . import jobs as children
from .contestants import Contestant, contestants_of, cost, floors_of
from .floor_runs import train_floor
from .halving import seconds_of
from .heard import Heard
from .variants import variants_of

DATA = "data"  # the folder of splits and variants
OURS = (CheckpointError, DataError, RunDirectoryError)  # faults that all contestants would meet


@dataclass(frozen=True)
class Comparison:
    """A finished comparison. `comparison` is the content of comparison.json."""

    path: Path
    comparison: dict[str, Any]


def compare(
    config: RunConfig, strategies: Sequence[str] | str = (), *, models: Sequence[str] = (), seeds: int = 3,
    budget: float | str | None = None, jobs: int = 1, data: Sequence[str] = (), out: str | Path | None = None,
    resume: bool = False, overwrite: bool = False, listener: Listener | None = None,
) -> Comparison:  # fmt: skip
    """Trains all contestants on the same rows, and says which is best and how sure that is.

    Args:
        config: what all have in common.
        strategies: as in `full,lora.r=4,16`; the configuration's own where empty.
        models: each with every strategy.
        seeds: so many runs of each, from `training.seed` on.
        budget: wall-clock seconds, or as in 90s, 20m, 1h; over all sessions of the comparison.
        jobs: so many runs at once, as processes of their own; without a budget.
        data: variants of the training rows besides those given: augmented, cleaned.
        resume: finished runs stay as they are, the one that was interrupted goes on; with more seeds, contestants or
            another budget too.
        overwrite: replace the comparison in `out`.

    Raises:
        TunewrightError: the comparison can't be had; a run that fails is a failed contestant.
        Interrupted: by a signal; what is done is kept, and the table written.
    """
    refuse(seeds, jobs, budget)
    settled()  # before the first model is made: what is there now stays, and no run's leftovers do
    folder = Path(out or config.out or default_out(config.data.train, "comparison", resume))
    with claimed(folder, resume=True, overwrite=False):
        begin(folder, resume, overwrite)
        made = prepare(
            config, strategies, list(models), seeds, seconds_of(budget), list(data), folder, listener or Listener()
        )
        try:
            made.run(jobs)
        except (Interrupted, KeyboardInterrupt):
            made.conclude()  # what is done is a whole table
            raise
        finally:
            gc.unfreeze()
        made.conclude()
    return Comparison(folder, made.record)


def refuse(seeds: int, jobs: int, budget: Any) -> None:
    """Raises ConfigError where a setting has no meaning here."""
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError("several processes", where="compare", fix="start it without accelerate launch")
    if seeds < 1:
        raise ConfigError(f"{seeds} seeds", where="--seeds", fix="give 1 or more")
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs", where="--jobs", fix="give 1 or more")
    if jobs > 1 and budget is not None:
        raise ConfigError("does not go with --budget", where="--jobs", fix="leave one of the two out")


def begin(folder: Path, resume: bool, overwrite: bool) -> None:
    """Raises RunDirectoryError where the folder has a comparison that nobody asked to continue or replace."""
    if overwrite:
        clear(folder)
    elif (folder / record.RECIPE).is_file() and not resume:
        fix = "continue it with --resume, replace it with --overwrite, or choose another --out"
        raise RunDirectoryError("has a comparison", where=str(folder), fix=fix)
    elif is_started(folder) or is_finished(folder):
        raise RunDirectoryError("has a run", where=str(folder), fix="choose another --out")


def clear(folder: Path) -> None:
    """Removes what the comparison wrote there, and nothing else."""
    for item in record.read(folder).get("contestants", ()):
        for run in item["runs"]:
            shutil.rmtree(inside(folder, run["path"]), ignore_errors=True)
    if (folder / record.RECIPE).is_file():
        shutil.rmtree(folder / DATA, ignore_errors=True)
    for name in (record.COMPARISON, record.RECIPE, "report.html"):
        (folder / name).unlink(missing_ok=True)


def prepare(
    config: RunConfig, strategies: Sequence[str] | str, models: list[str], seeds: int, budget: float | None,
    data: list[str], folder: Path, listener: Listener,
) -> Contest:  # fmt: skip
    """Everything is decided, and refused where it must be, before the first run."""
    shared = Shared()
    config = config.model_copy(update={"out": None})
    intake = shared.rows(config, take_in)
    if budget is not None and "validation" not in intake.splits:
        fix = "raise data.validation_share, or give data.validation"
        raise ConfigError("needs validation scores to choose by", where="--budget", fix=fix)
    line = strategies if isinstance(strategies, str) else ",".join(strategies)
    variants = variants_of(config, data, folder / DATA, intake, listener)
    runs = contestants_of(config, line or config.strategy.kind, models, variants, intake.task)
    base = config.model_copy(update={"data": next(iter(variants.values()))})
    contestants = [*floors_of(base, intake.task), *sorted(runs, key=cost)]
    numbers = range(config.training.seed, config.training.seed + seeds)
    same = record.agree(folder, record.recipe_of(config, contestants, numbers, budget))
    known = record.read(folder)
    found = record.fresh(config, intake, numbers, budget)
    found |= {name: known[name] for name in ("seconds", "created", "decisions") if name in known}
    before = {item["name"]: item for item in known.get("contestants", ())}
    found["contestants"] = [
        record.entry(item, numbers, before.get(item.name, {}), folder, found["split"]) for item in contestants
    ]
    made = Contest(folder, {item.name: item for item in contestants}, found, shared, listener)
    if not same:
        made.forget_decisions()
    made.save()
    return made


@dataclass
class Contest:
    """One comparison. `record` is the content of comparison.json."""

    folder: Path
    contestants: dict[str, Contestant]
    record: dict[str, Any]
    shared: Shared
    listener: Listener
    began: float = field(default_factory=lambda: clock())

    def __post_init__(self) -> None:
        self.before = self.record["seconds"]
        self.items: dict[str, dict[str, Any]] = {item["name"]: item for item in self.record["contestants"]}

    @property
    def spent(self) -> float:
        """Seconds, over all sessions."""
        return float(self.before + clock() - self.began)

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        budget = self.record["budget_seconds"]
        return math.inf if budget is None else float(budget) - self.spent

    def save(self) -> None:
        self.record["seconds"] = round(self.spent, 3)
        record.write(self.folder, self.record)

    def forget_decisions(self) -> None:
        """With another budget those that were stopped may go on."""
        self.record["decisions"] = []
        for run in (run for item in self.items.values() for run in item["runs"] if run["status"] == "stopped"):
            run |= {"status": "waiting", "reason": None}

    # --- the order of the runs ------------------------------------------------------------------------------------

    def run(self, jobs: int = 1) -> None:
        """All runs that are not finished, in their order."""
        first, *others = self.record["seeds"]
        for item in self.waiting(first):
            if self.contestants[item["name"]].seedless:
                self.advance(item, 0)
        if jobs > 1:
            self.run_together(jobs)
        if self.record["budget_seconds"] is not None:
            self.halve()
        for item in self.waiting(first):
            self.advance(item, 0)
        for place, seed in enumerate(others, 1):
            self.another_seed(place, seed)

    def run_together(self, jobs: int) -> None:
        """The runs of all seeds that have a loop, several at once; what they have in common comes from the disk."""
        queue = [(item, place) for place, seed in enumerate(self.record["seeds"]) for item in self.waiting(seed)]
        calls = []
        for item, place in queue:
            run = item["runs"][place]
            recipe = self.folder / DATA / f"{run['path'].replace('/', '-')}.yaml"
            calls.append(((item, run), partial(children.command, self.config_of(item["name"], run), recipe)))
        for (item, run), code, said in children.together(calls, jobs):
            if code == 0:
                record.finish(run, read_json(self.folder / run["path"] / METRICS), self.record["split"])
            elif code == TunewrightError.exit_code:
                run |= {"status": "failed", "reason": said.removeprefix("error: ")}
            else:
                raise RuntimeError(f"{run['path']} ended with code {code}: {said}")
            self.listener.note(f"{run['path']}: {run['status']}{f': {said}' if code else ''}")
            self.measure(item, run)
            self.save()

    def waiting(self, seed: int) -> list[dict[str, Any]]:
        """Contestants whose run of a seed is not finished, failed or stopped."""
        return [item for item in self.items.values()
                if any(run["seed"] == seed and run["status"] == "waiting" for run in item["runs"])]  # fmt: skip

    def halve(self) -> None:
        """Successive halving of the first seed's runs, until the rest of those that are left fits."""
        seed, decisions = self.record["seeds"][0], self.record["decisions"]
        if not (alive := self.waiting(seed)):
            return
        count = len(alive) + sum(len(decision["stopped"]) for decision in decisions if "share" in decision)
        for share in halving.shares(count):
            if any(decision.get("share") == share for decision in decisions):
                continue
            for item in self.waiting(seed):
                if share_of(item["runs"][0]) < share:
                    self.advance(item, 0, share)
            alive = self.waiting(seed)
            standings = [self.standing(item) for item in alive]
            kept = halving.going_on(standings, self.left, self.record["metric"]["higher_is_better"])
            self.decide(alive, kept, share)
            if len(kept) == len(alive):
                return

    def standing(self, item: dict[str, Any]) -> halving.Standing:
        run = item["runs"][0]
        score = run["validation"].get(self.record["metric"]["name"])
        seconds = max(run["total_seconds"], run["fit_seconds"])  # the latter outlives a kill
        return halving.Standing(item["name"], score, share_of(run) or 1e-9, seconds)

    def decide(self, alive: list[dict[str, Any]], kept: list[str], share: float) -> None:
        """Stops those that are not kept, and says why."""
        best = max((self.standing(item) for item in alive if item["name"] in kept), default=None,
                   key=lambda standing: self.worth(standing.score))  # fmt: skip
        stopped = [item for item in alive if item["name"] not in kept]
        for item in stopped:
            run, own = item["runs"][0], self.standing(item).score
            scores = f"{shown(own)} against {shown(best.score if best else None)} on validation"
            stop(run, f"stopped after {run['epoch']:.3g} of {run['epochs']:.3g} epochs: {scores}, budget")
            self.listener.note(f"{item['name']}: {run['reason']}")
        names = [item["name"] for item in stopped]
        told = {"share": share, "seconds_left": round(self.left, 1), "kept": kept, "stopped": names}
        self.record["decisions"].append(told)
        self.save()

    def worth(self, score: float | None) -> float:
        sign = 1 if self.record["metric"]["higher_is_better"] else -1
        return -math.inf if score is None else sign * score

    def another_seed(self, place: int, seed: int) -> None:
        """A further seed for all that finished the first; not begun where the time does not suffice for all of them."""
        items = self.waiting(seed)
        ready = [item for item in items if item["runs"][0]["status"] == "finished"]
        need = sum(item["runs"][0]["total_seconds"] for item in ready)
        cut = need > self.left and all(item["runs"][place]["steps"] is None for item in ready)
        for item in items:
            reason = item["runs"][0]["reason"] if item not in ready else f"no time for seed {seed}, budget"
            if item not in ready or cut:
                stop(item["runs"][place], str(reason))
        if cut and ready:
            self.listener.note(f"no time for seed {seed}: {need:.0f} s of {max(self.left, 0):.0f} s left")
        self.save()
        for item in ready if not cut else ():
            self.advance(item, place)

    # --- one run --------------------------------------------------------------------------------------------------

    def advance(self, item: dict[str, Any], place: int, share: float = 1.0) -> None:
        """Trains one run to its end, or to the first evaluation after a share of its steps."""
        contestant, run = self.contestants[item["name"]], item["runs"][place]
        if self.left <= 0:
            stop(run, "not begun: the budget ended before" if run["steps"] is None else "the budget ended")
            self.listener.note(f"{run['path']}: {run['reason']}; --resume with a larger --budget goes on")
            self.save()
            return
        self.listener.note(f"--- {run['path']}")
        heard = Heard(self.listener, self.shared, self.save)
        began, spent = clock(), run["total_seconds"]
        forget_peak()
        gc.freeze()  # modules and what is shared: to look for garbage in them took 0.3 s, twice a run
        try:
            result = self.start(contestant, run, heard, self.pause(share))
            run["planned_steps"] = heard.total_steps
            record.finish(run, result.metrics, self.record["split"])
        except Paused as paused:
            record.pause(run, paused.state)
            if self.left <= 0:
                stop(run, f"stopped after {run['epoch']:.3g} of {run['epochs']:.3g} epochs: the budget ended")
        except OURS:
            raise
        except TunewrightError as error:
            run |= {"status": "failed", "reason": str(error)}
            self.listener.note(f"{run['path']} failed: {error}")
        finally:
            run["total_seconds"] = round(spent + clock() - began, 3)
        if heard.cached:
            known = f"its time is without what was known already: {', '.join(heard.cached)}"
            item["notes"] = list(dict.fromkeys([*item["notes"], known]))
        self.measure(item, run)
        self.save()

    def pause(self, share: float) -> Callable[[State], bool] | None:
        """Whether to stop between two steps: at the rung, or when the time is over."""
        budget = self.record["budget_seconds"]
        if budget is None:
            return None

        def due(state: State) -> bool:
            at_rung = state.evaluated_step == state.step and state.step >= share * state.total_steps
            return self.spent > halving.OVER * budget or (share < 1 and at_rung)

        return due

    def config_of(self, name: str, run: dict[str, Any]) -> RunConfig:
        """Of one run: its seed, and its folder."""
        config = self.contestants[name].config
        training = config.training.model_copy(update={"seed": run["seed"]})
        return config.model_copy(update={"training": training, "out": str(self.folder / run["path"])})

    def start(
        self, contestant: Contestant, run: dict[str, Any], heard: Listener, pause: Callable[[State], bool] | None
    ) -> RunResult:
        """Begins a run, or goes on with it."""
        folder = self.folder / run["path"]
        config = self.config_of(contestant.name, run)
        if contestant.kind == "floor":
            floor: Any = members(Floor)[contestant.strategy]  # type: ignore[type-abstract]
            made = floor(kind=contestant.strategy)
            return train_floor(config, made, overwrite=True, listener=heard, shared=self.shared)
        return train(config, resume=is_started(folder), listener=heard, pause=pause, shared=self.shared)

    def measure(self, item: dict[str, Any], run: dict[str, Any]) -> None:
        """What the model takes on disk and for an answer; once for a contestant."""
        if run["status"] != "finished" or item["milliseconds_per_row"]:
            return
        config = self.contestants[item["name"]].config
        rows = self.shared.rows(config, take_in).splits.get(self.record["split"])
        folder = self.folder / run["path"]
        item["artefact_bytes"] = costs.artefact_bytes(folder)
        if rows is not None and self.record["split"] != "train":
            found = costs.milliseconds_per_row(folder, list(rows.rows[: costs.ROWS]), config.trust_remote_code)
            item["milliseconds_per_row"] = found

    # --- the end --------------------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """Evidence, verdict, table and report of all that is finished."""
        record.judge(self.record, self.folder)
        done = all(run["status"] != "waiting" for item in self.items.values() for run in item["runs"])
        self.record["complete"] = done
        self.save()
        if any(record.finished(item) for item in self.items.values()):
            comparison.write(self.folder)


def share_of(run: dict[str, Any]) -> float:
    """Of its steps, those that are done."""
    return (run["steps"] or 0) / (run["planned_steps"] or 1)


def stop(run: dict[str, Any], reason: str) -> None:
    run |= {"status": "stopped", "reason": reason}


def shown(score: float | None) -> str:
    return "none" if score is None else f"{score:.2f}"
