"""Losses: pure functions; logits and labels in, (sum, count) out. Dividing is the loop's business.

A sum over a step divided by the step's count is exact for any split into micro-batches and processes;
a mean of means is not (FINDINGS 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Softmax cross-entropy, with class weights and label smoothing (Szegedy et al. 2016, section 7).

    Args:
        logits: (B, C), any float dtype; computed in fp32.
        labels: (B,) class indices.
        class_weights: (C,) or None.
        smoothing: 0 to 1, the share of each target spread over all classes.

    Returns:
        (sum over rows of weight * loss, sum of the rows' weights), both ().
    """
    import torch.nn.functional as functional

    total = functional.cross_entropy(
        logits.float(), labels, weight=class_weights, reduction="sum", label_smoothing=smoothing
    )
    return total, count(labels, class_weights)


def count(labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """The weight of the rows with these labels: () their number, or the sum of their class weights."""
    import torch

    if class_weights is None:
        return torch.tensor(float(len(labels)), device=labels.device)
    return class_weights[labels].sum()


def binary_cross_entropy(
    logits: Tensor, labels: Tensor, positive_weights: Tensor | None = None, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Sigmoid cross-entropy of each label, averaged over the labels of a row.

    Args:
        logits: (B, C).
        labels: (B, C) of 0 and 1.
        positive_weights: (C,) factors of the positive term, or None.
        smoothing: moves targets towards 1/2.

    Returns:
        (sum over rows, number of rows), both ().
    """
    import torch
    import torch.nn.functional as functional

    targets = labels.float() * (1 - smoothing) + smoothing / 2
    total = functional.binary_cross_entropy_with_logits(
        logits.float(), targets, pos_weight=positive_weights, reduction="sum"
    )
    return total / logits.shape[1], torch.tensor(float(len(labels)), device=labels.device)
