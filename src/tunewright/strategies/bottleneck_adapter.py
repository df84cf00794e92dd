"""Bottleneck adapters: small networks after the sub-layers of a frozen model (Houlsby et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .base import Defaults, Scale
from .peft import Adapter, choose_modules, wrap

if TYPE_CHECKING:
    from torch import nn

    from ..tasks.base import Task


class BottleneckAdapter(Adapter):
    """Trains a bottleneck after each attention and feed-forward, and the head; the base model stays as it is."""

    kind: Literal["bottleneck_adapter"] = "bottleneck_adapter"
    unsure_below: ClassVar[int] = 1000
    merges: ClassVar[bool] = False  # there is a non-linearity between its matrices
    bottleneck_size: int = Field(64, ge=1, description="width inside (Houlsby et al. 2019, section 3.2: 8 to 256)")
    variant: Literal["houlsby", "pfeiffer"] = Field(
        "houlsby", description="after attention and feed-forward; pfeiffer: after the feed-forward only, half the size"
    )
    activation: Literal["gelu", "relu", "silu", "tanh"] = "gelu"
    dropout: float = Field(0.0, ge=0, lt=1, description="inside the bottleneck")
    scaling: float = Field(1.0, gt=0, description="times the adapter's output")
    targets: Literal["auto"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "auto", description="where the variant wants them; or names of linear layers such as o_proj, down_proj"
    )

    @model_validator(mode="after")
    def refuse_an_unread_variant(self) -> Self:
        if self.targets != "auto" and self.variant == "pfeiffer":
            raise ValueError("variant: pfeiffer has no effect where targets are named; leave one of the two out")
        return self

    def defaults(self, scale: Scale) -> Defaults:
        """Ten times the rate of full fine-tuning, as for LoRA (Houlsby et al. 2019, section 3.2, try 3e-5 to 3e-3)."""
        return Defaults(round(5e-4 * scale.narrowness, 6), scale.epochs(4, 10), scale.batch_size)

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        from ..bottleneck import BottleneckConfig
        from ..heads import encoder_of

        names = None if self.targets == "auto" else choose_modules(encoder_of(model), self.targets)
        return wrap(
            model,
            task,
            BottleneckConfig,
            bottleneck_size=self.bottleneck_size,
            variant=self.variant,
            activation=self.activation,
            dropout=self.dropout,
            scaling=self.scaling,
            target_modules=names,
        )
