"""Preference losses: TRL's own value and gradient, the papers' limits, and what must not change them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from trl import DPOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

from tunewright import preferences
from tunewright.errors import ConfigError
from tunewright.preferences import LOSSES, REFERENCE_FREE, SMOOTHED, Pairs

LENGTHS = [(3, 7), (1, 1), (5, 2), (9, 4)]  # tokens of the chosen and of the rejected answer
WITH_REFERENCE = [name for name in LOSSES if name not in REFERENCE_FREE]


def alone(tensor: torch.Tensor) -> torch.Tensor:
    """What a single process gathers."""
    return tensor


CPU = SimpleNamespace(device=torch.device("cpu"), gather=alone, gather_for_metrics=alone)


def random_tokens(lengths, seed: int = 0) -> list[torch.Tensor]:
    """Log-probabilities of each answer's tokens, wide enough that every branch of a loss is taken."""
    generator = torch.Generator().manual_seed(seed)
    return [-torch.rand(length, generator=generator) * 6 for length in lengths]


def summed(tokens: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([answer.sum() for answer in tokens])


def random_pairs(seed: int = 0, reference: bool = True) -> Pairs:
    """Pairs whose policy is a leaf."""
    chosen_lengths, rejected_lengths = zip(*LENGTHS, strict=True)
    chosen, reference_chosen = (summed(random_tokens(chosen_lengths, seed + place)) for place in (0, 1))
    rejected, reference_rejected = (summed(random_tokens(rejected_lengths, seed + place)) for place in (2, 3))
    lengths = (torch.tensor(chosen_lengths), torch.tensor(rejected_lengths))
    known = (reference_chosen, reference_rejected) if reference else ()
    return Pairs(chosen.requires_grad_(), rejected.requires_grad_(), *lengths, *known)


def gradients(loss: torch.Tensor, *leaves: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, leaves))


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, pairs: Pairs) -> None:
    """A sum of ours beside a mean of theirs, in value and gradient."""
    torch.testing.assert_close(ours, theirs * len(pairs.chosen))
    leaves = (pairs.chosen, pairs.rejected)
    for mine, other in zip(gradients(ours, *leaves), gradients(theirs, *leaves), strict=True):
        assert mine.abs().sum() > 0
        torch.testing.assert_close(mine, other * len(pairs.chosen))


# --- TRL --------------------------------------------------------------------------------------------------------------


def dpo_trainer_loss(kind: str, pairs: Pairs, beta: float, smoothing: float = 0.0) -> tuple[torch.Tensor, dict]:
    """What DPOTrainer._compute_loss makes of these log-probabilities (all on an answer's first token), and logs."""
    longest = int(max(pairs.chosen_length.max(), pairs.rejected_length.max()))
    lengths = torch.cat([pairs.chosen_length, pairs.rejected_length])
    places = torch.arange(longest + 1)
    completion_mask = ((places > 0) & (places <= lengths[:, None])).long()  # one token of prompt
    first = (torch.arange(longest) == 0).float()
    per_token = torch.cat([pairs.chosen, pairs.rejected])[:, None] * first
    nothing = torch.zeros_like(per_token)
    outputs = SimpleNamespace(log_probs=per_token, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=CPU, aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=[kind], loss_weights=[1.0], beta=beta,
        label_smoothing=smoothing, use_weighting=False, _metrics={"train": defaultdict(list)}, _total_train_tokens=0,
        _tp_size=1,
    )  # fmt: skip
    inputs = {
        "input_ids": torch.zeros_like(completion_mask), "attention_mask": completion_mask,
        "completion_mask": completion_mask,
        "ref_chosen_logps": pairs.reference_chosen, "ref_rejected_logps": pairs.reference_rejected,
    }  # fmt: skip
    loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, return_outputs=False)
    return loss, {name: values[0] for name, values in trainer._metrics["train"].items()}


