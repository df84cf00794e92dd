"""The head of a language model, its loss and their gradients: plain on the whole batch's logits, against chunks.

`python -m benchmarks.head`. Both alternate in one process, on one thread unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from tunewright.chunked import token_log_probabilities, weighted_cross_entropy

from .machine import positive, processor

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # hidden (N, d), weight (V, d), targets (N,); () to differentiate
SHAPES = ((8192, 256), (32000, 256))  # V, d
NUM_POSITIONS = (512, 2048, 4096)
CAPTION = (
    "ms: median of wall time, forward and backward. CPU ms: of all threads; steadier where others use the machine. "
    "x: how many times as fast as plain."
)


def plain_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(hidden, weight), targets, reduction="sum")


def chunked_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return weighted_cross_entropy(hidden, weight, None, targets, torch.ones(len(targets)))


def plain_log_probabilities(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Each token's factor depends on the result, as in a preference loss."""
    return functional.cross_entropy(functional.linear(hidden, weight), targets, reduction="none").square().sum()


def chunked_log_probabilities(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return token_log_probabilities(hidden, weight, None, targets).square().sum()


PAIRS: dict[str, tuple[Loss, Loss]] = {
    "cross-entropy": (plain_cross_entropy, chunked_cross_entropy),
    "log-probabilities": (plain_log_probabilities, chunked_log_probabilities),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head", description=__doc__)
    parser.add_argument("--runs", type=positive, default=7, help="of each contestant; the table shows medians")
    parser.add_argument("--only", choices=PAIRS, action="append", help="this function; may be repeated")
    chosen = parser.parse_args(arguments)
    title = f"head and loss; {processor()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    table = Table(title=title, caption=CAPTION, title_justify="left", caption_justify="left")
    for name in ("what", "head", "dtype", "V", "d", "N"):
        table.add_column(name, no_wrap=True)
    for name in ("plain ms", "chunked ms", "x", "plain CPU ms", "chunked CPU ms", "x"):
        table.add_column(name, justify="right")
    for what in chosen.only or PAIRS:
        for case in itertools.product((False, True), (False, True), SHAPES, NUM_POSITIONS):
            table.add_row(what, *line(PAIRS[what], *case, chosen.runs))
    Console(width=140).print(table)
    return 0


def line(
    pair: tuple[Loss, Loss], trained: bool, narrow: bool, shape: tuple[int, int], num_positions: int, runs: int
) -> list[str]:
    """One line of the table."""
    inputs = make_inputs(trained, *shape, num_positions)
    wall, processor_time = contest(pair, inputs, narrow, runs)
    names = ["trained" if trained else "frozen", "bf16" if narrow else "fp32", *map(str, (*shape, num_positions))]
    return [*names, *cells(*wall), *cells(*processor_time)]


def make_inputs(trained: bool, num_tokens: int, size: int, num_positions: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(num_positions, size, requires_grad=True)
    weight = torch.randn(num_tokens, size).mul_(size**-0.5).requires_grad_(trained)
    return hidden, weight, torch.randint(num_tokens, (num_positions,))


def contest(
    pair: tuple[Loss, Loss], inputs: tuple[Tensor, Tensor, Tensor], narrow: bool, runs: int
) -> tuple[list[float], list[float]]:
    """Median seconds of each of the pair: of wall time, and of the processors."""
    measured: list[list[tuple[float, float]]] = [[], []]
    for number in range(runs + 1):  # the first warms up
        for place, loss in enumerate(pair):
            seconds = timed(loss, inputs, narrow)
            if number:
                measured[place].append(seconds)
    wall, processors = ([median(run[clock] for run in side) for side in measured] for clock in (0, 1))
    return wall, processors


def timed(loss: Loss, inputs: tuple[Tensor, Tensor, Tensor], narrow: bool) -> tuple[float, float]:
    """Forward and backward, as the training loop has them: the backward outside of autocast."""
    for leaf in inputs:
        leaf.grad = None
    started = time.perf_counter(), time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        total = loss(*inputs)
    (total / len(inputs[0])).backward()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def cells(plain: float, chunked: float) -> list[str]:
    return [f"{plain * 1000:.0f}", f"{chunked * 1000:.0f}", f"{plain / chunked:.2f}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
