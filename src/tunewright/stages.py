"""Stages: several runs in one recipe, each of which starts from the one before it (SFT, then DPO)."""

from __future__ import annotations

from typing import Any

from .config import RunConfig, load
from .errors import ConfigError

KEY = "stages"


def has_stages(raw: dict[str, Any]) -> bool:
    return KEY in raw


def expand(raw: dict[str, Any], where: str = "") -> list[RunConfig]:
    """The runs of a recipe.

    A stage has a `name` and the sections of a run; sections that it lacks are those beside `stages`. It is written to
    `out`/`name` and starts from the stage before it, unless it names a model.

    Raises:
        ConfigError: naming the stage; all stages are validated before the first one begins.
    """
    stages = raw[KEY]
    common = {key: value for key, value in raw.items() if key != KEY}
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
            sections["model"] = str(found[-1].out)
        found.append(load(sections, where=f"{where}, stage {name}".lstrip(", ")))
    return found
