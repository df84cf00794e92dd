"""Linear layers that train under bf16 autocast: oneDNN adds the bias within the product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 1024  # with fewer, torch's own two passes cost less than a function in Python (4,096: 11.8 against 14.0 ms)


def pays(input: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether `Trained` takes this product, and is faster."""
    return bias is not None and weight.dtype == torch.float32 and input.numel() >= ROWS * input.shape[-1]


class Trained(torch.autograd.Function):
    """x W^T + b of (..., in) bf16 and fp32 parameters; W, b and their gradients pass bf16, as under autocast."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        from .lora import product

        narrow = weight.to(x.dtype)
        context.save_for_backward(x, narrow)
        return product(x.reshape(-1, x.shape[-1]), narrow, bias.to(x.dtype)).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(context: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, narrow = context.saved_tensors
        of_x, of_weight, of_bias = context.needs_input_grad
        rows = slope.reshape(-1, slope.shape[-1])
        return (
            slope @ narrow if of_x else None,
            (rows.T @ x.reshape(-1, x.shape[-1])).float() if of_weight else None,
            rows.sum(0).float() if of_bias else None,
        )
