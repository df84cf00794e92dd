"""One optimizer step of full fine-tuning of MiniLM on a CPU: milliseconds, and the share of the peak of its products.

`python -m benchmarks step`. Random tokens without padding, drawn as unevenly as words are; the loop's own step. The
share counts 6 FLOPs a weight outside of the embeddings and a token, and nothing for attention.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from rich.console import Console
from rich.table import Table

from tunewright import models
from tunewright.fast import speed_up
from tunewright.launch import make_accelerator
from tunewright.layers import layer_map
from tunewright.strategies.base import Rates
from tunewright.strategies.full import Full
from tunewright.tasks.base import Encoded, Features
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.training.loop import Data, Loop, Plan
from tunewright.training.precision import Precision
from tunewright.training.state import State

from .machine import positive, processor
from .peak import TOKENS, factors

SHAPES = ("16x16", "64x32", "32x128")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks step", description=__doc__)
    parser.add_argument("shapes", nargs="*", default=SHAPES, help=f"ROWSxTOKENS; default: {' '.join(SHAPES)}")
    parser.add_argument("--steps", type=positive, default=12, help="measured ones; three more warm up")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--plain", action="store_true", help="as training.kernels: plain")
    parser.add_argument("--profile", action="store_true", help="a table by operator")
    chosen = parser.parse_args(arguments)
    console, floor = Console(width=140), None
    title = f"{chosen.precision}; {processor()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    table = Table(title=title, title_justify="left")
    for name in ("rows x tokens", "least ms", "median ms", "of the processors", "GFLOP/s", "peak", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for shape in chosen.shapes:
        loop = make_loop(*map(int, shape.split("x")), chosen)
        floor = floor or peak(products(loop), torch.bfloat16 if chosen.precision == "bf16" else torch.float32)
        table.add_row(shape, *line(loop, chosen.steps, floor))
        if chosen.profile:
            console.print(profiled(loop), markup=False, highlight=False)
    console.print(table)
    return 0


def make_loop(rows: int, tokens: int, chosen: Any) -> Loop:
    """A loop over random rows of that shape, as a run makes it."""
    torch.manual_seed(0)
    source = models.locate("minilm")
    models.set_dropout(source.config, chosen.dropout)
    task = SequenceClassification(labels=("no", "yes"), multi_label=False, pooling="mean")
    model = task.build(source)
    model.requires_grad_(True)
    if not chosen.plain:
        speed_up(model, torch.device("cpu"))
    steps = chosen.steps + 6
    plan = Plan(0, rows, rows, None, steps, steps, "linear", 0.1, 1.0, 1000, 1000)
    groups = Full().groups(model, layer_map(model), Rates(1e-4, 0.01, steps, steps))
    drawn = [words(tokens, source.config.vocab_size) for _ in range(steps * rows)]
    encoded = Encoded([Features(row, [ids], None, row % 2) for row, ids in enumerate(drawn)])
    tokenizer = models.load_tokenizer(source)
    data = Data(encoded, lambda features: task.collate(features, tokenizer), range(len(drawn)))
    return Loop(
        model, task, data, plan, groups, Precision(chosen.precision), make_accelerator(), None, None, [],
        State(total_steps=steps, steps_per_epoch=steps),
    )  # fmt: skip


def words(count: int, vocabulary: int) -> list[int]:
    """Token ids whose frequencies fall as those of words do (Zipf)."""
    drawn = torch.rand(count).mul(torch.log(torch.tensor(vocabulary - 1000.0))).exp()
    return (drawn.long() + 999).tolist()


def products(loop: Loop) -> list[tuple[int, int]]:
    """(in, out) of every matrix of the blocks."""
    blocks = {name for names in layer_map(loop.model).blocks for name in names}
    named = dict(loop.model.named_parameters())
    return [(named[name].shape[1], named[name].shape[0]) for name in blocks if named[name].ndim == 2]


def peak(shapes: list[tuple[int, int]], dtype: Any) -> float:
    """FLOP/s of the blocks' products by the processors' clock, the best of all tries: others use this machine too."""
    best = 0.0
    for tokens in TOKENS * 5:
        pairs = list(factors(tokens, shapes[:6], dtype))  # one block
        started = time.process_time()
        for left, right in pairs * 2:
            torch.nn.functional.linear(left, right)
        work = 4 * tokens * sum(right.numel() for _, right in pairs)
        best = max(best, work / (time.process_time() - started))
    return best * torch.get_num_threads()


def line(loop: Loop, steps: int, most: float) -> list[str]:
    """Milliseconds and shares of one shape."""
    walls, processors = [], []
    for number in range(steps + 3):
        started = time.perf_counter(), time.process_time()
        loop.step()
        if number >= 3:
            walls.append(time.perf_counter() - started[0])
            processors.append(time.process_time() - started[1])
    tokens = loop.plan.batch_size * loop.data.encoded.lengths[0]
    work = 6 * tokens * sum(rows * columns for rows, columns in products(loop))
    rate = work / min(processors) * torch.get_num_threads()
    times = [min(walls), median(walls), min(processors)]
    return [*(f"{1000 * value:.1f}" for value in times), f"{rate / 1e9:.0f}", f"{most / 1e9:.0f}", f"{rate / most:.0%}"]


def profiled(loop: Loop) -> str:
    """Where three steps spend their time, by operator."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(3):
            loop.step()
    return found.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=50)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
