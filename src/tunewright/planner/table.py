"""The table of a plan: what each strategy would take in memory and time, which fit, and what would make others fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..component import members
from ..errors import ConfigError
from ..footprint import Refusal
from ..models import widths
from ..resolve import effective_task, is_unsure, resolve_training
from ..strategies.base import Scale, Strategy
from ..tasks.base import Encoded, Task
from ..training.features import BATCH_TOKENS
from ..training.memory import SHARE
from .machine import Machine, Speed
from .memory import Memory, predict_memory
from .shape import Shape
from .time import Run, Time, predict_time, work_of

SHORTER = (99, 95)  # percentiles of the rows' lengths that are offered in place of the longest
CAUSES = ("weights", "gradients", "optimizer", "activations", "logits", "evaluation", "loading", "process", "scratch")

Correct = Callable[[Memory], Memory]


@dataclass(frozen=True)
class Case:
    """A run as one strategy would have it. `config` is resolved. unsure: whether it may begin with a range test."""

    config: Any
    task: Task
    source: Any
    encoded: dict[str, Encoded]
    unsure: bool = False

    @cached_property
    def examples(self) -> Encoded:
        return self.task.examples(self.encoded["train"])


@dataclass(frozen=True)
class Candidate:
    """One way to run.

    Args:
        settings: that make the configured run this one.
        seconds: of the whole run, by cause.
        cut: training rows that the shorter length would cut.
        why: what would make it fit where it does not; what it costs where it does.
    """

    strategy: str
    settings: tuple[str, ...]
    shape: Shape
    memory: Memory
    seconds: Time
    fits: bool
    cut: int
    why: str

    @property
    def peak_bytes(self) -> int:
        return self.memory.peak

    def to_json(self) -> dict[str, Any]:
        seconds = {name: round(value, 3) for name, value in asdict(self.seconds).items()}
        return {
            "strategy": self.strategy, "settings": list(self.settings), "fits": self.fits, "why": self.why,
            "rows_cut": self.cut, "shape": asdict(self.shape), "peak_bytes": self.peak_bytes,
            "bytes": asdict(self.memory), "seconds": {"total": round(self.seconds.total, 3), **seconds},
        }  # fmt: skip


def cases(run: Run, unresolved: Any, strategies: Sequence[Strategy]) -> Iterator[Case | Refusal]:
    """The run as each strategy would have it, with the numbers that it takes where nobody set them.

    Args:
        unresolved: the configuration as it was given.
    """
    unsettled = run.intake.task if hasattr(run, "intake") else run.task  # pooling depends on the strategy
    for strategy in strategies:
        config = unresolved.model_copy(update={"strategy": strategy})
        try:
            task = effective_task(unsettled, strategy, run.source)
            examples = task.examples(run.encoded["train"])
            scale = Scale(widths(run.source.config)[0], len(examples.features))
            training = resolve_training(config, task, scale, examples)
        except ConfigError as error:
            yield Refusal(strategy.kind, error.what)
            continue
        data = run.config.data
        resolved = config.model_copy(update={"training": training, "data": data})
        yield Case(resolved, task, run.source, run.encoded, is_unsure(config, task))


def shape_of(run: Run, precision: str) -> Shape:
    """The largest micro-batch of a run as it is configured."""
    config, task = run.config, run.task
    training, encoded = config.training, task.examples(run.encoded["train"])
    length, windows = int(encoded.lengths.max()), int(encoded.num_windows.max())
    solves, capacity = config.strategy.solves(task), training.micro_batch_tokens
    micro = max(1, BATCH_TOKENS // length) if solves else int(training.micro_batch_size)
    if isinstance(capacity, int) and not task.packs:
        micro = max(1, min(micro, capacity // length))
    others = [value.num_tokens for name, value in run.encoded.items() if name != "train"]
    return Shape(
        micro, length, windows, longest_answer(encoded), capacity if task.packs and isinstance(capacity, int) else None,
        training.gradient_checkpointing, "fp32" if solves else precision, training.kernels,
        not solves and (training.batch_size or len(encoded.features)) > micro,
        int(max((sizes.max() for sizes in others), default=0)), sum(map(len, others)), different(encoded),
    )  # fmt: skip


def different(encoded: Encoded) -> int | None:
    """Tokens that occur; None where they are not at hand."""
    columns = getattr(encoded.features, "columns", {})
    return len(np.unique(columns["ids"])) if "ids" in columns else None


def longest_answer(encoded: Encoded) -> int:
    """Tokens of it; 0 for tasks that do not write."""
    columns = getattr(encoded.features, "columns", {})
    if "label_sizes" not in columns or not encoded.counts["supervised tokens"]:
        return 0
    starts = np.cumsum(columns["label_sizes"]) - columns["label_sizes"]
    return int(np.add.reduceat(columns["labels"] != 0, starts).max())


def candidates(run: Run, unresolved: Any, machine: Machine, precision: str,
               strategies: Sequence[Strategy] | None = None, data_seconds: float = 0.0, speed: Speed | None = None,
               correct: Correct | None = None) -> tuple[list[Candidate], list[Refusal]]:  # fmt: skip
    """Ways to do the same training: those that fit, the quickest first, then the others, the smallest first.

    Of each strategy, with each of a few lengths: the largest micro-batch that fits, with checkpointing besides where
    not all of it does. The effective batch stays what it is.

    Args:
        run: resolved and encoded; a `Session` or a `Preview`.
        unresolved: its configuration as it was given, so that each strategy takes its own rate, epochs and batch size.
        precision: of training on that machine.
        strategies: all that there are, with their defaults, where None; the run's own stays as it is set.
        data_seconds: that reading and encoding took.
        speed: of training the run's own strategy, where it was measured.
        correct: its memory by what was measured.
    """
    found: list[Candidate] = []
    refused: list[Refusal] = []
    for case in cases(run, unresolved, strategies or every(run.config.strategy)):
        if isinstance(case, Refusal):
            refused.append(case)
            continue
        own = case.config.strategy == run.config.strategy
        measured = (speed, correct) if own else (None, None)
        found += of_case(case, run, precision, machine, data_seconds, *measured)
    return sorted(found, key=rank), refused


def rank(item: Candidate) -> tuple[bool, float]:
    return not item.fits, item.seconds.total if item.fits else item.peak_bytes


def every(own: Strategy) -> list[Strategy]:
    """All strategies with their defaults, one of them as it is set."""
    kinds: dict[str, Any] = members(Strategy)
    return [own if name == own.kind else member(kind=name) for name, member in kinds.items()]


def of_case(case: Case, run: Run, precision: str, machine: Machine, data_seconds: float, speed: Speed | None,
            correct: Correct | None) -> Iterator[Candidate]:  # fmt: skip
    """Candidates of one strategy."""
    work, shape = work_of(case), shape_of(case, precision)
    virtual = case.config.strategy.virtual_tokens  # which take positions from the text
    shape = shorter(shape, min(shape.length, (case.source.positions or 10**9) - virtual))
    for checkpointing in dict.fromkeys((shape.gradient_checkpointing, not case.config.strategy.solves(case.task))):
        wanted = replace(shape, gradient_checkpointing=checkpointing)
        traced, memory = largest(case, wanted, machine, correct)
        hopeless = not fits(bare(memory), machine)
        for length in lengths_of(case, shape)[: 1 if hopeless else None]:
            found, needs = traced, memory
            if length < shape.length:  # scaled, not traced: what it needs is a little less
                found, needs = shrunk(shorter(wanted, length), traced, memory, machine)
            seconds = predict_time(case, found, machine, data_seconds, speed, work)
            yield candidate(case, run, found, needs, seconds, machine)
        if traced == wanted or hopeless:
            return


def lengths_of(case: Case, shape: Shape) -> list[int]:
    """The longest row's, and shorter ones that cut few."""
    kept = (int(np.percentile(case.examples.lengths, percent)) for percent in SHORTER)
    return [shape.length, *dict.fromkeys(length for length in kept if 4 <= length < 0.9 * shape.length)]


