"""Directories of comparisons that never were: predictions drawn with known accuracies, made up and small."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Record = dict[str, Any]

TOPICS = ["account_app", "billing", "damage", "delivery_change", "pickup_return", "tracking"]
# name, accuracy, seconds of fitting, MB at the peak, trainable parameters, bytes, milliseconds a row
USUAL = [
    ("full", 0.94, 95.0, 1900, 22_800_000, 91_000_000, 9.1),
    ("lora.r=4", 0.935, 61.0, 1250, 78_000, 330_000, 9.6),
    ("lora.r=16", 0.93, 63.0, 1260, 300_000, 1_250_000, 9.7),
    ("feature_extraction", 0.88, 4.2, 800, 2_300, 12_000, 8.8),
    ("tfidf", 0.84, 0.6, 300, 41_000, 330_000, 0.21),
    ("majority", 0.19, 0.0, 220, 0, 180, 0.002),
]
TEXT = "where is my parcel it should have come on monday the driver billed me twice for a pickup and the app is slow"
WORDS = TEXT.split()
FLOORS = ("tfidf", "majority")


def text_of(generator: Any, number: int) -> str:
    return " ".join(generator.choice(WORDS, size=int(generator.integers(4, 18)))) + f" {number}"


def single_label(generator: Any, golds: list[Any], accuracy: float, floor: str, labels: list[str]) -> list[Record]:
    lines = []
    for row, gold in enumerate(golds, 1):
        hard = 0.35 if row % 9 == 0 else 0.0
        right = generator.random() < accuracy - hard
        said = labels[0] if floor == "majority" else gold if right else labels[(labels.index(gold) + 1) % len(labels)]
        if not right and floor != "majority" and generator.random() < 0.4:
            said = str(generator.choice(labels))
        lines.append({"label": gold, "predicted": said, "probability": 0.8})
    return lines


def multi_label(generator: Any, golds: list[Any], accuracy: float, floor: str, labels: list[str]) -> list[Record]:
    return [
        {"label": gold, "predicted": gold if generator.random() < accuracy else sorted(generator.choice(labels, 2)),
         "probabilities": dict.fromkeys(labels, 0.5)}
        for gold in golds
    ]  # fmt: skip


def tagging(generator: Any, golds: list[Any], accuracy: float, floor: str, labels: list[str]) -> list[Record]:
    lines = []
    for gold in golds:
        kept = [{**item, "confidence": 0.9} for item in gold if generator.random() < accuracy]
        said = [
            {**item, "type": str(generator.choice(labels))} if generator.random() > accuracy else item for item in kept
        ]
        lines.append({"label": gold, "predicted": [] if floor == "majority" else said})
    return lines


def answering(generator: Any, golds: list[Any], accuracy: float, floor: str, labels: list[str]) -> list[Record]:
    def said(gold: list[str]) -> str | None:
        return (gold[0] if gold else None) if generator.random() < accuracy else str(generator.choice(WORDS))

    return [
        {"label": gold, "predicted": None if floor == "majority" else said(gold), "start": 0, "confidence": 0.7}
        for gold in golds
    ]


def writing(generator: Any, golds: list[Any], accuracy: float, floor: str, labels: list[str]) -> list[Record]:
    return [
        {"label": gold, "predicted": gold if generator.random() < accuracy / 2 else "I do not know.", "finished": True,
         "loss": float(1 + 4 * (1 - accuracy) + generator.random())}
        for gold in golds
    ]  # fmt: skip


def ranking(generator: Any, golds: list[Any], accuracy: float, floor: str, labels: list[str]) -> list[Record]:
    return [
        {"label": gold, "rejected": "no", "predicted": None, "loss": 0.3 if generator.random() < accuracy else 1.1}
        for gold in golds
    ]


# task: (how its predictions are drawn, metric, whether higher is better)
TASKS: dict[str, tuple[Callable[..., list[Record]], str, bool]] = {
    "sequence_classification": (single_label, "accuracy", True),
    "multi_label": (multi_label, "f1_macro", True),
    "token_classification": (tagging, "f1", True),
    "question_answering": (answering, "f1", True),
    "causal_lm": (writing, "loss", False),
    "preference": (ranking, "loss", False),
}


def gold_rows(task: str, generator: Any, num_rows: int, labels: list[str]) -> list[tuple[str, Any]]:
    """(text, label) of every row."""
    texts = [text_of(generator, row) for row in range(num_rows)]
    if task == "sequence_classification":
        return [(text, str(generator.choice(labels))) for text in texts]
    if task == "multi_label":
        chosen = [sorted(set(generator.choice(labels, size=int(generator.integers(1, 4))))) for _ in texts]
        return list(zip(texts, [[str(name) for name in names] for names in chosen], strict=True))
    if task == "token_classification":
        return [(text, [{"start": 0, "end": text.index(" "), "type": labels[row % len(labels)]}])
                for row, text in enumerate(texts)]  # fmt: skip
    if task == "question_answering":
        return [
            (f"what of {row}? | {text}", [] if row % 5 == 0 else [text.split()[1]]) for row, text in enumerate(texts)
        ]
    return [(text, f"It will come on day {row}.") for row, text in enumerate(texts)]


def rights(task: str, lines: Sequence[Record]) -> Any:
    """(rows,) how good each row is by the task's metric."""
    if task in ("causal_lm", "preference"):
        return np.array([line["loss"] for line in lines])
    if task == "token_classification":
        keys = [{(item["start"], item["type"]) for item in line["label"]} for line in lines]
        said = [{(item["start"], item["type"]) for item in line["predicted"]} for line in lines]
        return np.array([float(one == other) for one, other in zip(keys, said, strict=True)])
    if task == "question_answering":
        return np.array([float((line["predicted"] or "") == (line["label"] or [""])[0]) for line in lines])
    return np.array([float(line["predicted"] == line["label"]) for line in lines])


