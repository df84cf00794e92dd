"""Preference losses: pure functions; log-probabilities of pairs in, the SUM over the pairs out. Dividing is the loop's.

Every log-probability is of a whole answer, summed over its tokens; no token of the prompt counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as functional

from .errors import ConfigError, suggest

if TYPE_CHECKING:
    from torch import Tensor

REFERENCE_FREE = ("simpo", "orpo")
SMOOTHED = ("dpo", "robust")  # the losses that `smoothing` has a meaning for
CERTAIN = -torch.finfo(torch.float32).eps  # nats a token; beyond it an answer's odds are infinite in fp32


@dataclass(frozen=True, slots=True)
class Pairs:
    """Log-probabilities of B pairs of answers, in nats.

    Args:
        chosen, rejected: (B,) of the policy, summed over the tokens of each answer.
        chosen_length, rejected_length: (B,) numbers of those tokens.
        reference_chosen, reference_rejected: (B,) the same of the reference model, or None where there is none.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_length: Tensor
    rejected_length: Tensor
    reference_chosen: Tensor | None = None
    reference_rejected: Tensor | None = None

    def chosen_rewards(self, beta: float) -> Tensor:
        """(B,) see `reward`."""
        return beta * reward(self.chosen, self.chosen_length, self.reference_chosen)

    def rejected_rewards(self, beta: float) -> Tensor:
        """(B,) see `reward`."""
        return beta * reward(self.rejected, self.rejected_length, self.reference_rejected)

    def margins(self, beta: float) -> Tensor:
        """(B,) how much more reward the chosen answer has; above 0 the model prefers it too."""
        return self.chosen_rewards(beta) - self.rejected_rewards(beta)

    def log_ratios(self) -> tuple[Tensor, Tensor]:
        """((B,), (B,)) log(policy / reference) of the chosen and of the rejected answers.

        Raises:
            ValueError: there is no reference.
        """
        if self.reference_chosen is None or self.reference_rejected is None:
            raise ValueError(f"this loss compares with a reference; without one there are {', '.join(REFERENCE_FREE)}")
        return self.chosen_rewards(1.0), self.rejected_rewards(1.0)

    def deltas(self) -> Tensor:
        """(B,) the log-ratio of the chosen answers less that of the rejected; raises as `log_ratios` does."""
        chosen, rejected = self.log_ratios()
        return chosen - rejected


def reward(answers: Tensor, lengths: Tensor, reference: Tensor | None) -> Tensor:
    """(B,) DPO's log(policy / reference) (section 4), or SimPO's log-probability a token (eq. 4) without one."""
    if reference is None:
        return average(answers, lengths)
    return answers.float() - reference.float()


def average(answers: Tensor, lengths: Tensor) -> Tensor:
    """(B,) log-probability a token; an answer without tokens has 0."""
    return answers.float() / lengths.clamp(min=1)


def dpo(pairs: Pairs, beta: float = 0.1, smoothing: float = 0.0) -> Tensor:
    """-(1 - e) log sigmoid(beta delta) - e log sigmoid(-beta delta).

    delta = log(policy / reference) of the chosen answer less that of the rejected. Without smoothing e it is DPO
    (Rafailov et al. 2023, eq. 7); with it conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences"),
    which takes a share e of the preferences to be the wrong way round.

    Args:
        beta: DPO paper, section 6; lower trusts the reference less.
        smoothing: 0 to 1/2.

    Returns:
        () the sum over the pairs.
    """
    return -signed(beta * pairs.deltas(), 1 - smoothing, smoothing).sum()


def robust(pairs: Pairs, beta: float = 0.1, smoothing: float = 0.0) -> Tensor:
    """(-(1 - e) log sigmoid(beta delta) + e log sigmoid(-beta delta)) / (1 - 2e): robust DPO (Chowdhury et al. 2024).

    Its mean over labels that are flipped with probability e is DPO's loss on the true ones; it may be below 0.

    Args:
        smoothing: e, at least 0 and below 1/2.

    Returns:
        () the sum over the pairs.

    Raises:
        ConfigError: half of the labels or more would be flipped.
    """
    if not 0 <= smoothing < 0.5:
        what = f"robust DPO divides by 1 - 2 smoothing, and smoothing is {smoothing:g}"
        raise ConfigError(what, where="smoothing", fix="give the share of flipped labels: at least 0, below 0.5")
    return -signed(beta * pairs.deltas(), 1 - smoothing, -smoothing).sum() / (1 - 2 * smoothing)


