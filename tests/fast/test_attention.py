"""Attention of a training model is torch's own in value; with dropout, by the formula for the mask that was drawn."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention as plain_attention

from tests.language_models import make_language_model
from tunewright import language_model, packing
from tunewright.fast import attention as fast

SCALE = 0.3


def inputs(dtype, length=9, keys=None, heads=4, shared=4, rows=3, size=8, seed=0):
    """(query, key, value), strided as transformers gives them."""
    torch.manual_seed(seed)
    shapes = [(rows, length, heads, size), *[(rows, keys or length, shared, size)] * 2]
    return [torch.randn(shape).to(dtype).transpose(1, 2).requires_grad_() for shape in shapes]


def plan_of(query, key, mask, causal):
    if causal:
        return fast.segments_plan(query, key, [(0, query.shape[2], 0, 0)], None)
    return fast.batch_plan(query, key, mask)


def ours(query, key, value, mask=None, causal=False, dropout=0.0):
    return fast.attend(query, key, value, plan_of(query, key, mask, causal), SCALE, dropout)


def torchs(query, key, value, mask=None, causal=False):
    return plain_attention(query, key, value, mask, is_causal=causal, scale=SCALE, enable_gqa=True)


def results(function, tensors):
    """The output and the three gradients."""
    output = function(*tensors)
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape).sin().to(output.dtype)
    return [output.detach(), *torch.autograd.grad(output, tensors, weights)]


def padding(rows, length, keys):
    """As transformers makes it of a (B, S) mask: expanded, not filled."""
    lengths = torch.tensor([keys, keys - 3, 2])[:rows]
    return (torch.arange(keys) < lengths[:, None])[:, None, None].expand(rows, 1, length, keys)


def window(rows, length, keys):
    distance = torch.arange(length)[:, None] - torch.arange(keys)[None]
    return (distance.abs() < 5)[None, None] & padding(rows, length, keys) | (distance == 0)


KINDS = {
    "whole": ({}, None, False),
    "padded": ({}, padding, False),
    "window": ({}, window, False),
    "long window": ({"length": 300, "rows": 2}, window, False),
    "causal": ({}, None, True),
    "long causal": ({"length": 300, "rows": 2}, None, True),
    "shared keys": ({"shared": 2}, None, False),
    "shared keys, long causal": ({"length": 257, "shared": 1, "rows": 1}, None, True),
    "cross": ({"length": 5, "keys": 11}, padding, False),
}


@pytest.fixture(params=KINDS)
def kind(request):
    changes, masked, causal = KINDS[request.param]
    sizes = {"length": 9, "rows": 3} | changes
    length = sizes["length"]
    mask = masked(sizes["rows"], length, sizes.get("keys") or length) if masked else None
    return sizes, {"mask": mask, "causal": causal}


@pytest.mark.parametrize("cached", [1, 2**20])  # a head at a time, and all at once
def test_outputs_and_gradients_are_torchs_in_fp32(kind, cached, monkeypatch):
    monkeypatch.setattr(fast, "CACHED", cached)
    sizes, how = kind
    tensors = inputs(torch.float32, **sizes)
    references = results(partial(torchs, **how), tensors)
    for found, expected in zip(results(partial(ours, **how), tensors), references, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6 * max(1, float(expected.abs().max())))


def test_bf16_is_as_near_to_fp64_as_bf16_allows(kind):
    sizes, how = kind
    tensors = inputs(torch.bfloat16, **sizes)
    wide = [tensor.detach().double().requires_grad_() for tensor in tensors]
    references = results(partial(torchs, **how), wide)
    for found, expected in zip(results(partial(ours, **how), tensors), references, strict=True):
        assert found.dtype == torch.bfloat16
        assert (found - expected).abs().max() < 0.02 * expected.abs().max()
        assert (found - expected).norm() < 2**-7 * expected.norm()


def test_gradients_are_those_of_finite_differences():
    tensors = inputs(torch.float64, length=4, shared=2, rows=2, size=3)
    assert torch.autograd.gradcheck(partial(ours, causal=True), tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_too_large_to_exponentiate_are_taken_care_of(dtype):
    query, key, value = inputs(dtype)
    tensors = [(query * 300).detach().requires_grad_(), key, value]
    mask = padding(3, 9, 9)
    wide = [tensor.detach().double().requires_grad_() for tensor in tensors]
    found, expected = ours(*tensors, mask), torchs(*wide, mask)
    assert (found - expected).abs().max() < (1e-4 if dtype == torch.float32 else 0.2)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(found.sum(), tensors))


def test_a_query_that_sees_nothing_is_given_zeros_and_no_gradient():
    tensors = inputs(torch.float32)
    mask = torch.ones(3, 1, 9, 9, dtype=torch.bool)
    mask[1, 0, 2:] = False
    mask[2] = False
    output, *gradients = results(partial(ours, mask=mask), tensors)
    assert not output[1, :, 2:].any()
    assert not output[2].any()
    for found, expected in zip(gradients, results(partial(torchs, mask=mask), tensors)[1:], strict=True):
        torch.testing.assert_close(found, expected.nan_to_num(), rtol=1e-5, atol=2e-6)


# --- dropout ----------------------------------------------------------------------------------------------------------


def drawn(query, key, dropout, **how):
    """(B, H, T, S) the weights that attention used, divided by the plain ones: 0 or 1 / (1 - p)."""
    many = torch.eye(key.shape[2], dtype=query.dtype).expand(*key.shape[:2], -1, -1)
    with torch.no_grad():
        return ours(query, key, many, dropout=dropout, **how) / torchs(query, key, many, **how)


@pytest.mark.parametrize("kept", [0, 2**26])  # computed again in the backward, or kept
def test_with_dropout_it_is_the_formula_for_the_mask_that_was_drawn(kept, monkeypatch):
    monkeypatch.setattr(fast, "KEPT", kept)
    query, key, value = inputs(torch.float32)
    torch.manual_seed(5)
    mask = (drawn(query, key, 0.25) > 0.5).float() / 0.75

    def formula(query, key, value):
        return ((query @ key.transpose(2, 3) * SCALE).softmax(-1) * mask) @ value

    def again(*tensors):
        torch.manual_seed(5)
        return ours(*tensors, dropout=0.25)

    assert 0.5 < (mask > 0).float().mean() < 0.95
    for found, expected in zip(results(again, [query, key, value]), results(formula, [query, key, value]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("dtype", "rate"), [(torch.bfloat16, 0.1), (torch.float32, 0.1), (torch.float32, 0.502)])
def test_weights_are_dropped_at_the_rate_and_independently(dtype, rate):
    query, key, _ = inputs(dtype, length=128, rows=8)
    torch.manual_seed(1)
    first, second = (drawn(query, key, rate) < 0.5 for _ in range(2))  # two layers, or two steps
    count = first.numel()
    bound = 5 * (rate * (1 - rate) / count) ** 0.5
    assert abs(float(first.double().mean()) - rate) < bound
    assert float(first.double().mean((1, 2, 3)).std()) < 4 * (rate * (1 - rate) / count * 8) ** 0.5
    centred = first.double() - rate
    for other in (second.double() - rate, *(centred.roll(1, dim) for dim in range(4))):
        assert abs(float((centred * other).mean())) < 5 * rate * (1 - rate) / count**0.5


def test_the_same_seed_drops_the_same_and_another_another():
    query, key, _ = inputs(torch.float32, length=32)

    def of(seed):
        torch.manual_seed(seed)
        return drawn(query, key, 0.3)

    assert torch.equal(of(1), of(1))
    assert not torch.equal(of(1), of(2))


def test_the_mean_over_masks_is_the_output_without_dropout():
    tensors = inputs(torch.float32, rows=1)
    torch.manual_seed(0)
    with torch.no_grad():
        mean = torch.stack([ours(*tensors, dropout=0.2) for _ in range(2000)]).mean(0)
        torch.testing.assert_close(mean, torchs(*tensors), rtol=0, atol=0.06)


# --- in a model -------------------------------------------------------------------------------------------------------


def bert(dropout=0.0):
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    rates = {"attention_probs_dropout_prob": dropout, "hidden_dropout_prob": 0.0}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    return BertModel(BertConfig(vocab_size=50, **sizes, **rates))


BATCH = {
    "input_ids": torch.arange(24).view(2, 12) % 50,
    "attention_mask": (torch.arange(12) < torch.tensor([[12], [7]])).long(),
}


def spied(monkeypatch):
    calls = []
    real = fast.Attend.apply
    monkeypatch.setattr(fast.Attend, "apply", lambda *given: calls.append(given) or real(*given))
    return calls


def gradients_of(model):
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**BATCH).last_hidden_state
    output.float().pow(2)[BATCH["attention_mask"].bool()].mean().backward()
    return output.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_a_model_trains_with_it_answers_without_it_and_says_nothing_of_it(monkeypatch, tmp_path):
    plain = bert()
    swift = copy.deepcopy(plain)
    fast.speed_up_attention(swift)
    calls = spied(monkeypatch)
    expected, found = (gradients_of(model.train()) for model in (plain, swift))
    assert len(calls) == 2
    assert all(given[0].dtype == torch.bfloat16 for given in calls)
    real = BATCH["attention_mask"].bool()
    torch.testing.assert_close(found[0][real], expected[0][real], rtol=0, atol=0.05)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert (found[1][name] - gradient).norm() <= 0.05 * gradient.norm() + 1e-5, name
    with torch.no_grad():
        assert torch.equal(swift.eval()(**BATCH).last_hidden_state, plain.eval()(**BATCH).last_hidden_state)
    assert len(calls) == 2
    swift.save_pretrained(tmp_path)
    assert "fast_" not in (tmp_path / "config.json").read_text()
    assert swift.state_dict().keys() == plain.state_dict().keys()


def test_checkpointed_gradients_draw_the_same_masks_again(monkeypatch):
    monkeypatch.setattr(fast, "pays", lambda *given: True)
    model = bert(0.5).train()
    fast.speed_up_attention(model)
    calls = spied(monkeypatch)
    torch.manual_seed(3)
    _, expected = gradients_of(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.manual_seed(3)
    _, found = gradients_of(model)
    seeds = [given[-1] for given in calls]
    assert len(seeds) == 6
    assert seeds[0] != seeds[1]  # each layer its own
    assert seeds[:2] == seeds[2:4] == seeds[:3:-1]  # forward, and again from the last layer back
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "odd",
    [
        {"attention_mask": torch.zeros(3, 1, 9, 9)},  # additive
        {"attention_mask": torch.ones(3, 4, 9, 9, dtype=torch.bool)},  # of each head its own
        {"position_bias": torch.zeros(1, 4, 9, 9)},
        {"dropout": 1.0},
    ],
)
def test_what_is_not_known_is_left_to_the_plain_attention(odd):
    module = torch.nn.Module().train()
    asked = []
    answer = lambda *given, **more: asked.append(more) or (None, None)  # noqa: E731
    fast.attention(answer, module, *inputs(torch.bfloat16), **{"attention_mask": None, "is_causal": False} | odd)
    assert len(asked) == 1


@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 1}, {"sliding": 4}])
def test_a_pack_in_training_has_the_values_of_the_loop_over_segments(changes, tmp_path, monkeypatch):
    segments = [packing.Segment(0, 7), packing.Segment(7, 8), packing.Segment(8, 20, 0, 7),
                packing.Segment(20, 320), packing.Segment(320, 330, 20, 30)]  # fmt: skip
    query, key, value = inputs(torch.float32, length=330, rows=1, shared=changes.get("num_key_value_heads", 4))
    how = {"scaling": SCALE, "segments": segments, "sliding_window": changes.get("sliding")}
    module = torch.nn.Module()

    def through(function):
        return lambda *tensors: function(module, *tensors, torch.zeros(1, 1, 1, 1), **how)[0]

    expected = results(through(packing.attention), [query, key, value])
    monkeypatch.setattr(fast, "pays", lambda *given: True)
    calls = spied(monkeypatch)
    found = results(through(partial(fast.attention, packing.attention)), [query, key, value])
    assert len(calls) == 1
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=5e-6)


def test_a_language_model_in_training_takes_packs_with_it(tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(make_language_model(tmp_path / "llama", "llama", spread=0.3))
    model = language_model.prepare(model.float())
    ids = [np.arange(size) for size in (5, 9, 2)]
    pack = packing.pack([(one, np.r_[0, np.ones(len(one) - 1)]) for one in ids])
    with torch.no_grad():
        expected = language_model.packed_hidden(model.eval(), pack)
        fast.speed_up_attention(model)
        calls = spied(monkeypatch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = language_model.packed_hidden(model.train(), pack)
        assert len(calls) == model.config.num_hidden_layers
        assert (found - expected).norm() < 0.03 * expected.norm()
        assert torch.equal(language_model.packed_hidden(model.eval(), pack), expected)
