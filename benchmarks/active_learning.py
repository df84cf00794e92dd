"""Active learning: the accuracy of the linear probe as labels are asked for, each strategy against random choice."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from tunewright.component import members
from tunewright.data.acquisition.base import Acquisition
from tunewright.desk.encoder import PooledEncoder
from tunewright.desk.labelling import Judge, ProbeJudge, Source, open_source, pick, situate
from tunewright.desk.labelling_curve import Ints, Rows, encoded

from .data import folder, prepare
from .machine import machine, positive

KINDS = ("random", "mix", "margin", "entropy", "bald", "kmeans", "core_set")
STRENGTHS = {"banking77": 0.003, "sst2": 0.03}  # of the probe: what it chooses itself at 2,000 random rows
SHOWN = (100, 200, 500, 1000, 1500, 2000)  # sizes in the table

Curve = list[tuple[int, float]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks active_learning", description=__doc__)
    parser.add_argument("--data", choices=STRENGTHS, default="banking77")
    parser.add_argument("--only", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--start", type=positive, default=100, help="rows before the first round")
    parser.add_argument("--next", type=positive, default=100, help="rows of each round")
    parser.add_argument("--labels", type=positive, default=2000, help="rows of the last round")
    parser.add_argument("--runs", type=positive, default=3, help="seeds")
    parser.add_argument("--random-start", action="store_true", help="every strategy begins with the same random rows")
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "tunewright-active_learning.json")
    chosen = parser.parse_args(arguments)
    rows, test, names = features(chosen.data)
    curves: dict[str, list[Curve]] = {}
    for kind in chosen.only:
        curves[kind] = [curve_of(kind, rows, test, len(names), seed, chosen) for seed in range(chosen.runs)]
        print(kind, [f"{np.mean([run[place][1] for run in curves[kind]]):.4f}" for place in places(curves[kind][0])],
              flush=True)  # fmt: skip
        record(chosen, curves)
    show(chosen, curves)
    return 0


def features(name: str) -> tuple[Rows, Rows, list[str]]:
    """The pool and the official test set; of sst2 8,000 rows to choose from, and the dev set."""
    with tempfile.TemporaryDirectory() as work:
        if name == "sst2":
            train, test = map(str, prepare(Path(work), 8000, None))
        else:
            train, test = (str(folder("banking77") / f"{part}.csv") for part in ("train", "test"))
        full = open_source(train, has_labels=True).named
        held: Source = open_source(test, like=full, has_labels=True).named
    names, _ = full.classes()
    encoder = PooledEncoder()
    quiet = lambda what, done, total: None  # noqa: E731
    return encoded(full, names, encoder, "", quiet), encoded(held, names, encoder, "", quiet), names


def curve_of(kind: str, rows: Rows, test: Rows, num_classes: int, seed: int, chosen: Any) -> Curve:
    start: Any = chosen.start
    if chosen.random_start:
        start = np.random.default_rng([seed, 60]).choice(len(rows.targets), chosen.start, replace=False)
    how = members(Acquisition)[kind](kind=kind)
    rounds = (chosen.labels - chosen.start) // chosen.next
    return simulate(rows, test, num_classes, how, start, chosen.next, rounds, seed, STRENGTHS[chosen.data])


def simulate(
    rows: Rows, test: Rows, num_classes: int, how: Acquisition, start: int | Ints, count: int, rounds: int, seed: int,
    strength: float,
) -> Curve:  # fmt: skip
    """(labelled rows, accuracy on `test`) had the labels of `rows` been asked for as `how` chooses them.

    Args:
        start: rows to begin with, chosen without labels by `how` or by k-means; or their places.
        strength: of the probe's regularisation.
    """
    generator = np.random.default_rng([seed, 53])
    names = list(map(str, range(num_classes)))
    first = start if isinstance(start, int) else 0
    chosen = np.zeros(0, dtype=np.int64) if isinstance(start, int) else start
    curve: Curve = []
    judge = None
    for number in range(rounds + 1):
        if number or first:
            chosen = np.concatenate([chosen, ask(rows, chosen, judge, how, count if number else first, generator)])
        judge = ProbeJudge(names, rows[chosen].features, rows[chosen].targets, strength)
        said = judge.probabilities([], test.features).argmax(1)
        curve.append((len(chosen), float((said == test.targets).mean())))
        if len(chosen) == len(rows.targets):
            break
    return curve


def ask(
    rows: Rows, chosen: Ints, judge: Judge | None, how: Acquisition, count: int, generator: np.random.Generator
) -> Ints:
    """Places of the next rows, chosen without a look at their labels."""
    left = np.setdiff1d(np.arange(len(rows.targets)), chosen)
    situation = situate([], rows.features[left], rows.features[chosen], judge, generator)
    return left[pick(how, situation, count)[1][0]]


def reached(curve: Curve, accuracy: float) -> float | None:
    """Labelled rows at which a curve first has an accuracy, between two points on a straight line; None: never."""
    before: tuple[int, float] | None = None
    for rows, found in curve:
        if found >= accuracy:
            if before is None:
                return float(rows)
            return before[0] + (rows - before[0]) * (accuracy - before[1]) / (found - before[1])
        before = (rows, found)
    return None


def record(chosen: Any, curves: dict[str, list[Curve]]) -> None:
    settings = {name: str(value) for name, value in vars(chosen).items()}
    chosen.json.write_text(
        json.dumps({"machine": machine(), "settings": settings, "curves": curves}, indent=2) + "\n", encoding="utf-8"
    )


def places(curve: Curve) -> list[int]:
    return [place for place, (size, _) in enumerate(curve) if size in (*SHOWN, curve[-1][0])]


def show(chosen: Any, curves: dict[str, list[Curve]]) -> None:
    """Mean accuracies, the spread of the last one over the seeds, and the labels that each needs for random's last."""
    averages = {kind: averaged(runs) for kind, runs in curves.items()}
    points = places(next(iter(averages.values())))
    sizes = [next(iter(averages.values()))[place][0] for place in points]
    goal = averages["random"][-1][1] if "random" in averages else None
    print(f"| | {' | '.join(f'{size:,}' for size in sizes)} | spread | mean | labels for {goal or 0:.4f} |")
    print("|---" * (len(sizes) + 4) + "|")
    for kind, curve in averages.items():
        last = [run[-1][1] for run in curves[kind]]
        needed = reached(curve, goal) if goal else None
        told = [f"{curve[place][1]:.4f}" for place in points]
        told += [f"{max(last) - min(last):.4f}", f"{mean(accuracy for _, accuracy in curve):.4f}"]
        print(f"| {kind} | {' | '.join(told)} | {f'{needed:,.0f}' if needed else '-'} |")
    print(f"accuracy of the linear probe, mean of {chosen.runs} seeds; every curve: {chosen.json}")


def averaged(runs: list[Curve]) -> Curve:
    return [(points[0][0], mean(accuracy for _, accuracy in points)) for points in zip(*runs, strict=True)]