def signed(logits: Tensor, forward: float, backward: float) -> Tensor:
    """(B,) forward * log sigmoid(logits) + backward * log sigmoid(-logits)."""
    return forward * functional.logsigmoid(logits) + backward * functional.logsigmoid(-logits)


def ipo(pairs: Pairs, beta: float = 0.1) -> Tensor:
    """(delta - 1 / (2 beta))^2 (Azar et al. 2024, eq. 17, where beta is tau).

    delta is of log-ratios a TOKEN, not of their sums: the paper does not say so, but TRL does it and reports that the
    paper's authors confirmed it. With sums the target 1 / (2 beta) would mean less the longer the answers are.

    Returns:
        () the sum over the pairs.
    """
    chosen, rejected = pairs.log_ratios()
    delta = average(chosen, pairs.chosen_length) - average(rejected, pairs.rejected_length)
    return (delta - 1 / (2 * beta)).square().sum()


def hinge(pairs: Pairs, beta: float = 0.1) -> Tensor:
    """max(0, 1 - beta delta): SLiC's loss (Zhao et al. 2023) on log-ratios, the hinge-norm of RSO (Liu et al. 2024).

    Returns:
        () the sum over the pairs.
    """
    return torch.relu(1 - beta * pairs.deltas()).sum()


def simpo(pairs: Pairs, beta: float = 2.0, gamma: float = 1.0) -> Tensor:
    """-log sigmoid(beta (a(chosen) - a(rejected)) - gamma), a = log-probability a token (Meng et al. 2024, eq. 6).

    Args:
        beta, gamma: the paper searches 2 to 10 and 0.3 to 1.6.

    Returns:
        () the sum over the pairs.
    """
    chosen, rejected = averages(pairs)
    return -functional.logsigmoid(beta * (chosen - rejected) - gamma).sum()


def orpo(pairs: Pairs, beta: float = 0.1) -> Tensor:
    """NLL(chosen) - beta log sigmoid(log odds(chosen) / odds(rejected)) (Hong et al. 2024, eq. 6, 7; beta is lambda).

    odds = P / (1 - P) with P the geometric mean of an answer's token probabilities (eq. 1 to 4), and the NLL is that
    of the same answer a token. (TRL takes the NLL over prompt and answer, and a micro-batch's mean over tokens; a sum
    over pairs can be split into micro-batches.)

    Returns:
        () the sum over the pairs.
    """
    chosen, rejected = averages(pairs)
    ratio = functional.logsigmoid(log_odds(chosen) - log_odds(rejected))
    return -(chosen + beta * ratio).sum()


def averages(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """((B,), (B,)) log-probability a token of chosen and rejected, by the policy alone."""
    return average(pairs.chosen, pairs.chosen_length), average(pairs.rejected, pairs.rejected_length)


def log_odds(log_probabilities: Tensor) -> Tensor:
    """log(p / (1 - p)) of log p: finite, with a finite gradient, up to p = 1."""
    bounded = log_probabilities.clamp(max=CERTAIN)
    return bounded - torch.log(-torch.expm1(bounded))


LOSSES = ("dpo", "robust", "ipo", "hinge", "simpo", "orpo")


def loss(name: str, pairs: Pairs, beta: float, smoothing: float = 0.0, gamma: float = 0.0) -> Tensor:
    """() the loss of that name, summed over the pairs.

    Args:
        smoothing: for the losses in SMOOTHED; the others don't read it.
        gamma: SimPO's margin; the others don't read it.

    Raises:
        ConfigError: there is no such loss.
    """
    known: dict[str, Callable[[Pairs, float], Tensor]] = {
        "dpo": partial(dpo, smoothing=smoothing),
        "robust": partial(robust, smoothing=smoothing),
        "ipo": ipo,
        "hinge": hinge,
        "simpo": partial(simpo, gamma=gamma),
        "orpo": orpo,
    }
    if name not in known:
        raise ConfigError(f"unknown loss {name!r}", where="loss", fix=suggest(name, LOSSES))
    return known[name](pairs, beta)
