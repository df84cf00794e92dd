"""Strategy: knows parameters; knows nothing of rows, labels or losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..component import Component

if TYPE_CHECKING:
    from torch import nn

    from ..layers import Layers
    from ..tasks.base import Task


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and a decay. `name` is for the log."""

    name: str
    parameters: dict[str, Any]  # by their names in the model
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class Scale:
    """What sane defaults depend on. hidden_size: the model's width; num_rows: of the training split."""

    hidden_size: int
    num_rows: int


class Defaults(NamedTuple):
    """What `auto` means for one strategy at one scale."""

    learning_rate: float
    epochs: float
    batch_size: int


class Strategy(Component):
    """The contract of a strategy."""

    home: ClassVar[str] = "strategies"
    head_only: ClassVar[bool] = False  # True: nothing below the head trains, so features are computed once and solved

    def refuses(self, model_config: Any, task: Task) -> str | None:
        """Why this strategy can't be had for this model and task, or None. Asked before weights are loaded."""
        return None

    @abstractmethod
    def defaults(self, scale: Scale) -> Defaults:
        """Learning rate, epochs and batch size where the user left them to us."""

    @abstractmethod
    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        """Changes the model and marks what trains; returns the model to use."""

    @abstractmethod
    def groups(
        self, model: nn.Module, layers: Layers, learning_rate: float, weight_decay: float
    ) -> list[ParameterGroup]:
        """The trainable parameters with their rates. Biases and norms are never decayed."""

    def callbacks(self) -> Sequence[Any]:
        """What changes during training. Only these callbacks may touch parameters."""
        return ()

    def save(self, model: nn.Module, folder: Any) -> str:
        """Writes the weights in HF or PEFT format; returns "full" or "adapter"."""
        from ..heads import save_full

        save_full(model, folder)
        return "full"


def decayed(name: str, parameter: Any) -> bool:
    """Whether AdamW's decay applies: to matrices, not to biases and norms (Devlin et al. 2019, appendix A.2)."""
    return bool(parameter.ndim > 1)


def split_by_decay(
    name: str, parameters: dict[str, Any], learning_rate: float, weight_decay: float
) -> list[ParameterGroup]:
    """One group with decay and one without; empty ones are left out."""
    with_decay = {key: value for key, value in parameters.items() if decayed(key, value)}
    without = {key: value for key, value in parameters.items() if key not in with_decay}
    groups = [
        ParameterGroup(name, with_decay, learning_rate, weight_decay),
        ParameterGroup(name, without, learning_rate, 0.0),
    ]
    return [group for group in groups if group.parameters]


def trainable(model: nn.Module) -> dict[str, Any]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def head_and_body(
    model: nn.Module, layers: Layers, learning_rate: float, head_learning_rate: float, weight_decay: float
) -> list[ParameterGroup]:
    """Groups for strategies that give the new head a rate of its own."""
    names = set(layers.head)
    parameters = trainable(model)
    head = {name: value for name, value in parameters.items() if name in names}
    body = {name: value for name, value in parameters.items() if name not in names}
    return split_by_decay("body", body, learning_rate, weight_decay) + split_by_decay(
        "head", head, head_learning_rate, weight_decay
    )