def largest(case: Case, shape: Shape, machine: Machine, correct: Correct | None) -> tuple[Shape, Memory]:
    """The largest micro-batch that fits, halved from what is configured as a run does it; else one row."""
    memory = memory_of(case, shape, machine, correct)
    found, needs = shrunk(shape, shape, memory, machine)
    if not fits(bare(memory), machine):
        return found, needs
    while found != shape:
        memory = memory_of(case, found, machine, correct)
        if fits(memory, machine) or single(found):
            break
        found = halved(found)
    return found, memory


def bare(memory: Memory) -> Memory:
    """What neither fewer rows nor checkpointing make less."""
    return replace(memory, activations=0, logits=0, scratch=0)


def shrunk(shape: Shape, traced: Shape, memory: Memory, machine: Machine) -> tuple[Shape, Memory]:
    """The shape, halved until it fits by what another one of the run needs: activations grow as the tokens do."""
    while True:
        factor, kept = shape.tokens / traced.tokens, memory.activations + memory.logits
        parts = {name: round(factor * getattr(memory, name)) for name in ("activations", "logits")}
        share = (memory.gradients + factor * kept) / max(memory.gradients + kept, 1)
        needs = replace(memory, **parts, scratch=round(share * memory.scratch))
        if single(shape) or fits(needs, machine):
            return shape, needs
        shape = halved(shape)


