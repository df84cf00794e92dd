"""The contestants of generation: TRL's trainers and Tunewright."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import clock
from .jobs import Job
from .trainers import by_tunewright

Measured = dict[str, Any]
BATCH = 8
RATES = {"sft": 2e-5, "dpo": 1e-6}  # TRL's defaults
KINDS = {"sft": "causal_lm", "dpo": "preference"}


def rows_of(job: Job) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(job.train).read_text(encoding="utf-8").splitlines()]


def lengths(job: Job) -> list[int]:
    """Tokens of every prompt with every answer behind it, at most 1,024 each, the end of the answer included."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.model)
    texts = [row["prompt"] + answer for row in rows_of(job) for key, answer in row.items() if key != "prompt"]
    return [min(len(ids) + 1, 1024) for ids in tokenizer(texts)["input_ids"]]


def trl(job: Job) -> Measured:
    """At its defaults, or with `job.settings["trl"]`; one epoch, the model saved at the end."""
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    clock.watch()
    name = job.settings["task"].upper()
    settings = {"per_device_train_batch_size": BATCH, **job.settings.get("trl", {})}
    arguments = getattr(trl, f"{name}Config")(
        output_dir=str(Path(job.out) / "trl"), num_train_epochs=job.epochs, use_cpu=True, save_strategy="no",
        report_to="none", disable_tqdm=True, seed=job.seed, dataloader_pin_memory=False, logging_steps=1, **settings,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(job.model)
    data, tokenizer = Dataset.from_list(rows_of(job)), AutoTokenizer.from_pretrained(job.model)
    made, spent = getattr(trl, f"{name}Trainer"), []
    clocked(made, "_precompute_ref_logps", spent)  # DPO's, while the trainer is made
    trainer = made(model, args=arguments, train_dataset=data, processing_class=tokenizer)
    clocked(trainer, "train", spent)
    trainer.train()
    trainer.save_model(str(Path(job.out) / "model"))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"fit_seconds": sum(spent), "loss": last(losses), "arithmetic": "bf16" if arguments.bf16 else "fp32"}


def tunewright(job: Job) -> Measured:
    """TRL's rate, schedule and decay; everything else is the default."""
    from tunewright import run as story

    spent: list[float] = []
    clocked(story, "ask_reference", spent)
    clocked(story, "fit", spent)
    task = job.settings["task"]
    settings = {
        "model": job.model,
        "task": {"kind": KINDS[task], "template": "plain"},
        "data": {"max_length": 1024},
        "training": {"batch_size": BATCH, "learning_rate": RATES[task], "warmup": 0, "weight_decay": 0},
    }
    run, measured = by_tunewright(replace(job, settings=settings))
    lines = map(json.loads, (run / "history.jsonl").read_text(encoding="utf-8").splitlines())
    return {**measured, "fit_seconds": sum(spent), "loss": last([told["loss"] for told in lines if "loss" in told])}


def last(losses: list[float]) -> float:
    return sum(losses[-10:]) / len(losses[-10:])


def clocked(owner: Any, name: str, spent: list[float]) -> None:
    """Adds to `spent` what every call of a function takes, where there is one of that name."""
    function: Callable[..., Any] | None = getattr(owner, name, None)
    if function is None:
        return

    def call(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        found = function(*arguments, **named)
        spent.append(time.perf_counter() - began)
        return found

    setattr(owner, name, call)
