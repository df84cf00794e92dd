"""Attention of a model that trains on a CPU: torch's own in value, several times faster forth and back.

The exponentials of as many heads as stay in the cache are made and used before the next ones are, and the backward is
by hand. In evaluation mode, and for whatever is not known here, torch's own attention answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from torch import nn

PLAIN = ("sdpa", "tunewright_segments")  # attention that this stands in for: torch's, and that of packs (packing.py)
CACHED = 2**20  # scores that are worked on at a time
KEPT = 2**26  # bytes of a layer's weights that are kept for the backward; more are computed again
TILE = 128  # queries at a time where they do not all see the same keys
SAFE = 1e15  # sums of exponentials between 1 / SAFE and this need no maximum to be taken off
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of an element


class Tile(NamedTuple):
    """Queries, the keys that any of them sees, and (b, 1, 1, t, s) bits, -1 or 0, where not each sees all of those."""

    queries: slice
    keys: slice
    seen: Tensor | None = None


Segment = tuple[int, int, int, int]  # packing.Segment
Group = tuple[slice, slice]  # rows of the batch, heads of the keys
Plan = Iterable[tuple[Group, Sequence[Tile]]]


def speed_up_attention(model: nn.Module) -> None:
    """Lets every part of a model that asks transformers for torch's attention, or for packs', have this one."""
    from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

    for part in model.modules():
        if not isinstance(part, PreTrainedModel) or not part._can_set_attn_implementation():
            continue
        config: Any = part.config
        plain = config._attn_implementation
        if plain in PLAIN:
            config._attn_implementation = f"fast_{plain}"
            AttentionInterface.register(f"fast_{plain}", partial(attention, AttentionInterface()[plain]))
            AttentionMaskInterface.register(f"fast_{plain}", AttentionMaskInterface()[plain])


def attention(
    plain: Callable[..., tuple[Tensor, None]], module: nn.Module, query: Tensor, key: Tensor, value: Tensor,
    attention_mask: Tensor | None, dropout: float = 0.0, scaling: float | None = None, is_causal: bool | None = None,
    segments: Sequence[Segment] | None = None, sliding_window: int | None = None, **others: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """What transformers calls with (B, H, T, D) queries and (B, H / groups, S, D) keys and values.

    Args:
        plain: answers in evaluation mode, and for what is not known here.

    Returns:
        (B, T, H, D), and no attention weights.
    """
    length = query.shape[2]
    asked = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    causal = asked and attention_mask is None and length > 1
    odd = any(others.get(name) is not None for name in ("position_bias", "softcap", "cache"))
    mask = None if segments else attention_mask
    cast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype  # as torch's own does
    if odd or not module.training or not pays(query, key, cast, mask, causal, dropout):
        return plain(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal,
            segments=segments, sliding_window=sliding_window, **others,
        )  # fmt: skip
    query, key, value = query.to(cast), key.to(cast), value.to(cast)
    if causal:
        segments, key, value = [(0, length, 0, 0)], key[:, :, :length], value[:, :, :length]
        sliding_window = None
    if segments:
        plan = segments_plan(query, key, segments, sliding_window)
    else:
        plan = batch_plan(query, key, mask)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query, key, value, plan, scaling, dropout).transpose(1, 2), None


def pays(query: Tensor, key: Tensor, cast: torch.dtype, mask: Tensor | None, causal: bool, dropout: float) -> bool:
    """Whether `attend` can do it, with what is seen the same for all heads, and is the faster way.

    Measured with one thread, forth and back, torch's against this, ms: bf16 32 x 12 heads x 128 tokens 139, 29; with
    dropout 105, 40; 16 x 12 x 16 with dropout 1.7, 2.9; fp32 of the former 47, 58; with dropout 102, 71; causal,
    4 x 12 x 512, 151, 110.
    """
    if query.device.type != "cpu" or cast == torch.float16 or dropout >= 1:
        return False
    if mask is not None and (mask.dtype != torch.bool or mask.ndim != 4 or mask.shape[1] != 1):
        return False
    length, scores = query.shape[2], query.shape[:3].numel() * key.shape[2]
    if causal and key.shape[2] < length:
        return False
    if dropout:
        return scores >= (2**17 if cast == torch.bfloat16 else 2**19)
    return cast == torch.bfloat16 or (causal and length >= 3 * TILE)


def attend(query: Tensor, key: Tensor, value: Tensor, plan: Plan, scaling: float, dropout: float = 0.0) -> Tensor:
    """(B, H, T, D) softmax(scaling * q k^T) v; a query that sees nothing is given zeros.

    Args:
        query: (B, H, T, D).
        key, value: (B, H / groups, S, D), of the same dtype; each head of theirs serves `groups` of the queries'.
        plan: what sees what.
        dropout: probability, to 1/65536, that a weight is 0; the others are divided by 1 minus it. What is dropped
            follows from one number drawn from torch's generator.
    """
    seed = int(torch.empty((), dtype=torch.int64).random_()) if dropout else 0
    with torch.autocast("cpu", enabled=False):
        found: Tensor = Attend.apply(query, key, value, plan, scaling, min(round(dropout * 65536), 65535), seed)
    return found


class Attend(torch.autograd.Function):
    """Exponentials are kept not normalised, a dropped one with its sign set: one number says all that backward needs.

    The backward is that of FlashAttention (Dao et al. 2022, appendix B.2): dS = P * (dP - rowsum(dO * O)).
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, plan: Plan, scaling: float, dropped: int, seed: int
    ) -> Tensor:
        rows, heads, length, _ = query.shape
        output = query.new_empty(rows, length, heads, value.shape[-1]).transpose(1, 2)
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        queries, outputs = grouped(query, key), grouped(output, key)
        ctx.plan, ctx.weigh, ctx.seed = list(plan), Weigh(scaling, dropped), seed
        kept: list[Tensor] = []
        random, size = np.random.SFC64(seed), 0
        for group, tiles in ctx.plan:
            for tile in tiles:
                where = outputs[group][:, :, :, tile.queries]
                weights, sums = ctx.weigh(queries[group], key[group], tile, random)
                found = ctx.weigh.remaining(weights) @ flat(value[group][:, :, tile.keys])
                torch.mul(found.view(where.shape), ctx.weigh.factor(sums, found), out=where)
                size += weights.nbytes
                kept = [*kept, weights, sums] if size <= KEPT else []
        ctx.save_for_backward(query, key, value, output, *kept)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, *kept = ctx.saved_tensors
        made = [torch.zeros_like(tensor.transpose(1, 2)).transpose(1, 2) for tensor in (query, key, value)]
        queries, outputs, gradients, of_queries = (grouped(one, key) for one in (query, output, gradient, made[0]))
        random, saved, weigh = np.random.SFC64(ctx.seed), iter(kept), ctx.weigh
        for group, tiles in ctx.plan:
            keys, values, found = key[group], value[group], [part[group] for part in made[1:]]
            if len(tiles) > 1:
                found = [torch.zeros_like(part, dtype=summed(part)) for part in found]
            for tile in tiles:
                weights, sums = (next(saved), next(saved)) if kept else weigh(queries[group], keys, tile, random)
                q, o, g, where = (
                    part[group][:, :, :, tile.queries] for part in (queries, outputs, gradients, of_queries)
                )
                k, v, left = flat(keys[:, :, tile.keys]), flat(values[:, :, tile.keys]), weigh.remaining(weights)
                factor = weigh.factor(sums, weights)
                g = torch.mul(g, factor, out=g.new_empty(g.shape))
                middle = (g.to(sums.dtype) * o.to(sums.dtype)).sum(-1, keepdim=True).div_(sums * factor).nan_to_num_()
                middle = middle.to(g.dtype).view(len(k), -1, 1)
                q, g = flat(q), flat(g)
                scores = g @ v.transpose(1, 2)
                if weigh.dropped:
                    scores.mul_(left).addcmul_(weights.abs(), middle, value=-1)
                else:
                    scores.sub_(middle).mul_(weights)
                where.copy_(product(scores, k, weigh.scaling).view(where.shape))
                turned = ((scores, q, weigh.scaling), (left, g, 1.0))
                for whole, (one, other, scale) in zip(found, turned, strict=True):
                    part = whole[:, :, tile.keys]
                    part += product(one.transpose(1, 2), other, scale).view(part.shape)
            if len(tiles) > 1:
                made[1][group], made[2][group] = found
        return *made, None, None, None, None


