"""Linear layers and LoRA: PEFT's numbers and PEFT's parameters, with fewer casts and passes."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from torch import nn
from torch.nn import functional

import tunewright as tw
from tests.conftest import weights_of, write_rows
from tests.language_models import make_language_model
from tunewright.fast.lora import Linear, LowRank, cast, speed_up_linear
from tunewright.fast.products import FastLinear, use_fast_products
from tunewright.models import locate
from tunewright.strategies.lora import LoRA
from tunewright.tasks.causal_lm import CausalLM

BF16 = 3e-2  # relative: some roundings to 8 bits more or fewer on the way


class Two(nn.Module):
    """Two readers of one input, and a third behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.value, self.out = nn.Linear(24, 16), nn.Linear(24, 16, bias=False), nn.Linear(16, 8)

    def forward(self, x):
        x = functional.layer_norm(x, x.shape[-1:])
        return self.out(torch.tanh(self.query(x)) * self.value(x))


def pair(lora: bool = True, **settings):
    """(plain, fast): the same module twice, LoRA in `query` and `value` with factors that are seen."""
    torch.manual_seed(0)
    module = Two().requires_grad_(False)
    if lora:
        config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["query", "value"], **settings)
        module = peft.inject_adapter_in_model(config, module)
        for name, parameter in module.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.3)
    fast = copy.deepcopy(module)
    speed_up_linear(fast)
    return module.train(), fast.train()


def outcome(module, narrow: bool = False):
    """(output, gradient of the input, gradients of the parameters)"""
    torch.manual_seed(1)
    x = torch.randn(3, 5, 24, requires_grad=True)
    module.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        output = module(x * 1.5)
    output.float().square().sum().backward()
    gradients = {name: value.grad for name, value in module.named_parameters() if value.grad is not None}
    return [output.detach().float(), x.grad, *gradients.values()], list(gradients)


def assert_alike(plain, fast, narrow: bool = False) -> None:
    (ours, names), (theirs, known) = outcome(fast, narrow), outcome(plain, narrow)
    assert names == known
    for one, other in zip(ours, theirs, strict=True):
        limit = (BF16 if narrow else 1e-6) * float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=0, atol=limit)


@pytest.fixture
def called(monkeypatch):
    """How often the fast LoRA was taken."""
    calls = []
    forward = LowRank.forward
    monkeypatch.setattr(LowRank, "forward", staticmethod(lambda *given: calls.append(1) or forward(*given)))
    return calls


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"init_lora_weights": "gaussian"}], ids=str)
def test_lora_has_pefts_outputs_and_gradients(settings, narrow, called):
    assert_alike(*pair(**settings), narrow)
    assert len(called) == 2


VARIANTS = {
    "dora": {"use_dora": True},
    "bias": {"bias": "lora_only"},
    "lora_bias": {"lora_bias": True, "target_modules": ["query"]},
}


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("kind", VARIANTS)
def test_every_other_lora_is_pefts(kind, narrow, called):
    torch.manual_seed(0)
    settings = {"target_modules": ["query", "value"], **VARIANTS[kind]}
    plain = peft.inject_adapter_in_model(peft.LoraConfig(r=4, **settings), Two().requires_grad_(False)).train()
    fast = copy.deepcopy(plain)
    speed_up_linear(fast)
    assert_alike(plain, fast, narrow)
    assert len(called) == (1 if kind == "bias" else 0)  # `value` has no bias to train


def test_a_merge_while_training_is_seen():
    plain, fast = pair()
    outcome(fast, narrow=True)
    for module in (plain, fast):
        module.query.merge()
    assert_alike(plain, fast, narrow=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast.query(torch.ones(2, 24)), plain.query(torch.ones(2, 24)))