@pytest.mark.parametrize("beta", [0.05, 0.5])
@pytest.mark.parametrize(
    ("name", "kind", "smoothing"),
    [
        ("dpo", "sigmoid", 0.0),
        ("robust", "robust", 0.0),
        ("robust", "robust", 0.2),
        ("ipo", "ipo", 0.0),
        ("hinge", "hinge", 0.0),
    ],
)
def test_losses_with_a_reference_are_those_of_trls_dpo_trainer(name, kind, smoothing, beta):
    pairs = random_pairs()
    ours = preferences.loss(name, pairs, beta, smoothing)
    assert_same(ours, dpo_trainer_loss(kind, pairs, beta, smoothing)[0], pairs)


def test_conservative_dpo_is_that_of_trls_cpo_trainer_on_log_ratios():
    """DPOTrainer's sigmoid loss does not read label_smoothing (trl 1.16); CPOTrainer's is the same formula."""
    pairs = random_pairs()
    trainer = SimpleNamespace(alpha=0.0, accelerator=CPU, loss_type="sigmoid", beta=0.3, label_smoothing=0.1)
    ratios = (pairs.chosen - pairs.reference_chosen, pairs.rejected - pairs.reference_rejected)
    theirs = CPOTrainer.cpo_loss(trainer, *ratios)[0].mean()
    assert_same(preferences.dpo(pairs, 0.3, smoothing=0.1), theirs, pairs)


def test_simpo_is_that_of_trls_cpo_trainer():
    pairs = random_pairs(reference=False)
    trainer = SimpleNamespace(
        alpha=0.0, accelerator=CPU, loss_type="simpo", beta=2.5, simpo_gamma=1.4, label_smoothing=0.0
    )
    averages = (pairs.chosen / pairs.chosen_length, pairs.rejected / pairs.rejected_length)
    losses, *rewards = CPOTrainer.cpo_loss(trainer, *averages)
    assert_same(preferences.simpo(pairs, beta=2.5, gamma=1.4), losses.mean(), pairs)
    torch.testing.assert_close(pairs.chosen_rewards(2.5), rewards[0])
    torch.testing.assert_close(pairs.rejected_rewards(2.5), rewards[1])


def test_orpo_is_that_of_trls_orpo_trainer_beside_the_papers_likelihood_a_token():
    """TRL's own NLL is of the prompt too and a mean over tokens; that term is the paper's (eq. 1, 6), written out."""
    pairs = random_pairs(reference=False)
    averages = (pairs.chosen / pairs.chosen_length, pairs.rejected / pairs.rejected_length)
    ratio = ORPOTrainer.odds_ratio_loss(SimpleNamespace(beta=0.25, accelerator=CPU), *averages)[0]
    assert_same(preferences.orpo(pairs, beta=0.25), (-averages[0] - ratio).mean(), pairs)


def test_rewards_margins_and_accuracies_are_those_that_trl_logs():
    pairs = random_pairs()
    logged = dpo_trainer_loss("sigmoid", pairs, 0.3)[1]
    margins = pairs.margins(0.3)
    assert pairs.chosen_rewards(0.3).mean().item() == pytest.approx(logged["rewards/chosen"])
    assert pairs.rejected_rewards(0.3).mean().item() == pytest.approx(logged["rewards/rejected"])
    assert margins.mean().item() == pytest.approx(logged["rewards/margins"])
    assert (margins > 0).float().mean().item() == logged["rewards/accuracies"]


# --- limits of the papers ---------------------------------------------------------------------------------------------


def untrained(pairs: Pairs) -> Pairs:
    """The policy is the reference (N6)."""
    return replace(pairs, reference_chosen=pairs.chosen.detach(), reference_rejected=pairs.rejected.detach())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("name", SMOOTHED)
def test_where_the_policy_is_the_reference_the_loss_is_ln_2_and_the_margin_0(name, smoothing):
    pairs = untrained(random_pairs())
    torch.testing.assert_close(preferences.loss(name, pairs, 0.1, smoothing), torch.tensor(len(LENGTHS) * math.log(2)))
    assert torch.equal(pairs.margins(0.1), torch.zeros(len(LENGTHS)))


