"""Precision: the fastest arithmetic that this machine can do, found by a probe and checked before it is used."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..files import cache_folder, read_json, write_json

if TYPE_CHECKING:
    import torch

ROWS = 512  # tokens in the probe's product: about a batch of 16 short texts
FASTER = 1.05  # how much faster another way must be to be taken
NARROW = 128  # hidden size below which products are no work, and a probe would measure noise
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
    """Turns the fast fp32 path on where it is fp32-exact here (N9) and faster; a note where it is not exact.

    "medium" is allowed to use bf16: on CPUs with AMX and on GPUs it does, elsewhere it picks other kernels. Their
    products are faster on some processors, but the fused attention was measured six times slower (EPYC, torch 2.13).
    """
    import torch

    found = remembered(f"fp32 {width}x{depth} {device}", lambda: probe_fp32(width, depth, device))
    torch.set_float32_matmul_precision(found["mode"])
    return str(found["note"])


def probe_fp32(width: int, depth: int, device: Any) -> dict[str, Any]:
    """The mode to use, and what to tell."""
    import torch

    torch.set_float32_matmul_precision("medium")
    error, fast = product_error(width, depth, device), layer_seconds(width, depth, device, torch.float32)
    torch.set_float32_matmul_precision("highest")
    if error >= EXACT:
        note = f"the fast fp32 path is not exact on this machine (relative error {error:.0e}) and is not used"
        return {"mode": "highest", "note": note}
    slow = layer_seconds(width, depth, device, torch.float32)
    return {"mode": "medium" if slow > FASTER * fast else "highest", "note": ""}


def remembered(what: str, probe: Callable[[], Any]) -> Any:
    """A probe's answer on this machine, asked once: a run must not compute differently because the machine was busy."""
    import torch

    path = cache_folder() / "arithmetic.json"
    key = f"{what} {processor()} torch {torch.__version__}"
    try:
        known = read_json(path)
    except (OSError, ValueError):
        known = {}
    if not isinstance(known, dict) or key not in known:
        known = {**(known if isinstance(known, dict) else {}), key: probe()}
        with contextlib.suppress(OSError):  # a cache that can't be written costs only the next probe
            write_json(path, known)
    return known[key]


def processor() -> str:
    """The processor's name, which decides what is fast."""
    import platform

    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "cpu family", "model\t")
    names = [line.split(":", 1)[1].strip() for line in lines[:12] if line.startswith(wanted)]
    return " ".join([platform.machine(), *names, torch.backends.cpu.get_cpu_capability()])


def layer_seconds(width: int, depth: int, device: Any, dtype: Any, product: Any = None) -> float:
    """Seconds of a block's products and attention: the least of fifteen tries, by the processor's clock.

    Args:
        product: (rows, width), (depth, width) -> (rows, depth); torch's own where left out.
    """
    import torch

    product = product or torch.nn.functional.linear
    inputs = torch.randn(ROWS, width, device=device).to(dtype)
    weight = torch.randn(depth, width, device=device).to(dtype)
    heads = torch.randn(ROWS // 16, max(width // 32, 1), 16, 32, device=device).to(dtype)
    clock = time.perf_counter if inputs.is_cuda else time.process_time
    tries = []
    with one_thread():
        for _ in range(15):
            start = clock()
            for _ in range(3):  # a block has the work of three such products
                product(inputs, weight)
            torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)
            if inputs.is_cuda:
                torch.cuda.synchronize()
            tries.append(clock() - start)
    return max(min(tries[3:]), 1e-9)


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


def use_fast_kernels(model: Any, config: Any, device: torch.device) -> None:
    """All that makes a model train and answer faster; whoever shares cached features must do the same."""
    from ..fast import speed_up
    from ..models import widths

    speed_up(model, device)
    use_fast_products(model, *widths(config), device)


def use_fast_products(model: Any, width: int, depth: int, device: torch.device) -> None:
    """Makes a model answer with oneDNN's fp32 products where they are exact and faster here; it trains as before."""
    from ..fast import products

    if device.type != "cpu" or width < NARROW:
        return
    if remembered(f"products {width}x{depth} {device}", lambda: products_gain(width, depth, device)) > 1.2:
        products.use_fast_products(model)


def products_gain(width: int, depth: int, device: Any) -> float:
    """How many times faster oneDNN's fp32 products are than torch's own; 0 where there are none, or they round."""
    import torch

    from ..fast.products import product

    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape, generator=generator) for shape in ((ROWS, width), (depth, width)))
    exact = left.double() @ right.double().T
    try:
        error = float((product(left, right).double() - exact).norm() / exact.norm())
        fast = layer_seconds(width, depth, device, torch.float32, product)
    except (RuntimeError, AttributeError):  # torch was built without oneDNN
        return 0.0
    return 0.0 if error >= EXACT else layer_seconds(width, depth, device, torch.float32) / fast


def bf16_gain(width: int, depth: int, device: Any) -> float:
    """How many times faster bf16 products are here than fp32 ones, at the model's own shapes."""
    import torch

    try:
        fast = layer_seconds(width, depth, device, torch.bfloat16)
    except RuntimeError:  # a device without bf16
        return 0.0
    return layer_seconds(width, depth, device, torch.float32) / fast


def choose(wanted: str, width: int, depth: int, device: torch.device) -> Precision:
    """Resolves `training.precision`; the first time on a machine it takes about 0.1 s.

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
    gain = remembered(f"bf16 {width}x{depth} {device}", lambda: bf16_gain(width, depth, device))
    name = "bf16" if gain > 1.2 else "fp32"  # under a fifth the casts eat it
    return Precision(name, "; ".join(filter(None, [note, f"bf16 products are {gain:.1f} times as fast as fp32"])))


def current() -> str:
    """The fp32 path in use, for the keys of caches."""
    import torch

    return torch.get_float32_matmul_precision()
