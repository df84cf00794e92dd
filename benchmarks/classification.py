"""Contestants that classify texts: sst2, lora, features."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import clock
from .jobs import Job, answer
from .trainers import Parts, by_trainer, by_tunewright, seeded

if TYPE_CHECKING:
    import torch

Measured = dict[str, Any]
MAX_LENGTH = 256  # tokens; the plain recipe pads to it


def read_csv(path: str) -> tuple[list[str], list[str]]:
    """Texts and labels, as a contestant that brings no reader of its own reads them."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return [text for text, _ in rows], [label for _, label in rows]


def names_of(labels: list[str]) -> list[str]:
    return sorted(set(labels))


def score(test: Path, answers: list[str]) -> dict[str, float]:
    labels = read_csv(str(test))[1]
    return {"accuracy": sum(told == label for told, label in zip(answers, labels, strict=True)) / len(labels)}


def lengths(job: Job) -> list[int]:
    """Tokens of each text."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.model)
    return [len(ids) for ids in tokenizer(read_csv(job.train)[0], truncation=True, max_length=MAX_LENGTH)["input_ids"]]


def trainer(job: Job) -> Measured:
    """transformers' Trainer: `padded` to MAX_LENGTH or as long as the batch needs; `frozen` below the head; `lora`."""
    import transformers as hf

    seeded(job)
    padded = job.settings.get("padded", False)
    (texts, labels), (asked, wanted) = read_csv(job.train), read_csv(job.test)
    names = names_of(labels)
    tokenizer = hf.AutoTokenizer.from_pretrained(job.model)
    model = hf.AutoModelForSequenceClassification.from_pretrained(job.model, num_labels=len(names))
    if job.settings.get("frozen"):
        model.base_model.requires_grad_(False)
    if "lora" in job.settings:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", **job.settings["lora"]))
    parts = Parts(
        model=model,
        tokenizer=tokenizer,
        collator=None if padded else hf.DataCollatorWithPadding(tokenizer),
        train=encode(tokenizer, texts, labels, names, padded),
        test=encode(tokenizer, asked, wanted, names, padded),
    )
    logits, measured = by_trainer(job, parts)
    if logits is not None:
        answer(job, [names[place] for place in logits.argmax(-1).tolist()])
    return measured


def encode(tokenizer: Any, texts: list[str], labels: list[str], names: list[str], padded: bool) -> list[dict[str, Any]]:
    """Rows for the Trainer: a plain list is the lightest dataset that it takes."""
    columns = tokenizer(texts, truncation=True, max_length=MAX_LENGTH, padding="max_length" if padded else False)
    return [
        {**{key: values[row] for key, values in columns.items()}, "labels": names.index(label)}
        for row, label in enumerate(labels)
    ]


def by_hand(job: Job) -> Measured:
    """The loop that a good practitioner writes: like lengths together, padded to the longest, bf16 autocast."""
    import torch
    import transformers as hf

    clock.watch()
    torch.manual_seed(job.seed)
    texts, labels = read_csv(job.train)
    names = names_of(labels)
    tokenizer = hf.AutoTokenizer.from_pretrained(job.model)
    model = hf.AutoModelForSequenceClassification.from_pretrained(job.model, num_labels=len(names))
    ids = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    targets = torch.tensor([names.index(label) for label in labels])
    optimizer = torch.optim.AdamW(model.parameters(), lr=job.settings["learning_rate"], weight_decay=0.0, fused=True)
    size = job.settings["batch_size"]
    total = -(-len(ids) // size) * job.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total)
    began = time.perf_counter()
    model.train()
    for _ in range(job.epochs):
        for rows in like_lengths(ids, size):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(**padded_batch(tokenizer, ids, rows), labels=targets[rows]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
    fitted = time.perf_counter() - began
    model.save_pretrained(Path(job.out) / "model")
    tokenizer.save_pretrained(Path(job.out) / "model")
    answer(job, [names[place] for place in answers_by_hand(model, tokenizer, read_csv(job.test)[0])])
    return {"fit_seconds": fitted, "arithmetic": "bf16"}


def like_lengths(ids: list[list[int]], size: int) -> Iterator[list[int]]:
    """Batches of rows: shuffled, sorted within fifty batches, and the batches shuffled again."""
    import torch

    drawn = torch.randperm(len(ids)).tolist()
    pools = [drawn[start : start + 50 * size] for start in range(0, len(drawn), 50 * size)]
    ordered = [row for pool in pools for row in sorted(pool, key=lambda row: len(ids[row]))]
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return (batches[place] for place in torch.randperm(len(batches)).tolist())


def padded_batch(tokenizer: Any, ids: list[list[int]], rows: list[int]) -> dict[str, torch.Tensor]:
    batch: dict[str, torch.Tensor] = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt").data
    return batch


def answers_by_hand(model: Any, tokenizer: Any, texts: list[str], size: int = 64) -> list[int]:
    import torch

    model.eval()
    ids = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    found = [0] * len(ids)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            best = model(**padded_batch(tokenizer, ids, rows)).logits.argmax(-1).tolist()
        for row, place in zip(rows, best, strict=True):
            found[row] = place
    return found


def linear(job: Job) -> Measured:
    """The floor of cost: TF-IDF of words and pairs of them, logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = read_csv(job.train)
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    began = time.perf_counter()
    model.fit(texts, labels)
    fitted = time.perf_counter() - began
    answer(job, model.predict(read_csv(job.test)[0]).tolist())
    return {"fit_seconds": fitted, "arithmetic": "fp64"}


def tunewright(job: Job) -> Measured:
    run, measured = by_tunewright(job)
    lines = (run / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    answer(job, [json.loads(line)["predicted"] for line in lines])
    return measured


def forward_pass(job: Job) -> Measured:
    """The encoder once over all texts of both files, in fp32 and in Tunewright's own batches; nothing else."""
    from tunewright.desk.encoder import PooledEncoder

    encoder = PooledEncoder()
    texts = [(text,) for path in (job.train, job.test) for text in read_csv(path)[0]]
    encoder([("warm up",)] * 64)
    began = time.perf_counter()
    encoder(texts)
    return {"fit_seconds": time.perf_counter() - began, "arithmetic": "fp32"}
