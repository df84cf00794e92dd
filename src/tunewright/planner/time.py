"""Time: how long a run takes from start to end, from what it computes and how fast the machine is.

A token costs a forward pass 2 FLOPs for each weight of a matrix, and a backward pass 2 for the gradient of what went in
and 2 for that of each weight that trains (Kaplan et al. 2020, section 2.1 and table 1); attention 4 for each token of
context and unit of width (half where it is causal). The rows' own lengths say how many tokens a step has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..data.sampler import by_length, epoch_steps, micro_batches, num_steps, packs
from ..footprint import applied
from ..layers import layer_map
from ..models import widths
from ..strategies.base import ParameterGroup, Rates, Strategy
from ..tasks.base import Encoded, Task
from ..training import range_test
from ..training.features import BATCH_TOKENS
from .machine import Machine, Speed
from .shape import Shape

START = 5.0  # seconds of imports and of the report, measured on a slow core
INSTANT = 1e30  # FLOP/s of what shall cost nothing
STEP = 2e-3  # seconds of a step in the loop itself: rows, log, history
LOADING = 5e8  # bytes of weights a second, read and put into the model
CHECKED = 3.5e-3  # seconds of a short row in the data check: 1,454 took 5.7 to 6.2 on a busy core
STEPS_LOOKED_AT = 200  # of an epoch; their lengths stand for all
PASSES = 50  # over the features for each strength of a solved head (292 for banking77's six)


class Run(Protocol):
    """What is known of a run before its model is loaded: a `Session` or a `Preview`."""

    @property
    def config(self) -> Any: ...
    @property
    def task(self) -> Any: ...
    @property
    def source(self) -> Any: ...
    @property
    def encoded(self) -> Any: ...


@dataclass(frozen=True)
class Time:
    """Seconds by cause.

    Args:
        data: reading and encoding the rows.
        checks: of the data.
        loading: the model, twice: the second time to prove what was saved.
        frozen: what frozen blocks say of the rows, once for all passes.
        steps: all optimizer steps.
        evaluations: on validation while training.
        scores: on what is left: test, the untuned model, answers in writing.
        saving: checkpoints and the model.
    """

    start: float
    data: float
    checks: float
    loading: float
    frozen: float
    steps: float
    evaluations: float
    scores: float
    saving: float

    @property
    def total(self) -> float:
        return sum(getattr(self, field.name) for field in fields(self))


class Block(NamedTuple):
    """weights: of its matrices, with what the strategy adds. names: of all its parameters."""

    weights: int
    names: frozenset[str]


@dataclass(frozen=True)
class Work:
    """What a model computes, and what of it trains when.

    Args:
        blocks: bottom to top.
        head: weights of the matrix that scores words; 0 where there is none.
        phases: (share of the run, names that train) in order.
        sizes: numbers of each parameter by its name, and which are matrices.
        frozen_bottom: whether blocks below all that trains need no backward pass.
        causal: attention looks back only.
    """

    blocks: tuple[Block, ...]
    head: int
    phases: tuple[tuple[float, frozenset[str]], ...]
    sizes: dict[str, int]
    matrices: frozenset[str]
    embeddings: frozenset[str]
    width: int
    frozen_bottom: bool
    causal: bool
    total: int

    def frozen(self, trains: frozenset[str]) -> int:
        """How many of the lowest blocks need no backward pass."""
        if not self.frozen_bottom or trains & self.embeddings:
            return 0
        return next((at for at, block in enumerate(self.blocks) if trains & block.names), len(self.blocks))

    def trained(self, trains: frozenset[str]) -> int:
        return sum(self.sizes[name] for name in trains)


def work_of(run: Run) -> Work:
    """What the strategy makes of the task's model; from its configuration, without weights."""
    source, task, strategy, (steps, per_epoch) = run.source, run.task, run.config.strategy, total_steps(run)
    model = applied(task.build(source), task, strategy)
    layers = layer_map(model)
    groups = strategy.groups(model, layers, Rates(1.0, 0.0, steps, per_epoch, task.new_head))
    parameters = dict(model.named_parameters())
    matrices = frozenset(name for name, value in parameters.items() if value.ndim == 2)
    sizes = {name: value.numel() for name, value in parameters.items()}
    config: Any = source.config
    shared = getattr(config, "num_hidden_layers", 1) if getattr(config, "num_hidden_groups", None) else 1  # ALBERT
    blocks = [Block(sum(sizes[name] for name in names if name in matrices), frozenset(names))
              for names in layers.blocks] * shared  # fmt: skip
    return Work(
        tuple(blocks), vocabulary(model) if not task.new_head else 0, tuple(phases(groups, steps)), sizes, matrices,
        frozenset(layers.embeddings), widths(config)[0], strategy.frozen_bottom, task.packs, sum(sizes.values()),
    )  # fmt: skip


