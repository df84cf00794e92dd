"""Full fine-tuning: every parameter trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from .base import Defaults, ParameterGroup, Scale, Strategy, head_and_body

if TYPE_CHECKING:
    from torch import nn

    from ..layers import Layers
    from ..tasks.base import Task

STEPS = 1500  # optimizer steps a run should have: small sets need more passes (Mosbach et al. 2021, section 6)


def epochs_for(num_rows: int, batch_size: int, fewest: int, most: int) -> float:
    """As many epochs as make about STEPS steps, within [fewest, most]."""
    return float(min(max(math.ceil(STEPS * batch_size / num_rows), fewest), most))


class Full(Strategy):
    """Trains every parameter; the highest quality where data abounds, the highest cost everywhere."""

    kind: Literal["full"] = "full"
    head_learning_rate: float = Field(
        10.0, gt=0, description="times the learning rate, for the new head: it starts from nothing"
    )

    def defaults(self, scale: Scale) -> Defaults:
        """5e-5 for a width of 768 (Devlin et al. 2019, appendix A.3: 2e-5 to 5e-5), growing as the width shrinks."""
        batch_size = 16 if scale.num_rows < 20_000 else 32
        rate = 5e-5 * 768 / max(scale.hidden_size, 192)
        return Defaults(round(rate, 7), epochs_for(scale.num_rows, batch_size, 3, 10), batch_size)

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        model.requires_grad_(True)
        return model

    def groups(
        self, model: nn.Module, layers: Layers, learning_rate: float, weight_decay: float
    ) -> list[ParameterGroup]:
        return head_and_body(model, layers, learning_rate, learning_rate * self.head_learning_rate, weight_decay)