def product(left: Tensor, right: Tensor, scale: float) -> Tensor:
    """(n, t, s) scale * left @ right."""
    made = left.new_empty(len(left), left.shape[1], right.shape[2])
    return torch.baddbmm(made, left, right, beta=0, alpha=scale, out=made)


class Weigh(NamedTuple):
    """How queries weigh keys; `dropped` is of 65536."""

    scaling: float
    dropped: int

    def __call__(self, queries: Tensor, keys: Tensor, tile: Tile, random: np.random.SFC64) -> tuple[Tensor, Tensor]:
        """((n, t, s) exponentials, the sign of what is dropped set; (b, h, g, t, 1) the sums of all of them)."""
        part = queries[:, :, :, tile.queries]
        weights, sums = exponentials(flat(part), flat(keys[:, :, tile.keys]), tile.seen, self.scaling, part.shape)
        if self.dropped:
            drop(weights, self.dropped, random)
        return weights, sums.view(*part.shape[:4], 1)

    def factor(self, sums: Tensor, weights: Tensor) -> Tensor:
        """What makes exponentials weights that sum to 1; 0 where nothing is seen."""
        return torch.where(sums > 0, 1 / (sums * (1 - self.dropped / 65536)), 0).to(weights.dtype)

    def remaining(self, weights: Tensor) -> Tensor:
        """The weights without the dropped; as integers, which takes a quarter of the time."""
        if not self.dropped:
            return weights
        return weights.view(BITS[weights.itemsize]).clamp_min(0).view(weights.dtype)


