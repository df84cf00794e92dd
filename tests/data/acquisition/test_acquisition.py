"""Acquisition: every strategy gives different rows, as many as it is asked for, and those that it promises."""

from __future__ import annotations

import numpy as np
import pytest

from tunewright.component import members
from tunewright.data.acquisition.bald import mutual_information
from tunewright.data.acquisition.base import Acquisition, Situation, entropy, margin
from tunewright.data.acquisition.core_set import spread
from tunewright.data.acquisition.kmeans import central
from tunewright.data.acquisition.mix import Mix

KINDS = ("bald", "core_set", "entropy", "kmeans", "margin", "mix", "random")


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def situation(rows: int = 60, seed: int = 0, **given) -> Situation:
    generator = np.random.default_rng(seed)
    features = unit(generator.standard_normal((rows, 8)))
    believed = [generator.dirichlet(np.ones(3), rows).astype(np.float32) for _ in range(4)]
    made = {"features": features, "labelled": features[:0], "generator": np.random.default_rng(seed),
            "probabilities": believed[0], "beliefs": lambda: iter(believed)}  # fmt: skip
    return Situation(**(made | given))


def strategy(kind: str) -> Acquisition:
    return members(Acquisition)[kind](kind=kind)


def test_strategies_are_found_without_registration():
    assert tuple(members(Acquisition)) == KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 7, 100])
def test_rows_are_different_and_as_many_as_asked_for(kind, count):
    places, scores = strategy(kind).choose(situation(), count)
    assert len(places) == len(scores) == min(count, 60)
    assert len(set(places.tolist())) == len(places)
    assert set(places.tolist()) <= set(range(60))
    assert strategy(kind).says.format(scores[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_chooses_the_same_rows(kind):
    first, second = (strategy(kind).choose(situation(), 7)[0].tolist() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_all_alike_are_still_different_rows(kind):
    alike = np.tile(unit(np.ones((1, 8))), (60, 1))
    places, _ = strategy(kind).choose(situation(features=alike), 9)
    assert len(set(places.tolist())) == 9


def test_margin_and_entropy_choose_the_unsure_row():
    probabilities = np.array([[0.9, 0.05, 0.05], [0.45, 0.44, 0.11], [0.4, 0.3, 0.3]], dtype=np.float32)
    asked = situation(3, probabilities=probabilities)
    assert strategy("margin").choose(asked, 1)[0].tolist() == [1]
    assert strategy("entropy").choose(asked, 1)[0].tolist() == [2]


def test_margin_and_entropy_by_hand():
    probabilities = np.array([[0.5, 0.3, 0.2], [1, 0, 0]], dtype=np.float32)
    assert margin(probabilities) == pytest.approx([0.2, 1.0])
    assert entropy(probabilities) == pytest.approx([1.0297, 0.0], abs=1e-4)
    assert margin(np.ones((2, 1), dtype=np.float32)).tolist() == [1, 1]


def test_bald_chooses_disagreement_and_not_doubt():
    doubt, sure, other = [0.5, 0.5], [1.0, 0.0], [0.0, 1.0]
    beliefs = [np.array([doubt, sure], dtype=np.float32), np.array([doubt, other], dtype=np.float32)]
    assert mutual_information(iter(beliefs)) == pytest.approx([0, np.log(2)], abs=1e-5)
    asked = situation(2, beliefs=lambda: iter(beliefs))
    assert strategy("bald").choose(asked, 1)[0].tolist() == [1]


def test_kmeans_takes_one_row_of_every_heap_and_says_how_large_it_is():
    generator = np.random.default_rng(3)
    heaps = np.repeat(np.eye(8)[:4], [30, 20, 10, 5], axis=0) + generator.standard_normal((65, 8)) * 0.01
    found, sizes = central(unit(heaps), 4, generator)
    assert sorted(np.digitize(found, [30, 50, 60]).tolist()) == [0, 1, 2, 3]
    assert sorted(sizes.tolist()) == [5, 10, 20, 30]


def test_core_set_goes_where_nothing_is_labelled():
    features = unit(np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 0, 1]], dtype=float))
    found, far = spread(features, 2, features[[0, 2]])
    assert found[0] == 3
    assert far[0] == pytest.approx(np.sqrt(2), abs=1e-4)


def test_core_set_looks_at_every_block_of_rows(monkeypatch):
    from tunewright.data.acquisition import core_set

    features = situation().features
    whole = core_set.distances(features, features[:3])
    monkeypatch.setattr(core_set, "BLOCK", 7)
    assert core_set.distances(features, features[:3]) == pytest.approx(whole)
    assert (whole[3:] > 0.01).all()


def test_mix_takes_only_unsure_rows_and_one_of_twins():
    """Ten unsure rows in two heaps, fifty sure ones elsewhere: one row of each heap."""
    features = np.repeat(np.eye(8)[:3], [5, 5, 50], axis=0) + np.random.default_rng(0).standard_normal((60, 8)) * 0.01
    probabilities = np.array([[0.5, 0.49, 0.01]] * 10 + [[0.98, 0.01, 0.01]] * 50, dtype=np.float32)
    asked = situation(features=unit(features), probabilities=probabilities)
    found, margins = Mix(breadth=5).choose(asked, 2)
    assert sorted(place // 5 for place in found.tolist()) == [0, 1]
    assert margins == pytest.approx([0.01, 0.01], abs=1e-4)
