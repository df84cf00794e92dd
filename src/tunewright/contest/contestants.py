"""Who competes: `full,lora.r=4,16,feature_extraction` as configurations of runs.

An item that begins with a strategy's kind is a new contestant; one that does not is a further value of the field
before it. `+` joins settings: `lora.r=4+alpha=8`. A path is of the strategy unless it begins with another section.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .. import artifact, models
from ..component import members
from ..config import DataConfig, RunConfig, edits, load
from ..errors import ConfigError, ModelError, TunewrightError, suggest
from ..floors.base import Floor
from ..launch import with_model
from ..resolve import effective_task, refuse_unread
from ..strategies.base import Strategy
from ..tasks.base import Task

COMMA = re.compile(r",(?![^\[\]{}]*[\]}])")  # not those within a list
PLUS = re.compile(r"\+(?=[A-Za-z_][\w.]*=)")  # not that of 1e+5
SECTIONS = ("training", "data", "task", "model")
SAME = {"training.seed": "--seeds sets it", "task.kind": "all do one task"}  # for all contestants
AS_GIVEN = "as given"


class Entry(NamedTuple):
    """A strategy as it was typed. paths: of its settings, as typed; values: theirs; further: whether the last value
    stood alone, after a comma."""

    kind: str
    paths: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    further: bool = False

    @property
    def name(self) -> str:
        joined = "+".join(map("=".join, zip(self.paths, self.values, strict=True)))
        return f"{self.kind}.{joined}" if joined else self.kind

    @property
    def settings(self) -> list[str]:
        """As `train` takes them."""
        whole = [path if path.split(".")[0] in SECTIONS else f"strategy.{path}" for path in self.paths]
        return list(map("=".join, zip(whole, self.values, strict=True)))


@dataclass(frozen=True)
class Contestant:
    """One of those that are compared.

    Args:
        name: of its folder.
        kind: "run" or "floor".
        strategy: its kind; of a floor the floor's.
        settings: by which it differs from the comparison's recipe.
        data: "as given", or the variant it trains on.
        config: of its run, but for `out` and the seed.
        seedless: whether its result is the same for every seed.
        refused: why this strategy can't be had for this task and model.
    """

    name: str
    kind: str
    strategy: str
    config: RunConfig
    settings: tuple[str, ...] = ()
    data: str = AS_GIVEN
    seedless: bool = False
    refused: str | None = None

    @property
    def model(self) -> str:
        return plain(Path(self.config.model).name)


def entries_of(text: str) -> list[Entry]:
    """The strategies that a line names.

    Raises:
        ConfigError: all that is wrong with it.
    """
    kinds, found, problems = members(Strategy), list[Entry](), list[str]()  # type: ignore[type-abstract]
    for item in filter(None, map(str.strip, COMMA.split(text))):
        kind, dot, rest = item.partition(".")
        if (head := re.match(r"\w*", item)[0]) in kinds and item[len(head) :][:1] in ("", "."):  # type: ignore[index]
            pairs = [part.partition("=") for part in PLUS.split(rest)] if dot else []
            problems += [f"{item}: {path!r} has no value; write {kind}.{path or 'field'}=VALUE"
                         for path, equals, value in pairs if not (path and equals and value)]  # fmt: skip
            found.append(Entry(kind, tuple(pair[0] for pair in pairs), tuple(pair[2] for pair in pairs)))
        elif "=" not in item and found and found[-1].values:
            found.append(found[-1]._replace(values=(*found[-1].values[:-1], item), further=True))
        elif head in members(Floor):  # type: ignore[type-abstract]
            problems.append(f"{head}: is always there; leave it out")
        else:
            problems.append(f"unknown strategy {head or item!r}; {suggest(head, kinds)}")
    raise_all(problems if found or problems else ["no strategy is named; give some, as in full,lora"])
    return found


def raise_all(problems: Sequence[str], where: str = "--strategies") -> None:
    """Raises ConfigError with every problem, where there is one."""
    if problems:
        text = problems[0] if len(problems) == 1 else "\n  ".join([f"{len(problems)} errors", *problems])
        raise ConfigError(text, where=where)


def contestants_of(
    config: RunConfig, strategies: str, names: Sequence[str], variants: dict[str, DataConfig], task: Task
) -> list[Contestant]:
    """All runs to compare: every strategy with every model on every variant of the data.

    Args:
        names: of models; the configuration's own where empty.
        task: as the data has it.

    Raises:
        ConfigError: every mistyped strategy, field, value and model at once; two that are the same run.
    """
    entries, problems, found = entries_of(strategies), list[str](), dict[str, Contestant]()
    for model in names or [config.model]:
        for entry in entries:
            for variant, data in variants.items():
                name = plain(entry.name) + ("" if variant == AS_GIVEN else f"@{variant}")
                name = f"{plain(Path(model).name)}~{name}" if len(names) > 1 else name
                try:
                    made = contestant_of(config, entry, name, model, variant, data, task)
                    twin = next((item.name for item in found.values() if item.config == made.config), None)
                    if twin or name in found:
                        problems.append(f"{name}: is the same run as {twin or name}; leave one of them out")
                    found[name] = made
                except TunewrightError as error:
                    near = suggest(entry.values[-1], members(Strategy)) if entry.further else ""  # type: ignore[type-abstract]
                    problems.append(f"{name}: {error}" + (f"; or {near}" if near.startswith("did") else ""))
    raise_all(list(dict.fromkeys(problems)))
    if all(item.refused for item in found.values()):
        raise_all([str(item.refused) for item in found.values()])
    return list(found.values())


def contestant_of(
    config: RunConfig, entry: Entry, name: str, model: str, variant: str, data: DataConfig, task: Task
) -> Contestant:
    """One contestant. Raises TunewrightError where something mistyped makes it impossible."""
    raw = config.model_dump(mode="json", exclude={"out"}) | {"model": model, "data": data.model_dump(mode="json")}
    changes = [(["strategy", "kind"], entry.kind), *edits(entry.settings)]
    for path in (path for path, _ in changes):
        whole = ".".join(path)
        if whole in SAME or (path[0] == "data" and whole != "data.max_length"):
            raise ConfigError("is the same for all contestants", where=whole, fix=SAME.get(whole, "see --data"))
    own = with_model(load(raw, changes), task)
    if own.strategy.solves(task):  # what the others read of the common settings
        raw["training"] = {key: value for key, value in raw["training"].items() if key in ("seed", "balance")}
        own = with_model(load(raw, changes), task)
    elif not own.strategy.frozen_bottom and not config.training.prefix_cache:
        raw["training"]["prefix_cache"] = True
        own = with_model(load(raw, changes), task)
    source = models.locate(artifact.startable(own.model, own.trust_remote_code), own.trust_remote_code)
    mine = own.task or task
    mine = task.model_copy(update={field: getattr(mine, field) for field in mine.model_fields_set})
    refused = None
    try:
        mine = effective_task(mine, own.strategy, source)
    except (ConfigError, ModelError) as error:
        refused = str(error)
    else:
        refuse_unread(own, mine, {name for name in ("validation", "test") if getattr(own.data, name)})
    seedless = own.strategy.solves(task)
    return Contestant(name, "run", entry.kind, own, tuple(entry.settings), variant, seedless, refused)


def floors_of(config: RunConfig, task: Task) -> list[Contestant]:
    """The members of the family of floors, each with the reason where it can't be had for this task."""
    base = with_model(config.model_copy(update={"out": None}), task)
    return [
        Contestant(kind, "floor", kind, base, seedless=True, refused=member(kind=kind).refuses(task))
        for kind, member in members(Floor).items()  # type: ignore[type-abstract]
    ]


def plain(text: str) -> str:
    """A text that can name a folder anywhere."""
    return re.sub(r"[^\w.=+,@~\[\]-]+", "-", text).strip("-.") or "model"


def cost(contestant: Contestant) -> int:
    """A rank, the cheap first: floors, heads that are solved for, frozen bottoms, the rest."""
    if contestant.kind == "floor":
        return 0
    return 1 if contestant.seedless else 2 if contestant.config.strategy.frozen_bottom else 3
