"""Memory: micro-batches that fit, estimated before the first step, and halved where memory runs out all the same (N8).

On a CPU there is no error to wait for: the kernel kills the process. So one forward and backward pass of the longest
row, alone and twice in a batch, tells what each further row needs.
"""

from __future__ import annotations

import contextlib
import re
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.sampler import Rows
from ..errors import OutOfMemoryError
from ..heads import encoder_of
from ..models import num_blocks
from ..tasks.base import Batch, Features, Task

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from .loop import Data, Plan
    from .precision import Precision
    from .state import State

SIGNS = ("out of memory", "allocate memory", "not enough memory", "bad_alloc", "alloc_failed")  # torch, oneDNN, cuBLAS
SHARE = 0.8  # of what is available: allocators leave gaps, and other processes grow
SIZES = ("micro_batch_size", "micro_batch_tokens")
KEPT = 12  # bytes of a trained parameter between two passes: its gradient and AdamW's two moments, in fp32
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")
FIX = "lower data.max_length, set training.gradient_checkpointing=true, or take a smaller model or another strategy"


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of whatever device."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)


def release() -> None:
    """Gives back what a failed pass has left; to be called where its error is no longer at hand, which holds it."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def too_large(features: Sequence[Features], numbers: Sequence[int], more: str = "") -> OutOfMemoryError:
    """Names the row that does not fit by itself."""
    item = max(features, key=lambda item: item.num_tokens)
    what = f"its {item.num_tokens} tokens alone do not fit into memory"
    return OutOfMemoryError(what, where=f"training row {numbers[item.row]}", fix=FIX + more)


def limit(state: State, plan: Plan) -> None:
    """Micro-batches no larger than planned now, nor than the run that is continued had them."""
    for name in SIZES:
        state_now, planned = getattr(state, name), getattr(plan, name)
        setattr(state, name, min(filter(None, (state_now, planned)), default=None))


def smaller(state: State, plan: Plan) -> dict[str, int]:
    """For the history: the micro-batches' size, where it is no longer as planned."""
    return {name: getattr(state, name) for name in SIZES if getattr(state, name) != getattr(plan, name)}


