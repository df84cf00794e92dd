"""Discriminative learning rates: each block learns more slowly than the one above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from .base import Defaults, ParameterGroup, Rates, Scale, Strategy, by_depth

if TYPE_CHECKING:
    from torch import nn

    from ..layers import Layers


class LayerwiseDecay(Strategy):
    """Trains every parameter; embeddings have the lowest rate, the head the highest (Howard and Ruder 2018, 3.2)."""

    kind: Literal["layerwise_decay"] = "layerwise_decay"
    decay: float = Field(
        0.8, gt=0, le=1, description="of the rate per block downwards (Clark et al. 2020, table 7: 0.8 for base)"
    )
    head_learning_rate: float = Field(5.0, gt=0, description="times the learning rate, which is the top block's")

    def defaults(self, scale: Scale) -> Defaults:
        """Twice the rate of full fine-tuning, which only the top block gets (Clark et al. 2020, table 7: 1e-4)."""
        return Defaults(round(1e-4 * scale.narrowness, 7), scale.epochs(3, 10), scale.batch_size)

    def groups(self, model: nn.Module, layers: Layers, rates: Rates) -> list[ParameterGroup]:
        return by_depth(model, layers, rates, self.decay, self.head_learning_rate)
