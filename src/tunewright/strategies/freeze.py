"""Freezing lower layers: the embeddings and the lowest blocks stay as they are, for the run or its first steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from .base import Defaults, ParameterGroup, Rates, Scale, Strategy, by_depth

if TYPE_CHECKING:
    from torch import nn

    from ..layers import Layers
    from ..tasks.base import Task


class Freeze(Strategy):
    """Trains the upper blocks and the head; what is frozen runs without dropout, and once where that pays."""

    kind: Literal["freeze"] = "freeze"
    frozen_bottom: ClassVar[bool] = True
    blocks: Annotated[int, Field(ge=0)] | Literal["half"] = Field(
        "half", description="frozen ones above the embeddings (Lee et al. 2019: training a quarter can be enough)"
    )
    steps: int | None = Field(None, ge=1, description="thaws after so many optimizer steps; never when left out")
    head_learning_rate: float = Field(10.0, gt=0, description="times the learning rate, for the new head")

    def refuses(self, model_config: Any, task: Task) -> str | None:
        from ..layers import depth

        count = depth(model_config)
        if self.blocks != "half" and self.blocks > count:
            return f"the model has {count} blocks, not {self.blocks} to freeze"
        if self.blocks == count and not task.new_head and model_config.tie_word_embeddings:
            return "with all blocks and the embeddings frozen, which are its head too, nothing is left to train"
        return None

    def defaults(self, scale: Scale) -> Defaults:
        """As full fine-tuning: the upper blocks see the same gradients."""
        return Defaults(round(5e-5 * scale.narrowness, 7), scale.epochs(3, 10), scale.batch_size)

    def groups(self, model: nn.Module, layers: Layers, rates: Rates) -> list[ParameterGroup]:
        """Frozen ones start after `steps`, or are left out; their requires_grad follows from that."""
        depth = len(layers.blocks)
        frozen = depth // 2 if self.blocks == "half" else self.blocks
        late = rates.total_steps if self.steps is None else self.steps
        starts = [late, *([late] * frozen), *([0] * (depth - frozen)), 0]
        made = by_depth(model, layers, rates, 1.0, self.head_learning_rate, starts)
        return made if self.steps is not None else [group for group in made if group.start == 0]
