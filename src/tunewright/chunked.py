"""The head of a language model and its loss, in chunks of positions: logits of the whole batch never exist.

With N positions, d hidden units and V tokens, plain autograd keeps several (N, V) tensors from the forward to the
backward. Here one chunk of logits (c, V) exists at a time; its softmax is turned into gradients, (N, d) and (V, d),
before the next. Matmuls run in autocast's dtype, or that of the inputs; softmax and sums in at least fp32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["log_probabilities_and_hits", "token_log_probabilities", "weighted_cross_entropy"]

# Fastest of 2**18 to 2**24 elements at V=8192, d=256; V=32000 wants 256 rows, d=2048 a quarter of d (one CPU thread).
CHUNK_ELEMENTS, CHUNK_ROWS = 2**22, 256


def weighted_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    weights: Tensor,
    smoothing: float = 0.0,
    softcap: float | None = None,
    scale: float = 1.0,
    chunk: int | None = None,
) -> Tensor:
    """Sum over positions of weight * cross-entropy; its gradients are computed in the forward and serve one backward.

    Args:
        hidden: (N, d) what the head reads, at the labelled positions only.
        weight: (V, d) of the head.
        bias: (V,) of the head, or None.
        targets: (N,) token ids.
        weights: (N,) factor of each position; constants, they get no gradient.
        smoothing: 0 to 1, the share of each target spread over all tokens (Szegedy et al. 2016, section 7).
        softcap: logits become softcap * tanh(logits / softcap) (Gemma 2, section 2), after `scale`.
        scale: logits are multiplied by it (Cohere's logit_scale, one over Granite's logits_scaling).
        chunk: positions at a time; None chooses.

    Returns:
        () at least fp32.

    Raises:
        RuntimeError: a second backward through the same loss.
    """
    hidden, bias = _scaled(hidden, bias, scale)
    plan = _plan(hidden, weight, softcap, chunk, smoothing)
    if _needs_gradients(hidden, weight, bias):
        total: Tensor = _WeightedCrossEntropy.apply(hidden, weight, bias, targets, weights, plan)
        return total
    losses = _Gradients(False, False, False).of(hidden, weight, bias, targets, weights, plan)
    return (losses * weights).sum()


def token_log_probabilities(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    softcap: float | None = None,
    scale: float = 1.0,
    chunk: int | None = None,
) -> Tensor:
    """Log-probability of each target, differentiable: for losses whose factor of a token is known only afterwards.

    Through a frozen head the gradient is kept from the forward, (N, d); for a trained head the backward computes the
    logits again, unless all fit in one chunk.

    Args:
        hidden, weight, bias, targets, softcap, scale, chunk: as `weighted_cross_entropy` takes them.

    Returns:
        (N,) at least fp32.
    """
    hidden, bias = _scaled(hidden, bias, scale)
    plan = _plan(hidden, weight, softcap, chunk)
    if _needs_gradients(weight, bias) and len(hidden) <= plan.chunk:
        return _plain_log_probabilities(hidden, weight, bias, targets, plan)
    if _needs_gradients(weight, bias):
        result: Tensor = _TrainedHead.apply(hidden, weight, bias, targets, plan)
    elif _needs_gradients(hidden):
        result = _FrozenHead.apply(hidden, weight, bias, targets, plan)
    else:
        result = _log_probabilities(hidden, weight, bias, targets, plan)
    return result


@torch.no_grad()
def log_probabilities_and_hits(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    softcap: float | None = None,
    scale: float = 1.0,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Without gradient, for evaluation: log-probability of each target, and whether it is the most likely token.

    Args:
        hidden, weight, bias, targets, softcap, scale, chunk: as `weighted_cross_entropy` takes them.

    Returns:
        (N,) at least fp32, and (N,) bool.
    """
    hidden, bias = _scaled(hidden, bias, scale)
    plan = _plan(hidden, weight, softcap, chunk)
    hits = torch.empty_like(targets, dtype=torch.bool)
    return _log_probabilities(hidden, weight, bias, targets, plan, hits), hits


class _Plan(NamedTuple):
    """How to compute.

    Args:
        dtype: of the logits' matmul.
        wide: of softmax and sums.
        chunk: rows at a time.
    """

    dtype: torch.dtype
    wide: torch.dtype
    chunk: int
    softcap: float | None
    smoothing: float

    @property
    def gradient_dtype(self) -> torch.dtype:
        """Of the gradients' matmuls: the loss scale that fp16 needs is not known in the forward."""
        return self.wide if self.dtype == torch.float16 else self.dtype


