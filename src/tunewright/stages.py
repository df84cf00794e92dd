"""Stages: several runs in one recipe, each of which starts from the one before it (SFT, then DPO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .config import Edit, RunConfig, edited, load
from .errors import ConfigError
from .intake import take_in
from .resolve import refuse_unread

KEY = "stages"
ONCE = ("model", "out")  # settings of a recipe as a whole: where it starts, and where it is written


def has_stages(raw: dict[str, Any]) -> bool:
    return KEY in raw


def expand(raw: dict[str, Any], where: str = "", changes: Sequence[Edit] = ()) -> list[RunConfig]:
    """The runs of a recipe.

    A stage has a `name` and the sections of a run; sections that it lacks are those beside `stages`. It is written to
    `out`/`name` and starts from the stage before it, unless it names a model.

    Args:
        changes: settings given besides the recipe; they hold in every stage, whatever it says itself.

    Raises:
        ConfigError: naming the stage; all stages are validated, and their rows read, before the first one begins.
        DataError: of a later stage's data.
    """
    stages = raw[KEY]
    once = [change for change in changes if change[0][0] in ONCE]
    each = [change for change in changes if change not in once]
    common = edited({key: value for key, value in raw.items() if key != KEY}, once)
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, dict) for stage in stages):
        raise ConfigError("must be a list of sections", where=f"{where}: {KEY}".lstrip(": "), fix="write - name: sft")
    out = str(common.get("out") or "runs/stages")
    found: list[RunConfig] = []
    for number, stage in enumerate(stages, 1):
        name = stage.get("name")
        if (
            not isinstance(name, str)
            or not name.isidentifier()
            or any(item.get("name") == name for item in stages[: number - 1])
        ):
            fix = "give each stage a name of its own, of letters and digits"
            raise ConfigError(f"is {name!r}", where=f"{KEY}[{number - 1}].name", fix=fix)
        sections = {**common, **{key: value for key, value in stage.items() if key != "name"}, "out": f"{out}/{name}"}
        if found and "model" not in stage:
            sections["model"] = leaves(found[-1], f"{KEY}[{number - 2}].strategy")
        found.append(load(sections, each, where=f"{where}, stage {name}".lstrip(", ")))
    for run in found[1:]:  # the first reads its own at once
        given = {split for split in ("validation", "test") if getattr(run.data, split)}
        refuse_unread(run, take_in(run).task, given)
    return found


def leaves(run: RunConfig, where: str) -> str:
    """The model that a stage leaves to the next one."""
    if not run.strategy.merges:
        fix = "take lora, or a strategy that trains the model's own weights"
        raise ConfigError(
            f"{run.strategy.kind} leaves parts that cannot be merged into the model for the next stage",
            where=where,
            fix=fix,
        )
    return str(run.out)
