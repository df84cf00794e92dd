"""The end of a search: the best settings against the default, on test rows and several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import RunConfig
from ..contest import record
from ..contest.compare import Contest
from ..contest.contestants import Contestant
from ..intake import take_in
from ..sharing import Shared
from ..training.progress import Listener

DEFAULT, TUNED = "default", "tuned"


def contest(
    out: Path, configs: Mapping[str, RunConfig], paths: Mapping[str, str], settings: tuple[str, ...], seeds: int,
    shared: Shared, listener: Listener,
) -> dict[str, Any]:  # fmt: skip
    """Runs the other seeds of each; the comparison as comparison.json has it, which is written.

    Args:
        configs: by name, `default` and, where another trial was better, `tuned`.
        paths: of the trials that are their first seeds.
        settings: of `tuned`.
    """
    items = {name: Contestant(name, "run", config.strategy.kind, config, settings if name == TUNED else ())
             for name, config in configs.items()}  # fmt: skip
    config, first = configs[DEFAULT], configs[DEFAULT].training.seed
    numbers = range(first, first + seeds)
    found = record.fresh(config, shared.rows(config, take_in), numbers, None)
    found["contestants"] = [
        record.entry(item, numbers, {"runs": [{"seed": first, "path": paths[name]}]}, out, found["split"])
        for name, item in items.items()
    ]
    made = Contest(out, items, found, shared, listener)
    made.run()
    made.conclude()
    made.record["verdict"] = verdict_of(made.record)
    made.save()
    return made.record


def verdict_of(found: dict[str, Any]) -> dict[str, Any] | None:
    """Whether tuning beat the default. Unlike in other comparisons it is not cost that decides between equals, but that
    defaults need no search: what was tuned to one validation split must show its gain on other rows."""
    known, items = found["verdict"], {item["name"]: item for item in found["contestants"]}
    default, tuned = items[DEFAULT], items.get(TUNED)
    if tuned is None:
        sentence = "No trial was better than the default on validation: keep the default."
        return known and {**known, "winner": DEFAULT, "path": path_of(default, found), "sentence": sentence}
    if known is None or not (default["score"] and tuned["score"]):
        return None
    better, worse = (tuned, default) if known["best"] == TUNED else (default, tuned)
    detectable = bool((worse["versus_best"] or {}).get("detectable"))
    winner = tuned if better is tuned and detectable else default
    scores = f"tuned {tuned['score']['value']:.3f} against {default['score']['value']:.3f}"
    said = f"{'better' if winner is tuned else 'worse'} beyond noise" if detectable else "no detectable difference"
    sentence = f"{scores} ({found['metric']['name']} on {found['split']}): {said}; " + (
        "take the tuned settings." if winner is tuned else "keep the default."
    )
    equals = [winner["name"]] if detectable else [DEFAULT, TUNED]
    changed = {"winner": winner["name"], "path": path_of(winner, found), "detectable": detectable, "equals": equals}
    return {**known, **changed, "sentence": sentence}


def path_of(item: dict[str, Any], found: dict[str, Any]) -> str:
    """The run of a contestant that is best on validation."""
    name, sign = found["metric"]["name"], 1 if found["metric"]["higher_is_better"] else -1
    best = max(record.finished(item), key=lambda run: sign * run["validation"].get(name, -sign * float("inf")))
    return str(best["path"])
