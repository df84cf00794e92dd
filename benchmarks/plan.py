"""Peak memory as the planner predicts it, from the configuration alone and after a probe, against real runs.

python -m benchmarks plan [--only TEXT] [--out FILE] [--no-probe]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from tunewright import models
from tunewright.config import RunConfig, load

CONFIGURATION, PROBED = 0.15, 0.07  # errors that were promised
VALIDATION = 8  # rows


class Combination(NamedTuple):
    """A run whose rows all have `length` tokens."""

    model: str
    strategy: Any
    rows: int
    length: int
    task: str = "sequence_classification"
    training: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        kind = self.strategy if isinstance(self.strategy, str) else self.strategy["kind"]
        more = [f"{key}={value}" for key, value in self.training]
        return " ".join([self.model, self.task, kind, f"{self.rows}x{self.length}", *more])


CHECKPOINTING = (("gradient_checkpointing", True),)
PLAIN = (("kernels", "plain"),)
HALF = (("precision", "bf16"),)
COMBINATIONS = [
    Combination("minilm", "full", 8, 128),
    Combination("minilm", "full", 32, 128),
    Combination("minilm", "full", 16, 256),
    Combination("minilm", "full", 16, 256, training=CHECKPOINTING),
    Combination("minilm", "full", 16, 256, training=PLAIN),
    Combination("minilm", "full", 16, 256, training=HALF),
    Combination("minilm", "full", 8, 256, training=(("batch_size", 16),)),
    Combination("minilm", "lora", 8, 128),
    Combination("minilm", "lora", 32, 128),
    Combination("minilm", "lora", 16, 256, training=CHECKPOINTING),
    Combination("minilm", "bitfit", 16, 256),
    Combination("minilm", {"kind": "freeze"}, 16, 256),
    Combination("minilm", "bottleneck_adapter", 16, 256),
    Combination("minilm", "prefix_tuning", 16, 128),
    Combination("minilm", "prompt_tuning", 16, 128),
    Combination("minilm", "ia3", 32, 64),
    Combination("minilm", "feature_extraction", 16, 128),
    Combination("minilm", "full", 16, 128, "token_classification"),
    Combination("minilm", "lora", 16, 256, "token_classification"),
    Combination("wide-bert", "full", 4, 64),
    Combination("wide-bert", "full", 8, 256),
    Combination("wide-bert", "full", 8, 256, training=CHECKPOINTING),
    Combination("wide-bert", "lora", 8, 128),
    Combination("wide-bert", "freeze", 8, 128),
    Combination("pocket-lm", "full", 8, 256, "causal_lm"),
    Combination("pocket-lm", "lora", 16, 256, "causal_lm"),
    Combination("pocket-lm", "full", 8, 256, "causal_lm", CHECKPOINTING),
    Combination("pocket-lm", "prefix_tuning", 8, 128, "causal_lm"),
    Combination("wide-llama", "full", 8, 256, "causal_lm"),
    Combination("wide-llama", "lora", 8, 256, "causal_lm"),
    Combination("wide-llama", "qlora", 4, 256, "causal_lm"),
    Combination("wide-llama", "lora", 4, 256, "preference"),
]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks plan", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="combinations whose name holds this text")
    parser.add_argument("--out", type=Path, help="writes every number as JSON lines")
    parser.add_argument("--no-probe", action="store_true", help="predicts from the configuration alone")
    given = parser.parse_args(arguments)
    found, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        for chosen in COMBINATIONS:
            if given.only in chosen.name:
                try:
                    found.append(measured(chosen, Path(folder), not given.no_probe))
                except subprocess.CalledProcessError as error:  # its traceback stands above
                    failed.append(f"{chosen.name}: exit {error.returncode}")
                    continue
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    if given.out:
        given.out.write_text("".join(json.dumps(line) + "\n" for line in found), encoding="utf-8")
    print(*failed, sep="\n")
    return told(found) or int(bool(failed))


def measured(chosen: Combination, work: Path, probe: bool) -> dict[str, Any]:
    """Predicted and measured bytes of one combination, each in a process of its own."""
    settings = settings_of(chosen, work)
    asked = json.dumps([settings, chosen.rows, chosen.length, probe])
    line: dict[str, Any] = {"name": chosen.name}
    for name in ("predicted", "run"):
        done = subprocess.run([sys.executable, "-m", "benchmarks.plan", name, asked], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True)  # fmt: skip
        line |= json.loads(done.stdout.splitlines()[-1])
    return line


def told(lines: list[dict[str, Any]]) -> int:
    """Prints the table; 1 where a promise is missed."""
    table = Table("run", "measured MB", "configuration", "error", "probe", "error")
    worst = {"configuration": 0.0, "probe": 0.0}
    for line in lines:
        cells = [line["name"], f"{line['measured'] / 2**20:,.0f}"]
        for name in worst:
            if name in line:
                error = line[name] / line["measured"] - 1
                worst[name] = max(worst[name], abs(error))
                cells += [f"{line[name] / 2**20:,.0f}", f"{error:+.1%}"]
        table.add_row(*cells)
    console = Console(width=140)
    console.print(table)
    verdicts = [worst["configuration"] <= CONFIGURATION, worst["probe"] <= PROBED]
    for name, limit, kept in zip(worst, (CONFIGURATION, PROBED), verdicts, strict=True):
        console.print(f"{name}: largest error {worst[name]:.1%}, promised {limit:.0%}: {'kept' if kept else 'MISSED'}")
    return int(not all(verdicts))


# --- the runs -------------------------------------------------------------------------------------------------------


def settings_of(chosen: Combination, work: Path) -> dict[str, Any]:
    """A run of three steps with rows of exactly so many tokens."""
    model = model_of(chosen.model, work)
    training = {"batch_size": chosen.rows, "epochs": 1, "precision": "fp32", "micro_batch_size": chosen.rows,
                **dict(chosen.training)}  # fmt: skip
    packed = chosen.task in ("causal_lm", "preference")
    task: dict[str, Any] = {"kind": chosen.task}
    if packed:
        training["micro_batch_tokens"] = chosen.rows * chosen.length * (2 if chosen.task == "preference" else 1)
        task |= {"max_truncated": 1.0, "score_answers": 0}
    train, validation = (
        written(chosen, work / f"{name}.{'conll' if chosen.task == 'token_classification' else 'jsonl'}", count, model)
        for name, count in (("train", 3 * int(training["batch_size"])), ("validation", VALIDATION))
    )
    data = {"train": train, "validation": validation, "max_length": chosen.length, "check_seconds": 0}
    training = {} if chosen.strategy == "feature_extraction" else training  # which is solved for
    return {"model": model, "task": task, "strategy": chosen.strategy, "training": training, "data": data,
            "out": str(work / "run")}  # fmt: skip


def model_of(name: str, work: Path) -> str:
    """An embedded model, or a folder with random weights."""
    if not name.startswith("wide"):
        return name
    folder = work / name
    if not folder.is_dir():
        import transformers

        source = models.locate("minilm" if name == "wide-bert" else "pocket-lm")
        models.load_tokenizer(source).save_pretrained(folder)
        size = {"vocab_size": source.config.vocab_size, "hidden_size": 768, "num_attention_heads": 12}
        if name == "wide-bert":
            transformers.BertModel(transformers.BertConfig(**size)).save_pretrained(folder)
        else:
            config = transformers.LlamaConfig(**size, intermediate_size=2048, num_hidden_layers=8)
            transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def written(chosen: Combination, path: Path, count: int, model: str) -> str:
    """Rows with more words than fit: data.max_length cuts them; a tagger's have exactly as many as fit."""
    drawn, words = random.Random(str(path)), words_of(model)
    size = chosen.length - 2 if chosen.task == "token_classification" else chosen.length + 8
    texts = (drawn.choices(words, k=size) for _ in range(count))
    path.write_text("".join(row_of(chosen.task, text, number) for number, text in enumerate(texts)), encoding="utf-8")
    return str(path)


