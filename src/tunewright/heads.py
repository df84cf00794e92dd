"""PooledClassifier: an encoder, a pooling of its token states, and a linear head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

import torch
from torch import nn

HEAD_FILE = "head.safetensors"


class PooledClassifier(nn.Module):
    """Mean or first-token pooling, dropout, a linear layer.

    Args:
        encoder: a transformers model without head (or the PEFT model around it).
        num_labels: C.
        pooling: "mean" (over real tokens; Reimers and Gurevych 2019, section 3) or "cls" (the first token).
        dropout: before the head.
    """

    encoder: Any
    head: Any
    dropout: Any

    def __init__(self, encoder: nn.Module, num_labels: int, pooling: str, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        config: Any = encoder.config
        self.head = nn.Linear(config.hidden_size, num_labels)
        nn.init.normal_(self.head.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)

    def features(self, **inputs: Tensor) -> Tensor:
        """(B, d) fp32 features of (B, T) tokens: what the head reads."""
        hidden = self.encoder(**inputs).last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0].float()
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return ((hidden * mask).sum(1) / mask.sum(1)).float()

    def forward(self, **inputs: Tensor) -> Tensor:
        """(B, C) logits of (B, T) tokens."""
        return self.head(self.dropout(self.features(**inputs)))


def drop_pooler(encoder: Any) -> nn.Module:
    """Removes a pooler that nothing reads: it would get no gradient, which DDP takes for a fault."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


def save_full(model: Any, folder: Path) -> None:
    """HF format: with its own head as one model; pooled as encoder plus head.safetensors."""
    if isinstance(model, PooledClassifier):
        model.encoder.save_pretrained(folder)
        save_head(model, folder)
    else:
        model.save_pretrained(folder)


def save_head(model: PooledClassifier, folder: Path) -> None:
    from safetensors.torch import save_file

    weights = {"weight": model.head.weight.detach(), "bias": model.head.bias.detach()}
    save_file({name: value.contiguous().cpu() for name, value in weights.items()}, folder / HEAD_FILE)


def load_head(model: PooledClassifier, folder: Path) -> None:
    from safetensors.torch import load_file

    model.head.load_state_dict(load_file(folder / HEAD_FILE))


def mean_by_owner(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """(W, C) values of windows to (B, C) means over the windows of each row."""
    sums = torch.zeros(count, values.shape[1], dtype=values.dtype, device=values.device).index_add_(0, owners, values)
    return sums / torch.bincount(owners, minlength=count).unsqueeze(1)
