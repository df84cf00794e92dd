"""Scores of classifiers from logits. Independent of batch size and order (D9); undefined values are None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
BINS = 15  # Guo et al. 2017, section 3


def softmax(logits: Floats) -> Floats:
    """(N, C) logits to (N, C) probabilities."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def log_softmax(logits: Floats) -> Floats:
    """(N, C) logits to (N, C) log-probabilities; nothing underflows."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logged: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logged


def sigmoid(logits: Floats) -> Floats:
    """(N, C) logits to probabilities; neither tail is rounded away."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def log_loss(logits: Floats, labels: Ints) -> float:
    """Mean cross-entropy in nats of (N, C) logits and (N,) labels."""
    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def binary_log_loss(logits: Floats, labels: Ints) -> float:
    """Mean sigmoid cross-entropy in nats over the (N, C) entries."""
    return float(np.mean(np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))))


def confusion_matrix(labels: Ints, predicted: Ints, num_classes: int) -> Ints:
    """(C, C) counts; rows are true, columns predicted."""
    flat = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def precision_recall_f1(true_positive: Any, predicted: Any, actual: Any) -> tuple[Floats, Floats, Floats]:
    """Elementwise; 0 where nothing was predicted or there is nothing to find (scikit-learn's zero_division=0)."""
    hits, said, there = (np.asarray(value, dtype=float) for value in (true_positive, predicted, actual))
    precision = np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)
    recall = np.divide(hits, there, out=np.zeros_like(hits), where=there > 0)
    total = said + there
    return precision, recall, np.divide(2 * hits, total, out=np.zeros_like(hits), where=total > 0)


def averages(hits: Any, said: Any, there: Any, *, every: bool = False) -> dict[str, Any]:
    """Micro and macro precision, recall and F1, each of (...), from (..., C) counts per class.

    Args:
        every: macro averages count each class; else those that occur or are predicted. scikit-learn does the
            former for multi-label data and the latter for one label a row.
    """
    each = precision_recall_f1(hits, said, there)
    seen = ((said + there) > 0) | every
    number = np.maximum(seen.sum(-1), 1)
    micro = precision_recall_f1(hits.sum(-1), said.sum(-1), there.sum(-1))
    macro = [np.where(seen, value, 0).sum(-1) / number for value in each]
    values = [float(value) if np.ndim(value) == 0 else value for value in (*micro, *macro)]
    names = (f"{score}_{average}" for average in ("micro", "macro") for score in ("precision", "recall", "f1"))
    return dict(zip(names, values, strict=True))


def matthews(matrix: Ints) -> float:
    """Matthews correlation for many classes (Gorodkin 2004), from the confusion matrix; 0 where undefined."""
    true, predicted = matrix.sum(1).astype(float), matrix.sum(0).astype(float)
    total, correct = float(matrix.sum()), float(np.trace(matrix))
    spread = np.sqrt(total**2 - predicted @ predicted) * np.sqrt(total**2 - true @ true)
    return float((correct * total - true @ predicted) / spread) if spread else 0.0


