"""Embeddings with gradients of a batch's rows only: AdamW's weights, whole checkpoints, the rest left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tunewright as tw
from tests.conftest import assert_same_weights, weights_of
from tests.training.test_resume import killed
from tunewright.fast import embedding
from tunewright.fast.embedding import AdamW, sparse_embeddings
from tunewright.training.optim import clip

SMALL = {"dropout": 0.0, "max_steps": 8, "micro_batch_size": 4}


@pytest.fixture
def always(monkeypatch):
    """Small tables too, and as long as any row is still."""
    monkeypatch.setattr(embedding, "LEAST", 0)
    monkeypatch.setattr(embedding, "MOST", 1.0)


def trained(sparse: bool, decay: float, largest: float, steps: int = 12, micro_batches: int = 1) -> torch.Tensor:
    """An embedding after some steps on ever more of its rows, some of which come once and never again."""
    torch.manual_seed(0)
    table, head = nn.Embedding(600, 16, padding_idx=0), nn.Linear(16, 3)
    table.sparse = sparse
    groups = [{"params": [table.weight], "weight_decay": decay}, {"params": list(head.parameters())}]
    optimizer = (AdamW if sparse else torch.optim.AdamW)(groups, lr=1e-2, fused=True)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        optimizer.zero_grad()
        for _ in range(micro_batches):
            ids = torch.randint(0, 30 + 20 * step, (8, 6), generator=generator)
            (head(table(ids).mean(1)) - 1).square().sum().backward()
        clipped = clip if sparse else torch.nn.utils.clip_grad_norm_
        clipped([table.weight, *head.parameters()], largest)
        optimizer.step()
    return table.weight.detach()


@pytest.mark.parametrize("most", [1.0, 0.2])  # 0.2: dense from some step on
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("largest", [0.5, 1e9])
def test_the_weights_are_those_of_dense_adamw(always, monkeypatch, most, decay, largest):
    monkeypatch.setattr(embedding, "MOST", most)
    sparse, dense = (trained(kind, decay, largest) for kind in (True, False))
    torch.testing.assert_close(sparse, dense, rtol=2e-6, atol=2e-6)
    assert (sparse[500:] != trained(False, 0.3, largest)[500:]).any()  # rows that never came do decay


def test_a_run_ends_in_the_plain_runs_weights(small, always):
    runs = {}
    for kernels in ("fast", "plain"):
        raw = small(kernels, kernels=kernels, **SMALL)
        tw.train(raw, progress=False)
        runs[kernels] = weights_of(raw["out"])
    for name, value in runs["fast"].items():
        torch.testing.assert_close(value, runs["plain"][name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("most", [1.0, 0.6])
def test_a_resumed_run_is_bitwise_the_uninterrupted_one(small, always, monkeypatch, most):  # R5
    monkeypatch.setattr(embedding, "MOST", most)
    seen = []
    real = embedding.step_rows
    monkeypatch.setattr(embedding, "step_rows", lambda *given: (seen.append(len(given[0]["rows"])), real(*given)))
    whole, cut = (small(name, checkpoint_every=1, batch_size=2, max_steps=8) for name in ("whole", "cut"))
    tw.train(whole, progress=False)
    assert seen
    killed(cut, 4)
    tw.train(cut, progress=False, resume=True)
    assert_same_weights(whole["out"], cut["out"])


def test_tied_and_small_tables_keep_dense_gradients(monkeypatch):
    monkeypatch.setattr(embedding, "LEAST", 100)
    model = nn.ModuleList([nn.Embedding(50, 8), nn.Embedding(50, 8), nn.Embedding(5, 8), nn.Linear(8, 50, bias=False)])
    model[3].weight = model[1].weight
    sparse_embeddings(model)
    assert [model[place].sparse for place in range(3)] == [True, False, False]


def test_what_is_below_the_largest_norm_is_not_touched():
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([3.0, 0, 4])
    version = parameter.grad._version
    assert float(clip([parameter], 6.0)) == 5
    assert parameter.grad._version == version
    assert float(clip([parameter], 0)) == 5
    clip([parameter], 2.5)
    torch.testing.assert_close(parameter.grad, torch.tensor([1.5, 0, 2]))
