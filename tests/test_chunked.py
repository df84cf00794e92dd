"""The chunked head against torch's own cross-entropy on the whole batch's logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from tunewright.chunked import log_probabilities_and_hits, token_log_probabilities, weighted_cross_entropy

N, V, D = 13, 37, 8
OPTIONS = [
    {},
    {"smoothing": 0.1},
    {"softcap": 3.0},
    {"scale": 0.25},
    {"scale": 2.0, "softcap": 2.0, "smoothing": 0.2},
]
HEAD_OPTIONS = [{}, {"softcap": 3.0}, {"scale": 0.25}, {"scale": 2.0, "softcap": 2.0}]


class Case:
    """Random inputs; the same again for each call, so that gradients can be compared."""

    def __init__(self, trained: bool = True, bias: bool = True, dtype: torch.dtype = torch.float64, n: int = N) -> None:
        generator = torch.Generator().manual_seed(1)
        draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)  # noqa: E731
        self.hidden = draw(n, D).requires_grad_()
        self.weight = draw(V, D).requires_grad_(trained)
        self.bias = draw(V).requires_grad_(trained) if bias else None
        self.targets = torch.randint(V, (n,), generator=generator)
        self.weights = draw(n).abs()

    @property
    def head(self):
        return self.hidden, self.weight, self.bias

    def gradients(self, value: torch.Tensor) -> list[torch.Tensor | None]:
        """Of hidden, weight and bias; what was there before is dropped."""
        leaves = [leaf for leaf in self.head if leaf is not None]
        for leaf in leaves:
            leaf.grad = None
        value.backward()
        return [leaf.grad for leaf in leaves]


def plain_logits(case, softcap=None, scale=1.0):
    logits = functional.linear(*case.head).to(torch.promote_types(case.hidden.dtype, torch.float32)) * scale
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def plain_loss(case, smoothing=0.0, **options):
    logits = plain_logits(case, **options)
    losses = functional.cross_entropy(logits, case.targets, reduction="none", label_smoothing=smoothing)
    return (losses * case.weights).sum()


def plain_log_probabilities(case, **options):
    return plain_logits(case, **options).log_softmax(1).gather(1, case.targets[:, None]).squeeze(1)


def chunked_loss(case, **options):
    return weighted_cross_entropy(*case.head, case.targets, case.weights, **options)


def chunked_log_probabilities(case, chunk=5, **options):
    return token_log_probabilities(*case.head, case.targets, chunk=chunk, **options)


def assert_same(found, expected, **tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation gave."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else [result]:
            if isinstance(item, torch.Tensor):
                self.numel = max(self.numel, item.numel())
        return result


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_loss_and_gradients_equal_torchs(options, trained, bias):
    case = Case(trained, bias)
    expected, found = plain_loss(case, **options), chunked_loss(case, **options, chunk=5)
    torch.testing.assert_close(found, expected)
    assert_same(case.gradients(found * 0.7), case.gradients(expected * 0.7))


@pytest.mark.parametrize("chunk", [5, None])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("options", HEAD_OPTIONS, ids=str)
def test_log_probabilities_and_their_gradients_equal_torchs(options, trained, bias, chunk):
    case = Case(trained, bias)
    expected, found = plain_log_probabilities(case, **options), chunked_log_probabilities(case, chunk, **options)
    torch.testing.assert_close(found, expected)
    factors = torch.linspace(-1, 2, N, dtype=torch.float64)  # known only after the forward
    assert_same(case.gradients(found @ factors), case.gradients(expected @ factors))


@pytest.mark.parametrize("options", HEAD_OPTIONS, ids=str)
def test_evaluation_equals_log_softmax_and_argmax(options):
    case = Case()
    case.targets[:6] = plain_logits(case).argmax(1)[:6]
    found, hits = log_probabilities_and_hits(*case.head, case.targets, **options, chunk=5)
    torch.testing.assert_close(found, plain_log_probabilities(case, **options).detach())
    assert hits.tolist() == (plain_logits(case, **options).argmax(1) == case.targets).tolist()
    assert hits[:6].all()
    assert not hits.all()


def test_of_equal_logits_only_the_first_is_a_hit():
    """A collapsed model, all of whose logits are equal, is not always right."""
    hidden, targets = torch.zeros(V, D), torch.arange(V)
    _, hits = log_probabilities_and_hits(hidden, torch.ones(V, D), None, targets)
    assert hits.sum() == 1


@pytest.mark.parametrize("chunk", [1, 2, N - 1, N, N + 9, None])
def test_any_chunk_gives_the_same(chunk):
    case = Case()
    expected, found = chunked_loss(case, smoothing=0.1, chunk=4), chunked_loss(case, smoothing=0.1, chunk=chunk)
    torch.testing.assert_close(found, expected)
    assert_same(case.gradients(found), case.gradients(expected))
    expected, found = chunked_log_probabilities(case, chunk=4), chunked_log_probabilities(case, chunk=chunk)
    assert_same(case.gradients(found.square().sum()), case.gradients(expected.square().sum()))


@pytest.mark.parametrize("trained", [False, True])
def test_fp32_equals_torchs_fp32(trained):
    case = Case(trained, dtype=torch.float32)
    expected, found = plain_loss(case), chunked_loss(case, chunk=5)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    assert_same(case.gradients(found), case.gradients(expected))


@pytest.mark.parametrize("loss", [chunked_loss, lambda case: chunked_log_probabilities(case).sum()])
def test_a_frozen_head_gets_no_gradient(loss):
    case = Case(trained=False)
    of_hidden, *of_head = case.gradients(loss(case))
    assert of_hidden.abs().sum() > 0
    assert of_head == [None, None]


def test_only_the_bias_or_only_the_head_may_be_trained():
    for name in ("hidden", "weight", "bias"):
        case = Case(trained=False)
        case.hidden.requires_grad_(False)
        getattr(case, name).requires_grad_()
        assert_same(case.gradients(chunked_loss(case)), case.gradients(plain_loss(case)))
        found, expected = chunked_log_probabilities(case).sum(), plain_log_probabilities(case).sum()
        assert_same(case.gradients(found), case.gradients(expected))


@pytest.mark.parametrize(("chunked", "plain"), [
    (chunked_loss, plain_loss),
    (lambda case: chunked_log_probabilities(case).exp().sum(), lambda case: plain_log_probabilities(case).exp().sum()),
])  # fmt: skip
def test_tied_weights_collect_both_gradients(chunked, plain):
    found = []
    for loss in (chunked, plain):
        case = Case(bias=False)
        ids = torch.arange(N) % 5
        case.hidden = (functional.embedding(ids, case.weight) * 3).tanh()
        case.hidden.retain_grad()
        found.append(case.gradients(loss(case))[1])
    torch.testing.assert_close(*found)


def test_a_position_of_weight_zero_changes_nothing():
    case = Case()
    case.weights[3] = 0
    of_hidden = case.gradients(chunked_loss(case, smoothing=0.1))[0]
    assert not of_hidden[3].any()
    expected = plain_loss(case, smoothing=0.1)
    case.targets[3] = (case.targets[3] + 1) % V
    torch.testing.assert_close(chunked_loss(case, smoothing=0.1), expected)


def test_no_positions_give_zero_and_gradients_of_zero():
    case = Case(n=0)
    for value in (chunked_loss(case), chunked_log_probabilities(case).sum()):
        assert value.item() == 0
        of_hidden, of_weight, of_bias = case.gradients(value)
        assert of_hidden.shape == (0, D)
        assert not of_weight.any()
        assert not of_bias.any()
    assert [len(part) for part in log_probabilities_and_hits(*case.head, case.targets)] == [0, 0]


def test_a_probability_too_small_for_a_float_has_its_logarithm():
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[0.0], [300.0]])
    targets = torch.tensor([0])
    assert token_log_probabilities(hidden, weight, None, targets).item() == -300
    assert weighted_cross_entropy(hidden, weight, None, targets, torch.ones(1)).item() == 300


def test_a_gradient_arriving_twice_is_an_error_and_never_silently_wrong():
    loss = chunked_loss(Case())
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="one backward"):
        loss.backward()


@pytest.mark.parametrize("trained", [False, True])
def test_log_probabilities_may_be_differentiated_again_and_again(trained):
    case = Case(trained)
    value = chunked_log_probabilities(case).sum()
    value.backward(retain_graph=True)
    first = case.hidden.grad.clone()
    value.backward()
    torch.testing.assert_close(case.hidden.grad, 2 * first)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(("chunked", "plain"), [
    (chunked_loss, plain_loss),
    (lambda case: -chunked_log_probabilities(case).sum(), lambda case: -plain_log_probabilities(case).sum()),
])  # fmt: skip
def test_under_autocast_it_is_as_near_to_the_truth_as_torch(chunked, plain, trained):
    """The backward runs outside of the region, as the training loop has it."""
    case, exact = Case(trained, dtype=torch.float32), Case(trained)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = chunked(case), plain(case)
    truth = plain(exact)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)
    mine, torchs, true = case.gradients(found), case.gradients(expected), exact.gradients(truth)
    for one, other, third in zip(mine, torchs, true, strict=True):
        if one is None:
            assert other is None
            continue
        assert one.dtype == torch.float32
        assert (one - third).norm() <= 1.5 * (other - third).norm() + 1e-6
        assert (one - third).norm() <= 0.02 * third.norm()


def test_under_autocast_the_logits_are_of_its_dtype_and_without_it_they_are_not():
    case = Case(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside, expected = chunked_loss(case), plain_loss(case)
        assert_same(case.gradients(inside), case.gradients(expected), rtol=0.05, atol=0.02)  # a backward inside
    outside = chunked_loss(case)
    torch.testing.assert_close(inside, expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(outside, plain_loss(case), rtol=1e-6, atol=0)
    assert (inside - outside).abs() > 1e-5 * outside


def test_bf16_gradients_of_the_head_are_summed_in_fp32():
    """Rounding after every one of many chunks would lose the small ones."""
    case = Case(dtype=torch.bfloat16, n=600)
    exact = Case(n=600)
    for name in ("hidden", "weight", "bias"):
        setattr(exact, name, getattr(case, name).detach().double().requires_grad_())
    exact.weights = case.weights.double()
    found, expected = case.gradients(chunked_loss(case, chunk=1)), exact.gradients(chunked_loss(exact))
    assert found[1].dtype == torch.bfloat16
    assert (found[1].double() - expected[1]).norm() <= 0.01 * expected[1].norm()


@pytest.mark.parametrize("chunked", [chunked_loss, chunked_log_probabilities])
def test_without_gradients_nothing_is_kept_or_computed(chunked, monkeypatch):
    case = Case()
    expected = chunked(case).detach()
    monkeypatch.setattr("tunewright.chunked._Head.slope", None)  # no gradient can be computed
    kept = []
    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(kept.append, lambda item: item):
        found = chunked(case)
    assert not found.requires_grad
    assert kept == []
    assert torch.equal(found, expected)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_logits_of_the_batch_never_exist(trained, autocast):
    case, chunk = Case(trained, dtype=torch.float32, n=64), 16
    with LargestTensor() as largest, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        plain_loss(case)
        assert largest.numel == 64 * V  # the test can see them
        largest.numel = 0
        chunked_loss(case, smoothing=0.1, softcap=5.0, chunk=chunk).backward()
        chunked_log_probabilities(case, chunk=chunk).sum().backward()
        log_probabilities_and_hits(*case.head, case.targets, chunk=chunk)
    assert largest.numel == chunk * V


def test_the_chunk_is_bounded_where_nobody_names_it():
    hidden, weight = torch.zeros(700, 1), torch.zeros(20_000, 1)
    with LargestTensor() as largest:
        log_probabilities_and_hits(hidden, weight, None, torch.zeros(700, dtype=torch.long))
    assert largest.numel < 700 * 20_000 / 2


@pytest.mark.parametrize("trained", [False, True])
def test_under_fp16_autocast_small_gradients_are_not_lost(trained):
    """Probabilities and weights too small for fp16: the loss scale comes only after the forward."""
    hidden = torch.tensor([[1.0, 0.0]], requires_grad=True)
    weight = torch.tensor([[20.0, 0.0], *[[0.0, 1.0]] * (V - 1)], requires_grad=trained)
    with torch.autocast("cpu", torch.float16):
        loss = weighted_cross_entropy(hidden, weight, None, torch.tensor([0]), torch.tensor([1e-9]))
    (loss * 1e9).backward()
    small = torch.tensor(-20.0).exp()
    torch.testing.assert_close(hidden.grad[0, 1], (V - 1) * small, rtol=1e-4, atol=0)
    if trained:
        torch.testing.assert_close(weight.grad[1:, 0], small.expand(V - 1), rtol=1e-4, atol=0)
