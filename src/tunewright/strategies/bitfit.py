"""BitFit: only the biases and the head train (Ben Zaken et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from .base import Defaults, Scale, Strategy

if TYPE_CHECKING:
    from ..tasks.base import Task


class BitFit(Strategy):
    """Trains every bias of the model, its norms' too, and the head: about a thousandth of the parameters."""

    kind: Literal["bitfit"] = "bitfit"
    head_learning_rate: float = Field(1.0, gt=0, description="times the learning rate, for the new head")

    def refuses(self, model_config: Any, task: Task) -> str | None:
        from ..layers import has_biases

        if not has_biases(model_config):
            return f"a model of type {model_config.model_type} has no biases in its blocks; use ia3 or lora"
        return None

    def defaults(self, scale: Scale) -> Defaults:
        """1e-3 for a width of 768 (Ben Zaken et al. 2022, appendix A.2: 1e-4 to 1e-3)."""
        return Defaults(round(1e-3 * scale.narrowness, 6), scale.epochs(4, 12), scale.batch_size)

    def trains(self, name: str, in_head: bool) -> bool:
        return in_head or name.endswith("bias")
