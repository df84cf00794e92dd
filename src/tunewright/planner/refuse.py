"""Refusal: a run that memory has no room for ends before its weights are loaded; most are let through at a glance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import OutOfMemoryError
from ..layers import depth as depth_of
from ..models import widths
from ..training import memory as training_memory
from .memory import Memory, file_bytes, predict_memory
from .shape import Shape
from .table import Case, every, gigabytes, shape_of

TRIVIAL = 2**28  # bytes that any machine has: a run that stays below is begun without a question


def refuse_what_cannot_fit(session: Any) -> None:
    """Ends a run that memory has no room for, before its weights are loaded; most are let through after a glance.

    Counted is what surely is there at once: weights, moments, and gradients or what a pass over one row keeps.

    Raises:
        OutOfMemoryError: by cause, with what would fit.
    """
    device = session.accelerator.device
    free = training_memory.available(device)
    if free is None or at_most(session) < max(free / 4, TRIVIAL):
        return
    room = free + sum(training_memory.of_machine(entry="SwapFree"))
    room //= session.accelerator.num_processes if device.type == "cpu" else 1
    source = replace(session.source, weights=False)
    shape = replace(shape_of(session, session.precision.name), micro_batch_size=1, pack_tokens=None, accumulates=False)
    case = Case(session.config, session.task, source, session.encoded)
    memory = of_one_row(case, shape, device.type)
    if least(memory) <= room:
        return
    causes = {name: getattr(memory, name) for name in ("weights", "gradients", "optimizer", "activations")}
    told = ", ".join(f"{name} {gigabytes(value)}" for name, value in causes.items())
    what = f"one row of {shape.length} tokens needs {gigabytes(least(memory))} of {gigabytes(room)} ({told})"
    raise OutOfMemoryError(what, where=f"model: {session.config.model}", fix=remedy(case, shape, device.type, room))


def at_most(session: Any) -> float:
    """Bytes that weights, gradients, moments and one row surely stay below: files hold two bytes a weight or more."""
    config, length = session.source.config, int(session.examples.num_tokens.max())
    width, depth = widths(config)
    heads, blocks = getattr(config, "num_attention_heads", 32), max(depth_of(config), 1)
    kept = length * blocks * (64 * (4 * width + 3 * depth) + 32 * length * heads) + 16 * length * config.vocab_size
    quantised = bool(getattr(config, "quantization_config", None))
    return float("inf") if quantised else 8 * file_bytes(session.source) + kept


def of_one_row(case: Case, shape: Shape, device: str) -> Memory:
    return predict_memory(case.source, case.task, case.config.strategy, shape, device, process=0)


def least(memory: Memory) -> int:
    """Bytes that are there at once in any run of more than a step."""
    return memory.weights + memory.optimizer + max(memory.gradients, memory.activations)


def remedy(case: Case, shape: Shape, device: str, room: float) -> str:
    """What would fit: the same with checkpointing, other strategies, or a smaller model."""
    others = [item for item in every(case.config.strategy) if item.kind in ("lora", "qlora", "freeze")]
    found, given = [], case.config.strategy
    for strategy in [given, *(item for item in others if item is not given)]:
        other = Case(case.config.model_copy(update={"strategy": strategy}), case.task, case.source, case.encoded)
        if strategy.refuses(case.source.config, case.task) or strategy.solves(case.task):
            continue
        need = least(of_one_row(other, replace(shape, gradient_checkpointing=True), device))
        if need <= training_memory.SHARE * room:
            kind = "" if strategy is given else f"strategy.kind={strategy.kind} "
            found.append(f"{kind}training.gradient_checkpointing=true ({gigabytes(need)})")
    return f"set {' or '.join(found)}, or take a smaller model" if found else "take a smaller model or another machine"