def per_class(task: str, lines: Sequence[Record], good: Any, labels: list[str]) -> Record:
    """Some score of each class: here the share of its rows that are right."""
    found = {}
    for name in labels:
        of = [place for place, line in enumerate(lines) if name in str(line["label"])]
        value = float(np.mean(good[of])) if of else None
        found[name] = {"precision": value, "recall": value, "f1": value, "support": len(of)}
    key = {"token_classification": "per_type", "sequence_classification": "per_class", "multi_label": "per_class"}.get(
        task
    )
    return {key: found} if key else {}


def write_comparison(
    path: Path, task: str = "sequence_classification", contestants: Sequence[tuple[Any, ...]] = tuple(USUAL), *,
    num_rows: int = 400, labels: Sequence[str] = tuple(TOPICS), seeds: Sequence[int] = (0, 1, 2), complete: bool = True,
    unfinished: dict[str, tuple[str, str]] | None = None, change: Callable[[Record], None] | None = None,
    texts: dict[int, str] | None = None,
) -> Path:  # fmt: skip
    """Writes a whole directory.

    unfinished: status and reason of all runs of a contestant; change: the record before it is written; texts: of rows.
    """
    generator, names = np.random.default_rng(7), list(labels)
    rows = gold_rows(task, generator, num_rows, names)
    rows = [((texts or {}).get(row, text), gold) for row, (text, gold) in enumerate(rows, 1)]
    items = [_contestant(path, task, item, rows, names, list(seeds), generator, (unfinished or {}).get(item[0]))
             for item in contestants]  # fmt: skip
    _, metric, higher = TASKS[task]
    sign = 1 if higher else -1
    items.sort(key=lambda item: -sign * item["score"]["value"] if item["score"] else math.inf)
    _compare_with_best(items)
    record = {
        "format": 1, "task": "sequence_classification" if task == "multi_label" else task,
        "metric": {"name": metric, "higher_is_better": higher}, "split": "test", "rows": num_rows, "level": 0.95,
        "resamples": 2000, "seeds": list(seeds), "budget_seconds": 1200, "seconds": 731.5, "complete": complete,
        "data": {"train": "/home/ada/inbox/train.csv", "rows": {"train": 900, "validation": 100, "test": num_rows}},
        "contestants": items, "verdict": _verdict(items) if complete else None,
        "command": "tunewright compare /home/ada/inbox/train.csv --strategies full --hub-token hf_abcdefghijklmnop",
        "created": "2026-11-21T20:00:00+00:00", "versions": {"tunewright": "0.1.0", "torch": "2.13.0"},
    }  # fmt: skip
    if change:
        change(record)
    path.mkdir(parents=True, exist_ok=True)
    (path / "comparison.json").write_text(json.dumps(record), encoding="utf-8")
    return path


def _contestant(
    path: Path, task: str, item: tuple[Any, ...], rows: list[tuple[str, Any]], labels: list[str], seeds: list[int],
    generator: Any, fate: tuple[str, str] | None,
) -> Record:  # fmt: skip
    name, accuracy, fit, megabytes, trained, size, milliseconds = item
    floor, draw, metric = name in FLOORS, *TASKS[task][:2]
    runs, goods = [], []
    for seed in seeds[:1] if floor else seeds:
        status, reason = fate or ("finished", None)
        lines = draw(generator, [gold for _, gold in rows], accuracy, name if floor else "", labels)
        good = rights(task, lines)
        value = float(good.mean())
        run = {"path": f"{name}/seed-{seed}", "seed": seed, "status": status, "reason": reason,
               "scores": {metric: value} if status == "finished" else {}, "validation": {metric: value},
               "fit_seconds": fit, "total_seconds": fit + 3, "peak_memory_mb": megabytes,
               "steps": 90 if status == "finished" else 30, "planned_steps": 90}  # fmt: skip
        if task == "question_answering":
            run["scores"] |= {"has_answer_f1": value - 0.02, "no_answer_f1": value + 0.05}
        if status != "waiting":
            _write_run(path / run["path"], run, task, metric, value, None if floor else accuracy,
                       [{"row": row, "text": text, **line} for row, ((text, _), line) in
                        enumerate(zip(rows, lines, strict=True), 1)], per_class(task, lines, good, labels))  # fmt: skip
        if status == "finished":
            goods.append(good)
        runs.append(run)
    return {
        "name": name, "kind": "floor" if floor else "run", "strategy": name.partition(".")[0], "model": "minilm",
        "data": "as given", "settings": [f"strategy.{name.partition('.')[2]}"] if "." in name else [], "runs": runs,
        "score": _score(goods) if goods else None, "versus_best": None, "trainable_parameters": trained,
        "total_parameters": 22_800_000, "fit_seconds": fit, "peak_memory_mb": megabytes, "artefact_bytes": size,
        "milliseconds_per_row": {"alone": milliseconds, "in_batches": milliseconds / 4}, "notes": [], "rights": goods,
    }  # fmt: skip


