"""BottleneckModel: puts the layers into a model."""

from __future__ import annotations

from typing import Any

from peft.tuners.tuners_utils import BaseTuner
from torch import nn

from .config import BottleneckConfig
from .layer import BottleneckLayer, refuse_merge
from .targets import output_projections


class BottleneckModel(BaseTuner):
    """The tuner that `peft.get_peft_model` makes of a BottleneckConfig."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer

    def _prepare_adapter_config(self, peft_config: BottleneckConfig, model_config: dict[str, Any]) -> BottleneckConfig:
        """Names the targets, so that the saved configuration tells where the adapters are and needs no look-up."""
        if peft_config.target_modules is None:
            peft_config.target_modules = output_projections(self.model, peft_config.variant)
        return peft_config

    def _create_and_replace(
        self,
        peft_config: BottleneckConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        **_: Any,
    ) -> None:
        if isinstance(target, BottleneckLayer):
            target.add_adapter(adapter_name, peft_config)
            return
        layer = BottleneckLayer(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _check_merge_allowed(self) -> None:
        """Before the first layer is touched, so that the model stays whole."""
        refuse_merge()
