"""Directories of runs that never were: what a training leaves behind, made up and small."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

Record = dict[str, Any]

TOPICS = ["account_app", "billing", "damage", "delivery_change", "pickup_return", "tracking"]
MATRIX = [
    [24, 0, 0, 1, 0, 0],
    [1, 21, 0, 0, 2, 1],
    [0, 0, 24, 0, 1, 0],
    [0, 0, 0, 23, 1, 1],
    [0, 1, 1, 0, 22, 1],
    [0, 0, 0, 1, 0, 24],
]
TEXTS = [
    ("why was I billed for the pickup that nobody came for", "billing", "pickup_return", 0.97),
    ("The box came back to us, and the fee came off our account. Which of the two was the mistake?", "billing",
     "pickup_return", 0.88),
    ("It says delivered. To whom? The neighbours on both sides swear that they have nothing.", "tracking",
     "delivery_change", 0.71),
    ("your driver took the return but the label still says waiting", "pickup_return", "tracking", 0.64),
    ("Good evening. I changed the address on Sunday, and on Monday the app showed the old one again, and on Tuesday "
     "the parcel was at the old one. I would like it here before the weekend. Kind regards, Noor", "delivery_change",
     "tracking", 0.58),
]  # fmt: skip


def class_scores(labels: list[str], matrix: list[list[int]]) -> dict[str, Record]:
    """Precision, recall and F1 of every class, None where undefined."""
    scores = {}
    for index, label in enumerate(labels):
        hits, support, given = matrix[index][index], sum(matrix[index]), sum(row[index] for row in matrix)
        f1 = 2 * hits / (support + given) if support + given else None
        precision, recall = hits / given if given else None, hits / support if support else None
        scores[label] = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    return scores


def single_label_scores(labels: list[str], matrix: list[list[int]]) -> Record:
    total = sum(map(sum, matrix))
    accuracy = sum(row[index] for index, row in enumerate(matrix)) / total
    bins = [(0.4, 0.5, 0.47, 0.33, 3), (0.5, 0.6, 0.56, 0.6, 5), (0.6, 0.7, 0.66, 0.5, 8), (0.7, 0.8, 0.76, 0.75, 12),
            (0.8, 0.9, 0.86, 0.9, 31), (0.9, 1.0, 0.97, 0.99, 91)]  # fmt: skip
    names = ("lower", "upper", "confidence", "accuracy", "count")
    macro = {f"{name}_macro": accuracy for name in ("precision", "recall", "f1")}
    micro = {f"{name}_micro": accuracy for name in ("precision", "recall", "f1")}
    return {
        "num_rows": total, "loss": 0.312, "accuracy": accuracy, **macro, **micro, "f1_weighted": accuracy, "mcc": 0.91,
        "per_class": class_scores(labels, matrix), "confusion_matrix": matrix, "calibration_error": 0.031,
        "calibration_bins": [dict(zip(names, values, strict=True)) for values in bins],
    }  # fmt: skip


def multi_label_scores(labels: list[str]) -> Record:
    rows = {
        label: {"precision": 0.8 - 0.05 * i, "recall": 0.7 - 0.04 * i, "f1": 0.74 - 0.045 * i, "support": 40 - 6 * i,
                "average_precision": 0.79 - 0.04 * i, "threshold": 0.5 - 0.03 * i}
        for i, label in enumerate(labels)
    }  # fmt: skip
    bins = [{"lower": i / 10, "upper": (i + 1) / 10, "confidence": i / 10 + 0.05, "accuracy": (i / 10) ** 1.2,
             "count": 300 // (i + 1)} for i in range(10)]  # fmt: skip
    return {"num_rows": 150, "loss": 0.21, "f1_micro": 0.68, "f1_macro": 0.61, "f1_samples": None, "exact_match": 0.52,
            "precision_micro": 0.7, "recall_micro": 0.66, "average_precision_macro": 0.66, "calibration_error": 0.06,
            "per_class": rows, "calibration_bins": bins}  # fmt: skip


def step_history(num_steps: int = 190, evaluate_every: int = 38) -> list[Record]:
    """A loss that falls with noise, two learning rates that rise and fall, evaluations once an epoch."""
    lines: list[Record] = []
    for step in range(2, num_steps + 1, 2):
        noise = 0.28 * math.sin(step * 12.9898) * math.exp(-step / 160)
        rate = 1e-4 * min(step / 19, (num_steps - step) / (num_steps - 19))
        lines.append({
            "step": step, "epoch": step / evaluate_every, "loss": 0.12 + 1.75 * math.exp(-step / 42) + noise * 0.5,
            "learning_rate": {"head": 10 * rate, "blocks": rate},
            "gradient_norm": 1.2 + noise + 2 * math.exp(-step / 20),
            "tokens_per_second": 5100 + 9 * step, "rows_per_second": 230, "memory_mb": 900,
        })  # fmt: skip
        if step % evaluate_every == 0:
            epoch = step // evaluate_every
            accuracy = [0.81, 0.88, 0.91, 0.93, 0.925][epoch - 1]
            scores = {
                "loss": [0.8, 0.49, 0.36, 0.31, 0.33][epoch - 1],
                "accuracy": accuracy,
                "f1_macro": accuracy - 0.008,
            }
            lines.append({"step": step, "epoch": epoch, "validation": scores})
    return lines


def ledger(labels: list[str]) -> Record:
    split = {"source": "/home/ada/inbox/train.csv", "sha256": "ab12" * 16, "rows_in": 600, "rows_kept": 598,
             "dropped": {"empty text": 2}, "truncated": 3, "tokens": 15400,
             "label_counts": {label: 100 - 3 * i for i, label in enumerate(labels)}}  # fmt: skip
    test = {**split, "source": "examples/parcel_desk/test.csv", "rows_in": 150, "rows_kept": 150, "dropped": {},
            "truncated": 0, "tokens": 3900}  # fmt: skip
    validation = {**split, "rows_in": 60, "rows_kept": 60, "dropped": {}}
    return {
        "splits": {"train": split, "validation": validation, "test": test},
        "max_length": 128, "length_percentiles": {"50": 18, "90": 60, "99": 101, "100": 140},
        "duplicates_across_splits": {"train/test": 3},
        "notes": ["validation made from train: 10 %, stratified, seed 0", "text column: message (the longest text)"],
    }  # fmt: skip


def run_files(labels: list[str], matrix: list[list[int]]) -> Record:
    """The content of every file of a run, to be changed by a test before it is written."""
    scores = single_label_scores(labels, matrix)
    return {
        "config": {
            "model": "minilm",
            "data": {"train": "examples/parcel_desk/train.csv", "test": "examples/parcel_desk/test.csv",
                     "text": ["message"], "label": ["topic"], "max_length": 128},
            "task": {"kind": "sequence_classification", "labels": labels, "multi_label": False, "pooling": "mean"},
            "strategy": {"kind": "lora", "r": 8, "alpha": 16},
            "training": {"epochs": 5, "learning_rate": 1e-4, "batch_size": 16, "precision": "bf16", "seed": 0},
            "out": "runs/train-lora",
        },
        "metrics": {
            "validation": {"num_rows": 60, "loss": 0.31, "accuracy": 0.93, "f1_macro": 0.922}, "test": scores,
            "fit_seconds": 31.2, "total_seconds": 40.1, "peak_memory_mb": 1234, "trainable_parameters": 149_766,
            "total_parameters": 22_862_982, "best_step": 152, "best_metric": {"name": "accuracy", "value": 0.93},
            "steps": 190, "stopped": "completed", "seed": 0, "precision": "bf16", "device": "cpu", "model": "minilm",
            "task": "sequence_classification", "strategy": "lora", "model_licence": "apache-2.0",
            "versions": {"tunewright": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2"},
            "command": "tunewright train examples/parcel_desk/train.csv --strategy lora",
            "created": "2026-11-20T20:00:00+00:00",
            "warnings": ["validation loss rises while training loss falls since step 152"],
        },
        "history": step_history(),
        "ledger": ledger(labels),
        "predictions": [
            {"row": 12 + 9 * i, "text": text, "label": true, "predicted": predicted, "probability": probability}
            for i, (text, true, predicted, probability) in enumerate(TEXTS)
        ] + [{"row": 1, "text": "all is well here", "label": "billing", "predicted": "billing", "probability": 0.99}],
    }  # fmt: skip


def write_run(folder: Path, files: Record) -> Path:
    """Writes the files of a run; what is None is not written."""
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    if files["config"] is not None:
        (folder / "run.yaml").write_text(yaml.safe_dump(files["config"], sort_keys=False), encoding="utf-8")
    for name, key in (("metrics.json", "metrics"), ("data.json", "ledger")):
        if files[key] is not None:
            (folder / name).write_text(json.dumps(files[key]), encoding="utf-8")
    if files.get("manifest") is not None:
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "tunewright.json").write_text(json.dumps(files["manifest"]), encoding="utf-8")
    for name, key in (("history.jsonl", "history"), (f"predictions/{files.get('split', 'test')}.jsonl", "predictions")):
        if files[key] is not None:
            (folder / name).write_text("".join(json.dumps(line) + "\n" for line in files[key]), encoding="utf-8")
    return folder


def multi_label_files() -> Record:
    """A run that gives texts any number of tags."""
    tags = ["angry", "business", "international", "repeat_contact", "urgent"]
    files = run_files(tags, [[1] * 5] * 5)
    files["config"]["task"] |= {"multi_label": True, "labels": tags, "pooling": "cls"}
    files["config"]["strategy"] = {"kind": "full"}
    files["metrics"] |= {"test": multi_label_scores(tags), "validation": multi_label_scores(tags), "strategy": "full"}
    files["predictions"] = [
        {"row": 4, "text": "third mail. THIRD.", "label": ["angry", "repeat_contact"], "predicted": ["urgent"],
         "probabilities": {"angry": 0.04, "repeat_contact": 0.4, "urgent": 0.83}},
        {"row": 9, "text": "Forty mugs are packed.", "label": ["business"], "predicted": ["business"],
         "probabilities": {"business": 0.9}},
        {"row": 11, "text": "gift to Iceland", "label": ["international"], "predicted": [],
         "probabilities": {"international": 0.31}},
    ]  # fmt: skip
    return files


def frozen_files() -> Record:
    """A run with a frozen encoder: one evaluation for each regularisation."""
    files = run_files(TOPICS, MATRIX)
    files["config"]["strategy"] = {"kind": "feature_extraction"}
    files["metrics"] |= {"strategy": "feature_extraction", "best_step": 4}
    scores = [0.86, 0.9, 0.925, 0.93, 0.92, 0.88, 0.79]
    files["history"] = [
        {"step": i + 1, "regularisation": 10.0 ** (i - 5), "validation": {"loss": 1.2 - value, "accuracy": value}}
        for i, value in enumerate(scores)
    ]
    return files


def many_class_files(num_classes: int = 77) -> Record:
    """A run with more classes than anybody can label in a picture."""
    labels = [f"intent_{index:03d}" for index in range(num_classes)]
    matrix = [[0] * num_classes for _ in labels]
    for index, row in enumerate(matrix):
        row[index] = 38 - index % 7
        row[(index + 1 + index % 3) % num_classes] += index % 7
    return run_files(labels, matrix)


def span(text: str, part: str, kind: str, confidence: float | None = None) -> Record:
    """A stretch of a text as predictions have it; with a confidence it is predicted, without one labelled."""
    start = text.index(part)
    place: Record = {"start": start, "end": start + len(part), "type": kind}
    return place if confidence is None else {"text": part, **place, "confidence": confidence}


TAGGED = [
    # (text, labelled, predicted): right; wrong borders, twice for one entity; wrong type; invented and missed; both
    ("Noor lives in Brenwick", [("Noor", "person"), ("Brenwick", "town")],
     [("Noor", "person", 0.9), ("Brenwick", "town", 0.8)]),
    ("the depot of Port Saline is shut", [("Port Saline", "town")], [("Port", "town", 0.71), ("Saline", "town", 0.4)]),
    ("Kirkholm called again", [("Kirkholm", "person")], [("Kirkholm", "town", 0.97)]),
    ("Monday is late for Ada", [("Ada", "person")], [("Monday", "person", 0.85)]),
    ("old Mr Lark of Larkpost", [("Mr Lark", "person")], [("Lark of Larkpost", "town", 0.5)]),
    ("nothing to see here", [], []),
    ("ask Jun or Mika in Oslo", [("Jun", "person"), ("Mika", "person"), ("Oslo", "town")], []),
    ("Ada again", [("Ada", "person")], []),
]  # fmt: skip


def entity_files() -> Record:
    """A run that marks people and towns."""
    files = run_files(["person", "town"], [[1, 0], [0, 1]])
    files["config"]["task"] = {"kind": "token_classification", "labels": ["person", "town"], "scheme": "IOB2"}
    files["config"]["strategy"] = {"kind": "layerwise_decay", "decay": 0.8}
    files["predictions"] = [
        {"row": 3 + i, "text": text, "label": [span(text, *item) for item in gold],
         "predicted": [span(text, *item) for item in said]}
        for i, (text, gold, said) in enumerate(TAGGED)
    ]  # fmt: skip
    scores = {
        "precision": 2 / 7, "recall": 0.2, "f1": 4 / 17, "f1_macro": 0.24, "f1_weighted": 0.23, "num_entities": 10,
        "accuracy": 0.81, "loss": 0.4, "num_rows": 8, "num_words": 32,
        "per_type": {"person": {"precision": 0.5, "recall": 1 / 7, "f1": 0.222, "support": 7},
                     "town": {"precision": 0.25, "recall": 1 / 3, "f1": 0.286, "support": 3}},
    }  # fmt: skip
    files["metrics"] |= {"test": scores, "validation": scores, "task": "token_classification",
                         "strategy": "layerwise_decay", "best_metric": {"name": "f1", "value": 0.71}}  # fmt: skip
    for line in files["history"]:
        if "validation" in line:
            line["validation"] = {"loss": 0.3, "precision": 0.7, "recall": 0.72, "f1": 0.71, "accuracy": 0.95,
                                  "f1_macro": 0.6, "num_rows": 60, "num_words": 900, "num_entities": 80}  # fmt: skip
    files["ledger"]["splits"]["train"] |= {"label_counts": {"person": 70, "town": 30}, "windows": 610,
                                           "faults": {"words that the tokenizer drops": 4}, "truncated": 0}  # fmt: skip
    return files


def tag_files() -> Record:
    """A run that gives every word a tag."""
    files = entity_files()
    files["config"]["task"] |= {"scheme": "plain", "labels": ["DET", "NOUN", "VERB"]}
    text, gold = "the dogs bark", [("the", "DET"), ("dogs", "NOUN"), ("bark", "VERB")]
    wrong = [("the", "DET", 0.99), ("dogs", "NOUN", 0.9), ("bark", "NOUN", 0.77)]
    right = [("the", "DET", 0.99), ("dogs", "NOUN", 0.9), ("bark", "VERB", 0.6)]
    files["predictions"] = [
        {"row": i, "scheme": "plain", "text": text, "label": [span(text, *item) for item in gold],
         "predicted": [span(text, *item) for item in (wrong if i % 4 == 0 else right)]}
        for i in range(40)
    ]  # fmt: skip
    each = {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 40}
    files["metrics"]["test"] = {"accuracy": 110 / 120, "loss": 0.3, "num_rows": 40, "num_words": 120, "f1_macro": 0.9,
                                "per_type": {"DET": each, "NOUN": each, "VERB": {**each, "f1": 0.7}}}  # fmt: skip
    return files


CONTEXT = (
    "A parcel on its way can be sent elsewhere until 5:40 in the morning. Moving the day is free, a different address "
    "costs 3.20 euros within the same town and 6.80 euros elsewhere in the country. " + "We say it as it is. " * 20
    + "Each parcel can be redirected twice."
)  # fmt: skip
ASKED = [
    ("Until when?", ["5:40 in the morning", "5:40"], "5:40", 0.9),
    ("How much within town?", ["3.20 euros"], "a different address", 0.8),
    ("How often | really?", ["twice"], "redirected twice", 0.6),
    ("How much is it to the moon?", [], "3.20 euros", 0.7),
    ("How much elsewhere?", ["6.80 euros"], None, 0.95),
    ("Is there tea?", [], None, 0.5),
]


def answer_files() -> Record:
    """A run that answers questions, or says that there is no answer."""
    files = run_files(TOPICS, MATRIX)
    files["config"]["task"] = {"kind": "question_answering", "no_answer": True, "null_threshold": None}
    files["config"]["data"] |= {"text": ["question", "context"], "label": ["answers"]}
    files["config"]["strategy"] = {"kind": "full"}
    files["manifest"] = {"form": "full", "base": "/home/ada/base",
                         "task": {**files["config"]["task"], "null_threshold": -1.25}}  # fmt: skip
    files["predictions"] = [
        {"row": i + 1, "id": f"LQ-{i}", "text": f"{question} | {CONTEXT}", "label": golds, "predicted": said,
         "confidence": sure}
        for i, (question, golds, said, sure) in enumerate(ASKED)
    ]  # fmt: skip
    scores = {
        "exact_match": 2 / 6, "f1": 0.444, "num_rows": 6, "has_answer_exact_match": 0.25, "has_answer_f1": 0.417,
        "num_has_answer": 4, "no_answer_exact_match": 0.5, "no_answer_f1": 0.5, "num_no_answer": 2,
    }  # fmt: skip
    files["metrics"] |= {"test": scores, "validation": scores, "task": "question_answering", "strategy": "full"}
    for line in files["history"]:
        if "validation" in line:
            line["validation"] = {"exact_match": 0.3, "f1": 0.4, "num_rows": 6, "num_no_answer": 2}
    files["ledger"]["splits"]["train"]["label_counts"] = {"has answer": 80, "no answer": 20}
    return files
