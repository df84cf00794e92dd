"""BottleneckConfig: what is saved in adapter_config.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from peft import PeftConfig

from ..errors import ConfigError, suggest
from .peft_type import PEFT_TYPE

VARIANTS = ("houlsby", "pfeiffer")
ACTIVATIONS = ("gelu", "relu", "silu", "tanh")


@dataclass
class BottleneckConfig(PeftConfig):
    """The adapters' size, form and places.

    Args:
        bottleneck_size: m, the width inside; an adapter on d features has 2dm + m + d parameters.
        variant: "houlsby": after the attention and after the feed-forward (Houlsby et al. 2019, figure 2);
            "pfeiffer": after the feed-forward only (Pfeiffer et al. 2021, section 3). Only read where `target_modules`
            is None.
        activation: between the projections: "gelu", "relu", "silu" or "tanh".
        dropout: on the m inner features, in [0, 1).
        scaling: times the adapter's output.
        target_modules: names (or their ends, or a regular expression) of the linear layers whose output is adapted;
            None finds the output projections of the sub-layers, and puts their names here.
        modules_to_save: modules that train as they are and are saved with the adapters, such as a new head.

    Raises:
        ConfigError: a value is out of range.
    """

    bottleneck_size: int = field(default=64)  # Houlsby et al. 2019, section 3.2: 8, 64 or 256, best per task
    variant: Literal["houlsby", "pfeiffer"] = field(default="houlsby")
    activation: Literal["gelu", "relu", "silu", "tanh"] = field(default="gelu")
    dropout: float = field(default=0.0)
    scaling: float = field(default=1.0)
    target_modules: list[str] | str | None = field(default=None)
    modules_to_save: list[str] | None = field(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PEFT_TYPE
        for name, known in (("variant", VARIANTS), ("activation", ACTIVATIONS)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"unknown {value!r}", where=name, fix=suggest(str(value), known))
        if self.bottleneck_size < 1:
            raise ConfigError(f"{self.bottleneck_size} is too small", where="bottleneck_size", fix="give 1 or more")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"{self.dropout} is not a rate", where="dropout", fix="give 0 or more, and less than 1")

    def to_dict(self) -> dict[str, Any]:
        """With `target_modules` in order: PEFT shortens long lists to a set, whose order changes from run to run."""
        values: dict[str, Any] = super().to_dict()
        if isinstance(values["target_modules"], set):
            values["target_modules"] = sorted(values["target_modules"])
        return values
