"""Five fp32 steps of ours are five of TRL's: losses, gradients' norms and final weights (N10).

Same rows in the same order, plain AdamW with decay, a linear schedule, clipping, no dropout. TRL's DPOTrainer takes
means of micro-batches' means, which is right only where all are equally large: so they are here.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import tunewright as tw
from tests.conftest import WORDS, weights_of
from tests.language_models import make_language_model
from tests.tasks.test_preference import history

STEPS, BATCH, RATE, DECAY, LIMIT = 5, 4, 1e-3, 0.1, 1.0


def words(generator: random.Random, most: int) -> str:
    return " ".join(generator.choices(WORDS, k=generator.randint(1, most)))


def rows_of(*answers: str) -> list[dict[str, str]]:
    """Prompts that end between tokens (TRL tokenises them with their answers), and answers, of uneven lengths."""
    generator = random.Random(0)
    return [
        {"prompt": words(generator, 12) + "?\n", **{name: words(generator, 8) for name in answers}}
        for _ in range(STEPS * BATCH)
    ]


@pytest.fixture(autouse=True)
def in_order(monkeypatch):
    """The rows of every step as they stand in the file."""
    from tunewright.training import loop

    def steps(lengths, batch_size, *rest):
        return np.split(np.arange(len(lengths)), range(batch_size, len(lengths), batch_size))

    monkeypatch.setattr(loop, "epoch_steps", steps)


def ours(model: Path, rows: list[dict], folder: Path, task: dict, micro: int) -> tuple[list[dict], dict]:
    """(lines of each step, final weights)."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = tw.train(
        {
            "model": str(model),
            "data": {"train": str(folder / "rows.jsonl"), "validation_share": 0, "test_share": 0, "max_length": 128,
                     "check_seconds": 0},
            "task": task,
            "training": {"max_steps": STEPS, "batch_size": BATCH, "micro_batch_size": micro, "learning_rate": RATE,
                         "schedule": "linear", "warmup": 0, "weight_decay": DECAY, "max_gradient_norm": LIMIT,
                         "dropout": 0, "precision": "fp32"},
            "out": str(folder / "run"),
        },
        progress=False,
    )  # fmt: skip
    return history(result.path), {name.split("/", 1)[1]: value for name, value in weights_of(result.path).items()}


def settings(folder: Path, micro: int) -> dict:
    """TRL's arguments for the same run."""
    return {
        "output_dir": str(folder / "trl"), "max_steps": STEPS, "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": BATCH // micro, "learning_rate": RATE, "lr_scheduler_type": "linear",
        "warmup_steps": 0, "weight_decay": DECAY, "max_grad_norm": LIMIT, "optim": "adamw_torch", "bf16": False,
        "fp16": False, "use_cpu": True, "activation_checkpointing": False, "train_sampling_strategy": "sequential",
        "logging_steps": 1, "save_strategy": "no", "report_to": [], "disable_tqdm": True, "seed": 0,
        "dataloader_pin_memory": False, "max_length": None,
    }  # fmt: skip


def theirs(trainer) -> tuple[list[dict], dict]:
    """(lines of each step, final weights)."""
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    return lines, {name: value.detach() for name, value in trainer.model.state_dict().items()}


def load(folder: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.trainer.utils import disable_dropout_in_model

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    disable_dropout_in_model(model)
    return model, AutoTokenizer.from_pretrained(folder)


def assert_same_course(found: tuple[list[dict], dict], expected: tuple[list[dict], dict]) -> None:
    lines, weights = found
    assert len(lines) == STEPS
    for line, other in zip(lines, expected[0], strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=2e-5)
        assert line["gradient_norm"] == pytest.approx(other["grad_norm"], rel=2e-4)
    assert weights
    for name, value in weights.items():
        if name.endswith("c_attn.bias"):  # softmax is blind to its middle third, the keys': their gradient is rounding
            size = len(value) // 3
            value[size : 2 * size] = expected[1][name][size : 2 * size]
        np.testing.assert_allclose(value, expected[1][name], rtol=0, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(("kind", "micro"), [("llama", 4), ("llama", 1), ("gpt2", 2)])
def test_five_steps_of_sft_are_trls(tmp_path, kind, micro):  # N10, N2
    import datasets
    import trl

    model, rows = make_language_model(tmp_path / kind, kind), rows_of("completion")
    found = ours(model, rows, tmp_path, {"kind": "causal_lm"}, micro)
    own, tokenizer = load(model)
    data = datasets.Dataset.from_list(rows)
    arguments = trl.SFTConfig(**settings(tmp_path, micro))
    trainer = trl.SFTTrainer(own, args=arguments, train_dataset=data, processing_class=tokenizer)
    masked = trainer.train_dataset[0]["labels"]
    assert masked[0] == -100  # completions alone
    assert masked[-1] == tokenizer.eos_token_id
    assert_same_course(found, theirs(trainer))


@pytest.mark.parametrize(
    ("loss", "name", "kind", "micro"),
    [("dpo", "sigmoid", "llama", 2), ("dpo", "sigmoid", "gpt2", 4), ("ipo", "ipo", "llama", 4),
     ("hinge", "hinge", "gpt2", 2)],
)  # fmt: skip
def test_five_steps_of_preferences_are_trls(tmp_path, kind, micro, loss, name):  # N10, N2, N6
    import datasets
    import trl

    model, rows = make_language_model(tmp_path / kind, kind, spread=0.1), rows_of("chosen", "rejected")
    found = ours(model, rows, tmp_path, {"kind": "preference", "loss": loss}, micro)
    own, tokenizer = load(model)
    arguments = trl.DPOConfig(**settings(tmp_path, micro), beta=0.1, loss_type=[name])
    data = datasets.Dataset.from_list(rows)
    trainer = trl.DPOTrainer(own, args=arguments, train_dataset=data, processing_class=tokenizer)
    expected = theirs(trainer)
    assert_same_course(found, expected)
    for step, (line, other) in enumerate(zip(found[0], expected[0], strict=True)):
        assert line["margin"] == pytest.approx(other["rewards/margins"], abs=1e-4)
        # before the first update all pairs are ties, which TRL counts as wrong and we as a coin's toss
        assert line["accuracy"] == (pytest.approx(other["rewards/accuracies"]) if step else 0.5)
