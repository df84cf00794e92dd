"""SFT on dolly_3k and DPO on hh_rlhf_harmless_test, a 7M Llama, one epoch on a CPU: TRL at its defaults and Tunewright.

    python -m benchmarks generation [--runs 3] [--rows 160] [--only sft|dpo]

Both get the same texts, batches of 8, the same loss, and a model without weights; every run is a process of its own,
and the contestants alternate. Tokens are those of prompt and answer, without padding; DPO's prompts count twice, as
TRL computes them. What is timed is all training, Tunewright's reference pass included.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .data import UnusableError, folder
from .jobs import Job, JobError, run

CONTESTANTS = ("trl", "tunewright")
MODULE = "benchmarks.generation_contestants"


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

    from tunewright.models import locate

    tokenizer = AutoTokenizer.from_pretrained(locate("pocket-lm").folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, num_hidden_layers=6, num_attention_heads=8, intermediate_size=704,
        max_position_embeddings=1024, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(target)
    tokenizer.save_pretrained(target)


def hold(task: str, rows: int, runs: int, work: Path) -> dict[str, list[dict[str, Any]]]:
    """What every contestant measured, run by run."""
    train = work / f"{task}.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in TASKS[task](rows)), encoding="utf-8")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
    for number in range(runs):
        for name in CONTESTANTS:
            job = Job(str(train), "", str(work / "model"), str(work / f"{task}-{name}-{number}"), number, 1)
            found[name].append(run(f"{name}-{task}", job, MODULE))
            told = found[name][-1]
            print(f"{task} {name:10} run {number + 1}: {told['tokens'] / told['seconds']:8.0f} tokens/s, "
                  f"{told['cpu_seconds']:6.0f} processor seconds, {told['peak_memory_mb']} MB", flush=True)  # fmt: skip
    return found


def table(task: str, found: dict[str, list[dict[str, Any]]]) -> str:
    """Medians and ratios, as Markdown."""
    heads = f"| {task} | tokens/s | tokens a processor second | peak memory, MB | last loss |"
    lines = [heads, "|---|---|---|---|---|"]
    speeds = {}
    for name, told in found.items():
        median = lambda key, told=told: statistics.median(item[key] for item in told)  # noqa: E731
        speeds[name] = statistics.median(item["tokens"] / item["seconds"] for item in told)
        by_processor = statistics.median(item["tokens"] / item["training_cpu_seconds"] for item in told)
        lines.append(f"| {name} | {speeds[name]:,.0f} | {by_processor:,.0f} | {median('peak_memory_mb'):,.0f} | "
                     f"{median('loss'):.3f} |")  # fmt: skip
    return "\n".join([*lines, "", f"{speeds['tunewright'] / speeds['trl']:.2f} times TRL's tokens per second"])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks generation", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--only", choices=sorted(TASKS))
    chosen = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as work:
            make_in_a_process(Path(work) / "model")
            for task in [chosen.only] if chosen.only else TASKS:
                print(table(task, hold(task, chosen.rows, chosen.runs, Path(work))), flush=True)
    except (JobError, UnusableError) as error:
        print(error)
        return 1 if isinstance(error, JobError) else 2
    return 0


def make_in_a_process(target: Path) -> None:
    """The parent of the contestants imports no torch: its memory would count as theirs."""
    import multiprocessing

    process = multiprocessing.get_context("spawn").Process(target=make_model, args=(target,))
    process.start()
    process.join()
    if process.exitcode:
        raise JobError("the model could not be made")