def shrink(state: State, batches: Sequence[Batch], numbers: Sequence[int], processes: int, saved: int | None) -> None:
    """Halves the micro-batches for the rest of the run.

    Raises:
        OutOfMemoryError: they have one row; or there are other processes, which wait for this one's gradient.
    """
    several = [batch.features for batch in batches if len(batch.features) > 1]
    kept = f"; the checkpoint of step {saved} is kept" if saved else ""
    if not several:
        raise too_large([item for batch in batches for item in batch.features], numbers, kept)
    packed = state.micro_batch_tokens is not None
    name, unit = ("micro_batch_tokens", "tokens") if packed else ("micro_batch_size", "rows")
    size = max(sum(item.length for item in features) if packed else len(features) for features in several)
    if processes > 1:
        what = f"memory ran out at step {state.step + 1} in one of {processes} processes"
        fix = f"continue with --resume and training.{name}={size // 2}: the update stays the same{kept}"
        raise OutOfMemoryError(what, where=f"training.{name}", fix=fix)
    setattr(state, name, size // 2)
    state.warn(
        f"memory ran out at step {state.step + 1} with {size} {unit} in a forward pass; that step and those after it "
        f"have at most {size // 2}, with the same batch size and update"
    )


def halving(batches: Iterable[Rows], work: Callable[[Rows], Any]) -> Iterator[tuple[Rows, Any]]:
    """(rows, what `work` makes of them) in order; a batch that does not fit is cut in two, and later ones like it.

    Raises:
        OutOfMemoryError: a single row does not fit.
    """
    parts = 1
    for rows in batches:
        queue = np.array_split(rows, min(parts, len(rows)))
        while queue:
            made = attempt(work, queue[0])
            if made is not None:
                yield queue.pop(0), made[0]
                continue
            release()
            queue[:1] = np.array_split(queue[0], 2)
            parts = max(parts, -(-len(rows) // len(queue[0])))


def attempt(work: Callable[[Rows], Any], rows: Rows) -> tuple[Any] | None:
    """What `work` makes of the rows; None where they are too many for the memory."""
    try:
        return (work(rows),)
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        if len(rows) == 1:
            raise OutOfMemoryError("one row alone does not fit into memory", fix=FIX) from error
    return None


# --- before the first step --------------------------------------------------------------------------------------------


def fitting(
    plan: Plan, known: dict[str, Any], model: nn.Module, task: Task, data: Data, trained: Sequence[Any],
    precision: Precision, accelerator: Accelerator,
) -> tuple[Plan, str]:  # fmt: skip
    """The plan with micro-batches that fit, halved as often as needed, and what to say where they had to be.

    Args:
        known: the state of the run that is continued, whose micro-batches are kept.
        trained: all parameters that will train.

    Raises:
        OutOfMemoryError: the longest row does not fit.
    """
    if known.get("micro_batch_size"):
        return replace(plan, **{name: known[name] for name in SIZES}), ""
    device, processes, sizes = accelerator.device, accelerator.num_processes, data.encoded.num_tokens
    longest = int(np.argmax(sizes))
    tokens = int(sizes[longest])
    free = available(device)
    room = SHARE * (free or 0) / (processes if device.type == "cpu" else 1)
    found, note = plan, ""
    if free is not None and at_most(model, rows_of(plan, tokens), tokens) > room:
        row = data.encoded.features[longest]
        first, more = growth(model, task, data, row, trained, lambda: precision.autocast(device), device)
        first += KEPT * sum(value.numel() for value in trained)
        need = lambda plan: first + (rows_of(plan, tokens) - 1) * more  # noqa: E731
        while need(found) > room and rows_of(found, tokens) > 1:
            found = halved(found)
        note = told(plan, found, tokens, need, room)
    if processes > 1:  # what is free differs from one moment to the next
        from accelerate.utils import broadcast_object_list

        found, note = broadcast_object_list([(found, note)])[0]
    return found, note


def sizes_of(plan: Plan) -> dict[str, int | None]:
    return {name: getattr(plan, name) for name in SIZES}


def growth(
    model: nn.Module, task: Task, data: Data, row: Features, parameters: Sequence[Any], autocast: Any, device: Any
) -> tuple[int, int]:
    """Bytes that a pass over one row takes, and the most that each further row like it adds at any moment."""
    with as_trained(model, parameters):
        try:
            (held, one), (more_held, two) = (
                peak_bytes(model, task, data.collate([row] * times).to(device), autocast) for times in (1, 2)
            )
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            raise too_large([row], data.numbers) from error
    return one, max(two - one, more_held - held)  # the peak of few rows may be of the gradients, which do not grow


def rows_of(plan: Plan, tokens: int) -> float:
    """How many rows of so many tokens the largest micro-batch holds; of a pack no whole number."""
    capacity = plan.micro_batch_tokens
    return plan.micro_batch_size if capacity is None else max(1.0, min(plan.micro_batch_size, capacity / tokens))


def halved(plan: Plan) -> Plan:
    if plan.micro_batch_tokens is None:
        return replace(plan, micro_batch_size=plan.micro_batch_size // 2)
    return replace(plan, micro_batch_tokens=plan.micro_batch_tokens // 2)


def told(plan: Plan, found: Plan, tokens: int, need: Callable[[Plan], float], room: float) -> str:
    """What the person should know of the choice; nothing where all is as planned."""
    rows, capacity = found.micro_batch_size, found.micro_batch_tokens
    if need(found) > room:
        return f"memory is short: the longest row, of {tokens} tokens, needs {gigabytes(need(found), room)}"
    if found == plan:
        return ""
    needs = f"would need {gigabytes(need(plan), room)}"
    if capacity is None:
        return f"micro-batches of {rows}, because {plan.micro_batch_size} rows of {tokens} tokens {needs}"
    return f"forward passes of {capacity} tokens, because {plan.micro_batch_tokens} {needs}"


def gigabytes(need: float, room: float) -> str:
    return f"{need / 1e9:.1f} GB of {room / 1e9:.1f}"


def at_most(model: nn.Module, rows: float, tokens: int) -> float:
    """Bytes that a step surely stays below: of each product what goes in and out, in fp32, four times over."""
    config: Any = encoder_of(model).config
    products = sum(sum(value.shape) for value in model.parameters() if value.ndim == 2)
    heads = getattr(config, "num_attention_heads", 32) * num_blocks(config)
    trained = sum(value.numel() for value in model.parameters()) * KEPT
    return trained + 16 * rows * tokens * products + 32 * rows * tokens**2 * heads


@contextlib.contextmanager
def as_trained(model: nn.Module, parameters: Sequence[Any]) -> Iterator[None]:
    """Within it everything trains that ever will; afterwards all is as it was, the generators too."""
    import torch

    before = [(value, value.requires_grad) for value in model.parameters()]
    training = model.training
    with torch.random.fork_rng():
        model.train().requires_grad_(False)
        for value in parameters:
            value.requires_grad_(True)
        try:
            yield
        finally:
            model.train(training)
            for value, flag in before:
                value.requires_grad_(flag)
                value.grad = None


class Tally:
    """Bytes of tensors that came to be since counting began: `now`, and at most. Exact, unlike the resident size."""

    now = peak = 0


@contextlib.contextmanager
def tallied(model: nn.Module) -> Iterator[Tally]:
    """Counts storages as operations make them, and as they die; those of the model count as nothing."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    alive = {value.untyped_storage()._cdata: 0 for value in (*model.parameters(), *model.buffers())}
    tally = Tally()

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            made = function(*arguments, **(named or {}))
            dense = (leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor) and not leaf.is_sparse)
            for storage in (leaf.untyped_storage() for leaf in dense):
                if storage._cdata not in alive:
                    alive[storage._cdata] = storage.nbytes()
                    tally.now += storage.nbytes()
                    weakref.finalize(storage, gone, storage._cdata)
            tally.peak = max(tally.peak, tally.now)
            return made

    def gone(key: int) -> None:
        tally.now -= alive.pop(key, 0)

    with Count():
        yield tally


def peak_bytes(model: nn.Module, task: Task, batch: Batch, autocast: Callable[[], Any]) -> tuple[int, int]:
    """Bytes of tensors alive after a forward pass, and at most within it and the backward pass."""
    with tallied(model) as tally:
        with autocast():
            loss = task.objective(model, batch).sum
        held = tally.now
        loss.backward()
    model.zero_grad(set_to_none=True)
    return held, tally.peak


# --- what there is ----------------------------------------------------------------------------------------------------


def available(device: Any) -> int | None:
    """Bytes that this process may still take; None where nothing says so."""
    if device.type == "cuda":
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return min([*of_machine(), *of_groups(), *of_limits()], default=None) if device.type == "cpu" else None


def of_machine(root: Path = Path("/"), entry: str = "MemAvailable") -> list[int]:
    lines = [line.split() for line in text_of(root / "proc/meminfo").splitlines()]
    return [int(size) * 1024 for name, size, *_ in lines if name == f"{entry}:"]


def of_groups(root: Path = Path("/")) -> list[int]:
    """What is left in each control group, v1 or v2, that this process is in; page cache can be taken back."""
    found = []
    for line in text_of(root / "proc/self/cgroup").splitlines():
        controllers, path = line.split(":", 2)[1:]
        if controllers and "memory" not in controllers.split(","):
            continue
        folder = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        limit, usage, cached = V1 if controllers else V2
        for part in ("", *Path(path).parts[1:]):
            folder = folder / part
            stat = dict(line.split(" ", 1) for line in text_of(folder / "memory.stat").splitlines())
            with contextlib.suppress(ValueError):  # "max", or no such file in this view of the groups
                found.append(int(text_of(folder / limit)) - int(text_of(folder / usage)) + int(stat.get(cached, 0)))
    return found


def of_limits() -> list[int]:
    """What is left of the address space that `ulimit -v` allows."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = text_of(Path("/proc/self/statm")).split()
    return [] if most == resource.RLIM_INFINITY or not used else [most - int(used[0]) * resource.getpagesize()]


def text_of(path: Path) -> str:
    """A file's text; "" where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def peak_memory_mb() -> int:
    """Peak memory in MiB: of the device where there is one, else of the process."""
    import torch

    return int((torch.cuda.max_memory_allocated() if torch.cuda.is_available() else most_resident()) // 2**20)


def most_resident() -> int:
    """Bytes that this process had resident at most. Linux' `ru_maxrss` counts what the parent had at its start too."""
    import resource

    found = re.search(r"VmHWM:\s+(\d+) kB", text_of(Path("/proc/self/status")))
    unit = 1 if sys.platform == "darwin" else 1024
    return 1024 * int(found[1]) if found else unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> None:
    """Lets `peak_memory_mb` begin anew, so that a run is not charged for the one before it in the same process.

    Elsewhere than on Linux the peak of a CPU is of the process and stays.
    """
    import ctypes
    import platform

    import torch

    release()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the resident size's high-water mark: proc(5)
