"""LoRA: low-rank updates beside frozen matrices (Hu et al. 2021), through PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .base import Defaults, Scale
from .peft import ATTENTION, Adapter, all_transposed, choose_modules, linear_modules, merged, require_matches, wrap

if TYPE_CHECKING:
    from torch import nn

    from ..tasks.base import Task

Targets = Literal["attention", "all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)]
Rank = Annotated[int, Field(ge=1)]


class LowRank(Adapter):
    """What LoRA and QLoRA have in common."""

    unsure_below: ClassVar[int] = 1000
    r: int = Field(16, ge=1, description="rank (Hu et al. 2021, section 7.2: 8 is enough for much larger models)")
    alpha: float | None = Field(None, gt=0, description="the update is scaled by alpha / r; default: 2 r")
    dropout: float = Field(0.05, ge=0, lt=1, description="on the factors' input (QLoRA paper, section 4)")
    targets: Targets = Field(
        "attention", description="attention matrices; all linear layers but the head; or names such as query, value"
    )
    bias: Literal["none", "all", "lora_only"] = "none"
    use_dora: bool = Field(False, description="DoRA (Liu et al. 2024): magnitude and direction apart")
    use_rslora: bool = Field(False, description="scale by alpha / sqrt(r) (Kalajdzievski 2023)")
    rank_pattern: dict[str, Rank] = Field(default_factory=dict, description="another rank for layers by name or regex")
    alpha_pattern: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="another alpha for layers by name or regex"
    )

    def refuses(self, model_config: Any, task: Task) -> str | None:
        from ..layers import has_biases

        if self.bias != "none" and not has_biases(model_config):
            return f"a model of type {model_config.model_type} has no biases in its blocks; set strategy.bias to none"
        return None

    def adapt(self, model: nn.Module, task: Task, init: Any = True, **settings: Any) -> nn.Module:
        """The model with the factors in it."""
        import peft

        from ..heads import encoder_of

        chosen = self.modules(encoder_of(model))
        require_matches(self.rank_pattern, chosen, "strategy.rank_pattern")
        require_matches(self.alpha_pattern, chosen, "strategy.alpha_pattern")
        return wrap(
            model,
            task,
            peft.LoraConfig,
            r=self.r,
            lora_alpha=self.alpha or 2 * self.r,
            lora_dropout=self.dropout,
            target_modules=chosen,
            bias=self.bias,
            use_dora=self.use_dora,
            use_rslora=self.use_rslora,
            rank_pattern=dict(self.rank_pattern),
            alpha_pattern=dict(self.alpha_pattern),
            init_lora_weights=init,
            fan_in_fan_out=all_transposed(encoder_of(model), chosen),
            **settings,
        )

    def modules(self, model: nn.Module) -> list[str]:
        """Full names of the layers to change."""
        if self.targets == "all-linear":
            return linear_modules(model)
        return choose_modules(model, ATTENTION if self.targets == "attention" else tuple(self.targets))

    def defaults(self, scale: Scale) -> Defaults:
        """Ten times the rate of full fine-tuning (Hu et al. 2021, table 9: 4e-4 to 5e-4 for RoBERTa-base)."""
        return Defaults(round(5e-4 * scale.narrowness, 6), scale.epochs(4, 10), scale.batch_size)


class LoRA(LowRank):
    """Trains low-rank factors of the attention matrices and the head: under 3 % of a small encoder."""

    kind: Literal["lora"] = "lora"
    init: Literal["default", "gaussian", "orthogonal", "pissa", "olora"] = Field(
        "default", description="of the factors; pissa (Meng et al. 2024) and olora start from the weights' own factors"
    )
    merge: bool = Field(False, description="save merged weights, which load without PEFT, in place of the adapter")

    @model_validator(mode="after")
    def refuse_unconvertible(self) -> Self:
        """An adapter that starts from the weights' own factors is saved as a plain one of twice the rank."""
        if self.init in ("pissa", "olora") and (self.use_dora or self.use_rslora or self.rank_pattern):
            raise ValueError(f"init: {self.init} can't be had with use_dora, use_rslora or rank_pattern")
        if self.init == "orthogonal" and self.r % 2:
            raise ValueError("init: orthogonal needs an even r")
        return self

    def refuses(self, model_config: Any, task: Task) -> str | None:
        from ..layers import stands_on_end

        if self.init == "olora" and stands_on_end(model_config):
            return f"PEFT's olora takes the (in, out) matrices of a {model_config.model_type} for (out, in); use pissa"
        return super().refuses(model_config, task)

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        from ..heads import encoder_of

        changed = self.adapt(model, task, init={"default": True}.get(self.init, self.init))
        if self.init in ("pissa", "olora"):
            inner: Any = encoder_of(changed)
            inner.initial_adapter = {k: v.detach().clone() for k, v in adapter_state(inner).items()}
        return changed

    def save(self, model: nn.Module, folder: Path) -> str:
        from ..heads import encoder_of, save_full

        if self.merge:
            save_full(merged(model), folder)
            return "full"
        super().save(model, folder)
        inner: Any = encoder_of(model)
        if hasattr(inner, "initial_adapter"):
            convert(inner, folder)
        return "adapter"


def adapter_state(inner: Any) -> dict[str, Any]:
    from peft import get_peft_model_state_dict

    state: dict[str, Any] = get_peft_model_state_dict(inner)
    return state


def convert(inner: Any, folder: Path) -> None:
    """Rewrites an adapter whose base was changed at the start as a plain one on the unchanged base.

    W + s (B A - B0 A0) is [B, B0] [A; -A0], of twice the rank (Meng et al. 2024, section 3).
    """
    import torch
    from safetensors.torch import save_file

    from ..files import read_json, write_json

    state, first = adapter_state(inner), inner.initial_adapter
    for name, value in list(state.items()):
        if "lora_A" in name:
            state[name] = torch.cat([value, -first[name].to(value.device)], dim=0)
        elif "lora_B" in name:
            state[name] = torch.cat([value, first[name].to(value.device)], dim=1)
    save_file({k: v.detach().contiguous().cpu() for k, v in state.items()}, folder / "adapter_model.safetensors")
    config = read_json(folder / "adapter_config.json")
    config |= {"r": 2 * config["r"], "lora_alpha": 2 * config["lora_alpha"], "init_lora_weights": True}
    config["alpha_pattern"] = {name: 2 * value for name, value in config.get("alpha_pattern", {}).items()}
    write_json(folder / "adapter_config.json", config)
