"""comparison.json: all that the table and the report need, written whole after each run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ..config import RunConfig
from ..data.sources import is_hub_id
from ..directory import METRICS, is_finished
from ..errors import RunDirectoryError
from ..evaluation import scalars
from ..evidence import LEVEL, RESAMPLES, compared
from ..files import parse_yaml, read_json, sha256, write_json, write_text
from ..intake import Intake
from ..outcome import command_line, versions
from ..resolve import now
from ..training.state import State
from .contestants import Contestant

COMPARISON, RECIPE = "comparison.json", "compare.yaml"
FORMAT = 1

Run = dict[str, Any]


def run_path(name: str, seed: int) -> str:
    return f"{name}/seed-{seed}"


def waiting(name: str, seed: int) -> Run:
    """A run of which nothing is known yet."""
    none = dict.fromkeys(("reason", "peak_memory_mb", "steps", "planned_steps"))
    return {"path": run_path(name, seed), "seed": seed, "status": "waiting", "scores": {}, "validation": {},
            "fit_seconds": 0.0, "total_seconds": 0.0, **none}  # fmt: skip


def finish(run: Run, metrics: Mapping[str, Any], split: str) -> None:
    """Notes what a finished run's metrics.json says."""
    kept = {name: metrics.get(name) for name in ("fit_seconds", "peak_memory_mb", "steps")}
    run |= {"status": "finished", "reason": None, "scores": scalars(metrics.get(split) or {}), **kept}
    run |= {"validation": scalars(metrics.get("validation") or {})}
    run["total_seconds"] = run["total_seconds"] or metrics.get("total_seconds") or 0.0
    run["planned_steps"] = run["planned_steps"] or metrics.get("steps")


def pause(run: Run, state: State) -> None:
    """Notes where a run stands that may go on."""
    last = state.evaluations[-1]["validation"] if state.evaluations else {}
    run |= {"validation": scalars(last), "fit_seconds": round(state.fit_seconds, 3), "steps": state.step}
    run |= {"planned_steps": state.total_steps, "epoch": state.epoch}
    run["epochs"] = state.total_steps / state.steps_per_epoch


def read(out: Path) -> dict[str, Any]:
    """What is known of the comparison in a folder; empty where there is none."""
    try:
        found: dict[str, Any] = read_json(out / COMPARISON)
    except (OSError, ValueError):
        return {}
    return found


def fresh(config: RunConfig, intake: Intake, seeds: Sequence[int], budget: float | None) -> dict[str, Any]:
    """A comparison before its first run."""
    rows = {name: len(split.rows) for name, split in intake.splits.items()}
    split = next((name for name in ("test", "validation") if name in rows), "train")
    metric = intake.task.metric
    return {
        "format": FORMAT,
        "task": intake.task.kind,
        "metric": {"name": metric.name, "higher_is_better": metric.higher_is_better},
        "split": split,
        "rows": rows[split],
        "level": LEVEL,
        "resamples": RESAMPLES,
        "seeds": list(seeds),
        "budget_seconds": budget,
        "seconds": 0.0,
        "complete": False,
        "data": {"train": config.data.train, "rows": rows},
        "contestants": [],
        "verdict": None,
        "decisions": [],
        "command": command_line(),
        "created": now(),
        "versions": versions(),
    }


def entry(
    contestant: Contestant, seeds: Sequence[int], known: Mapping[str, Any], out: Path, split: str
) -> dict[str, Any]:
    """A contestant as comparison.json has it; its runs as they were left, or as their folders say."""
    before = {run["seed"]: run for run in known.get("runs", ())}
    runs = []
    for seed in seeds[:1] if contestant.seedless else seeds:
        run = {**waiting(contestant.name, seed), **before.get(seed, {})}
        if contestant.refused:
            run |= {"status": "failed", "reason": contestant.refused}
        elif is_finished(out / run["path"]):
            finish(run, read_json(out / run["path"] / METRICS), split)
        elif run["status"] in ("finished", "failed"):
            run |= {"status": "waiting", "reason": None}  # its folder is gone, or it is tried again
        runs.append(run)
    none = dict.fromkeys(("score", "versus_best", "trainable_parameters", "total_parameters", "fit_seconds",
                          "peak_memory_mb", "artefact_bytes", "milliseconds_per_row"))  # fmt: skip
    costs = {name: known[name] for name in ("artefact_bytes", "milliseconds_per_row") if known.get(name)}
    told: dict[str, Any] = {"name": contestant.name, "kind": contestant.kind, "strategy": contestant.strategy}
    told |= {"model": contestant.model, "data": contestant.data, "settings": list(contestant.settings)}
    told["seedless"] = contestant.seedless
    return {**told, "runs": runs, **none, **costs, "notes": list(known.get("notes", ()))}


