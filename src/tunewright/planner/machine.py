"""Machine: what a run may take and how fast it goes; this one is measured, another taken from its data sheet."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ConfigError, suggest
from ..training import memory, precision

if TYPE_CHECKING:
    import torch


class Gpu(NamedTuple):
    """memory: GB of each variant. teraflops: of dense bf16 products (fp16 before Ampere). bandwidth: GB/s."""

    memory: tuple[int, ...]
    teraflops: float
    bandwidth: float


GPUS = {  # NVIDIA's data sheets and architecture white papers; sums in fp32, without sparsity
    "T4": Gpu((16,), 65, 320),
    "V100": Gpu((16, 32), 112, 900),
    "L4": Gpu((24,), 60.5, 300),
    "A10": Gpu((24,), 125, 600),
    "A30": Gpu((24,), 165, 933),
    "RTX3090": Gpu((24,), 71, 936),
    "RTX4090": Gpu((24,), 165, 1008),
    "A40": Gpu((48,), 150, 696),
    "L40S": Gpu((48,), 362, 864),
    "A100": Gpu((40, 80), 312, 1555),
    "H100": Gpu((80,), 989, 3350),
    "H200": Gpu((141,), 989, 4800),
    "B200": Gpu((180,), 2250, 8000),
}
UTILISATION = 0.3  # of the data sheet's FLOP/s: large runs reached 0.21 to 0.46 (Chowdhery et al. 2022, table 3)
LAUNCHES = 2.5e-4  # seconds to start a block's kernels in a forward pass; about 25 of 10 microseconds
WIDEST = 1024  # a wider block is no other work for its weights' size, and would take seconds to probe
UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
MEMORY = "write it as 16GB or 512MiB"
GPU = "write it as 1x24GB, 4x80GB, A100, 4xA100-80GB or 8xH100"


@dataclass(frozen=True)
class Speed:
    """How fast one device is at blocks of one width.

    Args:
        flops: FLOP/s of a block's products, with all that lies between them.
        attention: of those of attention.
        overhead: seconds of a block's forward pass, however few tokens it is given; the backward pass has two of them.
        update: seconds of an optimizer step for each parameter that trains.
        disk: bytes/s that are written, flushed and read back for their sums.
    """

    flops: float
    attention: float
    overhead: float
    update: float = 4e-9
    disk: float = 5e8


@dataclass(frozen=True)
class Machine:
    """What a run may take.

    Args:
        device: "cpu" or "cuda".
        memory_bytes: that each device has for a run; on a CPU of all its processes.
        total_bytes: that each device has; equal where another machine is described.
        num_devices: the model is whole on each of them.
        given: its speed where it is described; None: it is this one, and measured for each width.
        main_bytes: of main memory beside a GPU, where weights are loaded first; None: nobody said.
    """

    name: str
    device: str
    memory_bytes: int
    total_bytes: int
    num_devices: int = 1
    given: Speed | None = None
    main_bytes: int | None = None

    @classmethod
    def here(cls) -> Machine:
        """This machine, with the memory that is free now."""
        import torch

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type == "cuda":
            total = int(torch.cuda.get_device_properties(device).total_memory)
        else:
            total = sum(memory.of_machine(entry="MemTotal")) or 2**62
        free = memory.available(device)
        return cls(precision.processor(), device.type, total if free is None else free, total)

    @classmethod
    def parse(cls, memory: str | None = None, gpu: str | None = None) -> Machine:
        """A machine by its description; without a GPU it has this one's processor.

        Args:
            memory: main memory, such as "16GB".
            gpu: how many of which, such as "4xA100" or "1x24GB"; of unnamed ones the slowest of that size is assumed.

        Raises:
            ConfigError: with examples.
        """
        size = None if memory is None else parse_bytes(memory, "--memory", MEMORY)
        if gpu is not None:
            return described(gpu, size)
        found = cls.here()
        if size is None:
            return found
        if found.device == "cuda":
            raise ConfigError("this machine trains on its GPU", where="--memory", fix=f"say which: --gpu; {GPU}")
        return replace(found, memory_bytes=size, total_bytes=size)

    def speed(self, width: int, depth: int, name: str) -> Speed:
        """Of blocks of this hidden and feed-forward size; measured once on a machine.

        Args:
            name: training's precision, or "answers": of passes without a gradient, in fp32.
        """
        if self.given:
            return self.given
        import torch

        scale = max(width / WIDEST, 1)
        width, depth, threads = round(width / scale), round(depth / scale), torch.get_num_threads()
        key = f"block {width}x{depth} {name} {self.device} {threads} threads"
        return Speed(*precision.remembered(key, lambda: astuple(probe(width, depth, name, torch.device(self.device)))))


def described(text: str, main_bytes: int | None) -> Machine:
    """The machine with these GPUs."""
    count, kind = re.fullmatch(r"(?:(\d+)\s*x\s*)?(.*)", text.strip(), re.IGNORECASE).groups()  # type: ignore[union-attr]
    number = int(count or 1)
    named = re.fullmatch(r"([a-z0-9 ]+?)(?:[- ]?(\d+)\s*gb)?", kind, re.IGNORECASE)
    name = named[1].upper().replace(" ", "").removeprefix("NVIDIA") if named else ""
    if name in GPUS and named:
        size = int(named[2] or GPUS[name].memory[0])
        if size not in GPUS[name].memory:
            has = " or ".join(f"{known} GB" for known in GPUS[name].memory)
            raise ConfigError(f"{text!r}: {name} has {has}", where="--gpu", fix=GPU)
        told, bytes_of = f"{name} {size} GB", int(size * 1e9)
    elif re.match(r"\d", kind):
        bytes_of = parse_bytes(kind, "--gpu", GPU)
        fitting = [known for known, each in GPUS.items() if max(each.memory) * 1e9 >= bytes_of] or ["B200"]
        name = min(fitting, key=lambda known: GPUS[known].teraflops)
        told = f"GPU with {bytes_of / 1e9:g} GB, as fast as {name}"
    else:
        raise ConfigError(f"{text!r} is not known ({suggest(name, GPUS)})", where="--gpu", fix=GPU)
    if not 1 <= number <= 4096 or not bytes_of:
        raise ConfigError(f"{text!r} is no machine", where="--gpu", fix=GPU)
    flops, bandwidth = GPUS[name].teraflops * 1e12 * UTILISATION, GPUS[name].bandwidth * 1e9
    speed = Speed(flops, flops / 2, LAUNCHES, update=40 / bandwidth, disk=1e9)  # AdamW reads and writes 28 bytes; norm
    return Machine(f"{number} x {told}", "cuda", bytes_of, bytes_of, number, speed, main_bytes)


def parse_bytes(text: str, where: str, fix: str) -> int:
    """16GB, 512 MiB, 1e9; less than a megabyte is a unit forgotten."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmgt]?i?)b?", text.strip().lower())
    amount = int(float(found[1]) * UNITS[found[2]]) if found and found[2] in UNITS else 0
    if amount < 1e6:
        raise ConfigError(f"{text!r} is no amount of memory", where=where, fix=fix)
    return amount


