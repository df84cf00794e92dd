"""Process: what a run's interpreter and libraries take here, whatever the model; measured once on a machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ..training.precision import remembered

PLAIN, WITH_PEFT = 420 * 2**20, 475 * 2**20  # measured with torch 2.13 for CPUs; where it can't be measured
WIDTH, WORDS = 32, 8
RUN = """
import json, sys
from tunewright.config import load
from tunewright.run import train
from tunewright.training.memory import most_resident
train(load(json.loads(sys.argv[1]), []))
print(most_resident())
"""


def libraries(adapts: bool) -> int:
    """Bytes at the peak of a run with a model of next to nothing.

    Args:
        adapts: whether PEFT's adapters are in use.
    """
    from importlib.metadata import version

    name = "lora" if adapts else "full"
    key = f"resident {name} {sys.version.split()[0]} transformers {version('transformers')} peft {version('peft')}"
    return int(remembered(key, lambda: measured(name) or (WITH_PEFT if adapts else PLAIN)))


def measured(strategy: str) -> int:
    """Of a whole run in a process of its own; 0 where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        settings = json.dumps(prepared(Path(folder), strategy))
        command = [sys.executable, "-c", RUN, settings]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    try:
        return int(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return 0


def prepared(folder: Path, strategy: str) -> dict[str, object]:
    """A model, its tokenizer and rows; the settings of a run with them."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"[PAD]": 0, "[UNK]": 1, **{f"w{place}": 2 + place for place in range(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[UNK]", "sep_token": "[UNK]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=1,
        num_attention_heads=1, max_position_embeddings=WIDTH,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    rows = [f"w{row % WORDS} w{row % 3},{'ab'[row % 2]}\n" for row in range(4 * WORDS)]
    (folder / "rows.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    return {
        "model": str(folder), "strategy": strategy, "out": str(folder / "run"),
        "data": {"train": str(folder / "rows.csv"), "check_seconds": 0, "allow": ["leakage"]},
        "training": {"epochs": 1, "precision": "fp32"},
    }  # fmt: skip
