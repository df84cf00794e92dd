"""Full fine-tuning: every parameter trains."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Defaults, Scale, Strategy


class Full(Strategy):
    """Trains every parameter; the highest quality where data abounds, the highest cost everywhere."""

    kind: Literal["full"] = "full"
    head_learning_rate: float = Field(
        10.0, gt=0, description="times the learning rate, for the new head: it starts from nothing"
    )

    def defaults(self, scale: Scale) -> Defaults:
        """5e-5 for a width of 768 (Devlin et al. 2019, appendix A.3: 2e-5 to 5e-5), growing as the width shrinks."""
        return Defaults(round(5e-5 * scale.narrowness, 7), scale.epochs(3, 10), scale.batch_size)
