"""Full fine-tuning and LoRA of MiniLM on SST-2: the plain recipe, the Trainer at its best, a loop by hand, and ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import data
from .classification import score
from .contest import OURS, Contest, Contestant, Faster, Files, NoWorse, Reaches, Scope
from .trainers import BEST

SHARED: dict[str, Any] = {"batch_size": 16, "learning_rate": 1e-4}
OUR_SHARED: dict[str, Any] = {**SHARED, "warmup": 0, "schedule": "linear"}
RANK, LORA_RATE = 16, 1e-3
TARGETS = ["query", "key", "value", "attention.output.dense"]  # what Tunewright's "attention" means in a BERT
STANDARD_ERROR = 0.014  # of an accuracy of 0.8 on 872 rows


def prepare(work: Path, scope: Scope, num_rows: int = 4096) -> Files:
    return Files(*data.prepare(work, min(num_rows, scope.limit or num_rows), scope.limit))


def plain(rate: float = SHARED["learning_rate"]) -> dict[str, Any]:
    return {"per_device_train_batch_size": SHARED["batch_size"], "learning_rate": rate, "save_strategy": "no"}


SST2 = Contest(
    name="sst2",
    what="SST-2, 4,096 rows, 2 epochs, full, MiniLM, batch 16, learning rate 1e-4",
    contestants={
        "plain": Contestant(
            "Trainer, plain: padded to 256, fp32", "classification:trainer", {"padded": True, "trainer": plain()},
            equal_steps=True, once=True,
        ),
        "best": Contestant("Trainer, best", "classification:trainer", {"trainer": BEST}),
        "by hand": Contestant("PyTorch by hand", "classification:by_hand", SHARED, once=True),
        "TF-IDF": Contestant("scikit-learn, TF-IDF", "classification:linear", once=True),
        OURS: Contestant("tunewright", "classification:tunewright", {"training": OUR_SHARED}),
    },
    prepare=prepare,
    promises=(
        Faster("SST-2, full", "plain", 25),
        Faster("SST-2, full", "best", 1.5),
        NoWorse("SST-2, full", "best", "accuracy", STANDARD_ERROR),
        Reaches("SST-2, full"),
    ),
    bases=("plain", "best"),
    epochs=2,
    runs=2,
    lengths="classification:lengths",
    score=score,
    scores=("accuracy",),
    note="Equal: rows, batches of 16, 1e-4 falling linearly to 0, two epochs, one answer to the 872 rows of dev, one "
    "saved model. Heads differ: BERT's pooler, and mean pooling in Tunewright.",
)  # fmt: skip

LORA = Contest(
    name="lora",
    what="SST-2, 2,048 rows, 1 epoch, LoRA of rank 16 on all attention matrices, MiniLM, batch 16, learning rate 1e-3",
    contestants={
        "PEFT, best": Contestant(
            "PEFT + Trainer, best",
            "classification:trainer",
            {
                "trainer": {**BEST, "learning_rate": LORA_RATE},
                "lora": {"r": RANK, "lora_alpha": 2 * RANK, "lora_dropout": 0.05, "target_modules": TARGETS},
            },
        ),
        OURS: Contestant(
            "tunewright, lora",
            "classification:tunewright",
            {"strategy": {"kind": "lora", "r": RANK}, "training": {**OUR_SHARED, "learning_rate": LORA_RATE}},
        ),
    },
    prepare=lambda work, scope: prepare(work, scope, 2048),
    promises=(
        Faster("SST-2, LoRA", "PEFT, best", 1.3, by="fit_seconds"),
        NoWorse("SST-2, LoRA", "PEFT, best", "accuracy", STANDARD_ERROR),
    ),
    bases=("PEFT, best",),
    lengths="classification:lengths",
    passes=2,
    score=score,
    scores=("accuracy",),
    note="Equal: rank, targets, dropout 0.05, rate, epochs, batches. `of peak` counts two forward passes: the frozen "
    "weights have no gradient.",
)
