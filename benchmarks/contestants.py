"""The contestants of sst2. Each runs in its own process: `python -m benchmarks.contestants NAME JOB`.

`end_to_end_seconds` runs from reading the data file to the saved and evaluated model. Imports come before it;
they are part of `process_seconds`, which the parent measures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .data import read_csv
from .jobs import Job, perform
from .peak import measure_peak

Measured = dict[str, Any]


@dataclass(frozen=True)
class Recipe(Job):
    """The numbers that all contestants share.

    Args:
        warmup: share of the steps.
    """

    batch_size: int = 16
    learning_rate: float = 1e-4
    warmup: float = 0.0  # the Trainer's default
    schedule: str = "linear"  # the Trainer's default


def trainer_plain(job: Recipe) -> Measured:
    """The recipe of most tutorials: every text padded to 256 tokens, fp32."""
    return trainer(job, {"padding": "max_length", "max_length": 256}, {})


def trainer_best(job: Recipe) -> Measured:
    """The Trainer's best settings for this work: dynamic padding, bf16, batches of like lengths."""
    return trainer(job, {"max_length": 256}, {"bf16": True, "train_sampling_strategy": "group_by_length"})


def trainer(job: Recipe, tokenizing: dict[str, Any], settings: dict[str, Any]) -> Measured:
    """transformers' Trainer: train, evaluate once, save once. What is not set here is its default."""
    import transformers as hf

    names = ("AutoModelForSequenceClassification", "AutoTokenizer", "BertForSequenceClassification", "Trainer")
    assert all(hasattr(hf, name) for name in names)  # transformers imports on first use: before the clock, please
    started = time.perf_counter()
    tokenizer = hf.AutoTokenizer.from_pretrained(job.model)
    train, dev = (encode(path, tokenizer, tokenizing) for path in (job.train, job.dev))
    made = hf.Trainer(
        model=hf.AutoModelForSequenceClassification.from_pretrained(job.model, num_labels=2),
        args=hf.TrainingArguments(**arguments(job), **settings),
        train_dataset=train,
        eval_dataset=dev,
        data_collator=None if "padding" in tokenizing else hf.DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=accuracy,
    )
    trained = made.train()
    scores = made.evaluate()
    made.save_model(str(Path(job.out) / "model"))
    return {
        "end_to_end_seconds": time.perf_counter() - started,
        "training_seconds": trained.metrics["train_runtime"],
        "accuracy": scores["eval_accuracy"],
        "arithmetic": "bf16" if settings.get("bf16") else "fp32",
    }


def encode(path: str, tokenizer: Any, tokenizing: dict[str, Any]) -> Any:
    """Rows for the Trainer: a plain list is the lightest dataset that it takes."""
    texts, labels = read_csv(Path(path))
    columns = tokenizer(texts, truncation=True, **tokenizing)
    return [
        {**{key: values[row] for key, values in columns.items()}, "labels": label} for row, label in enumerate(labels)
    ]


def arguments(job: Recipe) -> dict[str, Any]:
    """The TrainingArguments that both recipes share."""
    return {
        "output_dir": str(Path(job.out) / "trainer"),
        "num_train_epochs": job.epochs,
        "per_device_train_batch_size": job.batch_size,
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": job.schedule,
        "warmup_steps": job.warmup,
        "seed": job.seed,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "save_strategy": "no",  # saved once, at the end
        "eval_strategy": "no",  # evaluated once, at the end
        "report_to": "none",
        "disable_tqdm": True,
    }


def accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def tunewright(job: Recipe) -> Measured:
    """Tunewright with its defaults, but for the numbers that all contestants share."""
    import accelerate
    import torch
    import transformers as hf

    import tunewright as tw

    names = ("AutoModel", "AutoTokenizer", "BertModel")
    assert torch.nn
    assert accelerate.Accelerator
    assert all(hasattr(hf, name) for name in names)
    train = tw.train  # resolves the lazy name: imports before the clock, as for the Trainer
    started = time.perf_counter()
    result = train(
        model="minilm",
        data={"train": job.train, "validation": job.dev},
        strategy={"kind": "full"},
        training={
            "epochs": job.epochs,
            "batch_size": job.batch_size,
            "learning_rate": job.learning_rate,
            "warmup": job.warmup,
            "schedule": job.schedule,
            "seed": job.seed,
        },
        out=str(Path(job.out) / "run"),
        progress=False,
    )
    return {
        "end_to_end_seconds": time.perf_counter() - started,
        "training_seconds": seconds_of_steps(Path(job.out) / "run" / "history.jsonl", job.batch_size),
        "accuracy": result.metrics["validation"]["accuracy"],
        "arithmetic": result.metrics["precision"],
    }


def seconds_of_steps(history: Path, batch_size: int) -> float:
    """Training alone: Tunewright's own `fit_seconds` holds an evaluation and a checkpoint too."""
    lines = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    return sum(batch_size / line["rows_per_second"] for line in lines if "rows_per_second" in line)


CONTESTANTS: dict[str, Callable[[Recipe], Measured]] = {
    "trainer-plain": trainer_plain,
    "trainer-best": trainer_best,
    "tunewright": tunewright,
    "peak": measure_peak,
}


if __name__ == "__main__":
    perform(CONTESTANTS, Recipe)
