"""BottleneckLayer: a linear layer followed by adapters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from ..errors import ConfigError
from .config import BottleneckConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": nn.functional.gelu,
    "relu": nn.functional.relu,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
}


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """y + scaling * up(act(down(y))), where y is the output of the wrapped layer (Houlsby et al. 2019, section 2.1).

    The up-projection starts at zero, so a new adapter changes nothing, bit for bit; the down-projection starts as any
    linear layer, not near zero as in the paper, which has no other way to be near the identity. Weights are fp32
    whatever dtype the wrapped layer has. Several active adapters read the same y, and their outputs are added.
    """

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ("bottleneck_dropout", "bottleneck_activation", "bottleneck_scaling")

    if TYPE_CHECKING:  # from BaseTunerLayer, which has no types
        active_adapters: list[str]
        disable_adapters: bool
        get_base_layer: Callable[[], Any]
        set_adapter: Callable[..., None]

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer: Any = base_layer
        self.width = output_width(self.get_base_layer())
        self.bottleneck_down = nn.ModuleDict()
        self.bottleneck_up = nn.ModuleDict()
        self.bottleneck_dropout = nn.ModuleDict()
        self.bottleneck_activation: dict[str, str] = {}
        self.bottleneck_scaling: dict[str, float] = {}
        self.merged_adapters: list[str] = []  # PEFT reads it; always empty
        self._active_adapter = adapter_name
        self.add_adapter(adapter_name, config)

    def add_adapter(self, name: str, config: BottleneckConfig) -> None:
        form: dict[str, Any] = {"device": self.get_base_layer().weight.device, "dtype": torch.float32}
        down = nn.Linear(self.width, config.bottleneck_size, **form)
        up = nn.Linear(config.bottleneck_size, self.width, **form)
        for zero in (down.bias, up.weight, up.bias):
            nn.init.zeros_(zero)
        self.bottleneck_down[name] = down
        self.bottleneck_up[name] = up
        self.bottleneck_dropout[name] = nn.Dropout(config.dropout)
        self.bottleneck_activation[name] = config.activation
        self.bottleneck_scaling[name] = config.scaling
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(..., d) adapted outputs."""
        output: Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return output
        names = [name for name in self.active_adapters if name in self.bottleneck_down]
        return output + sum(self.change(name, output) for name in names) if names else output

    def change(self, name: str, output: Tensor) -> Tensor:
        """(..., d): what one adapter adds to (..., d) outputs, in their dtype."""
        down: Any = self.bottleneck_down[name]
        inner = ACTIVATIONS[self.bottleneck_activation[name]](down(output.to(down.weight.dtype)))
        change: Tensor = self.bottleneck_up[name](self.bottleneck_dropout[name](inner))
        return (change * self.bottleneck_scaling[name]).to(output.dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        refuse_merge()


def output_width(layer: Any) -> int:
    """d, the number of features that a linear layer gives out.

    Raises:
        ConfigError: the layer is not linear.
    """
    width = getattr(layer, "out_features", None) or getattr(layer, "nf", None)  # nf: Conv1D, GPT-2's linear layer
    if width is None:
        what = f"a bottleneck adapter can't follow a {type(layer).__name__}"
        raise ConfigError(what, where="strategy.targets", fix="name linear layers")
    return int(width)


def refuse_merge() -> None:
    """Raises ConfigError: no weight matrix equals a layer with a non-linearity after it."""
    raise ConfigError(
        "bottleneck adapters are not linear, so they can't be merged into the weights",
        fix="keep the adapter beside its base model, or train with strategy: lora",
    )
