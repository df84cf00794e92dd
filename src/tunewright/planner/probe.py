"""Probe: a few steps of the largest micro-batch with the real weights, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import OutOfMemoryError
from ..footprint import ENDLESS, applied
from ..layers import layer_map
from ..models import Source, checkpoint_gradients
from ..strategies.base import Strategy
from ..tasks.base import Task
from ..training import optim
from ..training.memory import most_resident
from ..training.precision import Precision, use_fast_kernels
from .memory import Memory
from .shape import Shape
from .traced import evaluation_batch, training_batch

if TYPE_CHECKING:
    from torch import nn

STEPS = 3  # the first one warms up, and has no moments yet
ENDED = -9  # by the kernel, for want of memory
CHILD = "import sys, tunewright.run; from tunewright.planner.probe import child; child(sys.argv[1])"


@dataclass(frozen=True)
class Probe:
    """What was measured.

    Args:
        shape: of the steps.
        grown_bytes: that the process grew by at most, from before its model was loaded.
        seconds_per_step: of a forward and backward pass and an optimizer step; of the processor where it is one thread.
        tokens: of such a step, padding included.
    """

    shape: Shape
    grown_bytes: int
    seconds_per_step: float
    tokens: int


def probe(source: Source, task: Task, strategy: Strategy, shape: Shape) -> Probe:
    """Steps of this shape; takes as long as loading the model and three of them.

    Args:
        source: with weights.

    Raises:
        OutOfMemoryError: they did not fit.
    """
    settings = {"model": source.name, "trust_remote_code": source.trust_remote_code, "data": {"train": "none"},
                "task": task.model_dump(mode="json"), "strategy": strategy.model_dump(mode="json")}  # fmt: skip
    asked = json.dumps([settings, asdict(shape)])
    done = subprocess.run([sys.executable, "-c", CHILD, asked], capture_output=True, text=True, check=False,
                          env={**os.environ, "HF_HUB_OFFLINE": "1"})  # fmt: skip
    if done.returncode:
        why = "the kernel ended it" if done.returncode == ENDED else done.stderr.strip().splitlines()[-1]
        raise OutOfMemoryError(f"three steps did not go through: {why}", fix="take fewer rows a micro-batch")
    return Probe(shape, *json.loads(done.stdout.splitlines()[-1]))


def corrected(memory: Memory, found: Probe) -> Memory:
    """The prediction, half the way to what was measured; the difference grows with all that a run adds to the process.

    A probe holds a little that a run does not (of 31 runs it was up to 29 % above), a configuration misses what
    libraries take (up to 29 % below); the middle was within 7 % of each (docs/plan.md).
    """
    more = round((found.grown_bytes - (memory.peak - memory.process)) / 2)
    return replace(memory, scratch=memory.scratch + more, measured=True)


# --- in the process of its own --------------------------------------------------------------------------------------


def child(asked: str) -> None:
    """Prints (bytes that the process grew by, seconds of a step, tokens of a step) as JSON."""
    from ..config import load
    from ..models import load_tokenizer, locate

    settings, sizes = json.loads(asked)
    config, shape = load(settings, []), Shape(**sizes)
    task: Any = config.task
    place = config.model, config.trust_remote_code
    built(locate(*place, weights=False), task, config.strategy, shape)  # imports what the model needs
    before, source = most_resident(), locate(*place)
    tokenizer = load_tokenizer(source, task.by_words)
    assert tokenizer  # it is there as long as the run
    seconds = lived(source, task, config.strategy, shape)
    print(json.dumps([most_resident() - before, seconds, shape.tokens]))


def built(source: Source, task: Task, strategy: Strategy, shape: Shape) -> nn.Module:
    """The model as a run makes it, on the processor."""
    import torch

    model = task.build(source, **(strategy.load_kwargs() if source.weights else {}))
    if shape.gradient_checkpointing:
        checkpoint_gradients(model)
    model.requires_grad_(False)
    model = strategy.apply(model, task) if source.weights else applied(model, task, strategy)
    if shape.kernels == "fast" and source.weights:
        use_fast_kernels(model, source.config, torch.device("cpu"))
    return model


def lived(source: Source, task: Task, strategy: Strategy, shape: Shape) -> float:
    """What a run lives through: steps, an evaluation, and the saved model beside the trained one. Seconds of a step."""
    import torch

    model = built(source, task, strategy, shape)
    seconds = 0.0 if strategy.solves(task) else stepped(model, source, task, strategy, shape)
    for answering in (model, task.build(source)):
        if shape.evaluation_length:
            with torch.no_grad():
                task.during_training().predict(answering.eval(), evaluation_batch(task, shape, source.config))
    return seconds


def stepped(model: nn.Module, source: Source, task: Task, strategy: Strategy, shape: Shape) -> float:
    """Takes optimizer steps; seconds of the quickest but the first."""
    import torch

    groups = strategy.groups(model, layer_map(model), ENDLESS._replace(new_head=task.new_head))
    trained = [value for group in groups for value in group.parameters.values()]
    model.requires_grad_(False)
    for value in trained:
        value.requires_grad_(True)
    model.train()
    optimizer, batch = optim.adamw(groups), training_batch(task, shape, source.config)
    autocast = partial(Precision(shape.precision).autocast, torch.device("cpu"))
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds = []
    for _ in range(STEPS):
        began = clock()
        optimizer.zero_grad(set_to_none=True)
        for _ in range(1 + shape.accumulates):
            with autocast():
                loss = task.objective(model, batch).sum
            (loss / task.weight(batch)).backward()
        optim.clip(trained, 1.0)
        optimizer.step()
        seconds.append((clock() - began) / (1 + shape.accumulates))
    return min(seconds[1:])