def words_of(model: str) -> list[str]:
    """Short words that are one token each."""
    vocabulary = models.load_tokenizer(models.locate(model)).get_vocab()
    plain = sorted({word.lstrip("\u0120\u2581") for word in vocabulary})
    return [word for word in plain if word.isascii() and word.isalpha() and word.islower() and 2 <= len(word) <= 6]


def row_of(task: str, words: list[str], number: int) -> str:
    if task == "token_classification":
        lines = (f"{word}\t{'B-name' if place % 9 == 0 else 'O'}\n" for place, word in enumerate(words))
        return "".join(lines) + "\n"
    text, half = " ".join(words), len(words) // 2
    prompt, answer = " ".join(words[:8]), " ".join(words[8:])
    row = {
        "sequence_classification": {"text": text, "label": "ab"[number % 2]},
        "causal_lm": {"prompt": prompt, "completion": answer},
        "preference": {"prompt": prompt, "chosen": answer, "rejected": " ".join(words[half:] + words[8:half])},
    }[task]
    return json.dumps(row) + "\n"


# --- in processes of their own --------------------------------------------------------------------------------------


def run(settings: dict[str, Any], rows: int, length: int, probe: bool) -> dict[str, Any]:
    """Trains; the largest resident size of this process."""
    from tunewright.run import train
    from tunewright.training.memory import most_resident

    train(load(settings, []), overwrite=True)
    return {"measured": most_resident()}