def test_where_the_policy_is_the_reference_ipo_is_its_target_squared_and_hinge_1():
    pairs = untrained(random_pairs())
    assert preferences.ipo(pairs, 0.5).item() == len(LENGTHS) * 1.0
    assert preferences.ipo(pairs, 0.1).item() == pytest.approx(len(LENGTHS) * 25.0)
    assert preferences.hinge(pairs, 0.1).item() == len(LENGTHS) * 1.0


def test_the_first_step_of_dpo_raises_the_chosen_and_lowers_the_rejected_by_half_of_beta():
    pairs = untrained(random_pairs())
    chosen, rejected = gradients(preferences.dpo(pairs, 0.3), pairs.chosen, pairs.rejected)
    torch.testing.assert_close(chosen, torch.full_like(chosen, -0.15))
    torch.testing.assert_close(rejected, torch.full_like(rejected, 0.15))


def test_smoothing_of_a_half_prefers_neither_answer():
    pairs, turned = random_pairs(), turned_round(random_pairs())
    torch.testing.assert_close(preferences.dpo(pairs, 0.3, 0.5), preferences.dpo(turned, 0.3, 0.5))
    even = untrained(pairs)
    chosen, _ = gradients(preferences.dpo(even, 0.3, 0.5), even.chosen, even.rejected)
    torch.testing.assert_close(chosen, torch.zeros_like(chosen))


def turned_round(pairs: Pairs) -> Pairs:
    return Pairs(pairs.rejected, pairs.chosen, pairs.rejected_length, pairs.chosen_length,
                 pairs.reference_rejected, pairs.reference_chosen)  # fmt: skip


def test_robust_dpo_is_dpo_on_the_true_labels_in_the_mean_over_flipped_ones():
    pairs, flipped = random_pairs(), 0.3
    right, wrong = (preferences.robust(given, 0.2, flipped) for given in (pairs, turned_round(pairs)))
    mean = (1 - flipped) * right + flipped * wrong
    torch.testing.assert_close(mean, preferences.dpo(pairs, 0.2))


@pytest.mark.parametrize("smoothing", [0.5, 0.7, -0.1])
def test_robust_dpo_refuses_a_share_that_it_would_divide_by_zero_with(smoothing):
    with pytest.raises(ConfigError, match="smoothing"):
        preferences.robust(random_pairs(), 0.1, smoothing)


def test_hinge_is_satisfied_by_a_margin_of_1():
    pairs = untrained(random_pairs())
    far = replace(pairs, chosen=(pairs.chosen.detach() + 11).requires_grad_())
    assert preferences.hinge(far, 0.1).item() == 0
    assert torch.equal(*gradients(preferences.hinge(far, 0.1), far.chosen), torch.zeros(len(LENGTHS)))


def test_simpo_wants_a_margin_of_gamma_a_token():
    lengths = torch.tensor([2, 4])
    pairs = Pairs(torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, -6.0]), lengths, lengths)
    assert preferences.simpo(pairs, beta=1.5, gamma=1.5).item() == pytest.approx(2 * math.log(2))


def test_orpo_of_equal_answers_is_their_likelihood_and_ln_2():
    lengths = torch.tensor([4])
    pairs = Pairs(torch.tensor([-2.0]), torch.tensor([-2.0]), lengths, lengths)
    assert preferences.orpo(pairs, beta=0.5).item() == pytest.approx(0.5 + 0.5 * math.log(2))


def test_log_odds_are_those_of_the_probability():
    probability = torch.tensor([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999], dtype=torch.float64)
    found = preferences.log_odds(probability.log().float()).double()
    torch.testing.assert_close(found, torch.logit(probability), rtol=1e-4, atol=1e-6)


