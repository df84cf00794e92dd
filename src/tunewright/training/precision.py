"""Precision: the fastest arithmetic that this machine can do, found by a probe and checked before it is used."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    import torch

ROWS = 512  # tokens in the probe's product: about a batch of 16 short texts
EXACT = 1e-5  # relative error below which a product counts as fp32: measured 5e-7 exact, 3e-3 for bf16


@dataclass(frozen=True)
class Precision:
    """How products are computed; weights and optimizer state are fp32 in any case.

    Args:
        name: "fp32", "bf16" or "fp16": of training.
        note: what the probe found, for the person to see.
    """

    name: str
    note: str = ""

    @contextlib.contextmanager
    def autocast(self, device: torch.device) -> Iterator[None]:
        """Casts products of a forward pass; fp32 leaves everything as it is."""
        import torch

        if self.name == "fp32":
            yield
            return
        dtype = torch.bfloat16 if self.name == "bf16" else torch.float16
        with torch.autocast(device.type, dtype=dtype):
            yield


def product_error(width: int, depth: int, device: Any) -> float:
    """Relative error (Frobenius) of a (ROWS, width) x (width, depth) product against fp64."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape, generator=generator) for shape in ((ROWS, width), (width, depth)))
    product = (left.to(device) @ right.to(device)).cpu().double()
    exact = left.double() @ right.double()
    return float((product - exact).norm() / exact.norm())


def use_fast_fp32(width: int, depth: int, device: Any) -> str:
    """Turns the fast fp32 path on where its products are fp32-exact here (N9), else leaves it off and says so.

    "medium" is allowed to use bf16: on CPUs with AMX and on GPUs it does, elsewhere it only picks a faster kernel.
    """
    import torch

    torch.set_float32_matmul_precision("medium")
    error = product_error(width, depth, device)
    if error < EXACT:
        return ""
    torch.set_float32_matmul_precision("highest")
    return f"the fast fp32 path is not exact on this machine (relative error {error:.0e}) and is not used"


def seconds(inputs: torch.Tensor, weight: torch.Tensor) -> float:
    """Median seconds of a linear layer over nine tries."""
    import torch

    tries = []
    for _ in range(9):
        start = time.perf_counter()
        torch.nn.functional.linear(inputs, weight)
        if inputs.is_cuda:
            torch.cuda.synchronize()
        tries.append(time.perf_counter() - start)
    return statistics.median(tries)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """On a busy machine threads wait for each other, and a probe with all of them measures the waiting."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def bf16_gain(width: int, depth: int, device: Any) -> float:
    """How many times faster bf16 products are here than fp32 ones, at the model's own shapes."""
    import torch

    inputs, weight = torch.randn(ROWS, width, device=device), torch.randn(depth, width, device=device)
    try:
        with one_thread():
            return seconds(inputs, weight) / seconds(inputs.bfloat16(), weight.bfloat16())
    except RuntimeError:  # a device without bf16
        return 0.0


def choose(wanted: str, width: int, depth: int, device: torch.device) -> Precision:
    """Resolves `training.precision`; takes about 20 ms.

    Args:
        wanted: auto, fp32, bf16 or fp16.
        width: the model's hidden size.
        depth: of its feed-forward layers.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise ConfigError("fp16 is slower than fp32 on a CPU", where="training.precision", fix="use bf16, fp32 or auto")
    note = use_fast_fp32(width, depth, device)
    if wanted != "auto":
        return Precision(wanted, note)
    gain = bf16_gain(width, depth, device)
    name = "bf16" if gain > 1.2 else "fp32"  # under a fifth the casts eat it
    return Precision(name, "; ".join(filter(None, [note, f"bf16 products are {gain:.1f} times as fast as fp32"])))


def current() -> str:
    """The fp32 path in use, for the keys of caches."""
    import torch

    return torch.get_float32_matmul_precision()
