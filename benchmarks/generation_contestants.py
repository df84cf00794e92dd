"""The contestants of generation, each in its own process: `python -m benchmarks.generation_contestants NAME JOB`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .jobs import Job, perform

Measured = dict[str, Any]
BATCH = 8


def rows_of(job: Job) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(job.train).read_text(encoding="utf-8").splitlines()]


def count_tokens(job: Job) -> int:
    """Of every prompt with every answer behind it, at most 1,024 each, the end of the answer included."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.model)
    texts = [row["prompt"] + answer for row in rows_of(job) for key, answer in row.items() if key != "prompt"]
    return sum(min(len(ids) + 1, 1024) for ids in tokenizer(texts)["input_ids"])


def timed(train: Callable[[], Any]) -> tuple[Any, Measured]:
    began, processor = time.perf_counter(), time.process_time()
    found = train()
    return found, {"seconds": time.perf_counter() - began, "training_cpu_seconds": time.process_time() - processor}


def trl_sft(job: Job) -> Measured:
    from trl import SFTConfig, SFTTrainer

    return trl(job, SFTTrainer, SFTConfig)


def trl_dpo(job: Job) -> Measured:
    from trl import DPOConfig, DPOTrainer

    return trl(job, DPOTrainer, DPOConfig)


def trl(job: Job, trainer_class: Any, config_class: Any) -> Measured:
    """At its defaults, but for one epoch and no checkpoints."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments = config_class(
        output_dir=str(Path(job.out) / "trl"), num_train_epochs=1, per_device_train_batch_size=BATCH, use_cpu=True,
        save_strategy="no", report_to="none", disable_tqdm=True, seed=job.seed, dataloader_pin_memory=False,
        logging_steps=1,
    )  # fmt: skip
    trainer = trainer_class(
        AutoModelForCausalLM.from_pretrained(job.model), args=arguments, train_dataset=Dataset.from_list(rows_of(job)),
        processing_class=AutoTokenizer.from_pretrained(job.model),
    )  # fmt: skip
    _, times = timed(trainer.train)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"tokens": count_tokens(job), "loss": sum(losses[-10:]) / len(losses[-10:]), **times}


def tunewright_sft(job: Job) -> Measured:
    return tunewright(job, {"kind": "causal_lm", "template": "plain"}, 2e-5)


def tunewright_dpo(job: Job) -> Measured:
    return tunewright(job, {"kind": "preference", "template": "plain"}, 1e-6)


def tunewright(job: Job, task: dict[str, Any], rate: float) -> Measured:
    """TRL's rate, schedule and decay; everything else is the default. The reference pass is timed too."""
    import tunewright as tw
    from tunewright import run as story

    spent: list[Measured] = []
    clocked(story, "ask_reference", spent)
    clocked(story, "fit", spent)
    result = tw.train(
        model=job.model,
        data={"train": job.train, "validation_share": 0, "test_share": 0, "max_length": 1024},
        task=task,
        training={"epochs": 1, "batch_size": BATCH, "learning_rate": rate, "warmup": 0, "weight_decay": 0,
                  "seed": job.seed},
        out=str(Path(job.out) / "run"),
        progress=False,
    )  # fmt: skip
    lines = (result.path / "history.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [told["loss"] for told in map(json.loads, lines) if "loss" in told][-10:]
    times = {key: sum(part[key] for part in spent) for key in ("seconds", "training_cpu_seconds")}
    return {"tokens": count_tokens(job), "loss": sum(losses) / len(losses), **times}


def clocked(module: Any, name: str, spent: list[Measured]) -> None:
    """Adds to `spent` what every call of a function takes."""
    function = getattr(module, name)

    def call(*arguments: Any, **named: Any) -> Any:
        found, times = timed(lambda: function(*arguments, **named))
        spent.append(times)
        return found

    setattr(module, name, call)


if __name__ == "__main__":
    theirs, ours = {"trl-sft": trl_sft, "trl-dpo": trl_dpo}, {"tunewright-sft": tunewright_sft}
    perform({**theirs, **ours, "tunewright-dpo": tunewright_dpo}, Job)