def vocabulary(model: Any) -> int:
    """Weights of the matrix that scores words."""
    layer = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return layer.weight.numel() if layer is not None else 0


def phases(groups: Sequence[ParameterGroup], steps: int) -> list[tuple[float, frozenset[str]]]:
    """(share of the run, names that train) from one start of groups to the next."""
    starts = sorted({group.start for group in groups if group.start < steps} | {0})
    return [
        (
            (end - start) / steps,
            frozenset(name for group in groups if group.start <= start for name in group.parameters),
        )
        for start, end in zip(starts, [*starts[1:], steps], strict=True)
    ]


class Passes(NamedTuple):
    """Forward passes. tokens: padding included. pairs: tokens times the tokens that each may see. scored: of words."""

    number: float
    tokens: float
    pairs: float
    scored: float = 0.0

    def times(self, factor: float) -> Passes:
        return Passes(*(factor * value for value in self))


def predict_time(run: Run, shape: Shape, machine: Machine, data_seconds: float = 0.0, speed: Speed | None = None,
                 work: Work | None = None) -> Time:  # fmt: skip
    """Seconds of a whole run.

    Args:
        run: resolved and encoded; `shape` may be another than its own.
        data_seconds: that reading and encoding took.
        speed: of training, measured on steps of the very run; else the machine's of such blocks.
        work: from `work_of`, where it is known.
    """
    config, task, strategy = run.config, run.task, run.config.strategy
    width, depth = widths(run.source.config)
    speed = speed or machine.speed(width, depth, "fp32" if strategy.solves(task) else shape.precision)
    answers = machine.speed(width, depth, "answers")
    steps, per_epoch = total_steps(run)
    work = work or work_of(run)
    split = {name: evaluated(encoded, task, shape.length) for name, encoded in run.encoded.items()}
    devices, weights = machine.num_devices, 4 * work.total
    forward = {name: forward_seconds(work, answers, passes) / devices for name, passes in split.items()}
    validation = forward.get("validation", 0.0)
    scores = forward.get("test", 0.0) + written_seconds(run, work, answers)
    trained = work.trained(work.phases[-1][1])
    saving = (weights if type(strategy).save is Strategy.save else 4 * trained) / speed.disk
    if strategy.solves(task):
        rows, columns = len(run.encoded["train"].features), max(len(getattr(task, "labels", ())), 1)
        solve = len(getattr(strategy, "regularisation", (0,))) * PASSES * 6 * rows * work.width * columns
        return Time(START, data_seconds, checked(run, machine), 2 * weights / LOADING, forward["train"] + validation,
                    solve / answers.flops, 0.0, scores, saving)  # fmt: skip
    times = max(1, steps // every(config.training.evaluate_every, per_epoch)) if "validation" in forward else 0
    saves = steps // every(config.training.checkpoint_every, per_epoch)
    saving += (max(saves - 1, 0) * 12 + 4) * trained / speed.disk  # the last one has no moments
    before = forward[list(forward)[-1]] if config.training.score_before else 0.0
    reference = sum(forward.values()) if task.needs_reference else 0.0
    seconds, frozen = fit_seconds(run, work, shape, speed, steps, per_epoch)
    if getattr(run, "unsure", False) and range_test.LEAST <= steps < strategy.unsure_below:
        seconds *= 1 + range_test.SHARE
    return Time(START, data_seconds, checked(run, machine), 2 * weights / LOADING, frozen / devices + reference,
                seconds / devices, times * validation, scores + before, saving)  # fmt: skip


def fit_seconds(run: Run, work: Work, shape: Shape, speed: Speed, steps: int, per_epoch: int
                ) -> tuple[float, float]:  # fmt: skip
    """(of all optimizer steps, of the hidden states below all that trains, where they are computed once)."""
    whole, once = training_passes(run, shape, steps, per_epoch), evaluated(run.encoded["train"], run.task, shape.length)
    found, bottoms = 0.0, set[int]()
    for share, trains in work.phases:
        frozen = work.frozen(trains)
        cached = bool(frozen) and can_cache(run) and share * steps / per_epoch >= 2
        if cached:
            bottoms.add(frozen)
        passes = whole.times(share)
        found += training_seconds(work, speed, passes, trains, frozen, cached, shape.gradient_checkpointing)
        found += share * steps * (STEP + speed.update * moved(work, trains, whole.tokens / steps))
    return found, sum(bottom_seconds(work, speed, once, bottom) for bottom in bottoms)


def can_cache(run: Run) -> bool:
    return run.config.strategy.frozen_bottom and not run.task.packs and run.config.training.prefix_cache


def moved(work: Work, trains: frozenset[str], tokens: float) -> float:
    """Parameters that an optimizer step touches: of a large table of words only the rows that ever had a gradient."""
    tables = sum(work.sizes[name] for name in trains & work.embeddings)
    return work.trained(trains) - tables + min(tables, 20 * tokens * work.width)


def training_seconds(work: Work, speed: Speed, passes: Passes, trains: frozenset[str], frozen: int, cached: bool,
                     again: bool) -> float:  # fmt: skip
    """Of forward and backward passes. again: activations are computed once more on the way back."""
    found = 3 * speed.overhead * passes.number  # of embeddings, head and loss: about a block
    for place, block in enumerate(work.blocks):
        if place < frozen:
            found += 0.0 if cached else block_seconds(work, speed, passes, block.weights)
            continue
        matrices = sum(work.sizes[name] for name in trains & block.names & work.matrices)
        forward = block_seconds(work, speed, passes, block.weights)
        found += forward * (3 + again) - 2 * passes.tokens * (block.weights - matrices) / speed.flops
    trains_head = any(name in work.embeddings or "head" in name for name in trains)
    return found + 2 * (2 + trains_head) * passes.scored * work.head / speed.flops


def block_seconds(work: Work, speed: Speed, passes: Passes, weights: int) -> float:
    """Of one block's forward passes."""
    attention = (2 if work.causal else 4) * work.width * passes.pairs / speed.attention
    return speed.overhead * passes.number + 2 * weights * passes.tokens / speed.flops + attention


def bottom_seconds(work: Work, speed: Speed, passes: Passes, count: int) -> float:
    return sum(block_seconds(work, speed, passes, block.weights) for block in work.blocks[:count])


def forward_seconds(work: Work, speed: Speed, passes: Passes) -> float:
    found = bottom_seconds(work, speed, passes, len(work.blocks)) + speed.overhead * passes.number
    return found + 2 * passes.scored * work.head / speed.flops


# --- how many passes ------------------------------------------------------------------------------------------------


def total_steps(run: Run) -> tuple[int, int]:
    """(optimizer steps of the run, of an epoch)."""
    training = run.config.training
    if training.epochs == "auto":  # a head that is solved for
        return 1, 1
    lengths = run.task.examples(run.encoded["train"]).lengths
    per_epoch = num_steps(lengths, int(training.batch_size or 0) or None, training.batch_tokens)
    return training.max_steps or max(1, round(per_epoch * float(training.epochs))), per_epoch


def every(value: int | str, per_epoch: int) -> int:
    return per_epoch if value == "epoch" else int(value)


def training_passes(run: Run, shape: Shape, steps: int, per_epoch: int) -> Passes:
    """Of all steps, from some of the first epoch's, cut as the loop cuts them."""
    training, task = run.config.training, run.task
    encoded = task.examples(run.encoded["train"])
    lengths, sizes = np.minimum(encoded.lengths, shape.length), tokens_of(encoded, task, shape.length)
    batch_size = int(training.batch_size or 0) or None
    epoch = epoch_steps(lengths, batch_size, training.seed, 0, per_epoch)
    places = np.unique(np.linspace(0, len(epoch) - 1, STEPS_LOOKED_AT).astype(int))
    found = [Passes(0, 0, 0)]
    for place in places:
        rows = epoch[place]
        if task.packs and shape.pack_tokens is not None:
            parts = packs(rows, lengths, shape.pack_tokens, shape.micro_batch_size)
            found += [Passes(1, sizes[part].sum(), (sizes[part] * lengths[part]).sum()) for part in parts]
        else:
            capacity, windows = training.micro_batch_tokens, encoded.num_windows
            for part in micro_batches(rows, lengths, shape.micro_batch_size, capacity=capacity, windows=windows):
                padded = float(encoded.num_windows[part].sum() * lengths[part].max())
                found.append(Passes(1, padded, padded * float(lengths[part].max())))
    total = Passes(*(float(column) for column in np.sum(np.array(found, dtype=float), axis=0)))
    return total._replace(scored=total.tokens * scored_share(run.encoded["train"])).times(steps / len(places))


def evaluated(encoded: Encoded, task: Task, length: int) -> Passes:
    """Of one evaluation of a split."""
    sizes, lengths = tokens_of(encoded, task, length), np.minimum(encoded.lengths, length)
    tokens = float(sizes.sum())
    scored = tokens * scored_share(encoded)
    return Passes(len(by_length(sizes, BATCH_TOKENS)), tokens, float((sizes * lengths).sum()), scored)


def tokens_of(encoded: Encoded, task: Task, length: int) -> Any:
    """(N,) tokens that the model reads of each row; of a pair the prompt once."""
    sizes = np.minimum(encoded.num_tokens, encoded.num_windows * length)
    columns = getattr(encoded.features, "columns", {})
    return sizes - columns["prompt"] if task.packs and "prompt" in columns and encoded.num_windows.max() > 1 else sizes


def scored_share(encoded: Encoded) -> float:
    """Of the tokens: those whose word is scored."""
    return encoded.counts["supervised tokens"] / max(encoded.counts["tokens"], 1)


def written_seconds(run: Run, work: Work, speed: Speed) -> float:
    """Of the answers that are written for scores: a pass for each token of the longest in a batch."""
    rows = min(getattr(run.task, "score_answers", 0), max((len(run.encoded[name].features) for name in run.encoded
               if name != "train"), default=0))  # fmt: skip
    if not rows or getattr(run.task, "shape", "") == "text":
        return 0.0
    tokens = min(run.task.max_new_tokens, 2 * scored_share(run.encoded["train"]) * run.encoded["train"].lengths.mean())
    size = max(1, BATCH_TOKENS // max(int(run.encoded["train"].lengths.mean()), 1))
    splits = len(run.encoded) - 1
    passes = Passes(splits * tokens * -(-rows // size), splits * tokens * rows, 0.0, splits * tokens * rows)
    return forward_seconds(work, speed, passes)


def checked(run: Run, machine: Machine) -> float:
    """Of looking for faults in the data: at most what it is given."""
    most = run.config.data.check_seconds
    rows = sum(len(encoded.features) for encoded in run.encoded.values())
    return float(min(most, rows * CHECKED)) if most else 0.0


# --- corrected by steps of the very run -----------------------------------------------------------------------------


def measured_speed(run: Run, work: Work, speed: Speed, probes: Sequence[tuple[Shape, int, float]]) -> Speed:
    """The speed with which two measured steps are predicted as they were.

    Args:
        probes: (shape, tokens, seconds of a step) of a small and a large step of the run's last phase.
    """
    trains = work.phases[-1][1]
    fixed, growing, seconds = [], [], []
    for shape, tokens, found in probes:
        passes = Passes(1, tokens, tokens * shape.length, tokens * scored_share(run.encoded["train"]))
        parts = []
        for each in (replace(speed, flops=INSTANT, attention=INSTANT), replace(speed, overhead=0.0)):
            again, frozen = shape.gradient_checkpointing, work.frozen(trains)
            parts.append(training_seconds(work, each, passes, trains, frozen, False, again))
        fixed.append(parts[0] + speed.update * moved(work, trains, tokens))
        growing.append(parts[1])
        seconds.append(found)
    factors = np.linalg.lstsq(np.array([fixed, growing]).T, np.array(seconds), rcond=None)[0]
    if factors.min() <= 0:  # steps of one length say nothing of their parts
        factors = np.full(2, sum(seconds) / (sum(fixed) + sum(growing)))
    slow, slower = (float(factor) for factor in factors)
    return replace(speed, overhead=speed.overhead * slow, update=speed.update * slow, flops=speed.flops / slower,
                   attention=speed.attention / slower)  # fmt: skip
