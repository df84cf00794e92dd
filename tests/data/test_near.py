"""Near-duplicates: few words changed. What is reported is verified, and work stays in proportion to the rows."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data import near

VOCABULARY = [first + vowel + last for first in "bcdfghklmnprstvwz" for vowel in "aeiou" for last in "bdgklmnprst"]


def sentences(count: int, length: int, seed: int = 0) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(VOCABULARY, k=length)) for _ in range(count)]


def changed(text: str, generator: random.Random, num_words: int = 3) -> str:
    words = text.split()
    for place in generator.sample(range(len(words)), num_words):
        words[place] = generator.choice(VOCABULARY)
    return " ".join(words)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("where is my parcel it was due on monday", "Where is my parcel?! It was due on Tuesday.", 8 / 9),
        ("the same words", "words same THE", 1 / 3),
        ("was my card payment declined today", "was my payment card declined today", 5 / 6),
        ("it was stolen. what do i do? please help", "what do i do? please help it was stolen", 7 / 8),
        ("the box and the bag and the tin", "box and the bag and the tin", 7 / 8),
        ("ＷＨＥＲＥ　is it", "where is it?", 1.0),
        ("", "", 0.0),
        ("?!", "...", 0.0),
    ],
)  # fmt: skip
def test_similarity_is_the_share_of_words_in_common_and_in_order(one, other, expected):
    found = near.similarity(one, other)
    assert found == near.similarity(other, one)
    assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("my order 4471 is late", "my order 9982 is late"),
        ("how do I get my card", "how do I replace my card"),
        ("thank you 😀", "thank you 😡"),
        ("it cost 50 €", "it cost 70 €"),
        ("thanks", "thank"),
    ],
)
def test_short_texts_that_mean_something_else_are_no_near_duplicates(one, other):
    assert near.similarity(one, other) < near.THRESHOLD


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=90), st.lists(st.integers(0, 5), max_size=90))
def test_words_in_order_are_the_longest_common_subsequence(one, other):
    longest = [0] * (len(other) + 1)
    for word in one:
        before = longest[:]
        for place, theirs in enumerate(other, 1):
            longest[place] = before[place - 1] + 1 if word == theirs else max(before[place], longest[place - 1])
    assert near.in_order(one, other) == longest[-1]


def test_a_moved_word_or_sentence_stays_near_and_shuffled_words_do_not():
    text = "dear support my blue parcel has not come yet . now where is it please"
    start, end = text.split(" . ")
    moved = ["my support dear blue parcel has not come yet now where is it please", f"{end} {start}"]
    shuffled = [" ".join(random.Random(seed).sample(text.split(), 15)) for seed in range(20)]
    assert [second for _, second, _ in near.pairs([text], moved + shuffled)] == [0, 1]


def test_only_the_start_of_a_long_text_is_compared_in_order(monkeypatch):
    monkeypatch.setattr(near, "ORDERED", 10)
    one = " ".join(VOCABULARY[:100])
    assert near.similarity(one, " ".join(VOCABULARY[:10] + VOCABULARY[99:9:-1])) == 1.0


def test_scripts_without_blanks_are_compared_letter_by_letter():
    assert near.similarity("我的包裹还没有到请帮我查一下", "我的包裹还没有到请帮我看一下") > near.THRESHOLD
    assert near.similarity("我的包裹还没有到请帮我查一下", "司机今天没有按门铃就离开了") < 0.5


def test_pairs_finds_three_changed_words_and_nothing_else():
    texts, generator = sentences(600, 13), random.Random(1)
    others = [changed(text, generator) for text in texts[:200]] + sentences(200, 13, seed=2)
    found = {(first, second) for first, second, _ in near.pairs(texts, others)}
    planted = {(place, place) for place in range(200)}
    assert len(found & planted) >= 0.97 * len(planted)
    assert all(near.similarity(texts[first], others[second]) >= near.THRESHOLD for first, second in found)
    assert len(found - planted) == 0


def test_pairs_within_one_list_name_the_earlier_place_first():
    texts = [*sentences(50, 12), "my blue parcel has not come yet"]
    texts += ["my blue parcel has not come yet!", "My blue parcel hasn not come yet, ok"]
    found = list(near.pairs(texts))
    assert (50, 51, 1.0) in found
    assert all(first < second for first, second, _ in found)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(alphabet="ab c1?é", max_size=14), max_size=14))
def test_reported_similarities_are_true_and_clusters_are_linked_by_pairs(texts):
    for first, second, share in near.pairs(texts):
        assert share == pytest.approx(near.similarity(texts[first], texts[second]))
    clusters = near.clusters(texts)
    assert clusters.dtype == np.int64
    for place, smallest in enumerate(clusters):
        assert smallest <= place
        assert clusters[smallest] == smallest
        if not near.words(texts[place]):
            assert smallest == place  # texts without words are no neighbours


def test_clusters_link_planted_copies_and_do_not_depend_on_the_order():
    generator = random.Random(3)
    texts = sentences(300, 14)
    texts += [changed(text, generator, 1) for text in texts[:100]]
    clusters = near.clusters(texts)
    assert (clusters[:300] == np.arange(300)).all()
    assert (clusters[300:] == np.arange(100)).mean() >= 0.99
    order = generator.sample(range(400), 400)
    shuffled = near.clusters([texts[place] for place in order])
    groups = {frozenset(np.flatnonzero(clusters == one).tolist()) for one in clusters}
    assert groups == {frozenset(order[place] for place in np.flatnonzero(shuffled == one)) for one in shuffled}
    assert (near.clusters(texts) == clusters).all()


def test_rows_that_shuffle_the_same_words_are_not_chained():
    generator = random.Random(0)
    texts = [" ".join(generator.sample(VOCABULARY[:13], 13)) for _ in range(100)]
    assert (near.clusters(texts) == np.arange(100)).all()


def test_clusters_part_no_pair_even_where_rows_drift():
    generator, texts = random.Random(5), sentences(1, 14)
    for _ in range(200):
        texts.append(changed(texts[-1], generator, 1))
    clusters = near.clusters(texts)
    assert all(clusters[first] == clusters[second] for first, second, _ in near.pairs(texts))
    assert near.similarity(texts[0], texts[-1]) < 0.5
    assert clusters[0] == clusters[-1]  # single linkage: the price of parting no pair


def test_a_bucket_of_all_texts_costs_comparisons_in_proportion(monkeypatch):
    compared = 0
    measure = near.Bags.similarity

    def counting(self, first, second, threshold):
        nonlocal compared
        compared += len(first)
        return measure(self, first, second, threshold)

    monkeypatch.setattr(near.Bags, "similarity", counting)
    generator = random.Random(0)
    text = "dear support my blue parcel has not come yet and i want to know where"
    texts = [changed(text, generator, 4) for _ in range(1000)]
    list(near.pairs(texts))
    assert compared <= 150 * len(texts)
    compared = 0
    assert (near.clusters([text] * 1000) == 0).all()
    assert compared == 0


def test_progress_is_heard_and_may_stop_the_work():
    heard = []
    near.clusters(sentences(20, 8), progress=lambda done, total: heard.append((done, total)))
    assert heard[0] == (0, near.BANDS)
    assert heard[-1] == (near.BANDS, near.BANDS)

    def stop(done, total):
        raise TimeoutError

    with pytest.raises(TimeoutError):
        near.clusters(sentences(20, 8), progress=stop)


@pytest.mark.parametrize("texts", [[], [""], ["", " ", "?"], ["alone"]])
def test_texts_without_partners_stay_alone(texts):
    assert list(near.pairs(texts)) == []
    assert list(near.pairs(texts, texts[:0])) == []
    assert near.clusters(texts).tolist() == list(range(len(texts)))
