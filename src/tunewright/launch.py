"""How a run is launched: processes and devices, one owner of the directory, the arithmetic of this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import models
from .config import RunConfig
from .directory import claimed
from .errors import ConfigError
from .resolve import resumed_precision
from .tasks.base import Task
from .training import precision as arithmetic
from .training.engines import Engine, engine_for, wants_deepspeed

if TYPE_CHECKING:
    from accelerate import Accelerator


def with_model(config: RunConfig, task: Task) -> RunConfig:
    """The configuration with a model: the embedded one that can do the task, where nobody named another."""
    if config.model != "auto":
        return config
    if task.embedded is None:
        fix = "name one with --model: a folder or a hub id"
        raise ConfigError(f"there is no embedded model for {task.kind}", where="model", fix=fix)
    return config.model_copy(update={"model": task.embedded})


def make_accelerator() -> Accelerator:
    """Accelerate's view of the processes and devices of this launch."""
    import torch
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"  # every process loads the weights, and keeps its part
    how: dict[str, Any] = {"mixed_precision": "no"}  # training.precision alone decides
    if "LOCAL_RANK" in os.environ and not torch.accelerator.is_available():  # or the processes would not find another
        gloo = {"kwargs_handlers": [InitProcessGroupKwargs(backend="gloo")]}
        how |= gloo if wants_deepspeed() else {"cpu": True}
    accelerator = Accelerator(**how)
    if reason := refused_launch(accelerator):
        raise ConfigError(reason, where="accelerate", fix="launch it as docs/distributed.md shows")
    return accelerator


def refused_launch(accelerator: Accelerator) -> str | None:
    """Why a launch like this is not supported, or None."""
    kind = accelerator.distributed_type.value
    if kind not in ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP", "DEEPSPEED"):
        return f"{kind} is not supported"
    engine = engine_for(accelerator)
    if engine is not Engine and accelerator.num_processes == 1:
        return f"{engine.name} divides a run among processes, and this is one"
    return engine.refuses(accelerator)


def refuse_engine(accelerator: Accelerator, config: RunConfig) -> None:
    """Raises ConfigError where the engine cannot do the run; asked before any model is loaded."""
    engine, strategy = engine_for(accelerator), config.strategy
    if engine is Engine:
        return
    fix = "launch with DDP: without --use_fsdp and --use_deepspeed"
    if strategy.frozen_bottom:
        what = f"{engine.name} cannot keep what frozen blocks say, nor unfreeze blocks later"
        raise ConfigError(what, where=f"strategy.kind: {strategy.kind}", fix=fix)
    if strategy.load_kwargs():
        raise ConfigError(
            f"{engine.name} cannot divide four-bit weights", where=f"strategy.kind: {strategy.kind}", fix=fix
        )
    if config.training.precision == "fp16":
        what = f"{engine.name} has no scale for gradients in fp16"
        raise ConfigError(what, where="training.precision", fix="use bf16 or fp32")


@contextlib.contextmanager
def only_one_process(accelerator: Accelerator, run: Path, resume: bool, overwrite: bool) -> Iterator[None]:
    """The main process claims the directory; the others wait until it has."""
    with contextlib.ExitStack() as stack:
        if accelerator.is_main_process:
            stack.enter_context(claimed(run, resume, overwrite))
        accelerator.wait_for_everyone()
        yield


def choose_precision(
    config: RunConfig, run: Path, source: models.Source, accelerator: Accelerator, resume: bool, solves: bool
) -> arithmetic.Precision:
    """By a probe; a resumed run keeps what it had, even if the machine's mood has changed; all processes agree."""
    wanted = resumed_precision(run) if resume and config.training.precision == "auto" else config.training.precision
    wanted = "fp32" if solves else wanted
    width, depth = models.widths(source.config)
    chosen = arithmetic.choose(wanted or "auto", width, depth, accelerator.device)
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        chosen = broadcast_object_list([chosen])[0]
    return chosen


def with_precision(config: RunConfig, precision: arithmetic.Precision, solves: bool) -> RunConfig:
    """The configuration with the precision found; a head alone is always solved in fp32."""
    if solves:
        return config
    return config.model_copy(update={"training": config.training.model_copy(update={"precision": precision.name})})
