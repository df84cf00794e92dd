"""Feature extraction: the encoder stays as it is; only a linear head on its features is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from .base import Defaults, ParameterGroup, Scale, Strategy, split_by_decay, trainable

if TYPE_CHECKING:
    from torch import nn

    from ..layers import Layers
    from ..tasks.base import Task


class FeatureExtraction(Strategy):
    """Runs the encoder once over the data and fits the head to convergence: the cheapest strategy there is."""

    kind: Literal["feature_extraction"] = "feature_extraction"
    head_only: ClassVar[bool] = True
    regularisation: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
        min_length=1,
        description="L2 strengths tried on the standardised features; validation chooses",
    )

    def refuses(self, model_config: Any, task: Task) -> str | None:
        if getattr(task, "pooling", None) == "model":
            return (
                "a model's own head has layers of its own, which would stay untrained on frozen features; "
                "set task.pooling to mean or cls"
            )
        return None

    def defaults(self, scale: Scale) -> Defaults:
        """The head's solver (L-BFGS) has no rate, epochs or batches; `training` is refused for it but for the seed."""
        return Defaults(1.0, 1.0, 64)

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        model.requires_grad_(False)
        model.head.requires_grad_(True)
        return model

    def groups(
        self, model: nn.Module, layers: Layers, learning_rate: float, weight_decay: float
    ) -> list[ParameterGroup]:
        return split_by_decay("head", trainable(model), learning_rate, weight_decay)
