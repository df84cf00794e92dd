"""Language models: hidden states in place of logits, packed where the model allows it, padded where it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import chunked, packing
from .heads import base_of, last_tokens
from .packing import Packed

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE = 1e-4  # of log-probabilities, between the packed and the plain way, in fp32


class Head(NamedTuple):
    """The matrix that makes logits of hidden states: softcap(scale * (hidden W^T + b)).

    weight: (V, d). bias: (V,) or None. scale: Granite, Cohere. softcap: Gemma 2.
    """

    weight: Tensor
    bias: Tensor | None
    scale: float = 1.0
    softcap: float | None = None


@dataclass(frozen=True)
class Scored:
    """What the head is given at every place that predicts a target.

    Args:
        hidden: (M, d).
        targets, weights, owners: (M,), as in `Packed`.
        head: of the model.
    """

    hidden: Tensor
    targets: Tensor
    weights: Tensor
    owners: Tensor
    head: Head

    @property
    def through(self) -> dict[str, Any]:
        """What every function of chunked.py takes."""
        head = self.head
        return {"hidden": self.hidden, "weight": head.weight, "bias": head.bias, "targets": self.targets,
                "softcap": head.softcap, "scale": head.scale}  # fmt: skip

    def cross_entropy(self, smoothing: float = 0.0) -> Tensor:
        """() the sum over targets, each by its weight."""
        return chunked.weighted_cross_entropy(**self.through, weights=self.weights, smoothing=smoothing)

    def log_probabilities(self) -> Tensor:
        """(M,) of the targets, differentiable."""
        return chunked.token_log_probabilities(**self.through)

    def log_probabilities_and_hits(self) -> tuple[Tensor, Tensor]:
        """(M,) of the targets, and (M,) whether each is the likeliest token; without gradient."""
        return chunked.log_probabilities_and_hits(**self.through)


def unwrapped(model: Any) -> Any:
    """The model out of DDP's or DeepSpeed's wrapper."""
    return model.module if type(model).__name__ in ("DistributedDataParallel", "DeepSpeedEngine") else model


def inner(model: Any) -> Any:
    """The transformers model, out of DDP's wrapper and PEFT's."""
    return base_of(unwrapped(model))


def head_of(model: Any) -> Head:
    base = inner(model)
    layer, config = base.get_output_embeddings(), base.config
    bias = getattr(layer, "bias", None)
    added = getattr(base, "final_logits_bias", None)  # BART's
    if added is not None:
        bias = added[0] if bias is None else bias + added[0]
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    return Head(layer.weight, bias, float(scale), getattr(config, "final_logit_softcapping", None))


@contextlib.contextmanager
def without_head(model: Any) -> Iterator[list[Tensor]]:
    """Within it the model's head keeps what it is given, and makes no logits of it."""
    layer, kept = inner(model).get_output_embeddings(), []

    def keep(hidden: Tensor) -> Tensor:
        kept.append(hidden)
        return hidden.new_zeros(1)

    layer.forward = keep
    try:
        yield kept
    finally:
        del layer.forward


def hidden_states(model: Any, **inputs: Any) -> Tensor:
    """(B, T, d) what the head would be given."""
    with without_head(model) as kept:
        model(**inputs)
    return kept[0]


def scored(model: Any, pack: Packed) -> Scored:
    """Hidden states of all places that predict a target, by the way that this model allows."""
    hidden = packed_hidden(model, pack) if packs(model) else padded_hidden(model, pack)
    return Scored(hidden, pack.targets, pack.weights, pack.owners, head_of(model))


def packed_hidden(model: Any, pack: Packed) -> Tensor:
    """(M, d)."""
    return hidden_states(model, **packing.arguments(pack))[0, pack.sources]


def padded_hidden(model: Any, pack: Packed) -> Tensor:
    """(M, d) with a row for each document; virtual tokens in front of them are cut off.

    Segments that share a prompt are given it each.
    """
    import torch

    rows = [torch.cat([pack.ids[0, start:end], pack.ids[0, first:last]]) for first, last, start, end in pack.segments]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=ids.device)
    inputs = {
        "input_ids": ids,
        "attention_mask": (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long(),
    }
    hidden = last_tokens(hidden_states(model, **inputs, use_cache=False), inputs)
    row, column = unpacked(pack)
    return hidden[row, column]


def unpacked(pack: Packed) -> tuple[Tensor, Tensor]:
    """((M,) row, (M,) column) of the pack's sources where every segment is a row of its own, its prompt in front."""
    import torch

    firsts = np.array([segment.first for segment in pack.segments])
    shifts = np.array([segment.end - segment.start for segment in pack.segments])
    sources = pack.sources.cpu().numpy()
    row = np.searchsorted(firsts, sources, side="right") - 1
    return tuple(  # type: ignore[return-value]
        torch.from_numpy(part).to(pack.sources.device) for part in (row, sources - firsts[row] + shifts[row])
    )


def packs(model: Any) -> bool:
    """Whether a model may be given packs: it was proven when it was loaded, and has no virtual tokens since."""
    if not getattr(inner(model), "takes_packs", False):
        return False
    prompted = getattr(getattr(unwrapped(model), "active_peft_config", None), "is_prompt_learning", False)
    return not prompted


def prepare(model: nn.Module) -> nn.Module:
    """Proves on a few tokens that packed hidden states make the plain model's logits; packs are used only then (N9)."""
    config: Any = model.config
    before = config._attn_implementation
    packing.allow_packing(model)
    named: Any = model
    try:
        named.takes_packs = difference(model) <= TOLERANCE
    except (TypeError, ValueError, RuntimeError, KeyError, IndexError):  # an architecture with attention of its own
        named.takes_packs = False
    if not named.takes_packs:
        config._attn_implementation = before
    return model


def difference(model: Any) -> float:
    """The largest difference of a log-probability between a pack and the plain model, one document after another."""
    import torch

    if next(model.parameters()).is_meta:
        return float("inf")
    head, generator = head_of(model), np.random.default_rng(0)
    documents = [generator.integers(0, len(head.weight), size) for size in (5, 9)]
    pack = packing.pack([(ids, np.r_[0, np.ones(len(ids) - 1)]) for ids in documents])
    model.eval()
    gap = 0.0
    with torch.no_grad():
        hidden = packed_hidden(model, pack)
        ours = logits(hidden, head).log_softmax(-1)
        for owner, ids in enumerate(documents):
            plain = model(input_ids=torch.from_numpy(ids)[None]).logits[0, :-1].float().log_softmax(-1)
            gap = max(gap, float((ours[pack.owners == owner] - plain).abs().max()))
    return gap


def logits(hidden: Tensor, head: Head) -> Tensor:
    """(M, V) fp32."""
    import torch.nn.functional as functional

    made = functional.linear(hidden, head.weight, head.bias).float() * head.scale
    return made if head.softcap is None else head.softcap * (made / head.softcap).tanh()
