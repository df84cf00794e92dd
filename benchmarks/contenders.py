"""How a contestant of a contest trains: by transformers' Trainer, or by Tunewright with its defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contest import ContestJob

EXAMPLE_SETTINGS: dict[str, Any] = {}  # the Trainer's defaults: 5e-5, batches of 8, fp32, a checkpoint every 500 steps
BEST_SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-4,
    "per_device_train_batch_size": 16,
    "bf16": True,
    "train_sampling_strategy": "group_by_length",
    "save_strategy": "no",  # the model is saved once, at the end
}


@dataclass(frozen=True)
class Parts:
    """What a task brings to the Trainer: `train` and `test` are lists of features."""

    model: Any
    tokenizer: Any
    collator: Any
    train: list[dict[str, Any]]
    test: list[dict[str, Any]]


def seeded(job: ContestJob) -> None:
    """Before the model is made, as the examples do: its new head is drawn by the seed."""
    import transformers

    transformers.set_seed(job.seed)


def by_trainer(job: ContestJob, settings: dict[str, Any], parts: Parts) -> tuple[Any, dict[str, Any]]:
    """Trains, saves, and answers the test set: its logits, and what was measured. What is not set is its default."""
    import transformers as hf

    trainer = hf.Trainer(
        model=parts.model,
        args=hf.TrainingArguments(
            output_dir=str(Path(job.out) / "trainer"),
            num_train_epochs=job.epochs,
            seed=job.seed,
            use_cpu=True,
            dataloader_pin_memory=False,
            report_to="none",
            disable_tqdm=True,
            **settings,
        ),
        train_dataset=parts.train,
        data_collator=parts.collator,
        processing_class=parts.tokenizer,
    )
    trained = trainer.train()
    trainer.save_model(str(Path(job.out) / "model"))
    logits = predictions(trainer, parts.test)
    arithmetic = "bf16" if settings.get("bf16") else "fp32"
    return logits, {"fit_seconds": trained.metrics["train_runtime"], "arithmetic": arithmetic}


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


def by_tunewright(job: ContestJob) -> tuple[Path, dict[str, Any]]:
    """The run's directory, with the answers to the test set in it, and what was measured. Only the epochs are told."""
    import tunewright

    result = tunewright.train(
        data={"train": job.train, "validation": job.dev, "test": job.test},
        training={"epochs": job.epochs, "seed": job.seed},
        out=str(Path(job.out) / "run"),
        progress=False,
    )
    told = ("fit_seconds", "total_seconds", "best_step", "steps", "validation", "test")
    return result.path, {**{key: result.metrics[key] for key in told}, "arithmetic": result.metrics["precision"]}