def _plan(hidden: Tensor, weight: Tensor, softcap: float | None, chunk: int | None, smoothing: float = 0.0) -> _Plan:
    kind = hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
    chunk = chunk or max(CHUNK_ELEMENTS // len(weight), CHUNK_ROWS, weight.shape[1] // 4)
    return _Plan(dtype, torch.promote_types(hidden.dtype, torch.float32), chunk, softcap, smoothing)


def _scaled(hidden: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor | None]:
    """Scales what the logits are made of: (N, d) and (V,) are smaller than (N, V), and autograd does the rest."""
    if scale == 1:
        return hidden, bias
    return hidden * scale, None if bias is None else bias * scale


def _needs_gradients(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


def _autocast_off(hidden: Tensor) -> torch.autocast:
    """Dtypes are chosen by `_Plan`; a backward may run outside of the region that its forward ran in."""
    return torch.autocast(hidden.device.type, enabled=False)


class _Chunk(NamedTuple):
    """One chunk of c positions.

    Args:
        rows: where it lies in N.
        hidden: (c, d) in the dtype of the matmul.
        targets: (c, 1).
        logits: (c, V) wide.
    """

    rows: slice
    hidden: Tensor
    targets: Tensor
    logits: Tensor

    @property
    def target_logits(self) -> Tensor:
        """(c,)"""
        return self.logits.gather(1, self.targets).squeeze(1)


class _Head:
    """The head as the matmuls take it, and room for one chunk of logits; the next chunk's fresh pages would be slow."""

    def __init__(self, weight: Tensor, bias: Tensor | None, plan: _Plan, num_rows: int) -> None:
        self.weight = weight.to(plan.dtype)
        self.bias = None if bias is None else bias.to(plan.dtype)
        self.plan = plan
        size = min(plan.chunk, num_rows), len(weight)
        self.narrow = torch.empty(size, dtype=plan.dtype, device=weight.device)
        self.wide = self.narrow if plan.dtype == plan.wide else torch.empty_like(self.narrow, dtype=plan.wide)
        self.softmax = torch.empty_like(self.wide)

    def chunks(self, hidden: Tensor, targets: Tensor) -> Iterator[_Chunk]:
        """A chunk is valid until the next is asked for."""
        for start in range(0, len(hidden), self.plan.chunk):
            rows = slice(start, min(start + self.plan.chunk, len(hidden)))
            part = hidden[rows].to(self.plan.dtype)
            yield _Chunk(rows, part, targets[rows, None], self._logits(part))

    def _logits(self, hidden: Tensor) -> Tensor:
        """(c, d) to (c, V)."""
        product, logits = self.narrow[: len(hidden)], self.wide[: len(hidden)]
        if self.bias is None:
            torch.mm(hidden, self.weight.T, out=product)
        else:
            torch.addmm(self.bias, hidden, self.weight.T, out=product)
        if product.dtype != logits.dtype:
            logits.copy_(product)
        if self.plan.softcap is not None:
            logits.div_(self.plan.softcap).tanh_().mul_(self.plan.softcap)
        return logits

    def probabilities(self, chunk: _Chunk) -> tuple[Tensor, Tensor]:
        """(c, V) softmax, and (c,) log-probabilities of the targets.

        The largest probability is one over the sum of exp(logit - largest logit): so the logarithm of that sum costs
        no second round of exponentials, and a target whose probability is too small for a float has its logarithm.
        """
        softmax = torch.softmax(chunk.logits, 1, out=self.softmax[: len(chunk.logits)])
        return softmax, chunk.target_logits - chunk.logits.amax(1) + softmax.amax(1).log()

    def slope(self, chunk: _Chunk, softmax: Tensor) -> Tensor:
        """(c, V) the derivative of each row's cross-entropy by what the matmul gave, written over the softmax."""
        smoothing, softcap = self.plan.smoothing, self.plan.softcap
        softmax.scatter_(1, chunk.targets, softmax.gather(1, chunk.targets) - (1 - smoothing))
        if smoothing:
            softmax.sub_(smoothing / softmax.shape[1])
        if softcap is not None:  # the derivative of tanh is 1 - tanh**2
            softmax.addcmul_(softmax * chunk.logits, chunk.logits, value=-(softcap**-2))
        if softmax.dtype == self.plan.gradient_dtype:
            return softmax
        return self.narrow[: len(softmax)].copy_(softmax)


class _Gradients:
    """Cross-entropies, and in the same round those gradients of their weighted sum that are wanted."""

    def __init__(self, of_hidden: bool, of_weight: bool, of_bias: bool) -> None:
        self.wanted = of_hidden, of_weight, of_bias
        self.hidden: Tensor | None = None  # (N, d)
        self.weight: Tensor | None = None  # (V, d) wide
        self.bias: Tensor | None = None  # (V,) wide

    def of(
        self, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor, plan: _Plan
    ) -> Tensor:
        """(N,) cross-entropies, not weighted; the gradients are left in `hidden`, `weight` and `bias`."""
        losses = torch.empty(len(hidden), dtype=plan.wide, device=hidden.device)
        self._make_room(hidden, weight, plan)
        with _autocast_off(hidden):
            head, weights = _Head(weight, bias, plan, len(hidden)), weights.to(plan.wide)
            back = head.weight if plan.gradient_dtype == plan.dtype else weight.to(plan.gradient_dtype)
            for chunk in head.chunks(hidden, targets):
                softmax, log_probabilities = head.probabilities(chunk)
                losses[chunk.rows] = _cross_entropies(chunk, log_probabilities, plan.smoothing)
                if any(self.wanted):
                    self._add(chunk, head.slope(chunk, softmax), weights[chunk.rows], back)
        return losses

    def _make_room(self, hidden: Tensor, weight: Tensor, plan: _Plan) -> None:
        of_hidden, of_weight, of_bias = self.wanted
        self.hidden = torch.empty_like(hidden) if of_hidden else None
        self.weight = torch.empty_like(weight, dtype=plan.wide) if of_weight else None
        if self.weight is not None and not len(hidden):
            self.weight.zero_()
        self.bias = weight.new_zeros(len(weight), dtype=plan.wide) if of_bias else None

    def _add(self, chunk: _Chunk, slope: Tensor, factors: Tensor, back: Tensor) -> None:
        """Factors are multiplied into (c, d) rather than into (c, V)."""
        if self.hidden is not None:
            torch.mul(slope @ back, factors[:, None], out=self.hidden[chunk.rows])
        if self.weight is not None:
            _accumulate(self.weight, slope, (chunk.hidden * factors[:, None]).to(slope.dtype), chunk.rows.start == 0)
        if self.bias is not None:
            self.bias.add_(slope.T.to(factors.dtype) @ factors)


def _accumulate(total: Tensor, slope: Tensor, hidden: Tensor, first: bool) -> None:
    """Adds slope.T @ hidden, (V, d); the first time without reading what is there."""
    if slope.dtype == total.dtype:
        total.addmm_(slope.T, hidden, beta=0 if first else 1)
    elif first:
        total.copy_(slope.T @ hidden)
    else:
        total.add_(slope.T @ hidden)


def _cross_entropies(chunk: _Chunk, log_probabilities: Tensor, smoothing: float) -> Tensor:
    """(c,) with the targets' share `smoothing` spread over all V tokens."""
    if not smoothing:
        return -log_probabilities
    mean = log_probabilities - chunk.target_logits + chunk.logits.mean(1)  # of all tokens' log-probabilities
    return (smoothing - 1) * log_probabilities - smoothing * mean


def _log_probabilities(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, plan: _Plan, hits: Tensor | None = None
) -> Tensor:
    """(N,); fills `hits`, (N,) bool."""
    result = torch.empty(len(hidden), dtype=plan.wide, device=hidden.device)
    with _autocast_off(hidden):
        head = _Head(weight, bias, plan, len(hidden))
        for chunk in head.chunks(hidden, targets):
            result[chunk.rows] = head.probabilities(chunk)[1]
            if hits is not None:
                hits[chunk.rows] = chunk.logits.argmax(1) == chunk.targets.squeeze(1)
    return result


def _plain_log_probabilities(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, plan: _Plan
) -> Tensor:
    """(N,) by torch's own means: one chunk's logits may be kept, which is faster than to compute them again."""
    logits = functional.linear(hidden, weight, bias).to(plan.wide)
    if plan.softcap is not None:
        logits = plan.softcap * torch.tanh(logits / plan.softcap)
    return -functional.cross_entropy(logits, targets, reduction="none")


class _WeightedCrossEntropy(torch.autograd.Function):
    """Everything happens in the forward; the backward multiplies in place and hands over."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, weights: Tensor, plan: _Plan
    ) -> Tensor:
        ctx.gradients, ctx.dtype = _Gradients(*ctx.needs_input_grad[:3]), weight.dtype
        losses: Tensor = ctx.gradients.of(hidden, weight, bias, targets, weights, plan)
        return (losses * weights).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the gradients of weighted_cross_entropy serve one backward; compute the loss again")
        found = (gradients.hidden, gradients.weight, gradients.bias)
        hidden, weight, bias = (None if gradient is None else gradient.mul_(slope) for gradient in found)
        return hidden, _as(weight, ctx.dtype), _as(bias, ctx.dtype), None, None, None


class _FrozenHead(torch.autograd.Function):
    """Log-probabilities whose derivative by `hidden`, (N, d), is kept."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, plan: _Plan) -> Tensor:
        gradients = _Gradients(True, False, False)
        losses = gradients.of(hidden, weight, bias, targets, hidden.new_full((len(hidden),), -1.0), plan)
        ctx.save_for_backward(gradients.hidden)
        return -losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (slopes[:, None] * gradient).to(gradient.dtype), None, None, None, None


class _TrainedHead(torch.autograd.Function):
    """Log-probabilities; the backward goes through the chunks once more."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, plan: _Plan) -> Tensor:
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.plan = plan
        return _log_probabilities(hidden, weight, bias, targets, plan)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets = ctx.saved_tensors
        gradients = _Gradients(*ctx.needs_input_grad[:3])
        gradients.of(hidden, weight, bias, targets, -slopes, ctx.plan)
        parameters = (_as(gradient, weight.dtype) for gradient in (gradients.weight, gradients.bias))
        return gradients.hidden, *parameters, None, None


def _as(gradient: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Rounded once, after all sums."""
    return None if gradient is None else gradient.to(dtype)
