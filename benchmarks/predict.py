"""Answers to 10,000 short texts: Tunewright's predictor against transformers' pipeline at its best batch size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from . import data
from .classification import read_csv
from .contest import OURS, Contest, Contestant, Faster, Files, Scope
from .jobs import Job, run
from .table import Column

SIZES = (1, 8, 32, 128)  # of the pipeline's batches; it is asked which is best
PROBED = 600  # texts for each


def prepare(work: Path, scope: Scope) -> Files:
    """Texts of SST-2's training set, and a model trained for a step: what it says does not matter here."""
    train, _ = data.prepare(work, min(scope.limit or 10_000, 10_000), 1)
    (work / "few").mkdir()
    few, _ = data.prepare(work / "few", 64, 1)
    settings = {"training": {"max_steps": 1}}
    run(
        Job(
            "benchmarks.predict:trained", str(few), "", str(data.pretrained()), str(work / "trained"), settings=settings
        )
    )
    return Files(train, model=work / "trained" / "run" / "model")


def trained(job: Job) -> dict[str, Any]:
    from .trainers import by_tunewright

    return by_tunewright(job)[1]


def pipeline(job: Job) -> dict[str, Any]:
    """The same encoder with BERT's own classifier. The search for the size is not in `fit_seconds`."""
    import transformers as hf

    model = hf.AutoModelForSequenceClassification.from_pretrained(data.pretrained(), num_labels=2)
    tokenizer = hf.AutoTokenizer.from_pretrained(data.pretrained())
    texts = read_csv(job.train)[0]
    ask = hf.pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True)
    seconds = {size: timed(lambda size=size: ask(texts[:PROBED], batch_size=size)) for size in (SIZES[0], *SIZES)}
    best = min(seconds, key=lambda size: seconds[size])
    spent = timed(lambda: ask(texts, batch_size=best))
    searched = -sum(seconds.values())
    return {"fit_seconds": spent, "added_seconds": searched, "best_size": best, "arithmetic": "fp32"}


def predictor(job: Job) -> dict[str, Any]:
    from tunewright.predict import Predictor

    asked = Predictor.load(job.model)
    texts = read_csv(job.train)[0]
    asked(texts[:PROBED])
    return {"fit_seconds": timed(lambda: asked(texts)), "arithmetic": "fp32"}


def timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


PREDICT = Contest(
    name="predict",
    what="10,000 texts of SST-2 (11 words on average), MiniLM",
    contestants={
        "pipeline": Contestant("transformers.pipeline, best batch size", "predict:pipeline"),
        OURS: Contestant("tunewright.Predictor", "predict:predictor"),
    },
    prepare=prepare,
    promises=(Faster("predict, 10,000 short texts", "pipeline", 2, by="fit_seconds"),),
    bases=("pipeline",),
    runs=1,
    lengths="classification:lengths",
    passes=1,
    columns=(Column("best_size", "batch size", ".0f"),),
    note="`fit s`: the answers alone, in one call, tokenisation included; both models are loaded and warm. The "
    f"pipeline tries batches of {', '.join(map(str, SIZES))} on {PROBED} texts first. Both in fp32.",
)
