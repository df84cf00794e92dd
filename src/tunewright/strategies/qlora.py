"""QLoRA: LoRA on a base whose frozen matrices are stored in four bits (Dettmers et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from .lora import LowRank, Targets

if TYPE_CHECKING:
    from torch import nn

    from ..tasks.base import Task

HEADS = ("classifier", "score", "qa_outputs", "pre_classifier", "head", ".*pooler", "lm_head")  # stay out (FINDINGS 6)


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
            from peft import replace_lora_weights_loftq

            from ..heads import encoder_of

            inner: Any = encoder_of(changed)
            replace_lora_weights_loftq(inner, model_path=str(next(Path(inner.name_or_path).glob("*.safetensors"))))
        return changed

    def save(self, model: nn.Module, folder: Path) -> str:
        from .peft import save_adapter

        return save_adapter(model, folder)