def shorter(shape: Shape, length: int) -> Shape:
    most = min(shape.evaluation_length, shape.windows * length)
    return replace(shape, length=length, answer=min(shape.answer, length), evaluation_length=most)


def single(shape: Shape) -> bool:
    return shape.tokens <= shape.windows * shape.length


def halved(shape: Shape) -> Shape:
    if shape.pack_tokens is not None:
        return replace(shape, accumulates=True, pack_tokens=max(shape.length, shape.pack_tokens // 2))
    return replace(shape, accumulates=True, micro_batch_size=max(1, shape.micro_batch_size // 2))


def memory_of(case: Case, shape: Shape, machine: Machine, correct: Correct | None) -> Memory:
    found = predict_memory(case.source, case.task, case.config.strategy, shape, machine.device)
    return correct(found) if correct else found


def needed(memory: Memory, machine: Machine) -> int:
    """Bytes that a device should have; DDP keeps a second copy of the gradients."""
    copies = memory.gradients if machine.num_devices > 1 else 0
    known = memory.process if machine.given is None else 0  # what is free here is beside this process's own
    return round((memory.peak - known + copies) / SHARE)


def fits(memory: Memory, machine: Machine) -> bool:
    loads = memory.weights * machine.num_devices
    return needed(memory, machine) <= machine.memory_bytes and loads <= (machine.main_bytes or loads)


def candidate(case: Case, run: Run, shape: Shape, memory: Memory, seconds: Time, machine: Machine) -> Candidate:
    cut = int((case.examples.lengths > shape.length).sum())
    why = f"{cut} rows are cut" if cut else ""
    if not fits(memory, machine):
        cause = max(CAUSES[:6], key=lambda name: getattr(memory, name))
        why = f"would fit into {gigabytes(needed(memory, machine))}; most of it is {cause}"
        if needed(memory, machine) <= machine.memory_bytes:
            why = f"loading takes {gigabytes(memory.weights * machine.num_devices)} of main memory"
    settings = settings_of(case, run, shape)
    return Candidate(case.config.strategy.kind, settings, shape, memory, seconds, fits(memory, machine), cut, why)


def settings_of(case: Case, run: Run, shape: Shape) -> tuple[str, ...]:
    """What to set, so that the configured run becomes this one."""
    training, strategy = case.config.training, case.config.strategy
    found = [] if strategy.kind == run.config.strategy.kind else [f"strategy.kind={strategy.kind}"]
    if strategy.solves(case.task):
        return tuple(found)
    if shape.pack_tokens is not None and shape.pack_tokens != training.micro_batch_tokens:
        found.append(f"training.micro_batch_tokens={shape.pack_tokens}")
    elif shape.pack_tokens is None and shape.micro_batch_size != shape_of(case, shape.precision).micro_batch_size:
        found.append(f"training.micro_batch_size={shape.micro_batch_size}")
    if shape.gradient_checkpointing and not training.gradient_checkpointing:
        found.append("training.gradient_checkpointing=true")
    if shape.length < int(case.examples.lengths.max()):
        found.append(f"data.max_length={shape.length}")
    return tuple(found)


def gigabytes(number: float) -> str:
    """For people."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"