def predicted(settings: dict[str, Any], rows: int, length: int, probe: bool) -> dict[str, Any]:
    """What the planner says of it."""
    from tunewright.planner.memory import predict_memory

    config = load(settings, [])
    source, shape = models.locate(config.model, weights=False), shape_of(config, rows, length)
    task = config.task.model_copy(update=dict(learned(config.task))).settle(source, config.strategy.solves(config.task))
    memory = predict_memory(source, task, config.strategy, shape)
    line: dict[str, Any] = {"configuration": memory.peak, "memory": vars(memory)}
    if probe:
        from tunewright.planner.probe import corrected
        from tunewright.planner.probe import probe as probed

        found = probed(models.locate(config.model), task, config.strategy, shape)
        line |= {"probe": corrected(memory, found).peak, "probe_bytes": found.grown_bytes}
    return line


def learned(task: Any) -> Iterator[tuple[str, Any]]:
    """What the task learns of these rows."""
    if task.kind == "sequence_classification":
        yield "labels", ("a", "b")
    if task.kind == "token_classification":
        yield "labels", ("name",)
        yield "scheme", "IOB2"


def shape_of(config: RunConfig, rows: int, length: int) -> Any:
    from tunewright.planner.shape import Shape
    from tunewright.training.features import BATCH_TOKENS

    training, batch_size = config.training, config.training.batch_size
    solves = batch_size == "auto"
    return Shape(
        max(1, BATCH_TOKENS // length) if solves else rows, length,
        answer=0 if config.task.new_head else length - 12,
        pack_tokens=int(training.micro_batch_tokens or 0) if config.task.packs else None,  # type: ignore[arg-type]
        gradient_checkpointing=training.gradient_checkpointing, precision=training.precision, kernels=training.kernels,
        accumulates=not solves and batch_size != rows, evaluation_length=length, evaluation_rows=VALIDATION,
        words=min(3 * (rows if solves else int(batch_size)) * length, len(words_of(config.model))),
    )  # fmt: skip


if __name__ == "__main__":
    print(json.dumps({"predicted": predicted, "run": run}[sys.argv[1]](*json.loads(sys.argv[2]))))
