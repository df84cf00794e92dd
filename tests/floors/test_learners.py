"""The arithmetic of floors, against what counting by hand says."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from tunewright.data import probe
from tunewright.data.row import Row
from tunewright.data.words import row_of_tokens
from tunewright.floors.base import Reading
from tunewright.floors.classes import Linear, root
from tunewright.floors.passages import Windows, stretches
from tunewright.floors.tags import Chains, Dictionary, Tagger
from tunewright.floors.terms import Terms
from tunewright.floors.writing import Trigram, counts_of
from tunewright.tasks.question_answering import QuestionAnswering
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.tasks.token_classification import TokenClassification


def test_probabilities_of_tags_are_those_of_all_sequences():
    draw = np.random.default_rng(0)
    sizes, num_tags = [3, 0, 1, 4], 3
    rows = [row_of_tokens(n, ["a"] * size) for n, size in enumerate(sizes)]
    scores, moves = draw.normal(size=(sum(sizes), num_tags)), draw.normal(size=(num_tags, num_tags))
    totals, shares, expected = Chains(rows).marginals(scores, moves)
    begin, counted = 0, np.zeros_like(moves)
    for size in sizes:
        own, each = scores[begin : begin + size], np.zeros((size, num_tags))
        paths = list(product(range(num_tags), repeat=size))
        weights = np.array([
            np.exp(sum(own[place, tag] for place, tag in enumerate(path))
                   + sum(moves[pair] for pair in pairwise(path)))
            for path in paths
        ])  # fmt: skip
        for path, share in zip(paths, weights / weights.sum(), strict=True):
            for place, tag in enumerate(path):
                each[place, tag] += share
            for pair in pairwise(path):
                counted[pair] += share
        np.testing.assert_allclose(shares[begin : begin + size], each, atol=1e-12)
        np.testing.assert_allclose(totals[begin : begin + size], np.log(weights.sum()), atol=1e-12)
        begin += size
    np.testing.assert_allclose(expected, counted, atol=1e-12)


def tagged(tokens, spans):
    plain = row_of_tokens(1, tokens)
    return Row(1, plain.text, spans, plain.words)


def test_the_dictionary_gives_each_word_its_most_frequent_tag():
    rows = [tagged(["in", "Wexley"], [(1, 2, "place")])] * 2 + [tagged(["in", "Wexley"], [])]
    task = TokenClassification(kind="token_classification", labels=("place",), scheme="IOB2")
    learner = Dictionary.learn(task, rows, Reading())
    output = learner.outputs([row_of_tokens(1, ["Wexley", "in", "Kirkholm"])])[0]
    assert [task.tags[place] for place in output.argmax(1)] == ["B-place", "O", "O"]  # nobody has seen the last word
    assert np.exp(output[0, task.places["B-place"]]) == pytest.approx(2 / 3, abs=0.05)


def test_the_tagger_learns_what_only_neighbours_tell_and_answers_legally():
    rows, spans = [], [(1, 3, "place")]
    for word in ("red", "green", "blue", "black"):
        rows += [tagged(["in", word, "town", "now"], spans), tagged(["the", word, "van", "now"], [])]
    task = TokenClassification(kind="token_classification", labels=("place",), scheme="IOB2")
    learner = Tagger.learn(task, rows, Reading())
    found = learner.outputs([row_of_tokens(1, ["in", "silver", "town", "now"]), row_of_tokens(1, [])])
    assert task.spans(found[0]) == spans
    assert found[1].shape == (0, 3)
    np.testing.assert_allclose(np.exp(found[0]).sum(1), 1, atol=1e-5)


class Words:
    """A tokenizer of five tokens."""

    def __len__(self):
        return 5


@pytest.fixture
def trigram():
    often = [(first, 1, 0) for first in range(1, 5)]
    grams = np.array([(0, 1, 2), *often, (3, 4, 2)])  # after 0 1 the likeliest is 0, which has never followed it
    return grams, Trigram(None, Reading(Words(), 8), counts_of(grams, 3, 6), {"answers": []})


def test_probabilities_of_tokens_sum_to_one_after_every_context(trigram):
    _, learner = trigram
    for context in product(range(6), repeat=2):
        grams = np.array([(*context, token) for token in range(6)])
        assert learner.probabilities(grams, 3).sum() == pytest.approx(1)


def test_the_likeliest_token_is_the_one_of_the_highest_probability(trigram):
    _, learner = trigram
    contexts = np.array([(*context, 0) for context in product(range(6), repeat=2)])
    every = np.stack([learner.probabilities(np.column_stack([contexts[:, :2], np.full(36, token)]), 3)
                      for token in range(6)], axis=1)  # fmt: skip
    chosen = learner.likeliest(contexts, 3)
    np.testing.assert_allclose(every[np.arange(36), chosen], every.max(1))


def test_shorter_tokens_count_by_the_contexts_they_follow():
    grams = np.array([(1, 2, 3)] * 9 + [(1, 2, 4), (2, 1, 4)])
    found = counts_of(grams, 3, 6)
    assert dict(zip(found["keys_1"].tolist(), found["counts_1"].tolist(), strict=True)) == {3: 1, 4: 2}  # Kneser-Ney
    assert found["counts_3"].tolist() == [9, 1, 1]


def test_terms_are_the_same_when_they_are_made_from_what_was_saved():
    texts = ["Red van", "late, late van!", "?", "the door"]
    terms = Terms.of(texts)
    again = Terms.saved(terms.numbers(), terms.names)
    assert (terms(texts) != again(texts)).nnz == 0
    rare, frequent = (again(texts[:1])[0, terms.names["words"].index(name)] for name in ("red", "van"))
    assert rare > frequent > 0
    np.testing.assert_allclose(terms(texts[:1]).multiply(terms(texts[:1])).sum(), 2, rtol=1e-6)


def test_texts_without_a_word_are_classified_too():
    task = SequenceClassification(kind="sequence_classification", labels=("a", "b"), multi_label=False)
    rows = [Row(n, ("?!" if n % 2 else "...",), "a" if n % 2 else "b") for n in range(30)]
    learner = Linear.learn(task, rows, Reading())
    assert [task.decode(output, row).label for output, row in zip(learner.outputs(rows), rows, strict=True)] == [
        row.label for row in rows
    ]


def test_stretches_stay_within_sentences_and_numbers():
    row = Row(1, ("How much?", 'It costs 6.80 euros. A "van" is red at 18:00!'))
    edges, _ = stretches(row, {"it": 1.0})
    texts = {row.text[1][int(start) : int(end)] for start, end in edges}
    assert {"6.80 euros", "6.80", "van", "18:00", "It costs 6.80 euros"} <= texts
    assert not texts & {"80 euros", "6", "00", "at 18", "euros. A", "80", ". A", '"van'}


def test_a_question_without_a_context_has_no_stretch():
    task = QuestionAnswering(kind="question_answering", no_answer=False)
    rows = [Row(n, (f"Where is van {n}?", f"Van {n} is in Wexley."), [(12, "Wexley")]) for n in range(10)]
    learner = Windows.learn(task, rows, Reading())
    outputs = learner.outputs([Row(1, ("Where?", "")), Row(2, ("Where?", "...")), rows[0]])
    assert [len(output) for output in outputs[:2]] == [1, 1]
    assert task.decode(outputs[2], rows[0]).text


def test_the_strength_is_chosen_from_products_of_rows_as_from_the_terms():
    from scipy.sparse import csr_matrix

    draw = np.random.default_rng(0)
    targets = draw.integers(0, 3, 90)
    values = np.where(draw.random((90, 400)) < 0.05, draw.random((90, 400)), 0) + 2 * np.eye(400)[targets * 7]
    values[40:50], values[60] = values[0], 0  # rows that are equal, and one without a term
    inputs = csr_matrix(values.astype(np.float32))
    small = root(inputs)
    assert small.shape == (90, 90)
    assert np.abs((small @ small.T - inputs @ inputs.T).toarray()).max() < 1e-4
    assert probe.choose(small, targets, 3) == probe.choose(inputs, targets, 3)
    found = [probe.solve(each, targets, 3, 0.01)[0].probabilities(each) for each in (small, inputs)]
    assert np.abs(found[0] - found[1]).max() < 0.01
