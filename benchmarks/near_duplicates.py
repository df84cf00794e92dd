"""Leakage planted in banking77, as the check finds it; and near-duplicates planted among a million made-up rows.

`python -m benchmarks near_duplicates`. One process, one thread.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tunewright.data import near
from tunewright.data.checks.base import Notebook
from tunewright.data.checks.leakage import Leakage
from tunewright.data.desk import Desk, Part
from tunewright.data.row import Row

from .data import UnusableError, folder
from .machine import machine, positive

KINDS = ("exact", "normalised", "three words, 12 or more", "three words, 8 to 11")
JUDGED = 50  # rows; the links of larger clusters are not judged, only counted
EDGES = (0.75, 0.8, 0.85, 0.9, 0.95, 1.01)  # of similarity, for the precision curve


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.near_duplicates", description=__doc__)
    parser.add_argument("--only", choices=("planted", "made-up"), help="one of the two parts")
    parser.add_argument("--rows", type=positive, default=1_000_000, help="made-up ones")
    parser.add_argument("--planted", type=positive, default=500, help="rows of each kind")
    parser.add_argument("--json", type=Path, default=Path(tempfile.gettempdir()) / "near_duplicates.json")
    chosen = parser.parse_args(arguments)
    found: dict[str, Any] = {"machine": machine()}
    try:
        train, test = (read(folder("banking77") / f"{name}.csv") for name in ("train", "test"))
    except UnusableError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.only != "planted":  # first: the peak of memory is its own
        found["made_up"] = made_up([row.text[0] for row in train], chosen.rows)
    if chosen.only != "made-up":
        found["planted"] = [planted(train, test, chosen.planted, seed) for seed in range(3)]
    show(found)
    chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))
    return 0


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(number, (row["text"],), row["category"]) for number, row in enumerate(csv.DictReader(file), 2)]


def planted(train: list[Row], test: list[Row], count: int, seed: int) -> dict[str, Any]:
    """What the check finds of `count` rows of each kind that were copied from train into test."""
    generator = random.Random(seed)
    vocabulary = [word for row in train for word in row.text[0].split()]
    sources: dict[int, tuple[str, Row]] = {}
    together = list(test)
    for kind in KINDS:
        usable = [row for row in train if kind in KINDS[:2] or fits(kind, len(row.text[0].split()))]
        for row in generator.sample(usable, count):
            number = len(together) + 2
            sources[number] = kind, row
            together.append(Row(number, (copied(kind, row.text[0], vocabulary, generator),), row.label))
    findings = leaks(train, together)
    hit = Counter(sources[number][0] for number in findings if number in sources)
    return {"seed": seed, "recall": {kind: hit[kind] / count for kind in KINDS}, **judged(train, together, findings)}


def fits(kind: str, num_words: int) -> bool:
    return num_words >= 12 if kind == KINDS[2] else 8 <= num_words <= 11


def copied(kind: str, text: str, vocabulary: Sequence[str], generator: random.Random) -> str:
    if kind == "exact":
        return text
    if kind == "normalised":
        return f"  {text.swapcase().replace(' ', '  ', 1)} !!"
    return changed(text, vocabulary, generator)


def changed(text: str, vocabulary: Sequence[str], generator: random.Random) -> str:
    """Three words replaced, deleted or inserted at random."""
    words = text.split()
    for _ in range(3):
        place, new = generator.randrange(len(words)), generator.choice(vocabulary)
        words[place : place + 1] = generator.choice(([new], [], [new, words[place]]))
    return " ".join(words)


def leaks(train: list[Row], test: list[Row]) -> dict[int, dict[str, Any]]:
    """The check's finding for each row of test that has one."""
    parts: dict[str, Any] = {"train": train, "test": test}
    nothing: Any = None  # this check looks at neither task nor files
    desk = Desk(nothing, {name: Part(name, nothing, rows, nothing) for name, rows in parts.items()})
    notebook = Notebook(io.StringIO())
    Leakage().run(desk, notebook)
    lines = map(json.loads, notebook.file.getvalue().splitlines())  # type: ignore[union-attr]
    return {line["row"]: line for line in lines}


