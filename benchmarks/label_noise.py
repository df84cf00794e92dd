"""Labels flipped on purpose: how many are suspected, and does correcting or dropping the suspects help training?

A share of the labels of 4,096 rows of banking77 and 8,192 of SST-2 becomes another class, drawn by a seed; the test
set stays clean. `noisy` trains on that, `corrected` gives every suspect the label that is expected, `filtered` drops
the suspects. A tenth of the rows is the validation set; it is as noisy as the rest and is treated alike. Every seed
draws other flips.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

from . import data as locations
from .data import Row, read_glue, write_csv

SHARES = (0.1, 0.2, 0.05, 0.0)
SIZES = {"banking77": 4096, "sst2": 8192}  # rows of the training set
ARMS = ("noisy", "corrected", "filtered")
FULL: dict[str, Any] = {"rows": 2048, "epochs": 3, "shares": (0.1, 0.2)}  # where all weights are trained, on SST-2


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks label_noise", description=__doc__)
    parser.add_argument("--data", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--shares", nargs="*", type=float, default=SHARES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=None, help="of the training set, drawn by a fixed seed")
    parser.add_argument("--suspects-only", action="store_true", help="trains nothing")
    parser.add_argument("--full", action="store_true", help="trains all weights on 2,048 rows of SST-2")
    parser.add_argument("--json", type=Path, default=None, help="written anew after each seed")
    chosen = parser.parse_args(arguments)
    if chosen.full:
        chosen.data, chosen.rows, chosen.shares = ["sst2"], FULL["rows"], FULL["shares"]
    lines: list[dict[str, Any]] = []
    sets = {name: read(name, chosen.rows or SIZES[name]) for name in chosen.data}
    for share in chosen.shares:
        for name, (rows, test) in sets.items():
            for seed in range(chosen.seeds if share else 1):
                line = {"data": name, "rows": len(rows), "flipped": share, "seed": seed}
                lines.append(line | measured(rows, test, share, seed, chosen))
                print(json.dumps(lines[-1]), flush=True)
                if chosen.json:
                    chosen.json.write_text(json.dumps(lines, indent=1), encoding="utf-8")
    print(table(lines))
    return 0


def read(name: str, count: int) -> tuple[list[Row], list[Row]]:
    """Training and test rows."""
    if name == "sst2":
        folder = locations.folder("sst2_glue")
        rows, test = read_glue(folder / "train.tsv"), read_glue(folder / "dev.tsv")
    else:
        folder = locations.folder("banking77")
        rows, test = (read_banking(folder / "train.csv"), read_banking(folder / "test.csv"))
    return random.Random(0).sample(rows, min(count, len(rows))), test


def read_banking(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def measured(rows: list[Row], test: list[Row], share: float, seed: int, chosen: Any) -> dict[str, Any]:
    noisy, wrong = flip(rows, share, seed)
    expected, ranking, found = suspects(noisy, seed)
    hits, k = len(wrong.intersection(expected)), len(wrong)
    found |= {
        "suspects": len(expected),
        "precision": hits / len(expected) if expected else None,
        "recall": hits / k if k else None,
        "precision_at_k": len(wrong.intersection(ranking[:k])) / k if k else None,
        "expected_right": sum(expected[place] == rows[place][1] for place in wrong if place in expected) / max(hits, 1),
    }
    if not chosen.suspects_only:
        corrected = [(text, expected.get(place, label)) for place, (text, label) in enumerate(noisy)]
        kept = [None if place in expected else row for place, row in enumerate(noisy)]
        for arm, data in zip(ARMS, (noisy, corrected, kept), strict=True):
            found[arm] = accuracy(data, test, seed, chosen.full)
    return found


def flip(rows: list[Row], share: float, seed: int) -> tuple[list[Row], set[int]]:
    """The rows with a share of their labels changed to another class, uniformly; and the places of those."""
    generator = random.Random(seed)
    names = sorted({label for _, label in rows})
    wrong = set(generator.sample(range(len(rows)), round(share * len(rows))))
    other = lambda label: generator.choice([name for name in names if name != label])  # noqa: E731
    return [(text, other(label) if place in wrong else label) for place, (text, label) in enumerate(rows)], wrong


def suspects(rows: list[Row], seed: int) -> tuple[dict[int, str], list[int], dict[str, Any]]:
    """As the check judges: the expected label by place, all places ranked, and the estimated share."""
    import numpy as np

    from tunewright.data import probe
    from tunewright.data.checks import label_noise
    from tunewright.desk.encoder import PooledEncoder

    texts, names = [(text,) for text, _ in rows], sorted({label for _, label in rows})
    targets = np.array([names.index(label) for _, label in rows])
    seen = [probe.word_features(texts)[0], PooledEncoder()(texts)]
    judged = probe.consensus(seen, targets, len(names), seed=seed)
    share, places = label_noise.suspected(judged, targets)
    likely = label_noise.others(judged, targets).argmax(1)
    expected = {int(place): names[likely[place]] for place in places}
    return expected, label_noise.ranking(judged, targets).tolist(), {"estimated": share}


def accuracy(rows: list[Row | None], test: list[Row], seed: int, full: bool) -> float:
    """On the clean test set, of a run through the public interface."""
    import tunewright

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train = [row for place, row in enumerate(rows) if place % 10 and row]
        validation = [row for place, row in enumerate(rows) if place % 10 == 0 and row]
        parts = {"train": train, "validation": validation, "test": test}
        data: dict[str, Any] = {part: str(write_csv(folder / f"{part}.csv", lines)) for part, lines in parts.items()}
        data["check_seconds"] = 0
        training = {"seed": seed} | ({"epochs": FULL["epochs"], "learning_rate": 1e-4} if full else {})
        strategy = "full" if full else "feature_extraction"
        result = tunewright.train(
            data=data, strategy=strategy, training=training, out=str(folder / "run"), progress=False
        )
        return float(result.metrics["test"]["accuracy"])


def table(lines: list[dict[str, Any]]) -> str:
    """Means over the seeds, and of the accuracies the least and the largest."""
    columns = ("estimated", "suspects", "precision", "recall", "precision_at_k", "expected_right", *ARMS)
    shown = ["| data | flipped | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for key in sorted({(line["data"], line["flipped"]) for line in lines}):
        group = [line for line in lines if (line["data"], line["flipped"]) == key]
        cells = [cell([line[column] for line in group if line.get(column) is not None], column) for column in columns]
        shown.append(f"| {key[0]} | {key[1]:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(shown)


def cell(values: list[float], column: str) -> str:
    if not values:
        return "-"
    if column == "suspects":
        return f"{statistics.mean(values):,.0f}"
    spread = f" ({min(values):.3f}-{max(values):.3f})" if column in ARMS and len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"
