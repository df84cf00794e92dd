"""Labelling: which rows of a pool to label next."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data import columns, probe, sources, writing
from ..data.acquisition.base import Acquisition, Choice, Floats, Situation
from ..data.acquisition.core_set import spread
from ..data.acquisition.kmeans import KMeans
from ..data.desk import Encoder
from ..data.labels import name_of
from ..data.table import Table, is_missing, shown
from ..errors import DataError

Show = Callable[[str, int, int], None]
Text = tuple[str, ...]

SAMPLE = 50_000  # rows of a pool that are looked at; of more, a seeded sample
CHUNK = 2048  # texts that are encoded and cached together: a round finds the features of the last one
FOLDS = 5  # for the accuracy on labelled rows
BELIEFS = 8  # models drawn for BALD
DROPPED = 0.1  # of the features, for each of them
ADDED = ("row", "why", "expected")  # columns of a file to be labelled; they go no further


class Judge(Protocol):
    """What a model believes of rows' labels."""

    names: Sequence[str]

    def probabilities(self, texts: Sequence[Text], features: Floats) -> Floats:
        """(M, C)"""

    def beliefs(self, texts: Sequence[Text], features: Floats, generator: np.random.Generator) -> Iterator[Floats]:
        """Several (M, C), each by a model drawn at random."""


class ProbeJudge:
    """A linear probe on the labelled rows; BALD draws models by dropout on its features."""

    def __init__(self, names: Sequence[str], features: Floats, targets: Any, strength: float | None = None) -> None:
        self.names = names
        self.probe = probe.fit(features, targets, len(names), strength)

    def probabilities(self, texts: Sequence[Text], features: Floats) -> Floats:
        return self.probe.probabilities(features)

    def beliefs(self, texts: Sequence[Text], features: Floats, generator: np.random.Generator) -> Iterator[Floats]:
        for _ in range(BELIEFS):
            kept = generator.random(features.shape, dtype=np.float32) >= DROPPED
            yield self.probe.probabilities(features * kept / np.float32(1 - DROPPED))


@dataclass(frozen=True)
class Source:
    """A file of texts, and where in it they are.

    Args:
        indices: places in `table.rows` of the rows with a text that are looked at.
        texts: theirs.
        labels: theirs; None where the cell is empty or there is no such column.
    """

    table: Table
    text: Text
    label: str
    indices: Sequence[int]
    texts: Sequence[Text]
    labels: Sequence[str | None]

    def only(self, places: Sequence[int]) -> Source:
        return replace(
            self,
            indices=[self.indices[at] for at in places],
            texts=[self.texts[at] for at in places],
            labels=[self.labels[at] for at in places],
        )

    @property
    def named(self) -> Source:
        """The rows with a label."""
        return self.only([at for at, label in enumerate(self.labels) if label is not None])

    def classes(self) -> tuple[list[str], NDArray[np.int64]]:
        """The labels' names, and each row's place among them; every row must have one."""
        names = sorted({str(label) for label in self.labels})
        places = {name: place for place, name in enumerate(names)}
        return names, np.array([places[str(label)] for label in self.labels], dtype=np.int64)


def open_source(
    path: str, text: Sequence[str] | None = None, label: str | None = None, header: bool | None = None,
    like: Source | None = None, limit: int | None = None, seed: int = 0, has_labels: bool = False, show: Any = None,
) -> Source:  # fmt: skip
    """The texts of a file and what labels they have.

    Args:
        like: another file, whose columns are looked for first.
        limit: rows looked at; of more, a sample drawn by `seed`, in the file's order.
        has_labels: whether there must be a column of labels; it is found by what it looks like then.
        show: hears (what, bytes done, bytes in all) while a large file is read.

    Raises:
        DataError: no such file or column; a label that is a list.
    """
    table = sources.read(path, header, progress=show)
    known = like.label if like else None
    if has_labels and not label:
        label = known if known in table.columns else columns.find_label(table, tuple(text or ()))[0]
    elif has_labels:
        table.require(str(label), "--label")
    label = label or known or named_label(table)
    wanted = tuple(text or (like.text if like else ()))
    if not wanted or (not text and not set(wanted) <= set(table.columns)):
        wanted, _ = columns.find_text(table, [label, *ADDED])
    for name in wanted:
        table.require(name, "--text")
    count = len(table.rows)
    drawn: Any = range(count)
    if limit is not None and count > limit:
        drawn = sorted(map(int, np.random.default_rng([seed, 50]).choice(count, limit, replace=False)))
    found = Source(table, wanted, label, [], [], [])
    for index in drawn:
        take(found, index)
    return found


def take(source: Any, index: int) -> None:
    """Adds a row, where it has a text."""
    row = source.table.rows[index]
    cells = [row[name] for name in source.text]
    if any(map(is_missing, cells)):
        return
    value = row.get(source.label)
    if isinstance(value, list | tuple | dict):
        what = f"column {source.label!r} holds {shown(value)}: several labels a row"
        raise DataError(what, where=source.table.where(index), fix="active learning is for one label a row")
    source.indices.append(index)
    source.texts.append(tuple(map(str, cells)))
    source.labels.append(None if is_missing(value) else name_of(value))


def named_label(table: Table) -> str:
    """The column that is called so, or what a new one is called."""
    lower = {name.lower(): name for name in table.columns}
    return next((lower[known] for known in columns.LABEL_NAMES if known in lower), "label")


