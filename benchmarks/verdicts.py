"""Are the intervals and the verdicts of a comparison right? Made-up predictions whose true scores are known.

A row is hard or easy for all contestants alike, for one of them, and for one of its seeds; who finds a row too hard is
wrong. Each seed draws its own true accuracy around its contestant's. Everything repeats by fixed seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.evidence.intervals import interval, resampled, variance
from tunewright.evidence.verdict import judged
from tunewright.metrics.rows import Scorer, by_class, by_mean

Floats = NDArray[np.float64]
ROWS, ACCURACIES = (50, 200, 1000), (0.6, 0.9, 0.97)
SHARED = (0.6, 0.15, 0.25)  # of a row's difficulty: for all, for a contestant, for a seed
CLASSES = (0.5, 0.3, 0.2)
RARE = (0.5, 0.25, 0.15, 0.07, 0.03)  # where 50 rows hold one or two of the last class


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks verdicts", description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000, help="comparisons or test sets for each number")
    parser.add_argument("--only", choices=("coverage", "equal", "power"))
    parser.add_argument("--json", type=Path, default=None, help="where the numbers go, too")
    chosen = parser.parse_args(arguments)
    found = []
    for line in cases(chosen.only):
        found.append(line | {"percent": round(100 * measured(line, chosen.repeats), 1)})
        print(json.dumps(found[-1]), flush=True)
        print(".", end="", file=sys.stderr, flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def cases(only: str | None = None) -> list[dict[str, Any]]:
    """What is simulated; `what` decides which of the numbers it gives."""
    coverage = [{"what": "coverage", "score": "accuracy", "accuracy": one, "seeds": seeds, "rows": rows}
                for seeds in (1, 3) for one in ACCURACIES for rows in ROWS]  # fmt: skip
    others = [{"what": "coverage", "score": score, "rows": rows}
              for score in ("macro-F1", "macro-F1, a rare class", "loss") for rows in ROWS]  # fmt: skip
    noises = (0.0, 0.01)
    equal = [{"what": "equal", "contestants": count, "seeds": seeds, "rows": rows, "accuracy": 0.9, "noise": noise}
             for count in (2, 4, 8) for seeds in (1, 3, 5) for rows in (200, 1000) for noise in noises]  # fmt: skip
    power = [{"what": "power", "contestants": count, "seeds": seeds, "rows": rows, "accuracy": 0.9, "noise": 0.005,
              "better": better}
             for better in (0.02, 0.04) for count in (2, 4) for seeds in (1, 3, 5) for rows in (200, 1000)]  # fmt: skip
    every: list[dict[str, Any]] = [*coverage, *others, *equal, *power]
    return [case for case in every if only in (None, case["what"])]


def measured(case: dict[str, Any], repeats: int, seed: int = 0) -> float:
    """The share of intervals that hold the truth, or of comparisons that find a difference."""
    generator = np.random.default_rng([seed, *json.dumps(case).encode()])
    if case.get("score") == "accuracy" and case["seeds"] == 1:
        return exactly(case["rows"], case["accuracy"])
    if case["what"] == "coverage":
        truth = true_score(case)
        return float(np.mean([holds(made_up(case, generator), truth) for _ in range(repeats)]))
    return float(np.mean([finds(case, generator, one) for one in range(repeats)]))


# --- intervals --------------------------------------------------------------------------------------------------------


def made_up(case: dict[str, Any], generator: np.random.Generator) -> list[Scorer]:
    """One test set and what is predicted for it, by each seed."""
    rows, score = case["rows"], case["score"]
    if score == "accuracy":
        truth = np.full((1, case["seeds"]), case["accuracy"])
        return [by_mean({"score": one}) for one in answers(truth, rows, generator)[0]]
    if score == "loss":  # long and short answers; the losses of tokens are log-normal
        weights = generator.geometric(0.02, rows)
        return [by_mean({"score": generator.lognormal(0.5, 0.6, rows)}, weights, shares=False)]
    kinds, there = RARE if "rare" in score else CLASSES, []
    there = generator.choice(len(kinds), rows, p=kinds)
    other = (there + generator.integers(1, len(kinds), rows)) % len(kinds)
    said = np.where(generator.random(rows) < 0.9, there, other)
    return [by_class([({(a,)}, {(b,)}) for a, b in zip(there, said, strict=True)], {"score": "f1_macro"})]


def exactly(rows: int, accuracy: float) -> float:
    """The coverage of one seed's accuracy, which the binomial distribution gives without drawing."""
    from scipy.stats import binom

    chances = binom.pmf(np.arange(rows + 1), rows, accuracy)
    likely = np.flatnonzero(chances > 1e-6)
    held = [holds([by_mean({"score": np.arange(rows) < right})], accuracy) for right in likely]
    return float(chances[likely][held].sum())


def true_score(case: dict[str, Any]) -> float:
    if case["score"] == "accuracy":
        return float(case["accuracy"])
    large = made_up(case | {"rows": 400_000}, np.random.default_rng(0))[0]
    return float(np.exp(0.5 + 0.6**2 / 2)) if case["score"] == "loss" else float(large(np.ones(400_000))["score"])


def holds(scorers: list[Scorer], truth: float) -> bool:
    """Whether the interval of one simulated score holds its truth."""
    rows = scorers[0].table.shape[0]
    value = float(np.mean([one(np.ones(rows))["score"] for one in scorers]))
    drawn = np.mean([one["score"] for one in resampled(scorers, 0)], axis=0)
    low, high = interval(value, variance(drawn), rows, scorers[0].shares)
    return low is not None and high is not None and low <= truth <= high


# --- verdicts ---------------------------------------------------------------------------------------------------------


def answers(accuracies: Floats, rows: int, generator: np.random.Generator) -> Floats:
    """(k, S, N) whether each row is answered rightly, from (k, S) true accuracies; hard rows are hard for all."""
    from scipy.special import ndtri

    contestants, seeds = accuracies.shape
    shapes = ((rows,), (contestants, 1, rows), (contestants, seeds, rows))
    parts = [np.sqrt(share) * generator.standard_normal(shape) for share, shape in zip(SHARED, shapes, strict=True)]
    return np.asarray(parts[0] + parts[1] + parts[2] < ndtri(accuracies)[:, :, None], dtype=np.float64)


def finds(case: dict[str, Any], generator: np.random.Generator, seed: int) -> bool:
    """Whether one simulated comparison calls anyone detectably worse than the best."""
    size = (case["contestants"], case["seeds"])
    accuracies = case["accuracy"] + case["noise"] * generator.standard_normal(size)
    accuracies[0] += case.get("better", 0.0)
    right = answers(np.clip(accuracies, 0.01, 0.995), case["rows"], generator)
    scorers = {f"c{place}": [by_mean({"accuracy": one}) for one in each] for place, each in enumerate(right)}
    found, _ = judged(scorers, "accuracy", True, {}, seed)
    return any(one["versus_best"]["detectable"] for one in found.values() if one["versus_best"])
