"""How a run is launched: processes and devices, one owner of the directory, the arithmetic of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from . import models
from .config import RunConfig
from .directory import claimed
from .errors import ConfigError
from .resolve import resumed_precision
from .tasks.base import Task
from .training import precision as arithmetic

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
    from accelerate import Accelerator
    from accelerate.utils import DistributedType

    accelerator = Accelerator()
    known = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in known:
        what = f"{accelerator.distributed_type.value} is not supported yet"
        raise ConfigError(what, where="accelerate", fix="launch with one process, or with DDP (--multi_gpu, --cpu)")
    return accelerator


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
