"""QLoRA: LoRA on a base whose frozen matrices are stored in four bits (Dettmers et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..errors import ConfigError
from .lora import LowRank, Targets
from .peft import unrounded

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..tasks.base import Task

HEADS = (
    "classifier",
    "score",
    "qa_outputs",
    "pre_classifier",
    "head",
    ".*pooler",
    "lm_head",
    "embed_out",
)  # FINDINGS 6


class QLoRA(LowRank):
    """Stores the base in NF4 and trains low-rank factors and the head: a quarter of the memory for weights."""

    kind: Literal["qlora"] = "qlora"
    targets: Targets = Field(
        "all-linear", description="all linear layers but the head (QLoRA paper, section 4); attention; or names"
    )
    double_quantisation: bool = Field(True, description="quantise the scales too (QLoRA paper, section 3)")
    loftq: bool = Field(False, description="start from the quantisation's error (LoftQ, Li et al. 2023)")

    def refuses(self, model_config: Any, task: Task) -> str | None:
        from importlib.util import find_spec

        reason = super().refuses(model_config, task)
        if reason:
            return reason
        if find_spec("bitsandbytes") is None:
            return "bitsandbytes is not installed (pip install 'tunewright[qlora]')"
        from ..kernels import four_bit_fault

        fault = four_bit_fault()
        return f"bitsandbytes has no four-bit kernel for this machine: {fault}" if fault else None

    def load_kwargs(self) -> dict[str, Any]:
        from transformers import BitsAndBytesConfig

        return {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=self.double_quantisation,
                bnb_4bit_compute_dtype="float32",  # autocast lowers it where the run's precision is lower
                llm_int8_skip_modules=list(HEADS),
            )
        }

    def apply(self, model: nn.Module, task: Task) -> nn.Module:
        changed = self.adapt(model, task)
        if self.loftq:
            from ..heads import encoder_of

            start_from_error(encoder_of(changed))
        return changed


def start_from_error(inner: Any) -> None:
    """Factors that come nearest to what was lost in quantising: s B A ~ W - Q (Li et al. 2023, algorithm 1, T = 1).

    PEFT's own function needs a GPU and leaves out s, so that with alpha = 2 r nothing is gained.
    """
    import torch

    name_of = inner.active_adapter
    with torch.no_grad():
        for name, module in inner.named_modules():
            if not hasattr(module, "lora_A") or not hasattr(module.weight, "quant_state"):
                continue
            quantised = unrounded(module.weight)
            whole = stored(inner.get_base_model(), name.removeprefix("base_model.model."))
            if module.base_layer.source_cls.__name__ == "Conv1D":  # GPT-2 keeps its matrices as (in, out)
                whole = whole.T
            left, sizes, right = torch.linalg.svd(whole.to(quantised) - quantised, full_matrices=False)
            down, up = module.lora_A[name_of].weight.zero_(), module.lora_B[name_of].weight.zero_()
            rank = min(len(down), len(sizes))
            root = sizes[:rank].sqrt()
            down[:rank] = root[:, None] * right[:rank]
            up[:, :rank] = left[:, :rank] * root / module.scaling[name_of]


def stored(base: Any, layer: str) -> Tensor:
    """A layer's matrix as its checkpoint has it: with or without the prefix of the model inside."""
    from safetensors import safe_open

    bare = layer.removeprefix(f"{base.base_model_prefix}.")
    for file in Path(base.name_or_path).glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            for name in (f"{layer}.weight", f"{bare}.weight", f"{base.base_model_prefix}.{bare}.weight"):
                if name in weights.keys():  # noqa: SIM118  (no mapping)
                    return weights.get_tensor(name)
    what = f"the checkpoint has no weight {bare!r} to compare with"
    raise ConfigError(what, where="strategy.loftq", fix="set it to false")