def _score(goods: list[Any]) -> Record:
    values = [float(good.mean()) for good in goods]
    reach = 1.96 * float(np.std(goods[0]) or 0.01) / math.sqrt(len(goods[0]))
    value = float(np.mean(values))
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"value": value, "low": value - reach, "high": value + reach, "seed_deviation": spread}


def _write_run(
    run: Path, record: Record, task: str, metric: str, value: float, accuracy: float | None, lines: list[Record],
    classes: Record,
) -> None:  # fmt: skip
    """As a training leaves it; a floor has no course."""
    (run / "predictions").mkdir(parents=True, exist_ok=True)
    kind = "sequence_classification" if task == "multi_label" else task
    (run / "run.yaml").write_text(yaml.safe_dump({"model": "minilm", "task": {"kind": kind}}), encoding="utf-8")
    metrics = {"task": kind, "test": {metric: value, **classes}, "validation": {metric: value}}
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (run / "predictions/test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    steps = [] if accuracy is None or run.parent.name == "feature_extraction" else range(10, record["steps"] + 1, 10)
    fall = lambda step: math.exp(-step / 22)  # noqa: E731
    scores = [value * (1 - 0.7 * fall(step)) if metric != "loss" else value + 2 * fall(step) for step in steps]
    history = [{"step": step, "validation": {metric: score}} for step, score in zip(steps, scores, strict=True)]
    if run.parent.name == "feature_extraction":
        history = [{"step": 1, "regularisation": 0.1, "validation": {metric: value}}]
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history), encoding="utf-8")


def _compare_with_best(items: list[Record]) -> None:
    """A normal approximation, as good as a made-up comparison needs it."""
    first = items[0].pop("rights") if items else []
    for item in items[1:]:
        goods = item.pop("rights")
        if not goods:
            continue
        each = goods[0] - first[0]
        error = float(np.std(each) or 0.01) / math.sqrt(len(each))
        difference = item["score"]["value"] - items[0]["score"]["value"]
        p = math.erfc(abs(difference) / error / math.sqrt(2))
        found = min(1.0, p * (len(items) - 1)) < 0.05
        item["versus_best"] = {
            "difference": difference, "low": difference - 1.96 * error, "high": difference + 1.96 * error, "p": p,
            "p_corrected": min(1.0, p * (len(items) - 1)), "test": "paired bootstrap", "detectable": found,
            "rows_needed": None if found else 5200, "seeds_needed": None if found else 9,
        }  # fmt: skip


def _verdict(items: list[Record]) -> Record | None:
    scored = [item for item in items if item["score"]]
    if not scored:
        return None
    equals = [item for item in scored if not (item["versus_best"] or {}).get("detectable")]
    winner = min(equals, key=lambda item: item["fit_seconds"])
    sentence = f"{winner['name']} is better than all others: its difference to the next is beyond chance."
    if len(equals) > 1:
        names = " and ".join(item["name"] for item in equals)
        sentence = f"No detectable difference between {names}; {winner['name']} is the cheapest."
    return {
        "best": scored[0]["name"], "winner": winner["name"], "path": winner["runs"][0]["path"],
        "detectable": len(equals) == 1, "equals": [item["name"] for item in equals], "sentence": sentence,
        "advice": ["About 5,200 test rows would tell them apart.", f"Use {winner['name']}: it costs least."],
    }  # fmt: skip


def many(number: int) -> list[tuple[Any, ...]]:
    """So many contestants with long names, and the two floors."""
    runs = [
        (f"some-organisation-model-{place // 4}~lora.r={2 ** (place % 4)},target_modules=all@augmented",
         0.95 - 0.004 * place, 30.0 * 1.13**place, 900 + 20 * place, 10_000 * place, 50_000 + 10 * place, 3 + place / 3)
        for place in range(number)
    ]  # fmt: skip
    return [*runs, *USUAL[-2:]]
