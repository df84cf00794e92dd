"""Packed rows: documents one after another, none of which sees another (N4), without any padding.

Everything in a transformer but attention works token by token, so a pack is one long row for it; attention is computed
for each segment by itself. A dense mask over the pack would be seven times slower (FINDINGS), and 2-D masks let
documents see each other (FINDINGS 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

ATTENTION = "tunewright_segments"  # the name under which transformers' models find our attention


class Segment(NamedTuple):
    """Tokens [first, last) of a pack, which see themselves and, where there is one, the prompt [start, end) before."""

    first: int
    last: int
    start: int = 0
    end: int = 0


@dataclass(slots=True)
class Packed:
    """N tokens of several documents.

    Args:
        ids: (1, N).
        positions: (1, N), counted from the start of each document.
        segments: what sees what.
        sources: (M,) places of the pack whose outputs predict a target.
        targets: (M,) the tokens that they should predict.
        weights: (M,) fp32, how much each counts.
        owners: (M,) the row that each belongs to.
    """

    ids: Tensor
    positions: Tensor
    segments: list[Segment]
    sources: Tensor
    targets: Tensor
    weights: Tensor
    owners: Tensor

    def to(self, device: Any, non_blocking: bool = False) -> Packed:
        tensors = (self.ids, self.positions, self.sources, self.targets, self.weights, self.owners)
        ids, positions, *rest = (tensor.to(device, non_blocking=non_blocking) for tensor in tensors)
        return Packed(ids, positions, self.segments, *rest)


def pack(documents: Sequence[tuple[Any, Any]]) -> Packed:
    """Documents one after another.

    Args:
        documents: (T,) token ids and (T,) weights of each token as a target; the first's is 0, nothing predicts it.
    """
    segments, first = [], 0
    positions, sources, owners = [], [], []
    for owner, (ids, weights) in enumerate(documents):
        segments.append(Segment(first, first + len(ids)))
        positions.append(np.arange(len(ids)))
        scored = np.flatnonzero(weights)
        sources.append(first + scored - 1)
        owners.append(np.full(len(scored), owner))
        first += len(ids)
    whole = np.concatenate([np.asarray(ids, dtype=np.int64) for ids, _ in documents])
    weights = np.concatenate([np.asarray(weights, dtype=np.float32) for _, weights in documents])
    places = np.concatenate(sources)
    return packed(whole, np.concatenate(positions), segments, places, whole[places + 1], weights[places + 1],
                  np.concatenate(owners))  # fmt: skip


def packed(ids: Any, positions: Any, segments: list[Segment], sources: Any, targets: Any, weights: Any,
           owners: Any) -> Packed:  # fmt: skip
    """`Packed` from arrays."""
    import torch

    long = lambda values: torch.from_numpy(np.asarray(values, dtype=np.int64))  # noqa: E731
    return Packed(long(ids)[None], long(positions)[None], segments, long(sources), long(targets),
                  torch.from_numpy(np.asarray(weights, dtype=np.float32)), long(owners))  # fmt: skip


def allow_packing(model: nn.Module) -> None:
    """Makes a model attend segment by segment where it is given segments, and as before where it is not."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    config: Any = model.config
    config._attn_implementation = ATTENTION


def arguments(pack: Packed) -> dict[str, Any]:
    """What a model is called with for a pack. The mask of one element says that masks are ours to see to."""
    import torch

    nothing = torch.zeros((1, 1, 1, 1), device=pack.ids.device)
    return {"input_ids": pack.ids, "position_ids": pack.positions, "attention_mask": nothing,
            "segments": pack.segments, "use_cache": False}  # fmt: skip


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0, segments: Sequence[Segment] | None = None,
    sliding_window: int | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Causal attention within each segment of (1, H, N, D) queries; transformers' own where no segments are given.

    On a CPU in fp32 whatever the precision of the rest: the fused backward in bf16 was measured three times slower.

    Returns:
        (1, N, H, D), and no attention weights.
    """
    import torch
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    if segments is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout,
            sliding_window=sliding_window, **others,
        )  # fmt: skip
    groups = query.shape[1] // key.shape[1]
    key, value, dtype = repeat_kv(key, groups), repeat_kv(value, groups), query.dtype
    if query.device.type == "cpu":
        query, key, value = query.float(), key.float(), value.float()
    parts = [one(query, key, value, segment, scaling, dropout, sliding_window) for segment in segments]
    return torch.cat(parts, dim=2).transpose(1, 2).to(dtype), None


def one(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segment: Segment,
    scaling: float | None,
    dropout: float,
    window: int | None,
) -> Tensor:
    """(1, H, last - first, D) of one segment."""
    import torch
    import torch.nn.functional as functional

    from .fast.attention import visible

    first, last, start, end = segment
    keys, values = key[:, :, first:last], value[:, :, first:last]
    if end > start:
        keys, values = (torch.cat([part[:, :, start:end], own], dim=2) for part, own in ((key, keys), (value, values)))
    plain = end == start and (window is None or last - first <= window)
    mask = None if plain else visible(last - first, end - start, window, query.device)
    return functional.scaled_dot_product_attention(
        query[:, :, first:last], keys, values, attn_mask=mask, dropout_p=dropout, is_causal=plain, scale=scaling
    )