def judged(train: list[Row], test: list[Row], findings: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Of the pairs found as near: which are true by other measures, and whether people gave them one label."""
    by_similarity: dict[float, list[dict[str, bool]]] = defaultdict(list)
    for number, finding in findings.items():
        if finding["rule"] == "leakage.near":
            one, other = train[finding["details"]["other_row"] - 2].text[0], test[number - 2].text[0]
            band = max(edge for edge in EDGES if edge <= near.similarity(one, other) + 1e-6)
            by_similarity[band].append({**measures(one, other), "same_label": finding["details"]["same_label"]})
    every = [pair for pairs in by_similarity.values() for pair in pairs]
    moved = [pair for pair in every if not pair["few_edits"]]
    curve = {str(band): shares(pairs) for band, pairs in sorted(by_similarity.items())}
    return {"all": shares(every), "more_edits": shares(moved), "curve": curve}


def shares(pairs: list[dict[str, bool]]) -> dict[str, float]:
    """How many pairs there are, and of how many of them each measure is true."""
    return {
        "pairs": len(pairs),
        **{name: float(np.mean([pair[name] for pair in pairs])) for name in (pairs or [{}])[0]},
    }


def measures(one: str, other: str) -> dict[str, bool]:
    """Whether two texts are near-duplicates by other measures than the search's.

    few_edits: at most three words, or a quarter of them, were replaced, deleted or inserted (Levenshtein, so a word
    that moved is two edits, while the search counts one; akin to it). trigrams: a Jaccard similarity of character
    trigrams from 0.5 on, which the search knows nothing of. few_edits_or_trigrams: one of the two.
    """
    first, second = near.words(one), near.words(other)
    few = edits(first, second) <= max(3, max(len(first), len(second)) // 4)
    grams, theirs = trigrams(" ".join(first)), trigrams(" ".join(second))
    same = len(grams & theirs) >= 0.5 * len(grams | theirs)
    return {"few_edits": few, "trigrams": same, "few_edits_or_trigrams": few or same}


def edits(first: Sequence[str], second: Sequence[str]) -> int:
    """Levenshtein distance of two lists of words."""
    row = list(range(len(second) + 1))
    for number, word in enumerate(first, 1):
        before, row = row, [number]
        for place, theirs in enumerate(second, 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (word != theirs)))
    return row[-1]


def trigrams(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[place : place + 3] for place in range(len(padded) - 2)}


def made_up(texts: Sequence[str], count: int) -> dict[str, Any]:
    """Seconds and memory for rows of 8 to 15 words, each word drawn after the one before it as in real texts."""
    generator, num_planted = random.Random(0), count // 100
    rows = sentences(texts, count - num_planted, generator)
    vocabulary = [word for text in texts for word in text.split()]
    sources = generator.sample([place for place, text in enumerate(rows) if len(text.split()) >= 12], num_planted)
    rows += [changed(rows[place], vocabulary, generator) for place in sources]
    before = peak()
    wall, processor = time.perf_counter(), time.process_time()
    clusters = near.clusters(rows)
    seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - processor}
    own = clusters[count - num_planted :]
    linked = np.flatnonzero(clusters != np.arange(count))
    sizes = np.bincount(clusters)
    print(f"{count:,} rows: {seconds['seconds']:.0f} s, {peak():.0f} MiB", file=sys.stderr, flush=True)
    small = linked[sizes[clusters[linked]] <= JUDGED]
    tried = generator.sample(small.tolist(), min(1000, len(small)))
    return {
        "rows": count, **seconds, "mb_before": before, "mb_peak": peak(),
        "recall": float(np.mean(own == clusters[sources])),
        "linked": len(linked),
        "in_small_clusters": len(small),
        "planted": num_planted, "clusters": int((sizes > 1).sum()), "largest": int(sizes.max()),
        **{
            name: float(np.mean([has_partner(rows, clusters, place, name) for place in tried]))
            for name in ("few_edits", "trigrams", "few_edits_or_trigrams")
        },
    }  # fmt: skip


def has_partner(rows: Sequence[str], clusters: np.ndarray, place: int, measure: str) -> bool:
    """Whether some row of its cluster is a near-duplicate of it by a measure."""
    others = np.flatnonzero(clusters == clusters[place])
    return any(measures(rows[place], rows[other])[measure] for other in others if other != place)


def sentences(texts: Sequence[str], count: int, generator: random.Random) -> list[str]:
    """Rows of 8 to 15 words by a chain of word pairs."""
    after: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        words = text.split()
        for word, following in pairwise(words):
            after[word].append(following)
    starts = [text.split()[0] for text in texts]
    made = []
    for _ in range(count):
        words, length = [generator.choice(starts)], generator.randint(8, 15)
        while len(words) < length:
            words.append(generator.choice(after.get(words[-1]) or starts))
        made.append(" ".join(words))
    return made


def peak() -> float:
    """MiB of this process at its most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(found: dict[str, Any]) -> None:
    console = Console(width=120)
    for result in found.get("planted", []):
        every = result["all"]
        told = ", ".join(f"{name} {value:.2%}" for name, value in every.items() if name != "pairs")
        console.print(f"banking77, seed {result['seed']}: {every['pairs']} near pairs; {told}")
        table = Table()
        for name in ("kind", "found"):
            table.add_column(name)
        for kind, recall in result["recall"].items():
            table.add_row(kind, f"{recall:.1%}")
        console.print(table)
    if "made_up" in found:
        table = Table(title="made-up rows", title_justify="left", show_header=False)
        for name, value in found["made_up"].items():
            table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else f"{value:,}")
        console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
