"""Prefix tuning: trained keys and values before those of the text, in every block (Li and Liang 2021), through PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..errors import ConfigError
from .base import Defaults, Scale
from .peft import VirtualTokens, wrap_prompt

if TYPE_CHECKING:
    from torch import nn

    from ..tasks.base import Task


class PrefixTuning(VirtualTokens):
    """Trains a prefix of keys and values per block, and the head. The text's own positions are left as they are."""

    kind: Literal["prefix_tuning"] = "prefix_tuning"
    projection: bool = Field(False, description="through an MLP while training (the paper's reparametrisation, 4.3)")
    projection_size: int = Field(512, ge=1, description="of the MLP's hidden layer")

    def refuses(self, model_config: Any, task: Task) -> str | None:
        from ..layers import takes_past

        if not takes_past(model_config):
            return (
                f"the attention of {model_config.model_type} takes no past keys and values, which is what a prefix is; "
                "use prompt_tuning or lora"
            )
        return None

    def unread(self, task: Task) -> dict[str, str]:
        if not self.projection and self.projection_size != type(self).model_fields["projection_size"].default:
            return {"projection_size": "projection is off", **super().unread(task)}
        return super().unread(task)

    def defaults(self, scale: Scale) -> Defaults:
        """1e-2 (P-tuning v2, Liu et al. 2022, appendix B: 5e-3 to 1e-2); the MLP takes a tenth of that."""
        rate = 1e-3 if self.projection else 1e-2
        return Defaults(rate, scale.epochs(5, 20), scale.batch_size)

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        import peft

        from ..heads import encoder_of

        if encoder_of(model).is_gradient_checkpointing:
            what = "prefixes are past keys and values, which a block that is run twice does not get"
            raise ConfigError(what, where="training.gradient_checkpointing", fix="leave it out, or use prompt_tuning")
        shape = {"num_virtual_tokens": self.num_virtual_tokens, "prefix_projection": self.projection}
        hidden = {"encoder_hidden_size": self.projection_size} if self.projection else {}
        return wrap_prompt(model, task, peft.PrefixTuningConfig, **shape, **hidden)
