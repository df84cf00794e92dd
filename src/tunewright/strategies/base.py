"""Strategy: knows parameters; knows nothing of rows, labels or losses."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..component import Component

if TYPE_CHECKING:
    from torch import nn

    from ..layers import Layers
    from ..tasks.base import Task

STEPS = 1500  # optimizer steps a run should have: small sets need more passes (Mosbach et al. 2021, section 6)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and a decay.

    Args:
        name: for the log.
        parameters: by their names in the model.
        learning_rate: the peak.
        start: finished steps after which the group begins to train, with a warm-up of its own; frozen before.
    """

    name: str
    parameters: dict[str, Any]
    learning_rate: float
    weight_decay: float
    start: int = 0


@dataclass(frozen=True)
class Scale:
    """What sane defaults depend on. hidden_size: the model's width; num_rows: of the training split."""

    hidden_size: int
    num_rows: int

    @property
    def narrowness(self) -> float:
        """768 / width, at most 4: narrow models take and need higher rates."""
        return 768 / max(self.hidden_size, 192)

    @property
    def batch_size(self) -> int:
        return 16 if self.num_rows < 20_000 else 32

    def epochs(self, fewest: int, most: int) -> float:
        """As many epochs as make about STEPS steps, within [fewest, most]."""
        return float(min(max(math.ceil(STEPS * self.batch_size / self.num_rows), fewest), most))


class Defaults(NamedTuple):
    """What `auto` means for one strategy at one scale."""

    learning_rate: float
    epochs: float
    batch_size: int


class Rates(NamedTuple):
    """What groups are made from.

    Args:
        total_steps, steps_per_epoch: optimizer steps.
        new_head: whether the head starts from nothing; a pretrained one learns at the rate of the rest.
    """

    learning_rate: float
    weight_decay: float
    total_steps: int = 1
    steps_per_epoch: int = 1
    new_head: bool = True


class Strategy(Component):
    """The contract of a strategy."""

    home: ClassVar[str] = "strategies"
    unsure_below: ClassVar[int] = 0  # optimizer steps: in a shorter run the default learning rate is often too low, so
    # that `auto` tests it (training/range_test.py)
    frozen_bottom: ClassVar[bool] = False  # True: blocks below the lowest trainable one never change, so they may be
    # run once and cached, and run without dropout
    merges: ClassVar[bool] = True  # whether what it trains is, or can become, the model's own weights: what the next
    # run starts from

    def refuses(self, model_config: Any, task: Task) -> str | None:
        """Why this strategy can't be had for this model and task, or None. Asked before weights are loaded."""
        return None

    def unread(self, task: Task) -> dict[str, str]:
        """Fields that were set but have no effect with this task, each with the reason (C1)."""
        field = type(self).model_fields.get("head_learning_rate")
        if field is None or task.new_head or getattr(self, "head_learning_rate") == field.default:  # noqa: B009
            return {}
        return {"head_learning_rate": f"{task.kind} has no new head"}

    def solves(self, task: Task) -> bool:
        """Whether the head is solved for on cached features, without the loop."""
        return False

    @property
    def virtual_tokens(self) -> int:
        """Positions that the strategy takes from the text."""
        return 0

    def load_kwargs(self) -> dict[str, Any]:
        """What loading the base needs, now and whenever the adapter is loaded."""
        return {}

    @abstractmethod
    def defaults(self, scale: Scale) -> Defaults:
        """Learning rate, epochs and batch size where the user left them to us."""

    def trains(self, name: str, in_head: bool) -> bool:
        """Whether a parameter of the model trains; what this strategy adds to the model always does."""
        return True

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        """Changes the model and marks what trains; returns the model to use."""
        from ..heads import head_names

        head = head_names(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.trains(name, name in head))
        return model

    def groups(self, model: nn.Module, layers: Layers, rates: Rates) -> list[ParameterGroup]:
        """All parameters that will ever train, with their rates and starts. Biases and norms are never decayed."""
        return head_and_body(model, layers, rates, getattr(self, "head_learning_rate", 1.0))

    def save(self, model: nn.Module, folder: Any) -> str:
        """Writes the weights in HF or PEFT format; returns "full" or "adapter"."""
        from ..heads import save_full

        save_full(model, folder)
        return "full"


def decayed(parameter: Any) -> bool:
    """Whether AdamW's decay applies: to matrices, not to biases and norms (Devlin et al. 2019, appendix A.2)."""
    return bool(parameter.ndim > 1)


def split_by_decay(
    name: str, parameters: dict[str, Any], learning_rate: float, weight_decay: float, start: int = 0
) -> list[ParameterGroup]:
    """One group with decay and one without; empty ones are left out."""
    with_decay = {key: value for key, value in parameters.items() if decayed(value)}
    without = {key: value for key, value in parameters.items() if key not in with_decay}
    groups = [
        ParameterGroup(name, with_decay, learning_rate, weight_decay, start),
        ParameterGroup(name, without, learning_rate, 0.0, start),
    ]
    return [group for group in groups if group.parameters]


def trainable(model: nn.Module) -> dict[str, Any]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def head_and_body(model: nn.Module, layers: Layers, rates: Rates, head_factor: float) -> list[ParameterGroup]:
    """Groups for strategies that give a new head a rate of its own, `head_factor` times the others'."""
    names, parameters = set(layers.head), trainable(model)
    head_factor = head_factor if rates.new_head else 1.0
    head = {name: value for name, value in parameters.items() if name in names}
    body = {name: value for name, value in parameters.items() if name not in names}
    return split_by_decay("body", body, rates.learning_rate, rates.weight_decay) + split_by_decay(
        "head", head, rates.learning_rate * head_factor, rates.weight_decay
    )


def by_depth(
    model: nn.Module, layers: Layers, rates: Rates, decay: float, head_factor: float, starts: list[int] | None = None
) -> list[ParameterGroup]:
    """Groups from the embeddings up: the top block at the full rate, each lower one at `decay` times the one above.

    Args:
        head_factor: a new head's rate over the top block's; a pretrained one has that.
        starts: of embeddings, each block, and the head (L + 2 of them); 0 everywhere where None.
    """
    parameters, depth = dict(model.named_parameters()), len(layers.blocks)
    parts = [("embeddings", layers.embeddings, decay**depth)]
    parts += [(f"block {place}", names, decay ** (depth - 1 - place)) for place, names in enumerate(layers.blocks)]
    parts.append(("head", layers.head, head_factor if rates.new_head else 1.0))
    found = []
    for (name, names, factor), start in zip(parts, starts or [0] * len(parts), strict=True):
        chosen = {key: parameters[key] for key in names}
        found += split_by_decay(name, chosen, rates.learning_rate * factor, rates.weight_decay, start)
    return found
