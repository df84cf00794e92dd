"""The pairs of language-model tasks that the matrix walks, and small data that each can learn."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.conftest import WORDS
from tests.language_models import DECODERS, ENCODER_DECODERS

ARCHITECTURES = {"causal_lm": DECODERS, "preference": DECODERS, "seq2seq": ENCODER_DECODERS}
PAIRS = [(task, architecture) for task, known in ARCHITECTURES.items() for architecture in known]
FIRST = {"causal_lm": "llama", "preference": "llama", "seq2seq": "t5"}  # of each task


def write(task: str, path: Path, count: int, seed: int = 3) -> None:
    """Asks for the first word of some, and the last; what is rejected is neither."""
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        words = generator.sample(WORDS, k=generator.randint(2, 9))
        prompt, answer = " ".join(words), f" {words[0]} {words[-1]}"
        other = " ".join(
            ["", *generator.sample([word for word in WORDS if word not in words], k=generator.randint(1, 4))]
        )
        rows.append({
            "causal_lm": {"prompt": prompt, "completion": answer},
            "preference": {"prompt": prompt, "chosen": answer, "rejected": other},
            "seq2seq": {"source": prompt, "target": answer.strip()},
        }[task])  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def files_for(task: str, folder: Path, count: int = 24) -> dict[str, Any]:
    """The section `data`; validation repeats the first rows of train, which nobody is to look for."""
    for name, size in (("train", count), ("validation", 8)):
        write(task, folder / f"{name}.jsonl", size)
    named = {name: str(folder / f"{name}.jsonl") for name in ("train", "validation")}
    return {**named, "max_length": 64, "check_seconds": 0}
