"""Feature extraction: the encoder stays as it is; only a head on its features is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from .base import Defaults, Scale, Strategy

if TYPE_CHECKING:
    from ..tasks.base import Task


class FeatureExtraction(Strategy):
    """Runs the encoder once over the data and trains the head alone: the cheapest strategy there is.

    A linear head on whole texts is solved to convergence; heads that answer token by token go through the loop.
    """

    kind: Literal["feature_extraction"] = "feature_extraction"
    frozen_bottom: ClassVar[bool] = True
    regularisation: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
        min_length=1,
        description="L2 strengths tried on the standardised features of classifiers; validation chooses",
    )

    def solves(self, task: Task) -> bool:
        return task.kind == "sequence_classification"

    def unread(self, task: Task) -> dict[str, str]:
        if not self.solves(task) and self.regularisation != type(self).model_fields["regularisation"].default:
            return {"regularisation": f"the head of {task.kind} is trained in the loop (training.weight_decay)"}
        return super().unread(task)

    def refuses(self, model_config: Any, task: Task) -> str | None:
        if not task.new_head:
            return "there is no new head to train on frozen features; use freeze or lora"
        if getattr(task, "pooling", None) == "model":
            return (
                "a model's own head has layers of its own, which would stay untrained on frozen features; "
                "set task.pooling to mean or cls"
            )
        return None

    def defaults(self, scale: Scale) -> Defaults:
        """Of the loop: a linear layer takes a high rate, and cached features make epochs cheap."""
        return Defaults(round(2e-3 * scale.narrowness, 6), scale.epochs(10, 30), scale.batch_size)

    def trains(self, name: str, in_head: bool) -> bool:
        return in_head
