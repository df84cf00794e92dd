"""What an expert writes by hand for each story: the Trainer or TRL, dynamic padding, like lengths together, bf16."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from . import clock
from .generation_contestants import rows_of
from .jobs import Job, answer
from .qa_contestants import Question, candidates, positions, read_questions, windows
from .trainers import Parts, by_trainer, seeded

Measured = dict[str, Any]
MOST_TOKENS = 128  # of a Reddit comment
TRL = {"per_device_train_batch_size": 8, "bf16": True, "gradient_checkpointing": False, "save_strategy": "no"}


# --- emotions ---------------------------------------------------------------------------------------------------------


def read_emotions(path: Path, names: Path) -> list[tuple[str, set[str]]]:
    """Text and labels of each line."""
    known = names.read_text(encoding="utf-8").split()
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(text, {known[int(place)] for place in ids.split(",")}) for text, ids, _ in rows]


def emotions(job: Job) -> Measured:
    """Sigmoid per label; the threshold of each is the one of the best F1 on the validation file."""
    import torch
    import transformers as hf

    seeded(job)
    names_file = Path(job.settings["names"])
    names = names_file.read_text(encoding="utf-8").split()
    paths = (job.train, job.settings["validation"], job.test)
    train, held, test = (read_emotions(Path(path), names_file) for path in paths)
    tokenizer = hf.AutoTokenizer.from_pretrained(job.model)

    def features(rows: list[tuple[str, set[str]]]) -> list[dict[str, Any]]:
        encoded = tokenizer([text for text, _ in rows], truncation=True, max_length=MOST_TOKENS)
        return [
            {
                **{key: values[place] for key, values in encoded.items()},
                "labels": [float(name in labels) for name in names],
            }
            for place, (_, labels) in enumerate(rows)
        ]

    model = hf.AutoModelForSequenceClassification.from_pretrained(
        job.model, num_labels=len(names), problem_type="multi_label_classification"
    )
    collator = hf.DataCollatorWithPadding(tokenizer)
    logits, measured = by_trainer(job, Parts(model, tokenizer, collator, features(train), features(held + test)))
    shares = torch.tensor(logits).float().sigmoid().numpy()
    limits = [best_limit(shares[: len(held), at], [name in told for _, told in held]) for at, name in enumerate(names)]
    answer(job, [[name for name, share, limit in zip(names, row, limits, strict=True) if share >= limit]
                 for row in shares[len(held) :]])  # fmt: skip
    return measured


def best_limit(shares: Any, labels: list[bool]) -> float:
    """As scikit-learn's precision_recall_curve is used for it; 0.5 for a label that the validation file lacks."""
    import numpy as np
    from sklearn.metrics import precision_recall_curve

    if not any(labels):
        return 0.5
    precision, recall, limits = precision_recall_curve(labels, shares)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return float(limits[f1[:-1].argmax()])


# --- questions with no answer -----------------------------------------------------------------------------------------


def questions(job: Job) -> Measured:
    """As transformers' run_qa.py with --version_2_with_negative; its threshold is the best on the validation file."""
    import transformers as hf

    seeded(job)
    train, held, test = (read_questions(Path(path)) for path in (job.train, job.settings["validation"], job.test))
    tokenizer = hf.AutoTokenizer.from_pretrained(job.model)
    asked = held + test
    asked_windows = windows(asked, tokenizer, padded=False)
    parts = Parts(
        model=hf.AutoModelForQuestionAnswering.from_pretrained(job.model),
        tokenizer=tokenizer,
        collator=hf.DataCollatorWithPadding(tokenizer),
        train=[
            {**window["inputs"], **target(window, train[window["question"]])}
            for window in windows(train, tokenizer, padded=False)
        ],
        test=[window["inputs"] for window in asked_windows],
    )
    (starts, ends), measured = by_trainer(job, parts)
    found = best_answers(asked, asked_windows, starts, ends)
    limit = best_odds(found[: len(held)], held)
    answer(job, {one["id"]: "" if odds > limit else text
                 for one, (text, odds) in zip(test, found[len(held) :], strict=True)})  # fmt: skip
    return {**measured, "threshold": limit}


def target(window: dict[str, Any], asked: Question) -> dict[str, int]:
    """Of a question without an answer: the first token."""
    return positions(window, asked) if asked["answers"] else {"start_positions": 0, "end_positions": 0}


def best_answers(asked: list[Question], parts: list[dict[str, Any]], starts: Any, ends: Any) -> list[tuple[str, float]]:
    """The best text of each question, and by how much "no answer" outscores it."""
    best: dict[int, tuple[float, str]] = {}
    null: dict[int, float] = {}
    for window, start, end in zip(parts, starts, ends, strict=True):
        number = window["question"]
        null[number] = min(null.get(number, float("inf")), float(start[0] + end[0]))
        for score, (first, last) in candidates(window["spans"], start, end):
            if number not in best or score > best[number][0]:
                best[number] = score, asked[number]["context"][first:last]
    none = (float("-inf"), "")
    return [(best.get(number, none)[1], null[number] - best.get(number, none)[0]) for number in range(len(asked))]


def best_odds(found: list[tuple[str, float]], held: list[Question]) -> float:
    """The limit above which "no answer" is said that gives the highest mean F1."""
    from .stories_scores import squad2

    told = [(odds, squad2(text, one)[1] - squad2("", one)[1]) for (text, odds), one in zip(found, held, strict=True)]
    gain = best = 0.0
    limit = float("-inf")
    for odds, step in sorted(told):
        gain += step
        if gain > best:
            best, limit = gain, odds
    return limit


# --- instructions, then preferences -----------------------------------------------------------------------------------


def instructions(job: Job) -> Measured:
    """TRL: SFT packed, then DPO of its model with the reference's log-probabilities computed once."""
    import trl
    from datasets import Dataset
    from transformers import AutoTokenizer

    clock.watch()
    tokenizer = AutoTokenizer.from_pretrained(job.model)
    told = {"num_train_epochs": job.epochs, "use_cpu": True, "report_to": "none", "disable_tqdm": True,
            "seed": job.seed, "dataloader_pin_memory": False, **TRL}  # fmt: skip
    sft, dpo = (Path(job.out) / name for name in ("sft", "dpo"))
    rows = Dataset.from_list(rows_of(job))
    arguments = trl.SFTConfig(output_dir=str(sft), learning_rate=job.settings["rates"][0], max_length=512, **told)
    trainer = trl.SFTTrainer(job.model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    first = trainer.train().metrics["train_runtime"]
    trainer.save_model(str(sft))
    pairs = [json.loads(line) for line in Path(job.settings["pairs"]).read_text(encoding="utf-8").splitlines()]
    given = trl.DPOConfig(
        output_dir=str(dpo),
        learning_rate=job.settings["rates"][1],
        max_length=512,
        precompute_ref_log_probs=True,
        **told,
    )
    tuner = trl.DPOTrainer(str(sft), args=given, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)
    second = tuner.train().metrics["train_runtime"]
    tuner.save_model(str(dpo))
    return {"fit_seconds": first + second, "arithmetic": "bf16"}
