"""How a contestant trains: by transformers' Trainer, or by Tunewright with its defaults but for what all share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import clock
from .jobs import Job

PLAIN: dict[str, Any] = {"save_strategy": "no"}  # else the Trainer's defaults: 5e-5, batches of 8, fp32
BEST: dict[str, Any] = {
    "learning_rate": 1e-4,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 32,
    "bf16": True,
    "train_sampling_strategy": "group_by_length",
    "save_strategy": "no",  # the model is saved once, at the end
}
ANSWERED = 32  # rows of the test set that an estimated run answers


@dataclass(frozen=True)
class Parts:
    """What a task brings to the Trainer: `train` and `test` are lists of features."""

    model: Any
    tokenizer: Any
    collator: Any
    train: list[dict[str, Any]]
    test: list[dict[str, Any]]


def seeded(job: Job) -> None:
    """Before the model is made, as the examples do: its new head is drawn by the seed."""
    import transformers

    transformers.set_seed(job.seed)


def by_trainer(job: Job, parts: Parts) -> tuple[Any, dict[str, Any]]:
    """Trains, saves, and answers the test set: its logits, and what was measured. What is not set is its default.

    With `job.steps` it takes so many steps and answers so many rows, and the rest is added: no logits then.
    """
    import transformers as hf

    clock.watch()
    settings = job.settings.get("trainer", PLAIN)
    arguments = hf.TrainingArguments(
        output_dir=str(Path(job.out) / "trainer"),
        num_train_epochs=job.epochs,
        max_steps=job.steps or -1,
        seed=job.seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        **settings,
    )
    trainer = hf.Trainer(
        model=parts.model, args=arguments, train_dataset=parts.train, data_collator=parts.collator,
        processing_class=parts.tokenizer,
    )  # fmt: skip
    trained = trainer.train()
    trainer.save_model(str(Path(job.out) / "model"))
    arithmetic = {"arithmetic": "bf16" if settings.get("bf16") else "fp32"}
    if not job.steps:
        return predictions(trainer, parts.test), {"fit_seconds": trained.metrics["train_runtime"], **arithmetic}
    num_steps = -(-len(parts.train) // arguments.per_device_train_batch_size) * job.epochs
    measured = clock.scaled(trained.metrics["train_runtime"], num_steps, job.steps)
    began = time.perf_counter()
    predictions(trainer, parts.test[:ANSWERED])
    missing = max(len(parts.test) - ANSWERED, 0)
    measured["added_seconds"] += (time.perf_counter() - began) / ANSWERED * missing
    return None, {**measured, **arithmetic}


def predictions(trainer: Any, features: list[dict[str, Any]]) -> Any:
    """Logits in the order of the features: an array, or a tuple of them.

    With group_by_length the Trainer shuffles what it predicts, and answers in that order (`_get_eval_sampler`). So
    like lengths are put together here, and the order is put back.
    """
    import numpy as np

    if trainer.args.train_sampling_strategy != "group_by_length":
        return trainer.predict(features).predictions
    trainer.args.train_sampling_strategy = "sequential"
    order = sorted(range(len(features)), key=lambda place: len(features[place]["input_ids"]), reverse=True)
    found = trainer.predict([features[place] for place in order]).predictions
    back = np.argsort(order)
    return tuple(values[back] for values in found) if isinstance(found, tuple) else found[back]


def by_tunewright(job: Job) -> tuple[Path, dict[str, Any]]:
    """The run's directory, with the answers to the test set in it, and what was measured.

    All rows train; nothing is checked or validated unless the settings say so: that is the work of the others.
    `job.settings` are sections of the configuration.
    """
    import tunewright

    clock.watch()
    settings = dict(job.settings)
    told: dict[str, Any] = {name: settings.pop(name, {}) for name in ("data", "training")}
    solved = settings.get("strategy", {}).get("kind") == "feature_extraction"  # no loop that could be set
    epochs = {} if solved else {"epochs": job.epochs}
    test = {"test": job.test} if job.test else {"test_share": 0}
    result = tunewright.train(
        data={"train": job.train, **test, "validation_share": 0, "check_seconds": 0, **told["data"]},
        training={**epochs, "seed": job.seed, **told["training"]},
        out=str(Path(job.out) / "run"),
        progress=False,
        **settings,
    )
    known = ("fit_seconds", "steps", "test")
    return result.path, {**{key: result.metrics[key] for key in known}, "arithmetic": result.metrics["precision"]}