def test_an_answer_that_is_certain_has_a_finite_loss_and_gradient():
    lengths = torch.tensor([3])
    pairs = Pairs(torch.tensor([0.0]).requires_grad_(), torch.tensor([-200.0]).requires_grad_(), lengths, lengths)
    total = preferences.orpo(pairs, 0.1)
    assert torch.isfinite(total)
    assert all(torch.isfinite(gradient).all() for gradient in gradients(total, pairs.chosen, pairs.rejected))


# --- what must not change a loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_what_policy_and_reference_share_changes_nothing(name):
    pairs = random_pairs()
    shift = torch.tensor([4.0, -8.0, 0.5, 16.0])
    moved = Pairs(pairs.chosen + shift, pairs.rejected - shift, pairs.chosen_length, pairs.rejected_length,
                  pairs.reference_chosen + shift, pairs.reference_rejected - shift)  # fmt: skip
    torch.testing.assert_close(preferences.loss(name, moved, 0.2), preferences.loss(name, pairs, 0.2))


@pytest.mark.parametrize("name", ["dpo", "robust", "hinge"])
def test_what_both_answers_share_changes_nothing_where_log_probabilities_are_summed(name):
    pairs = random_pairs()
    moved = replace(pairs, chosen=pairs.chosen + 3, rejected=pairs.rejected + 3)
    torch.testing.assert_close(preferences.loss(name, moved, 0.2), preferences.loss(name, pairs, 0.2))


@pytest.mark.parametrize("name", ["simpo", "orpo", "ipo"])
def test_length_normalised_losses_are_the_same_for_answers_that_repeat_themselves(name):
    pairs = random_pairs()
    twice = Pairs(*(getattr(pairs, field) * 2 for field in Pairs.__slots__))
    first, second = (preferences.loss(name, given, 0.7, gamma=0.3) for given in (pairs, twice))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", LOSSES)
def test_a_sum_over_micro_batches_is_the_sum_over_the_batch(name):
    pairs = random_pairs()
    places = (slice(0, 1), slice(1, 4))
    parts = [Pairs(*(getattr(pairs, field)[place] for field in Pairs.__slots__)) for place in places]
    split = sum(preferences.loss(name, part, 0.7, 0.1, 0.3) for part in parts)
    torch.testing.assert_close(split, preferences.loss(name, pairs, 0.7, 0.1, 0.3))


@pytest.mark.parametrize("name", LOSSES)
def test_every_setting_of_a_loss_changes_it_and_no_other_does(name):
    pairs = random_pairs()
    plain = preferences.loss(name, pairs, 0.7, 0.1, 0.3)
    assert not torch.allclose(plain, preferences.loss(name, pairs, 0.9, 0.1, 0.3))
    assert torch.equal(plain, preferences.loss(name, pairs, 0.7, 0.3, 0.3)) == (name not in SMOOTHED)
    assert torch.equal(plain, preferences.loss(name, pairs, 0.7, 0.1, 0.9)) == (name != "simpo")


@pytest.mark.parametrize("name", LOSSES)
def test_log_probabilities_in_bf16_are_computed_in_fp32(name):
    pairs = random_pairs()
    halves = Pairs(*(tensor.bfloat16() if (tensor := getattr(pairs, field)).is_floating_point() else tensor
                     for field in Pairs.__slots__))  # fmt: skip
    wide = Pairs(*(tensor.float() if (tensor := getattr(halves, field)).is_floating_point() else tensor
                   for field in Pairs.__slots__))  # fmt: skip
    assert preferences.loss(name, halves, 0.7).dtype == torch.float32
    assert torch.equal(preferences.loss(name, halves, 0.7), preferences.loss(name, wide, 0.7))


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_a_loss_that_needs_a_reference_says_so(name):
    with pytest.raises(ValueError, match="reference"):
        preferences.loss(name, random_pairs(reference=False), 0.1)


def test_an_unknown_loss_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'simpo'"):
        preferences.loss("sinpo", random_pairs(), 0.1)