def calibration(confidence: Floats, correct: NDArray[np.bool_]) -> tuple[float, list[dict[str, Any]]]:
    """Expected calibration error over equal-width bins (Guo et al. 2017, equation 3), and the filled bins."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for number in range(BINS):
        inside = place == number
        if inside.any():
            mean, accuracy = float(confidence[inside].mean()), float(correct[inside].mean())
            error += float(inside.mean()) * abs(mean - accuracy)
            edges = {"lower": number / BINS, "upper": (number + 1) / BINS}
            bins.append({**edges, "confidence": mean, "accuracy": accuracy, "count": int(inside.sum())})
    return error, bins


def average_precision(scores: Floats, labels: Ints) -> float | None:
    """Area under the precision-recall steps, ties taken together; None where there is no positive."""
    if not labels.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(labels[order])
    last_of_tie = np.r_[np.flatnonzero(np.diff(ranked)), len(ranked) - 1]
    precision = hits[last_of_tie] / (last_of_tie + 1)
    recall = hits[last_of_tie] / hits[-1]
    return float(np.sum(np.diff(np.r_[0.0, recall]) * precision))


def single_label(logits: Floats, labels: Ints, names: Sequence[str]) -> dict[str, Any]:
    """Every score of a classifier with one label a row.

    Args:
        logits: (N, C).
        labels: (N,).
        names: of the C classes.
    """
    probabilities = softmax(logits)
    predicted = logits.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, len(names))
    hits, said, there = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    precision, recall, f1 = precision_recall_f1(hits, said, there)
    error, bins = calibration(probabilities.max(axis=1), predicted == labels)
    return {
        "num_rows": len(labels),
        "accuracy": float(np.mean(predicted == labels)),
        "loss": log_loss(logits, labels),
        **averages(hits, said, there),
        "f1_weighted": float(f1 @ there / there.sum()),
        "mcc": matthews(matrix),
        "calibration_error": error,
        "per_class": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for name, p, r, f, n in zip(names, precision, recall, f1, there, strict=True)
        },
        "confusion_matrix": matrix.tolist(),
        "calibration_bins": bins,
    }


def multi_label(logits: Floats, labels: Ints, names: Sequence[str], thresholds: Sequence[float]) -> dict[str, Any]:
    """Every score of a classifier with any number of labels a row.

    Args:
        logits: (N, C).
        labels: (N, C) of 0 and 1.
        names: of the C labels.
        thresholds: (C,) probabilities from which a label is given.
    """
    probabilities = sigmoid(logits)
    predicted = probabilities >= np.asarray(thresholds)
    truth = labels.astype(bool)
    hits, said, there = (predicted & truth).sum(0), predicted.sum(0), truth.sum(0)
    precision, recall, f1 = precision_recall_f1(hits, said, there)
    ranking = [average_precision(logits[:, place], labels[:, place]) for place in range(len(names))]
    defined = [value for value in ranking if value is not None]
    samples = precision_recall_f1((predicted & truth).sum(1), predicted.sum(1), truth.sum(1))[2]
    error, bins = calibration(
        np.maximum(probabilities, 1 - probabilities).ravel(), ((probabilities >= 0.5) == truth).ravel()
    )
    return {
        "num_rows": len(labels),
        **averages(hits, said, there, every=True),
        "f1_samples": float(samples.mean()),
        "exact_match": float((predicted == truth).all(axis=1).mean()),
        "average_precision_macro": float(np.mean(defined)) if defined else None,
        "loss": binary_log_loss(logits, labels),
        "calibration_error": error,
        "per_class": {
            names[c]: {
                **{"precision": float(precision[c]), "recall": float(recall[c]), "f1": float(f1[c])},
                **{"average_precision": ranking[c], "support": int(there[c]), "threshold": float(thresholds[c])},
            }
            for c in range(len(names))
        },
        "calibration_bins": bins,
    }


def best_thresholds(logits: Floats, labels: Ints, fewest: int = 10) -> list[float]:
    """The probability per label that gives the best F1; the common best one for labels with few positives.

    Args:
        logits: (N, C) on validation.
        labels: (N, C).
        fewest: positives below which a threshold of one's own would be noise.
    """
    probabilities = sigmoid(logits)
    grid = np.linspace(0.05, 0.95, 91)
    hits = np.stack([((probabilities >= level) & (labels > 0)).sum(0) for level in grid])  # (G, C)
    said = np.stack([(probabilities >= level).sum(0) for level in grid])
    f1 = precision_recall_f1(hits, said, np.broadcast_to(labels.sum(0), hits.shape))[2]
    common = float(grid[best_place(f1.mean(axis=1))])
    enough = labels.sum(0) >= fewest
    return [round(float(grid[best_place(f1[:, c])]) if enough[c] else common, 4) for c in range(labels.shape[1])]


def best_place(values: Floats) -> int:
    """The middle of the plateau of the largest values: less at the mercy of single rows than its edge."""
    top = np.flatnonzero(values >= values.max() - 1e-12)
    return int(top[len(top) // 2])
