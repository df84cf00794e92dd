"""SFT on dolly_3k and DPO on hh_rlhf_harmless_test, a 7M Llama, one epoch: TRL, at its defaults and at its best."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .contest import OURS, Contest, Contestant, Faster, Files, Scope
from .data import folder
from .jobs import JobError
from .table import Column

NUM_ROWS = 64


def dolly(rows: int) -> list[dict[str, str]]:
    """Prompt and completion of the first rows."""
    found = json.loads((folder("dolly_3k") / "dolly_3k.json").read_text(encoding="utf-8"))[:rows]
    return [{"prompt": asked(row["instruction"], row["input"]), "completion": row["output"]} for row in found]


def asked(instruction: str, given: str) -> str:
    part = f"Input:\n{given}\n\n" if given else ""
    return f"Instruction:\n{instruction}\n\n{part}Response:\n"


def harmless(rows: int) -> list[dict[str, str]]:
    """Prompt, chosen and rejected of the first pairs whose dialogues part in the last answer."""
    found = []
    with gzip.open(folder("hh_rlhf_harmless_test") / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            pair = {key: text.replace("\n\nHuman:", "\n\nUser:") for key, text in json.loads(line).items()}
            ends = {key: text.rpartition("\n\nAssistant:") for key, text in pair.items()}
            if ends["chosen"][0] == ends["rejected"][0] and ends["chosen"][2].strip() and ends["rejected"][2].strip():
                prompt = ends["chosen"][0].strip() + "\n\nAssistant:"
                found.append({"prompt": prompt, "chosen": ends["chosen"][2], "rejected": ends["rejected"][2]})
    return found[:rows]


TASKS: dict[str, Callable[[int], list[dict[str, str]]]] = {"sft": dolly, "dpo": harmless}


def make_model(target: Path) -> None:
    """A Llama of 6.9 million parameters without training, with pocket-lm's tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig
    from transformers.utils import logging

    from tunewright.models import locate

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(locate("pocket-lm").folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, num_hidden_layers=6, num_attention_heads=8, intermediate_size=704,
        max_position_embeddings=1024, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(target)
    tokenizer.save_pretrained(target)


def make_in_a_process(target: Path) -> None:
    """The parent of the contestants imports no torch: its memory would count as theirs."""
    import multiprocessing

    process = multiprocessing.get_context("spawn").Process(target=make_model, args=(target,))
    process.start()
    process.join()
    if process.exitcode:
        raise JobError("the model could not be made")


def prepare(task: str) -> Callable[[Path, Scope], Files]:
    def written(work: Path, scope: Scope) -> Files:
        train = work / f"{task}.jsonl"
        rows = TASKS[task](min(NUM_ROWS, scope.limit or NUM_ROWS))
        train.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        make_in_a_process(work / "model")
        return Files(train, model=work / "model")

    return written


def contest_of(task: str, what: str, best: dict[str, Any], note: str, defaults: float) -> Contest:
    work = f"{task.upper()}, 7M Llama"
    return Contest(
        name=task,
        what=f"{what}, {NUM_ROWS} rows, 1 epoch, batches of 8, a Llama of 7M parameters without training",
        contestants={
            "TRL": Contestant("TRL, defaults", "generation_contestants:trl", {"task": task}),
            "TRL, best": Contestant("TRL, best", "generation_contestants:trl", {"task": task, "trl": best}),
            OURS: Contestant("tunewright", "generation_contestants:tunewright", {"task": task}),
        },
        prepare=prepare(task),
        runs=1,
        promises=(
            Faster(work, "TRL", defaults, by="fit_seconds"),
            Faster(work, "TRL, best", 1.2, by="fit_seconds"),
        ),
        bases=("TRL", "TRL, best"),
        lengths="generation_contestants:lengths",
        columns=(Column("loss", "last loss", ".3f"),),
        note=f"{note} Equal: texts, batches, rate, schedule, decay, loss (shown: the mean of the last ten steps). "
        "Tokens: prompt and answer, without padding. `of peak` leaves the head out.",
    )


SFT = contest_of(
    "sft", "dolly_3k",
    {"gradient_checkpointing": False, "bf16": True, "packing": True, "per_device_train_batch_size": 1},
    "TRL, best: no gradient checkpointing, bf16, packed, one sequence of 1,024 tokens a step (about six rows; like "
    "lengths together without packing was slower).", defaults=1.5,
)  # fmt: skip
DPO = contest_of(
    "dpo", "hh_rlhf_harmless_test",
    {"gradient_checkpointing": False, "bf16": True, "precompute_ref_log_probs": True},
    "TRL, best: no gradient checkpointing, bf16, precomputed reference; `fit s` holds everybody's reference pass. A "
    "prompt counts twice, as TRL computes it.", defaults=2,
)  # fmt: skip
