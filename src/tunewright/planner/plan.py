"""Plan: whether a run fits, how long it takes, what else there is; nothing is trained and nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..component import members
from ..config import RunConfig
from ..errors import ConfigError, suggest
from ..footprint import Refusal
from ..models import locate, widths
from ..resolve import is_sized
from ..strategies.base import Strategy
from ..training import precision as arithmetic
from .machine import Machine, Speed
from .memory import Memory
from .shape import Shape
from .table import CAUSES, Candidate, candidates, every, gigabytes, needed, shape_of, shorter
from .time import Run, measured_speed, work_of


@dataclass(frozen=True)
class Plan:
    """What is foreseen of a run.

    Args:
        configured: the run as it is set; with smaller micro-batches where it would take them by itself.
        candidates: other ways, those that fit first.
        refused: strategies that this model and task can't have.
        disk: bytes by what they are for.
        sized: whether the micro-batches' size was set.
        probed: whether two steps were measured.
    """

    machine: Machine
    configured: Candidate
    candidates: list[Candidate]
    refused: list[Refusal]
    disk: dict[str, int]
    sized: bool
    probed: bool

    @property
    def fits(self) -> bool:
        """As it is set."""
        cut = any(item.startswith("training.micro_batch") for item in self.configured.settings)
        return self.configured.fits and not (self.sized and cut)

    @property
    def verdict(self) -> str:
        """In a sentence or two."""
        found, room = self.configured, gigabytes(self.machine.memory_bytes)
        need = gigabytes(needed(found.memory, self.machine))
        if self.fits:
            own = "".join(f"; the run sets {item} by itself" for item in found.settings)
            about = f"about {duration(found.seconds.total)}{own}"
            return f"It fits: {need}, a margin included, of the {room} that are free; {about}."
        fitting = next((item for item in self.candidates if item.fits), None)
        lacks = f"It does not fit: it needs {need}, a margin included, and {room} are free."
        if self.configured.fits:
            return f"It does not fit as it is set; it does with {' '.join(found.settings)}."
        if fitting is None:
            least = min((needed(item.memory, self.machine) for item in self.candidates), default=0)
            return (
                f"{lacks} Nothing here does: the least is {gigabytes(least)}; take a smaller model or another machine."
            )
        return f"{lacks} This does: {' '.join(fitting.settings) or fitting.strategy} ({told(fitting, self.machine)})."

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": asdict(self.machine), "fits": self.fits, "verdict": self.verdict, "measured": self.probed,
            "configured": self.configured.to_json(), "candidates": [item.to_json() for item in self.candidates],
            "refused": {item.strategy: item.reason for item in self.refused}, "disk_bytes": self.disk,
        }  # fmt: skip


def told(item: Candidate, machine: Machine) -> str:
    return f"{gigabytes(needed(item.memory, machine))}, {duration(item.seconds.total)}"


def make_plan(run: Run, unresolved: RunConfig, machine: Machine, kinds: Sequence[str] = (), probe: bool = False,
              data_seconds: float = 0.0) -> Plan:  # fmt: skip
    """Foresees a run.

    Args:
        run: resolved and encoded.
        unresolved: its configuration as it was given.
        kinds: of other strategies; all where empty.
        probe: take a few real steps, to correct what the configuration says.

    Raises:
        ConfigError: an unknown strategy; or a probe of a machine that is not here, or of the run's own refusal.
    """
    own = run.config.strategy
    chosen = [own, *(item for item in every(own) if item.kind != own.kind and (not kinds or item.kind in kinds))]
    known: dict[str, Any] = members(Strategy)
    for kind in kinds:
        if kind not in known:
            raise ConfigError(f"there is no strategy {kind!r}", where="--strategies", fix=suggest(kind, known))
    precision = precision_on(machine, run)
    speed, memory = probed(run, machine, shape_of(run, precision)) if probe else (None, None)
    found, refused = candidates(run, unresolved, machine, precision, chosen, data_seconds, speed, memory)
    mine = [item for item in found if item.strategy == own.kind and not item.cut]
    if not mine:
        raise ConfigError(f"{own.kind} is refused: {refused[0].reason}", where="strategy.kind")
    configured = min(mine, key=lambda item: len([name for name in item.settings if "checkpointing" in name]))
    return Plan(machine, configured, found, refused, disk_of(run), is_sized(unresolved, run.task), probe)


def precision_on(machine: Machine, run: Run) -> str:
    """Training's precision as that machine would choose it."""
    import torch

    wanted = run.config.training.precision
    if machine.given is not None:
        return "bf16" if wanted == "auto" else str(wanted)
    return arithmetic.choose(wanted, *widths(run.source.config), torch.device(machine.device)).name


def probed(run: Run, machine: Machine, shape: Shape) -> tuple[Speed | None, Any]:
    """Training's speed by steps of two lengths, and what corrects the memory; as measured here."""
    from .probe import corrected
    from .probe import probe as step

    if machine.given is not None or machine.device != "cpu":
        raise ConfigError("steps can be measured on this machine's processor only", where="--probe", fix="leave it out")
    config = run.config
    source = locate(config.model, config.trust_remote_code)
    large = step(source, run.task, config.strategy, shape)

    def correct(memory: Memory) -> Memory:
        return corrected(memory, large)

    if config.strategy.solves(run.task):
        return None, correct
    small = step(source, run.task, config.strategy, shorter(shape, max(4, shape.length // 4)))
    width, depth = widths(run.source.config)
    steps = [(item.shape, item.tokens, item.seconds_per_step) for item in (small, large)]
    return measured_speed(run, work_of(run), machine.speed(width, depth, shape.precision), steps), correct


def disk_of(run: Run) -> dict[str, int]:
    """Bytes that stay on disk: in the cache, of checkpoints (the newest and the best), and of the model."""
    work, training, strategy = work_of(run), run.config.training, run.config.strategy
    rows = sum(len(encoded.features) for encoded in run.encoded.values())
    trained = work.trained(work.phases[-1][1])
    whole = type(strategy).save is Strategy.save
    found = {"model": 4 * (work.total if whole else trained)}
    if strategy.solves(run.task):
        return {"features": 4 * rows * work.width, **found}
    if any(work.frozen(trains) for _, trains in work.phases) and training.prefix_cache and not run.task.packs:
        found["hidden states of frozen blocks"] = 4 * work.width * int(run.encoded["train"].num_tokens.sum())
    return {**found, "checkpoints": 12 * trained * (training.keep_checkpoints + ("validation" in run.encoded))}


def duration(seconds: float) -> str:
    """For people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def by_cause(memory: Memory) -> dict[str, int]:
    """Bytes of each cause, largest first; they are not all there at once."""
    found = {name: getattr(memory, name) for name in CAUSES}
    return {name: value for name, value in sorted(found.items(), key=lambda item: -item[1]) if value}
