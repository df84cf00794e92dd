"""label_noise: labels that a probe which never saw the row does not believe, ranked, with the one it would expect."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .. import probe
from ..desk import Desk
from ..probe import Floats, Ints
from ..row import Row
from .base import Check, Notebook, Page, too_few

RARE = 20  # rows with (or without) one of several labels, below which a probe knows nothing of it
TOLD = 50  # suspects, and pairs of labels, in the facts
EXCERPT = 120  # characters of a suspect's text in the facts
ODDS = 1.5  # another label is at least so many times as likely; measured: docs/data_checks.md
REMEDY = "read the row; correct the label, or leave it as it is"


class LabelNoise(Check):
    """Confident learning (Northcutt, Jiang, Chuang 2021, sections 3 and 4) on a linear probe of words and features."""

    title: ClassVar[str] = "wrong labels"
    tasks: ClassVar[tuple[str, ...]] = ("sequence_classification",)
    cost: ClassVar[int] = 2

    kind: Literal["label_noise"] = "label_noise"
    folds: int = Field(5, ge=2, description="each row is judged by a probe of the other folds")
    min_rows: int = Field(50, ge=4, description="of train; fewer can't be judged by each other")

    def cannot(self, desk: Desk) -> str | None:
        return too_few(desk, self.min_rows)

    def run(self, desk: Desk, notebook: Notebook) -> None:
        page = Page(notebook, self.kind, desk.train)
        rows, seen, names = probe.views(desk, desk.train)
        task: Any = desk.task
        targets = np.array([task.target(row) for row in rows], dtype=np.int64)
        show = lambda done, total: desk.progress("label noise", done, total)  # noqa: E731
        found = probe.consensus(seen, targets, len(task.labels), self.folds, desk.seed, show)
        share, suspects = suspected(found, targets)
        ranks = {int(place): rank for rank, place in enumerate(ranking(found, targets), 1)}
        doubt = doubts(found, targets).ravel()
        pairs: Counter[tuple[str, str]] = Counter()
        told: list[dict[str, Any]] = []
        for place in map(int, suspects):
            row, change, details = told_of(task, rows, found, targets, place)
            details |= {"score": round(float(doubt[place]), 4), "rank": ranks[place]}
            pairs[change] += 1
            if len(told) < TOLD:
                told.append({"row": row.number, **details, "text": " ".join(row.text)[:EXCERPT]})
            columns = desk.train.roles.label
            column = details["label"] if details.get("label") in columns else columns[0]
            what = f"labelled {change[0]!r}, reads like {change[1]!r} ({details['probability']:.0%})"
            page.warn("suspect", what, REMEDY, row.number, column, **details)
        notebook.facts[self.kind] = {
            "rows": len(rows), "rows_in_all": len(desk.train.rows), "judged_by": names,
            "agreement": agreement(found, targets), "share": share, "suspects": len(suspects), "ranking": told,
            "pairs": [{"given": a, "expected": b, "count": count} for (a, b), count in pairs.most_common(TOLD)],
        }  # fmt: skip


def told_of(
    task: Any, rows: list[Row], found: Floats, targets: Ints, place: int
) -> tuple[Row, tuple[str, str], dict[str, Any]]:
    """A suspect's row, what is given and expected in words, and its details (of several labels both are lists)."""
    if targets.ndim == 1:
        row, own = rows[place], found[place, targets[place]]
        expected = int(others(found[[place]], targets[[place]]).argmax())
        probability = found[place, expected]
        change = (task.labels[targets[place]], task.labels[expected])
        details: dict[str, Any] = {"given": change[0], "expected": change[1]}
    else:
        at, label = divmod(place, targets.shape[1])
        row, name, own = rows[at], task.labels[label], probe.of_given(found[[at]], targets[[at]])[0, label]
        probability, is_set = 1 - own, bool(targets[at, label])
        change = (name, f"not {name}") if is_set else (f"not {name}", name)
        kept = [other for other in row.label if other != name]
        details = {"label": name, "given": list(row.label), "expected": kept if is_set else [*kept, name]}
    details |= {"probability": round(float(probability), 4), "given_probability": round(float(own), 4)}
    return row, change, details


def ranking(probabilities: Floats, targets: Ints) -> Ints:
    """(N,) places of all rows, the most doubtful label first; of several labels (N * C,) of row * C + label."""
    return np.argsort(-doubts(probabilities, targets).ravel(), kind="stable")


def doubts(probabilities: Floats, targets: Ints) -> Floats:
    """Log odds of the likeliest other label against the given one: (N,), or (N, C) of several labels.

    Measured against self-confidence and the margin of section 4, it ranked as well or better (docs/data_checks.md).
    """
    given = probe.of_given(probabilities, targets)
    other = others(probabilities, targets).max(1) if targets.ndim == 1 else 1 - given
    odds: Floats = np.log(np.maximum(other, 1e-7)) - np.log(given)
    return odds


def others(probabilities: Floats, targets: Ints) -> Floats:
    """(N, C) with the given label's probability taken out."""
    left = probabilities.copy()
    left[np.arange(len(targets)), targets] = -1
    return left


def suspected(probabilities: Floats, targets: Ints) -> tuple[float, Ints]:
    """The estimated share of wrong labels, and the suspects' places in the order of `ranking`.

    As many as the confident joint says are wrong, the most doubtful first, but none where no other label is
    clearly likelier: a weak probe overestimates the share.
    """
    doubt = doubts(probabilities, targets)
    if targets.ndim == 1:
        share = wrong_share(probabilities, targets)
        chosen = doubtful(doubt, share)
    else:
        each = [wrong_share(np.stack([1 - p, p], 1), t) for p, t in zip(probabilities.T, targets.T, strict=True)]
        share = float(np.mean(each))
        chosen = np.stack([doubtful(column, part) for column, part in zip(doubt.T, each, strict=True)], axis=1)
        chosen &= (targets.sum(0) >= RARE) & (len(targets) - targets.sum(0) >= RARE)
    order = ranking(probabilities, targets)
    return share, order[chosen.ravel()[order]]


def agreement(probabilities: Floats, targets: Ints) -> float:
    """The share of labels that the probe would give too: how much its judgement is worth."""
    return float((doubts(probabilities, targets) < 0).mean())


def doubtful(doubt: Floats, share: float) -> NDArray[np.bool_]:
    chosen = np.zeros(len(doubt), dtype=bool)
    chosen[np.argsort(-doubt, kind="stable")[: round(share * len(doubt))]] = True
    return chosen & (doubt >= np.log(ODDS))


def wrong_share(probabilities: Floats, targets: Ints) -> float:
    """Of the joint of given and true labels, what lies off the diagonal (section 3.1, equations 1 to 3)."""
    num_classes = probabilities.shape[1]
    counts = np.bincount(targets, minlength=num_classes)
    own = np.bincount(targets, probabilities[np.arange(len(targets)), targets], num_classes)
    thresholds = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)  # mean self-confidence of a class
    confident = np.where(probabilities >= thresholds, probabilities, -1)
    likely, sure = confident.argmax(1), confident.max(1) >= 0
    joint = np.zeros((num_classes, num_classes))
    np.add.at(joint, (targets[sure], likely[sure]), 1)
    right = np.divide(joint.diagonal(), joint.sum(1), out=np.ones(num_classes), where=joint.sum(1) > 0)
    return float(1 - (right * counts).sum() / len(targets))
