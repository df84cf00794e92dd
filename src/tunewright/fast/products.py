"""Linear layers that answer faster: oneDNN's fp32 products, and weights in bf16 or int8 for predictions.

Measured on one core of an EPYC with AVX512-VNNI, MiniLM, texts of 13 tokens: with torch's fp32 products 2,900 tokens/s,
with oneDNN's 4,600 (largest difference of a logit 6e-7), bf16 6,600 (3e-3), int8 8,600 (4e-2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

TINY = 1e-12  # keeps a scale of nothing but zeros from being zero
SMALL = 32  # features: what is narrower (heads of few classes, adapters) costs nothing and stays exact


def product(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """oneDNN's fp32 product, which has no gradient; torch's own was measured 1.7 times as slow on AMD's processors."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")
    return found


class FastLinear(nn.Linear):
    """A linear layer in every respect; without gradients, in fp32 on a CPU, it takes the faster product."""

    def forward(self, values: Tensor) -> Tensor:
        plain = values.dtype == self.weight.dtype == torch.float32 and values.device.type == "cpu"
        if torch.is_grad_enabled() or not plain or torch.is_autocast_enabled("cpu"):
            return super().forward(values)
        return product(values, self.weight, self.bias)


class HalfLinear(nn.Module):
    """Weights and products in bf16; what comes in and goes out stays as it is."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach().bfloat16())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().bfloat16())

    def forward(self, values: Tensor) -> Tensor:
        own: Any = self  # buffers are typed as modules too
        return nn.functional.linear(values.bfloat16(), own.weight, own.bias).to(values.dtype)


class ByteLinear(nn.Module):
    """Weights in int8 with a scale for each output, inputs in int8 with a scale for each token; sums in int32.

    With a scale for each batch, as torch's dynamic quantisation has it, a row's answer would depend on its company.
    """

    weight = None  # those who look at its dtype (T5) find none

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        scales = weight.abs().amax(1).clamp(min=TINY) / 127
        self.register_buffer("scales", scales)
        self.register_buffer("levels", (weight / scales.unsqueeze(1)).round().to(torch.int8).T.contiguous())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().float())

    def forward(self, values: Tensor) -> Tensor:
        own: Any = self  # buffers are typed as modules too
        rows = values.reshape(-1, values.shape[-1]).float()
        scales = rows.abs().amax(1, keepdim=True).clamp_(min=TINY) / 127
        found = torch._int_mm((rows / scales).round_().to(torch.int8), own.levels).float().mul_(scales).mul_(own.scales)
        found = found if own.bias is None else found.add_(own.bias)
        return found.view(*values.shape[:-1], -1).to(values.dtype)


KINDS: dict[str, Callable[[nn.Linear], nn.Module]] = {"bf16": HalfLinear, "int8": ByteLinear}


def use_fast_products(model: nn.Module) -> None:
    """Makes a model's plain linear layers fast ones, which have the same names, weights and gradients."""
    from .lora import AnsweringLinear, Linear

    faster: dict[type, type] = {nn.Linear: FastLinear, Linear: AnsweringLinear}
    for module in model.modules():
        if type(module) in faster:
            module.__class__ = faster[type(module)]


def lower(model: nn.Module, precision: str) -> None:
    """Replaces the linear layers of a model that only answers; LoRA's factors, which PEFT looks into, stay.

    Args:
        precision: bf16 or int8.
    """
    for name, child in model.named_children():
        if not (isinstance(child, nn.Linear) and type(child) in (nn.Linear, FastLinear)):
            if not name.startswith("lora_"):
                lower(child, precision)
        elif min(child.in_features, child.out_features) >= SMALL:
            setattr(model, name, KINDS[precision](child))
