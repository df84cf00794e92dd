"""What share of this machine's matrix products the training step reaches, on rows of equal length without padding."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import median
from typing import Any

from .contest import Contest, Contestant, Files, Reaches, Scope
from .data import write_csv
from .jobs import Job
from .table import Column
from .trainers import by_tunewright

SHAPES = ((32, 128), (16, 16))  # rows and tokens of a batch
STEPS, WARM_UP = 18, 4


def prepare(work: Path, scope: Scope) -> Files:
    return Files(work)


def step(job: Job) -> dict[str, Any]:
    """`tunewright.train` on made-up rows of whole words; the median of its own steps."""
    from tunewright import models

    from .peak import forward_flops, shapes_of

    rows, tokens, precision = (job.settings[name] for name in ("rows", "tokens", "precision"))
    words = whole_words(models.load_tokenizer(models.locate("minilm")))
    drawn = random.Random(job.seed)
    texts = [(" ".join(drawn.choices(words, k=tokens - 2)), str(row % 2)) for row in range(rows * STEPS)]
    training = {"batch_size": rows, "max_steps": STEPS, "precision": precision}
    data = {"max_length": tokens, "check_seconds": 0}
    train = write_csv(Path(job.out) / "train.csv", texts)
    told = Job(
        job.function, str(train), "", job.model, job.out, job.seed, settings={"data": data, "training": training}
    )
    run, measured = by_tunewright(told)
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    speed = median(line["tokens_per_second"] for line in lines if line.get("step", 0) > WARM_UP and "loss" in line)
    shapes, layers = shapes_of(job.model)
    flops = 3 * forward_flops(tokens, shapes, layers) * speed / tokens
    return {
        **measured,
        "step_ms": 1000 * rows * tokens / speed,
        "tokens_per_second": speed,
        "gflops": flops / 1e9,
        "share_of_peak": flops / peak_of(shapes, measured["arithmetic"]),
    }


def peak_of(shapes: list[tuple[int, int]], arithmetic: str) -> float:
    import torch

    from .peak import peak

    return peak(shapes, torch.bfloat16 if arithmetic == "bf16" else torch.float32)


def whole_words(tokenizer: Any) -> list[str]:
    """Words of one token each."""
    return [word for word, _ in sorted(tokenizer.get_vocab().items()) if word.isascii() and word.isalpha()]


SHARE = Contest(
    name="share",
    what="one step of full fine-tuning, rows of one length, MiniLM",
    contestants={
        f"{rows}x{tokens}": Contestant(
            f"{rows} rows x {tokens} tokens", "share:step", {"rows": rows, "tokens": tokens, "precision": "bf16"}
        )
        for rows, tokens in SHAPES
    },
    prepare=prepare,
    promises=tuple(Reaches(f"{rows} x {tokens} tokens, full", f"{rows}x{tokens}") for rows, tokens in SHAPES),
    columns=(Column("step_ms", "step ms", ".0f"), Column("gflops", "GFLOP/s", ",.0f")),
    note="Work: 3 x (2 x non-embedding parameters + 4 x layers x tokens x width) a token. Peak: the best of "
    "matrix products of the model's own shapes, by the same process and in the same arithmetic. Dropout is "
    "the model's 0.1. The real data's shares stand in their tables.",
)  # fmt: skip