def exponentials(
    query: Tensor, key: Tensor, seen: Tensor | None, scaling: float, shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """((n, t, s) exponentials of the scores, 0 where not seen, and (n, t, 1) their sums), to any factor of a row.

    No maximum is taken off while the sums allow it: in bf16 that would cost as much as all the rest (2.6 of 5.3 ms for
    6.3 million scores). exp2, of scores that the product scales anyway, is a fifth faster than exp.
    """
    scale = scaling * math.log2(math.e)
    made = product(query, key.transpose(1, 2), scale).exp2_()
    if seen is not None:
        made.view(seen.dtype).view(*shape[:4], -1).bitwise_and_(seen)
    sums = made.sum(-1, keepdim=True, dtype=summed(made))
    low, high = sums.aminmax()
    if low > 1 / SAFE and high < SAFE:
        return made, sums
    made = product(query, key.transpose(1, 2), scale)
    if seen is not None:
        spread = made.view(*shape[:4], -1)
        made = torch.where(seen != 0, spread, -math.inf).view(made.shape)
    top = made.amax(-1, keepdim=True)
    made.sub_(top.masked_fill_(top == -math.inf, 0)).exp2_()
    return made, made.sum(-1, keepdim=True, dtype=summed(made))


def drop(weights: Tensor, dropped: int, random: np.random.SFC64) -> None:
    """Sets the sign of a weight with a probability of dropped / 65536.

    numpy's generator: 2.2 ms for the 16 bits of 6.3 million weights; torch's takes 4.9, `bernoulli_` 31.
    """
    drawn = torch.from_numpy(random.random_raw(-(-weights.numel() // 4)).view(np.int16))[: weights.numel()]
    bits = BITS[weights.itemsize]
    signs = drawn.lt_(dropped - 32768).view(weights.shape).to(bits)
    weights.view(bits).add_(signs, alpha=torch.iinfo(bits).min)


def summed(tensor: Tensor) -> torch.dtype:
    """What sums of a tensor are made in."""
    return torch.promote_types(tensor.dtype, torch.float32)


def grouped(tensor: Tensor, key: Tensor) -> Tensor:
    """(B, H, T, D) as (B, heads of the keys, queries' heads of each, T, D)."""
    return tensor.unflatten(1, (key.shape[1], -1))


def flat(part: Tensor) -> Tensor:
    """(b, h, s, D) or (b, h, g, t, D) as the (b h, s or g t, D) of a batched product."""
    return part.reshape(part.shape[0] * part.shape[1], -1, part.shape[-1])


# --- what sees what ---------------------------------------------------------------------------------------------------


def batch_plan(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Iterator[tuple[Group, Sequence[Tile]]]:
    """Every query sees every key, or those that a (B or 1, 1, T, S) mask says."""
    everything = [Tile(slice(0, query.shape[2]), slice(0, key.shape[2]))]
    mask = None if mask is None else mask.expand(len(query), -1, -1, -1)
    for group in groups(query, key, query.shape[2] * key.shape[2]):
        yield group, everything if mask is None else masked_tiles(mask[group[0], :, None], BITS[query.itemsize])


def masked_tiles(mask: Tensor, bits: torch.dtype) -> list[Tile]:
    """Of a (b, 1, 1, T, S) mask."""
    alike = mask.stride(3) == 0  # padding only, which transformers expands
    if alike:
        return [trimmed(slice(0, mask.shape[3]), mask[:, :, :, :1], 0, bits)]
    return [trimmed(queries, mask[:, :, :, queries], 0, bits) for queries in cuts(0, mask.shape[3])]


def segments_plan(
    query: Tensor, key: Tensor, segments: Sequence[Segment], window: int | None
) -> Iterator[tuple[Group, Sequence[Tile]]]:
    """Each token sees its segment up to itself, and the prompt before, at most `window` tokens of them."""
    tiles = segment_tiles(tuple(segments), window, BITS[query.itemsize])
    largest = max((tile.queries.stop - tile.queries.start) * (tile.keys.stop - tile.keys.start) for tile in tiles)
    return ((group, tiles) for group in groups(query, key, largest))


@lru_cache(maxsize=4)
def segment_tiles(segments: tuple[Segment, ...], window: int | None, bits: torch.dtype) -> list[Tile]:
    """The same for all layers of a model."""
    made = []
    for first, last, start, end in segments:
        prompt = end - start
        for queries in cuts(first, last):
            size, before = queries.stop - queries.start, queries.start - first
            seen = visible(size, prompt + before, window)
            if prompt:
                seen = torch.cat([seen[:, :prompt], seen.new_zeros(size, first - end), seen[:, prompt:]], dim=1)
            made.append(trimmed(queries, seen[None, None, None], start if prompt else first, bits))
    return made


def visible(own: int, before: int, window: int | None = None, device: Any = None) -> Tensor:
    """(own, before + own) what each token of a segment sees: the prompt before it, and itself and what came so far."""
    distance = torch.arange(own, device=device)[:, None] + before - torch.arange(before + own, device=device)[None]
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)


def trimmed(queries: slice, seen: Tensor, start: int, bits: torch.dtype) -> Tile:
    """The tile of a (b, 1, 1, t, s) mask of the keys from `start` on, without the keys on both sides that none sees."""
    found = seen.flatten(0, 3).any(0).nonzero()
    first, last = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 1)
    seen = seen[..., first:last]
    return Tile(queries, slice(start + first, start + last), None if seen.all() else seen.to(bits).neg_())


def cuts(first: int, last: int) -> Iterator[slice]:
    """Short ones stay whole: the keys that a cut would save are fewer than its own cost."""
    step = TILE if last - first >= 2 * TILE else last - first
    for place in range(first, last, step):
        yield slice(place, min(place + step, last))


def groups(query: Tensor, key: Tensor, largest: int) -> Iterator[Group]:
    """Rows and heads of the keys that are worked on together; `largest`: scores of a query head's largest tile."""
    rows, heads = key.shape[:2]
    many = max(1, CACHED // (largest * query.shape[1] // heads))
    step, width = max(1, many // heads), min(many, heads)
    for row in range(0, rows, step):
        for head in range(0, heads, width):
            yield slice(row, row + step), slice(head, head + width)
