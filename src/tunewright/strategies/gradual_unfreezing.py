"""Gradual unfreezing: the head first, then block by block from the top (Howard and Ruder 2018, section 3.3)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .base import Defaults, ParameterGroup, Rates, Scale, Strategy, by_depth

if TYPE_CHECKING:
    from torch import nn

    from ..layers import Layers
    from ..tasks.base import Task


class GradualUnfreezing(Strategy):
    """Trains the head, then more and more of the model; each newly unfrozen block has its own warm-up and moments."""

    kind: Literal["gradual_unfreezing"] = "gradual_unfreezing"
    frozen_bottom: ClassVar[bool] = True
    every: Annotated[int, Field(ge=1)] | Literal["auto", "epoch"] = Field(
        "auto", description="steps between stages, or epoch (the paper's way); auto: all is unfrozen at half time"
    )
    at: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, min_length=1, description="in place of `every`: the epochs at which a stage begins; the rest stays frozen"
    )
    blocks: int = Field(1, ge=1, description="blocks that are unfrozen together")
    decay: float = Field(1.0, gt=0, le=1, description="of the rate per block downwards (the paper: 1 / 2.6)")
    head_learning_rate: float = Field(10.0, gt=0, description="times the learning rate, for the new head")

    @model_validator(mode="after")
    def refuse_two_clocks(self) -> Self:
        if self.at is not None and self.every != "auto":
            raise ValueError("give `every` or `at`, not both")
        if self.at is not None and list(self.at) != sorted(set(self.at)):
            raise ValueError("the epochs of `at` must rise")
        return self

    def refuses(self, model_config: Any, task: Task) -> str | None:
        from ..layers import depth as depth_of

        depth = depth_of(model_config)
        if self.blocks > depth:
            return f"the model has {depth} blocks, not {self.blocks} to unfreeze together"
        if self.at is not None and len(self.at) > self.num_stages(depth):
            return f"{depth} blocks and the embeddings make {self.num_stages(depth)} stages, not {len(self.at)} (at)"
        return None

    def defaults(self, scale: Scale) -> Defaults:
        """As full fine-tuning; an epoch more, because the lower blocks join late."""
        return Defaults(round(5e-5 * scale.narrowness, 7), scale.epochs(4, 10), scale.batch_size)

    def groups(self, model: nn.Module, layers: Layers, rates: Rates) -> list[ParameterGroup]:
        depth = len(layers.blocks)
        first = [] if layers.head else [0]  # BART has no last norm, and its head is its embeddings
        clock = [*first, *self.stage_starts(self.num_stages(depth) - len(first), rates)]
        upper = [clock[(depth - 1 - place) // self.blocks] for place in range(depth)]
        made = by_depth(model, layers, rates, self.decay, self.head_learning_rate, [clock[-1], *upper, 0])
        return [group for group in made if group.start < rates.total_steps]

    def num_stages(self, depth: int) -> int:
        """Of the blocks from the top, and the embeddings."""
        return math.ceil(depth / self.blocks) + 1

    def stage_starts(self, num_stages: int, rates: Rates) -> list[int]:
        """The step after which each stage begins: the blocks' from the top, the embeddings' last."""
        never = rates.total_steps
        if self.at is not None:
            given = [max(1, round(epoch * rates.steps_per_epoch)) for epoch in self.at]
            return (given + [never] * num_stages)[:num_stages]
        if self.every == "auto":
            return [max(1, round(rates.total_steps / 2 * (stage + 1) / num_stages)) for stage in range(num_stages)]
        interval = rates.steps_per_epoch if self.every == "epoch" else self.every
        return [interval * (stage + 1) for stage in range(num_stages)]