def summarise(item: dict[str, Any], out: Path) -> None:
    """What a contestant's finished runs say together: costs, and sizes."""
    done = finished(item)
    if not done:
        return
    metrics = read_json(out / done[0]["path"] / METRICS)
    item |= {name: metrics.get(name) for name in ("trainable_parameters", "total_parameters")}
    item["fit_seconds"] = round(fmean(run["fit_seconds"] for run in done), 3)
    item["peak_memory_mb"] = max(run["peak_memory_mb"] for run in done)


def finished(item: Mapping[str, Any]) -> list[Run]:
    return [run for run in item["runs"] if run["status"] == "finished"]


def lines_of(path: Path, split: str) -> list[dict[str, Any]]:
    """A run's predictions."""
    with open(path / "predictions" / f"{split}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def judge(found: dict[str, Any], folder: Path) -> None:
    """Adds scores, tests and the verdict to a comparison, and puts the best contestant first."""
    for item in found["contestants"]:
        summarise(item, folder)
    ended = {item["name"]: item for item in found["contestants"] if finished(item)}
    if not ended or found["split"] == "train":
        return
    metric, sign = found["metric"]["name"], 1 if found["metric"]["higher_is_better"] else -1
    lines = {name: [lines_of(folder / run["path"], found["split"]) for run in finished(item)]
             for name, item in ended.items()}  # fmt: skip
    evidence, verdict = compared(
        lines, metric, sign == 1, {name: float(item["fit_seconds"]) for name, item in ended.items()}, found["seeds"][0],
        floors=[name for name, item in ended.items() if item["kind"] == "floor"],
        stopped={item["name"]: str(item["runs"][0]["reason"]) for item in found["contestants"] if not finished(item)},
        seedless=[name for name, item in ended.items() if item["seedless"]],
    )  # fmt: skip
    for name, told in evidence.items():
        ended[name] |= told
    if verdict is not None:
        runs = finished(ended[verdict["winner"]])
        best = max(runs, key=lambda run: worth(run["validation"].get(metric), sign))
        found["verdict"] = {**verdict, "path": best["path"]}
    found["contestants"].sort(key=lambda item: -worth((item["score"] or {}).get("value"), sign))


def worth(score: float | None, sign: int) -> float:
    """A score of which more is better; of none the least."""
    return -math.inf if score is None else sign * score


# --- what must be the same for a comparison to go on ------------------------------------------------------------------


def recipe_of(
    config: RunConfig, contestants: Sequence[Contestant], seeds: Sequence[int], budget: float | None
) -> dict[str, Any]:
    """compare.yaml."""
    files = {name: sha256(Path(file)) for name in ("train", "validation", "test")
             if (file := getattr(config.data, name)) and Path(file).is_file() and not is_hub_id(file)}  # fmt: skip
    each = {item.name: item.config.model_dump(mode="json", include={"model", "strategy", "training", "task"})
            for item in contestants if item.kind == "run"}  # fmt: skip
    base = config.model_dump(mode="json", exclude={"out"})
    return {"format": FORMAT, "config": base, "files": files, "contestants": each, "seeds": list(seeds),
            "budget": budget}  # fmt: skip


def agree(out: Path, wanted: dict[str, Any]) -> bool:
    """Whether the budget is that of the comparison that goes on; writes compare.yaml.

    Raises:
        RunDirectoryError: it was another comparison: each difference is named. More seeds or contestants are none.
    """
    import yaml

    path, known = out / RECIPE, wanted
    if path.is_file():
        known = parse_yaml(path.read_text(encoding="utf-8"), str(path))
        if changed := differences(known, wanted):
            fix = "undo the change, or start anew with another --out"
            raise RunDirectoryError("this is not the same comparison: " + "; ".join(changed), where=str(out), fix=fix)
    write_text(path, yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True, width=120))
    return bool(known["budget"] == wanted["budget"])


def differences(known: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What was there and is not, or is another; of contestants what all of them have in common is not told again."""
    both = known["contestants"].keys() & wanted["contestants"].keys()
    was, now_is = ({**flat("", item["config"]), **flat("sha256 of ", item["files"]),
                    **{f"seed {seed}": "there" for seed in item["seeds"]},
                    **{f"contestant {name}": "there" for name in item["contestants"]},
                    **{key: value for name in sorted(both)
                       for key, value in flat(f"contestant {name} ", item["contestants"][name]).items()}}
                   for item in (known, wanted))  # fmt: skip
    other = [key for key, value in was.items() if key not in now_is or now_is[key] != value]
    told = [key for key in other if not key.startswith("contestant ") or key.rpartition(" ")[2] not in other]
    return [f"{key} {f'was {was[key]!r}, is {now_is[key]!r}' if key in now_is else 'is missing'}" for key in told]


def flat(path: str, value: Any) -> dict[str, Any]:
    """Settings by their whole path."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    join = (lambda key: f"{path}{key}") if not path or path.endswith(" ") else (lambda key: f"{path}.{key}")
    return {key: item for name, child in value.items() for key, item in flat(join(name), child).items()}


def write(out: Path, record: dict[str, Any]) -> None:
    write_json(out / COMPARISON, record)
