"""Linear layers, and LoRA beside frozen ones: nothing cast twice, no product taken apart.

Under bf16 autocast torch casts a frozen matrix anew in every forward pass, and an input once for each layer that reads
it; PEFT casts the input again, and multiplies, scales, adds and casts in passes of their own. Here a frozen matrix is
cast once, an input once for all its readers, and the update is added within its product.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .dropout import keep_bits, masked
from .linear import Trained, pays
from .products import FastLinear

if TYPE_CHECKING:
    from torch import Tensor, nn


def speed_up_linear(model: nn.Module) -> None:
    """Swaps every nn.Linear and every lora.Linear of PEFT: the class of an object, and nothing that it has."""
    lora = sys.modules.get("peft.tuners.lora.layer")
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = Linear
        elif lora is not None and type(module) is lora.Linear:
            module.__class__ = low_rank_class()


class Linear(torch.nn.Linear):
    """nn.Linear; while it trains under autocast its input's cast is shared, and that of a frozen matrix is kept."""

    def train(self, mode: bool = True) -> Linear:
        """Whoever evaluates, saves or merges a model calls this first: what is kept is for training alone."""
        if not mode:
            vars(self).pop("kept", None)
        super().train(mode)
        return self

    def forward(self, input: Tensor) -> Tensor:
        dtype, frozen = narrow(input) if self.training else None, is_frozen(self)
        if not frozen:  # torch's fused AdamW changes weights without a new version
            vars(self).pop("kept", None)
        if dtype == torch.bfloat16 and not frozen and pays(input, self.weight, self.bias):
            trained: Tensor = Trained.apply(cast(input, dtype), self.weight, self.bias)
            return trained
        if dtype is None or not frozen:
            return super().forward(input if dtype is None else cast(input, dtype))
        made: Tensor = Frozen.apply(cast(input, dtype), *self.in_dtype(dtype))
        return made

    def in_dtype(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """((out, in), (out,) or None) a frozen matrix and its bias, cast again only where they changed."""
        weight, bias = self.weight, self.bias
        if weight.dtype == dtype:
            return weight, bias
        key = (dtype, *((part.data_ptr(), part._version) for part in (weight, bias) if part is not None))
        kept = vars(self).get("kept")
        if kept is None or kept[0] != key:
            with torch.no_grad():
                kept = (key, weight.to(dtype), None if bias is None else bias.to(dtype))
            vars(self)["kept"] = kept
        return kept[1], kept[2]


class AnsweringLinear(Linear, FastLinear):
    """The same while it trains; `FastLinear` where it answers."""


def is_frozen(layer: Any) -> bool:
    return not layer.weight.requires_grad and (layer.bias is None or not layer.bias.requires_grad)


def narrow(input: Tensor) -> torch.dtype | None:
    """The dtype of products under autocast on a CPU; None outside of it."""
    if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return None
    return torch.get_autocast_dtype("cpu")


def cast(input: Tensor, dtype: torch.dtype) -> Tensor:
    """The input in another dtype: one tensor for all layers that read it (query, key and value, say)."""
    if input.dtype == dtype or (input.is_leaf and input.requires_grad):  # a leaf and its cast would keep each other
        return input.to(dtype)
    key = (dtype, input._version, input.requires_grad and torch.is_grad_enabled())
    known = getattr(input, "tunewright_cast", None)
    if known is None or known[0] != key:
        known = (key, input.to(dtype))
        input.tunewright_cast = known  # type: ignore[attr-defined]
    made: Tensor = known[1]
    return made


def product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, out). oneDNN adds the bias within the product; torch first writes it everywhere (7.1 against 6.1 ms)."""
    if bias is None or rows.dtype != torch.bfloat16 or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return functional.linear(rows, weight, bias)
    made: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return made


class Frozen(torch.autograd.Function):
    """x W^T + b where neither W nor b wants a gradient: x is not kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return product(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        return slope @ ctx.saved_tensors[0], None, None


class LowRank(torch.autograd.Function):
    """x W^T + b + s dropout(x) A^T B^T for a frozen W (Hu et al. 2021, eq. 3); kept: x, and (N, r) dropout(x) A^T."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float, rate: float
    ) -> Tensor:
        rows, a, b = x.reshape(-1, x.shape[-1]), a.to(x.dtype), b.to(x.dtype)
        bits = keep_bits(rows.numel(), rate) if rate else None
        inner = dropped(rows, bits, rate) @ a.T
        ctx.save_for_backward(rows, weight, a, b, inner, bits)
        ctx.scale, ctx.rate = scale, rate
        return product(rows, weight, bias).addmm_(inner, b.T, alpha=scale).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, a, b, inner, bits = ctx.saved_tensors
        of_rows, flat = None, slope.reshape(-1, slope.shape[-1])
        of_inner = (flat @ b).mul_(ctx.scale)
        of_a = of_inner.T @ dropped(rows, bits, ctx.rate)
        of_b = (inner.T @ flat).T * ctx.scale  # flat.T @ inner takes three times as long
        if ctx.needs_input_grad[0]:
            of_rows = flat @ weight
            if bits is None:
                of_rows.addmm_(of_inner, a)
            else:
                of_rows.add_(masked(of_inner @ a, bits, ctx.rate))
            of_rows = of_rows.view(*slope.shape[:-1], -1)
        return of_rows, None, None, of_a, of_b, None, None


def dropped(rows: Tensor, bits: Tensor | None, rate: float) -> Tensor:
    return rows if bits is None else masked(rows, bits, rate)


@lru_cache(maxsize=1)
def low_rank_class() -> Any:
    """PEFT's lora.Linear with another forward for the plain case."""
    from peft.tuners.lora.layer import Linear as Slow

    class LowRankLinear(Slow):
        def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if args or kwargs or not is_plain(self, x):
                self.base_layer.__dict__.pop("kept", None)  # a merge changes the matrix without a new version
                slow: Tensor = super().forward(x, *args, **kwargs)
                return slow
            (name,) = self.active_adapters
            dtype = narrow(x) or x.dtype
            factors = self.lora_A[name].weight, self.lora_B[name].weight
            rate = getattr(self.lora_dropout[name], "p", 0.0)
            made: Tensor = LowRank.apply(
                cast(x, dtype), *self.base_layer.in_dtype(dtype), *factors, self.scaling[name], rate
            )
            return made

    return LowRankLinear


def is_plain(layer: Any, x: Tensor) -> bool:
    """Whether a layer trains one update of a frozen matrix, without a bias, magnitude or any other variant."""
    name, base = layer.active_adapters[0] if len(layer.active_adapters) == 1 else None, layer.base_layer
    return (
        layer.training
        and name in layer.lora_A
        and isinstance(base, Linear)
        and is_frozen(base)
        and x.is_cpu
        and (narrow(x) or x.dtype) in (torch.float32, torch.bfloat16)
        and base.weight.dtype == layer.lora_A[name].weight.dtype == torch.float32
        and layer.lora_B[name].bias is None
        and not (layer.disable_adapters or layer.merged or layer.lora_variant or layer.fan_in_fan_out)
    )
