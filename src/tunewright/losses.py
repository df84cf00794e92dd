"""Losses: pure functions; logits and labels in, (sum, count) out. Dividing is the loop's business.

A sum over a step divided by the step's count is exact for any split into micro-batches and processes;
a mean of means is not (FINDINGS 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FOCUS = 2.0  # gamma of the focal loss: works best in Lin et al. 2017, section 5.1


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, smoothing: float = 0.0, focus: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Softmax cross-entropy, with class weights and label smoothing (Szegedy et al. 2016, section 7).

    With `focus` it is the focal loss (Lin et al. 2017, eq. 4; eq. 5 with class weights): rows of which the model is
    sure count little, each by (1 - p) ** focus of its label's probability p.

    Args:
        logits: (B, C), any float dtype; computed in fp32.
        labels: (B,) class indices.
        class_weights: (C,) or None.
        smoothing: 0 to 1, the share of each target spread over all classes.
        focus: gamma; 0 leaves the cross-entropy as it is.

    Returns:
        (sum over rows of weight * loss, sum of the rows' weights), both ().
    """
    import torch.nn.functional as functional

    options: dict[str, Any] = {"weight": class_weights, "label_smoothing": smoothing}
    if focus:
        doubt = -functional.log_softmax(logits.float(), -1).gather(-1, labels[:, None])[:, 0].expm1()  # 1 - p
        total = (doubt**focus * functional.cross_entropy(logits.float(), labels, reduction="none", **options)).sum()
    else:
        total = functional.cross_entropy(logits.float(), labels, reduction="sum", **options)
    return total, count(labels, class_weights)


def count(labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """The weight of the rows with these labels: () their number, or the sum of their class weights."""
    import torch

    if class_weights is None:
        return torch.tensor(float(len(labels)), device=labels.device)
    return class_weights[labels].sum()


def binary_cross_entropy(
    logits: Tensor, labels: Tensor, positive_weights: Tensor | None = None, smoothing: float = 0.0, focus: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Sigmoid cross-entropy of each label, averaged over the labels of a row.

    Args:
        logits: (B, C).
        labels: (B, C) of 0 and 1.
        positive_weights: (C,) factors of the positive term, or None.
        smoothing: moves targets towards 1/2.
        focus: as in `cross_entropy`, label by label.

    Returns:
        (sum over rows, number of rows), both ().
    """
    import torch
    import torch.nn.functional as functional

    targets = labels.float() * (1 - smoothing) + smoothing / 2
    function, logits = functional.binary_cross_entropy_with_logits, logits.float()
    if focus:
        doubt = torch.where(labels.bool(), -logits, logits).sigmoid()  # 1 - p
        total = (doubt**focus * function(logits, targets, pos_weight=positive_weights, reduction="none")).sum()
    else:
        total = function(logits, targets, pos_weight=positive_weights, reduction="sum")
    return total / logits.shape[1], torch.tensor(float(len(labels)), device=labels.device)
