"""Faster arithmetic for training on a CPU: equal in value without dropout, equal in distribution with it.

`training.kernels: plain` switches all of it off. What is swapped has the same parameters and the same answers in
evaluation mode, so that nothing of it is seen in a checkpoint or a saved model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def speed_up(model: nn.Module, device: Any) -> None:
    """Puts the faster parts into a model that will train on a CPU; leaves it alone elsewhere."""
    if device.type == "cpu":
        from .allocator import keep_memory
        from .attention import speed_up_attention
        from .dropout import swap_dropout
        from .embedding import sparse_embeddings
        from .lora import speed_up_linear

        keep_memory()
        swap_dropout(model)
        sparse_embeddings(model)
        speed_up_attention(model)
        speed_up_linear(model)