# --- what is measured here ------------------------------------------------------------------------------------------

BLOCKS = 2
FEW, MANY, LONG = (1, 16), (16, 32), (1, 512)  # rows x tokens: few, many, and as many in one long row


def probe(width: int, depth: int, name: str, device: torch.device) -> Speed:
    """Forward and backward passes of blocks at three shapes, an optimizer step, and a file; a second or two."""
    import torch
    from transformers import BertConfig, BertModel

    from ..fast import speed_up

    heads = max(width // 64, 1)
    width, answers = heads * (width // heads), name == "answers"
    config = BertConfig(
        hidden_size=width, intermediate_size=depth, num_attention_heads=heads, num_hidden_layers=BLOCKS, vocab_size=8
    )
    torch.manual_seed(0)
    model = BertModel(config, add_pooling_layer=False).to(device)
    speed_up(model, device)
    if answers:
        precision.use_fast_products(model, width, depth, device)
    model.train(not answers).requires_grad_(not answers)
    weights = sum(value.numel() for value in model.encoder.parameters() if value.ndim == 2) / BLOCKS
    autocast = precision.Precision("fp32" if answers else name).autocast
    few, many, long = (block_seconds(model, (*shape, width), device, autocast) for shape in (FEW, MANY, LONG))
    passes, tokens, first = 1 if answers else 3, MANY[0] * MANY[1], FEW[0] * FEW[1]
    attention = 4 * passes * tokens * (LONG[1] - MANY[1]) * width / max(long - many, 1e-9)
    work = passes * (2 * weights + 4 * MANY[1] * width)
    flops = work * (tokens - first) / max(many - few, 1e-9)
    overhead = max(few - work * first / flops, 0.0) / passes
    return Speed(flops, min(attention, flops), overhead, update_seconds(device), disk_bytes())


def block_seconds(model: Any, shape: tuple[int, int, int], device: torch.device, autocast: Any) -> float:
    """Of a block's forward pass, and its backward pass where it trains."""
    import torch

    inputs, trains = torch.randn(shape, device=device), bool(model.training)
    mask = torch.ones(shape[:2], dtype=torch.long, device=device)

    def work() -> None:
        with autocast(device), torch.set_grad_enabled(trains):
            made = model(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
        if trains:
            made.float().square().mean().backward()
            model.zero_grad(set_to_none=True)

    return least(work, device) / BLOCKS


def least(work: Callable[[], None], device: torch.device, tries: int = 4) -> float:
    """Seconds of the quickest of several tries; of one thread by the processor's clock, which others can't slow."""
    import torch

    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock, found = time.process_time if alone else time.perf_counter, []
    for _ in range(tries + 1):
        started = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        found.append(clock() - started)
    return min(found[1:])


def update_seconds(device: torch.device, size: int = 2**22) -> float:
    """Of clipping and AdamW for each parameter."""
    import torch

    weight = torch.zeros(size, device=device, requires_grad=True)
    weight.grad = torch.ones_like(weight)
    optimizer = torch.optim.AdamW([weight], fused=True)

    def work() -> None:
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()

    return least(work, device) / size


def disk_bytes(size: int = 2**25) -> float:
    """Bytes/s of the cache's disk, flushed; and summed, as checkpoints are."""
    from ..files import cache_folder, flush_to_disk, sha256

    path = cache_folder() / "disk.probe"
    started = time.perf_counter()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        flush_to_disk(path)
        sha256(path)
    except OSError:
        return 5e8
    finally:
        path.unlink(missing_ok=True)
    return size / max(time.perf_counter() - started, 1e-9)