def fingerprint(text: Text) -> str:
    """The same for texts that differ in case, blanks or the way that characters are written."""
    plain = "\0".join(" ".join(unicodedata.normalize("NFKC", part).casefold().split()) for part in text)
    return blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def features_of(encoder: Encoder, texts: Sequence[Text], what: str, show: Show) -> Floats:
    """(N, d) of length one; in chunks, so that what is done stays done."""
    parts = []
    for start in range(0, len(texts), CHUNK):
        told = lambda done, _, start=start: show(what, start + done, len(texts))  # noqa: E731
        parts.append(encoder(texts[start : start + CHUNK], told))
        show(what, min(start + CHUNK, len(texts)), len(texts))
    found: Floats = np.concatenate(parts)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return found


def pick(how: Acquisition, situation: Situation, count: int) -> tuple[Acquisition, Choice]:
    """What a strategy chooses, or k-means while there is no model to ask; and which of the two it was."""
    if how.asks_model and situation.probabilities is None:
        how = KMeans()
    return how, how.choose(situation, count)


@dataclass(frozen=True)
class Chosen:
    """Rows to label, those first that are unlike each other.

    Args:
        source: the chosen rows.
        why: a phrase for each.
        expected: the likeliest label of each; None where nothing is learned yet.
        how: the strategy that chose them.
        num_labelled, num_candidates: rows that have a label; rows that there were to choose from.
        accuracy: of the probe on labelled rows it did not see; None without probe.
    """

    source: Source
    why: list[str]
    expected: list[str | None]
    how: str
    num_labelled: int
    num_candidates: int
    accuracy: float | None = None
    notes: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """The pool's columns, those of ADDED, and an empty column for the label."""
        table, label = self.source.table, self.source.label
        kept = [name for name in table.columns if name != label]
        rows = (
            {**table.rows[index], "row": table.numbers[index], "why": why, "expected": expected, label: None}
            for index, why, expected in zip(self.source.indices, self.why, self.expected, strict=True)
        )
        writing.write(path, [*kept, *ADDED, label], rows)


def choose(
    pool: Source, labelled: Source | None, how: Acquisition, count: int, encoder: Encoder, judge: Judge | None = None,
    seed: int = 0, show: Show = lambda what, done, total: None,
) -> Chosen:  # fmt: skip
    """The next rows to label. Rows whose text is labelled already are never chosen, nor is a text twice.

    Args:
        labelled: the rows that have a label; None at the very beginning.
        judge: a trained model; None: a probe on the labelled rows.

    Raises:
        DataError: nothing is left to label.
    """
    candidates = unlabelled(pool, labelled)
    source = pool.only(candidates)
    features = features_of(encoder, pool.texts, "features of the pool", show)[candidates]  # of all: cached as they were
    known, notes, accuracy = np.zeros((0, features.shape[1]), dtype=np.float32), list[str](), None
    if labelled and labelled.texts:
        known = features_of(encoder, labelled.texts, "features of the labelled rows", show)
        if judge is None:
            judge, accuracy = learn(known, labelled, seed, notes, show)
    generator = np.random.default_rng([seed, 51, len(known)])  # another draw each round
    situation = situate(source.texts, features, known, judge, generator)
    used, (places, scores) = pick(how, situation, count)
    if used is not how:
        notes.append(f"chosen by {used.kind}: {how.kind} needs labels of at least two kinds to learn from")
    order = spread(features[places], len(places), known[:0])[0]
    expected: list[str | None] = [None] * len(places)
    if judge and situation.probabilities is not None:
        expected = [judge.names[best] for best in situation.probabilities[places[order]].argmax(1)]
    why = [f"{used.kind}: {used.says.format(score)}" for score in scores[order]]
    chosen = source.only(places[order].tolist())
    return Chosen(chosen, why, expected, used.kind, len(known), len(candidates), accuracy, notes)


def learn(
    features: Floats, labelled: Source, seed: int, notes: list[str], show: Show
) -> tuple[Judge | None, float | None]:
    """A probe, and its accuracy on labelled rows that it did not see; neither where there is one kind of label."""
    names, targets = labelled.classes()
    if len(names) < 2:
        notes.append(f"all labelled rows are {names[0]!r}: nothing to learn from them yet")
        return None, None
    show("learning from the labelled rows", 0, 1)
    strength = probe.choose(features, targets, len(names), seed)
    right = 0
    for train, held in probe.stratified(targets, FOLDS, seed):
        said = probe.fit(features[train], targets[train], len(names), strength).probabilities(features[held])
        right += int((said.argmax(1) == targets[held]).sum())
    show("learning from the labelled rows", 1, 1)
    return ProbeJudge(names, features, targets, strength), right / len(targets)


def situate(
    texts: Sequence[Text], features: Floats, known: Floats, judge: Judge | None, generator: np.random.Generator
) -> Situation:
    """What a strategy may look at; the model is asked once."""
    if judge is None:
        return Situation(features, known, generator)
    asked = judge
    probabilities = asked.probabilities(texts, features)
    return Situation(features, known, generator, probabilities, lambda: asked.beliefs(texts, features, generator))


def unlabelled(pool: Source, labelled: Source | None) -> list[int]:
    """Places of the rows that may be chosen. Raises DataError where there are none, or a column is in the way."""
    clashing = [name for name in ADDED if name in pool.table.columns]
    if clashing:
        fix = "rename it, or give the pool and not a file that was chosen from it"
        raise DataError(f"has a column {clashing[0]!r}, which this would write", where=pool.table.source, fix=fix)
    seen = {fingerprint(text) for text in labelled.texts} if labelled else set()
    candidates = []
    for place, (text, label) in enumerate(zip(pool.texts, pool.labels, strict=True)):
        key = fingerprint(text)
        if label is None and key not in seen:
            seen.add(key)
            candidates.append(place)
    if not candidates:
        where = f"{pool.table.source}, column {pool.label!r}"
        fix = "give a pool with rows without label, or name the label column (--label)"
        raise DataError("no row is left to label", where=where, fix=fix)
    return candidates