@pytest.mark.parametrize("narrow", [False, True])
def test_fast_answers_leave_the_training_as_it_is(narrow, called):
    plain, fast = pair()
    use_fast_products(fast)
    assert all(isinstance(layer, FastLinear) for layer in (fast.out, fast.query.base_layer))
    assert_alike(plain, fast, narrow)
    assert len(called) == 2
    x = torch.randn(2, 24)
    with torch.no_grad():
        torch.testing.assert_close(fast.eval()(x), plain.eval()(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", ["merge", "disable", "eval", "two adapters", "trained base"])
def test_a_layer_that_is_no_longer_plain_is_pefts(change, called):
    plain, fast = pair()
    for module in (plain, fast):
        for layer in (module.query, module.value):
            if change == "merge":
                layer.merge()
            elif change == "disable":
                layer.enable_adapters(False)
            elif change == "eval":
                layer.eval()
            elif change == "two adapters":
                torch.manual_seed(5)
                layer.update_layer("other", 2, 4, config=peft.LoraConfig(r=2, lora_alpha=4, init_lora_weights=False))
                layer.set_adapter(["default", "other"])
            else:
                layer.base_layer.requires_grad_(True)
    assert_alike(plain, fast)
    assert not called


def test_the_base_of_a_frozen_first_layer_wants_no_gradient_of_its_input():
    plain, fast = pair()
    for module in (plain, fast):
        module.query(torch.ones(2, 24)).sum().backward()
    torch.testing.assert_close(fast.query.lora_B["default"].weight.grad, plain.query.lora_B["default"].weight.grad)


def test_loras_dropout_leaves_its_share_and_keeps_the_mean():
    _, fast = pair(lora_dropout=0.25)
    layer = fast.query
    x = torch.ones(4000, 24)
    with torch.no_grad():
        layer.lora_A["default"].weight.copy_(torch.eye(4, 24))
        layer.lora_B["default"].weight.copy_(torch.eye(16, 4))
        seen = (layer(x) - layer.base_layer(x))[:, :4] / layer.scaling["default"]
    assert float((seen.abs() < 1e-4).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert float(seen.mean()) == pytest.approx(1.0, abs=0.02)


def test_the_gradients_through_dropout_are_of_the_same_mask():
    _, fast = pair(lora_dropout=0.5)
    layer = fast.query
    x = torch.randn(6, 24, dtype=torch.float32, requires_grad=True)
    factors = layer.lora_A["default"].weight, layer.lora_B["default"].weight

    def loss(x, a, b):
        torch.manual_seed(7)
        return LowRank.apply(x, *layer.base_layer.in_dtype(torch.float32), a, b, 2.0, 0.5).tanh().sum()

    slopes = torch.autograd.grad(loss(x, *factors), (x, *factors))
    for place, (slope, point) in enumerate(zip(slopes, (x, *factors), strict=True)):
        way = torch.randn(point.shape, generator=torch.Generator().manual_seed(place))
        moved = [[p + s * 1e-3 * way if i == place else p for i, p in enumerate((x, *factors))] for s in (1, -1)]
        with torch.no_grad():
            found = (loss(*moved[0]) - loss(*moved[1])) / 2e-3
        assert float(found) == pytest.approx(float((slope * way).sum()), rel=2e-2, abs=2e-2)


def test_a_seed_repeats_the_dropout():
    _, fast = pair(lora_dropout=0.5)
    (one, _), (other, _) = outcome(fast), outcome(fast)
    assert all(torch.equal(*both) for both in zip(one, other, strict=True))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
def test_linear_layers_have_torchs_outputs_and_gradients(frozen, narrow):
    plain, fast = pair(lora=False)
    for module in (plain, fast):
        module.requires_grad_(not frozen)
    assert_alike(plain, fast, narrow)


def test_an_input_is_cast_once_for_all_its_readers_and_again_when_it_changed():
    x = torch.ones(3, requires_grad=True) * 2
    first = cast(x, torch.bfloat16)
    assert cast(x, torch.bfloat16) is first
    with torch.no_grad():
        assert not cast(x, torch.bfloat16).requires_grad
        x.mul_(3)
    assert cast(x, torch.bfloat16).tolist() == [6, 6, 6]


def test_a_cast_matrix_is_never_stale():
    """Whatever changes a matrix: a step in place, other storage, a merge, training it for a while."""
    layer = Linear(8, 8).requires_grad_(False).train()
    x = torch.randn(4, 8)

    def agrees() -> bool:
        with torch.autocast("cpu", torch.bfloat16):
            return torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))

    assert agrees()
    layer.weight.mul_(2)
    assert agrees()
    layer.bias.add_(1)
    assert agrees()
    layer.weight.data = torch.randn(8, 8)
    assert agrees()
    layer.requires_grad_(True)
    layer(x).sum().backward()
    torch.optim.AdamW(layer.parameters(), fused=True, lr=0.1).step()  # gradual unfreezing
    layer.requires_grad_(False)
    assert agrees()
    layer.weight.data.add_(1)  # as PEFT merges: nothing tells of it but that a merged model is evaluated
    layer.eval()
    layer.train()
    assert agrees()


def test_merging_after_training_gives_pefts_weights():
    plain, fast = pair()
    outcome(fast, narrow=True)  # the cast matrix is kept from here
    for module in (plain, fast):
        module.eval()
        for layer in (module.query, module.value):
            layer.merge()
    x = torch.randn(2, 24)
    assert torch.equal(fast(x), plain(x))
    assert all(torch.equal(*both) for both in zip(fast.state_dict().values(), plain.state_dict().values(), strict=True))


def test_nothing_of_it_is_seen_in_names_state_or_size():
    plain, fast = pair()
    outcome(fast, narrow=True)
    assert list(fast.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in fast.named_parameters()] == [name for name, _ in plain.named_parameters()]
    fast.eval()
    assert not any("kept" in vars(module) for module in fast.modules())


def test_gradient_checkpointing_gives_the_same_gradients():
    from torch.utils.checkpoint import checkpoint

    _, fast = pair(lora_dropout=0.5)
    torch.manual_seed(0)
    x = torch.randn(4, 24, requires_grad=True)
    found = []
    for run in (fast, lambda x: checkpoint(fast, x, use_reentrant=False)):
        fast.zero_grad()
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16):
            output = run(x * 1.0)
        output.float().sum().backward()
        found.append([value.grad.clone() for value in fast.parameters() if value.grad is not None])
    assert all(torch.equal(*both) for both in zip(*found, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_learns_what_it_learns_with_plain_kernels(tiny, tmp_path, precision, called):
    """The adapter has the same names, and moves the same way."""
    write_rows(tmp_path / "rows.csv")
    found = {}
    for kernels in ("plain", "fast"):
        found[kernels] = tw.train(
            model=tiny, data={"train": str(tmp_path / "rows.csv"), "validation_share": 0, "test_share": 0},
            strategy={"kind": "lora", "dropout": 0, "r": 4}, out=str(tmp_path / kernels), progress=False,
            training={"kernels": kernels, "max_steps": 2, "batch_size": 8, "dropout": 0, "precision": precision},
        )  # fmt: skip
        assert bool(called) == (kernels == "fast")
    plain, fast = (weights_of(found[kernels].path) for kernels in ("plain", "fast"))
    assert list(plain) == list(fast)
    assert any("lora_B" in name for name in plain)
    for name, value in plain.items():
        limit = 2e-5 if precision == "fp32" else 2e-3  # Adam's steps have the size of the rate, 5e-4 to 1e-2
        torch.testing.assert_close(fast[name], value, rtol=0, atol=limit, msg=name)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_nothing_is_computed_backwards_below_the_lowest_factors_of_a_decoder(tmp_path, kind):
    """Nor for a tied embedding: a gradient of it would be as large as it is."""
    source = locate(str(make_language_model(tmp_path / kind, kind)))
    task = CausalLM(kind="causal_lm")
    model = task.build(source).requires_grad_(False)
    model = LoRA(targets=("1",), dropout=0).apply(model, task).train()
    speed_up_linear(model)
    seen = []
    for name, module in model.named_modules():
        if name.endswith((".0", ".1")):
            module.register_forward_hook(lambda module, given, out: seen.append(out))
    ids = torch.arange(5, 15)[None]
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    needing = [(out[0] if isinstance(out, tuple) else out).requires_grad for out in seen]
    assert needing == [False, True]
    assert model.get_input_embeddings().weight.grad is None
