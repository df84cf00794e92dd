"""LoRA: low-rank updates beside frozen matrices (Hu et al. 2021), through PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ..errors import ConfigError, suggest
from .base import Defaults, ParameterGroup, Scale, Strategy, head_and_body
from .full import epochs_for

if TYPE_CHECKING:
    from torch import nn

    from ..layers import Layers
    from ..tasks.base import Task

ATTENTION = ("attention", "attn", "self_attn", "SelfAttention")


class LoRA(Strategy):
    """Trains low-rank factors of the attention matrices and the head: under 3 % of a small encoder."""

    kind: Literal["lora"] = "lora"
    r: int = Field(16, ge=1, description="rank (Hu et al. 2021, section 7.2: 8 is enough for much larger models)")
    alpha: float | None = Field(None, gt=0, description="the update is scaled by alpha / r; default: 2 r")
    dropout: float = Field(0.05, ge=0, lt=1, description="on the factors' input (QLoRA paper, section 4)")
    targets: Literal["attention", "all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "attention", description="attention matrices; all linear layers but the head; or names such as query, value"
    )
    bias: Literal["none", "all", "lora_only"] = "none"
    use_dora: bool = Field(False, description="DoRA (Liu et al. 2024): magnitude and direction apart")
    use_rslora: bool = Field(False, description="scale by alpha / sqrt(r) (Kalajdzievski 2023)")
    merge: bool = Field(False, description="save merged weights, which load without PEFT, in place of the adapter")

    def defaults(self, scale: Scale) -> Defaults:
        """Ten times the rate of full fine-tuning (Hu et al. 2021, table 9: 4e-4 to 5e-4 for RoBERTa-base)."""
        batch_size = 16 if scale.num_rows < 20_000 else 32
        rate = 5e-4 * 768 / max(scale.hidden_size, 192)
        return Defaults(round(rate, 6), epochs_for(scale.num_rows, batch_size, 4, 10), batch_size)

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        """Wraps the encoder of a pooled model, or the whole of one with its own head (kept trainable by PEFT)."""
        import peft

        pooled = hasattr(model, "encoder") and hasattr(model, "pooling")
        inner: Any = model.encoder if pooled else model
        config = peft.LoraConfig(
            task_type=peft.TaskType.FEATURE_EXTRACTION if pooled else peft.TaskType.SEQ_CLS,
            r=self.r,
            lora_alpha=self.alpha or 2 * self.r,
            lora_dropout=self.dropout,
            target_modules=self.modules(inner),
            bias=self.bias,
            use_dora=self.use_dora,
            use_rslora=self.use_rslora,
            modules_to_save=None if pooled else head_modules(inner),
        )
        wrapped = peft.get_peft_model(inner, config)
        if not pooled:
            return wrapped
        model.encoder = wrapped
        return model

    def modules(self, model: nn.Module) -> list[str]:
        """Full names of the linear layers to change, inside the blocks, so that no head is among them."""
        from torch import nn

        from ..layers import block_list

        prefix, _ = block_list(model)
        linear = [
            name
            for name, module in model.named_modules()
            if name.startswith(f"{prefix}.") and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
        ]
        if self.targets == "all-linear":
            return linear
        wanted = ATTENTION if self.targets == "attention" else self.targets
        chosen = [name for name in linear if any(part in wanted for part in name.split("."))]
        if not chosen:
            ends = {name.rsplit(".", 1)[-1] for name in linear}
            raise ConfigError(
                f"no layer is called {', '.join(map(repr, wanted))}",
                where="strategy.targets",
                fix=suggest(wanted[0], ends | {"attention", "all-linear"}),
            )
        return chosen

    def groups(
        self, model: nn.Module, layers: Layers, learning_rate: float, weight_decay: float
    ) -> list[ParameterGroup]:
        return head_and_body(model, layers, learning_rate, learning_rate, weight_decay)

    def save(self, model: nn.Module, folder: Path) -> str:
        from ..heads import PooledClassifier, save_full, save_head

        if self.merge:
            save_full(merged(model), folder)
            return "full"
        inner: Any = model.encoder if isinstance(model, PooledClassifier) else model
        inner.save_pretrained(folder, safe_serialization=True)
        if isinstance(model, PooledClassifier):
            save_head(model, folder)
        return "adapter"


def head_modules(model: Any) -> list[str]:
    """What a model's own head consists of, and any part that its checkpoint lacked.

    PEFT by itself trains and saves only `classifier` or `score`: the rest of the head (DistilBERT's pre_classifier,
    ModernBERT's head, a new pooler) would stay random, and be another random one after reloading (FINDINGS 7).
    """
    head = [
        name for name, child in model.named_children() if name != model.base_model_prefix and list(child.parameters())
    ]
    return [*head, "pooler"] if any("pooler" in name for name in model.new_parameters) else head


def merged(model: nn.Module) -> nn.Module:
    """A copy of the model whose matrices contain their updates; the logits are equal up to rounding."""
    import copy

    from ..heads import PooledClassifier

    model = copy.deepcopy(model)
    inner: Any = model.encoder if isinstance(model, PooledClassifier) else model
    whole = inner.merge_and_unload()
    if not isinstance(model, PooledClassifier):
        return whole
    model.encoder = whole
    return model
