"""The probe learns what is linear, judges rows it did not see, and survives rare classes and empty texts."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tunewright.data import probe


def blobs(count: int = 200, classes: int = 3, width: int = 8, seed: int = 0):
    """Rows around one centre a class, far from the origin and on an uneven scale."""
    generator = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    centres = 3 * np.random.default_rng(99).standard_normal((classes, width))
    features = (centres[targets] + generator.standard_normal((count, width))) * np.geomspace(1, 100, width) + 7
    return features.astype(np.float32), targets


def test_probabilities_of_one_label_a_row_sum_to_one_and_are_right():
    features, targets = blobs()
    found = probe.fit(features, targets, 3).probabilities(blobs(seed=1)[0])
    assert found.sum(1) == pytest.approx(1, abs=1e-5)
    assert (found.argmax(1) == targets).mean() > 0.95


def test_the_solution_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    features, targets = blobs()
    features += 2 * np.random.default_rng(1).standard_normal(features.shape).astype(np.float32) * features.std(0)
    scaled = (features - features.mean(0)) / features.std(0)
    oracle = LogisticRegression(C=1 / (0.1 * len(targets)), tol=1e-8, max_iter=1000).fit(scaled, targets)
    found = probe.fit(features, targets, 3, strength=0.1).probabilities(features)
    assert found == pytest.approx(oracle.predict_proba(scaled), abs=0.01)


def test_several_labels_are_told_each_against_the_rest():
    features, targets = blobs()
    several = np.stack([targets == 0, targets != 2, targets == 9], 1).astype(int)
    found = probe.fit(features, several, 3).probabilities(features)
    assert ((found[:, :2] > 0.5) == several[:, :2]).mean() > 0.95
    assert found[:, 2].max() < 0.1


def test_no_row_is_judged_by_a_probe_that_saw_its_label():
    features = np.eye(40, dtype=np.float32)  # a row tells nothing of another, but could be learned by heart
    targets = np.arange(40) % 2
    seen = probe.fit(features, targets, 2, strength=0.003).probabilities(features)
    assert (seen.argmax(1) == targets).all()
    found = probe.out_of_fold(features, targets, 2)
    assert (found.argmax(1) == targets).mean() < 0.7


def test_folds_hold_every_row_once_and_every_class_evenly():
    targets = np.array([0] * 23 + [1] * 12 + [2] * 2)
    folds = list(probe.stratified(targets, 5, seed=3))
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(37))
    for train, held in folds:
        assert not set(train) & set(held)
        counts = np.bincount(targets[held], minlength=3)
        assert counts[0] in (4, 5)
        assert counts[1] in (2, 3)


def test_a_rare_label_of_several_is_in_most_folds():
    several = np.zeros((50, 2), dtype=int)
    several[:, 0] = 1
    several[:5, 1] = 1
    assert [int(several[held, 1].sum()) for _, held in probe.stratified(several, 5, 0)] == [1] * 5


@pytest.mark.parametrize("counts", [(20, 1), (1, 1), (30, 2, 0), (2, 0)])
def test_classes_with_fewer_rows_than_folds_do_no_harm(counts):
    targets = np.repeat(np.arange(len(counts)), counts)
    features = blobs(len(targets))[0]
    found = probe.out_of_fold(features, targets, len(counts))
    assert np.isfinite(found).all()
    assert found.sum(1) == pytest.approx(1, abs=1e-5)


def test_noise_is_regularised_more_than_signal():
    features, targets = blobs(400)
    shuffled = np.random.default_rng(0).permutation(targets)
    assert probe.choose(features, shuffled, 3) > probe.choose(features, targets, 3)


def test_progress_may_stop_it():
    features, targets = blobs()

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        probe.out_of_fold(features, targets, 3, progress=stop)


def test_words_are_features_too():
    texts = [("late parcel " + word, "again") for word in ("door", "invoice") * 20]
    features, names = probe.word_features(texts)
    assert features.shape == (40, len(names))
    assert {"door", "parcel door", "door again"} <= set(names)
    targets = np.arange(40) % 2
    assert (probe.out_of_fold(features, targets, 2).argmax(1) == targets).all()


@pytest.mark.parametrize("texts", [[("",), ("",)], [("a",)] * 3 + [("!?",)], [(f"word{n}",) for n in range(30)]])
def test_texts_without_common_words_do_no_harm(texts):
    features, names = probe.word_features(texts)
    assert features.shape == (len(texts), len(names))
    assert np.isfinite(probe.fit(features, np.arange(len(texts)) % 2, 2).probabilities(features)).all()


@pytest.mark.parametrize("most", [5000, 60])
def test_word_features_are_those_of_scikit_learn(monkeypatch, most):
    from sklearn.feature_extraction.text import TfidfVectorizer

    generator = random.Random(0)
    words = ["Parcel", "late", "été", "don't", "x1", *(f"w{place}" for place in range(40))]
    texts = [(" ".join(generator.choices(words, k=generator.randint(0, 12))), "end.") for _ in range(60)]
    monkeypatch.setattr(probe, "WORDS", most)
    made, names = probe.word_features(texts)
    theirs = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), token_pattern=r"\w+", dtype=np.float32,
                             vocabulary=names)  # fmt: skip
    expected = theirs.fit_transform([" ".join(text) for text in texts]) * probe.NORM
    assert np.allclose(made.toarray(), expected.toarray(), atol=1e-4)
    free = TfidfVectorizer(min_df=2, ngram_range=(1, 2), token_pattern=r"\w+", max_features=most)
    counted = free.fit([" ".join(text) for text in texts]).get_feature_names_out()
    assert len(names) == len(counted)
    assert most < 5000 or names == list(counted)
