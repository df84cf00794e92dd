"""Dropout from raw random bits: the right share, the right scale, repeated by its seed, absent in evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tunewright.fast.dropout import Dropout, keep_bits, swap_dropout

TYPES = [torch.float32, torch.bfloat16, torch.float16]


def swapped(rate: float) -> nn.Module:
    module = nn.Sequential(nn.Dropout(rate))
    swap_dropout(module)
    return module


def seeded(module: nn.Module, values: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(3)
    return module(values)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.003])
def test_the_rate_and_the_mean_are_those_asked_for(rate, dtype):
    count = 2_000_000
    out = swapped(rate)(torch.ones(count, dtype=dtype))
    error = 5 * (rate * (1 - rate) / count) ** 0.5  # five standard deviations
    assert abs(float((out == 0).double().mean()) - rate) < error + 2**-17
    assert torch.unique(out).tolist() == [0, float(torch.tensor(1 / (1 - round(rate * 65536) / 65536)).to(dtype))]


def test_neighbouring_elements_and_the_quarters_of_a_draw_are_independent():
    dropped = (keep_bits(1 << 20, 0.5) == 0).double().view(-1, 4)  # four masks come from one 64-bit number
    spread = torch.corrcoef(dropped.T) - torch.eye(4)
    assert float(spread.abs().max()) < 0.01
    assert float((dropped.mean(0) - 0.5).abs().max()) < 0.005


@pytest.mark.parametrize("dtype", TYPES)
def test_the_gradient_passes_where_the_value_did(dtype):
    values = torch.randn(7, 9, 5).to(dtype).transpose(0, 2).requires_grad_()  # older torch draws zeros in bf16
    out = swapped(0.3)(values)
    out.sum().backward()
    scale = torch.tensor(1 / (1 - round(0.3 * 65536) / 65536)).to(dtype)
    assert torch.equal(values.grad, torch.where(out == 0, 0, scale))
    assert torch.equal(out, (values * 1.0).mul(float(1 / (1 - round(0.3 * 65536) / 65536))) * (out != 0))


def test_a_seed_repeats_the_masks_and_each_call_draws_its_own():
    module, values = swapped(0.5), torch.ones(1000)
    first = seeded(module, values)
    assert not torch.equal(first, module(values))
    assert torch.equal(first, seeded(module, values))


def test_gradient_checkpointing_draws_the_same_mask_again():
    module, values = swapped(0.5), torch.randn(50, 20)
    results = []
    for run in (module, lambda given: checkpoint(module, given, use_reentrant=False)):
        given = values.clone().requires_grad_()
        (seeded(run, given) ** 2).sum().backward()
        results.append(given.grad)
    assert torch.equal(*results)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_without_chance_are_torchs_own(rate):
    values = torch.randn(20)
    assert torch.equal(swapped(rate)(values), nn.Dropout(rate)(values))


def test_what_is_swapped_looks_as_before_and_is_silent_in_evaluation():
    plain = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Dropout1d(0.5))
    before, state = repr(plain), list(plain.state_dict())
    swap_dropout(plain)
    assert (repr(plain), list(plain.state_dict())) == (before, state)
    assert [type(part) for part in plain[1:]] == [Dropout, nn.Dropout1d]
    values = torch.randn(3, 4)
    assert torch.equal(plain.eval()(values), plain[0](values))
