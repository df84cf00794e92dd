"""Linear layers with the bias added within the product: autocast's values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tunewright.fast.linear import ROWS, Trained
from tunewright.fast.lora import speed_up_linear


def passed(layer: nn.Module, values: torch.Tensor) -> list[torch.Tensor]:
    """Output and all gradients under bf16 autocast."""
    given = values.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(given * 1)
    (out.float() * torch.linspace(-1, 1, out.shape[-1])).sum().backward()
    return [out, given.grad, layer.weight.grad, layer.bias.grad]


@pytest.mark.parametrize("trains_weight", [True, False])  # False: biases alone train
def test_values_and_gradients_are_those_of_autocast(monkeypatch, trains_weight):
    calls = []
    real = Trained.apply
    monkeypatch.setattr(Trained, "apply", lambda *given: calls.append(1) or real(*given))
    found = []
    for swap in (False, True):
        torch.manual_seed(0)
        layer = nn.Linear(24, 40)
        layer.weight.requires_grad_(trains_weight)
        if swap:
            speed_up_linear(layer)
        found.append(passed(layer, torch.randn(4, ROWS // 4, 24)))
    assert len(calls) == 1
    for plain, fast in zip(*found, strict=True):
        assert (plain is None) == (fast is None)
        if plain is not None:
            assert plain.dtype == fast.dtype
            torch.testing.assert_close(fast, plain, rtol=2**-7, atol=2**-7)
