"""Scores of answers equal those of SQuAD's official scripts, to the last bit."""

from __future__ import annotations

import collections
import json
import random
import re
import string

import pytest

from tunewright.metrics import squad

# --- the oracle: the functions of evaluate-v2.0.py, by their own names ----------------------------------------------


PUNCTUATION = set(string.punctuation)


def normalize_answer(text: str) -> str:
    kept = "".join(letter for letter in text.lower() if letter not in PUNCTUATION)
    return " ".join(re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", kept).split())


def get_tokens(text: str) -> list[str]:
    return normalize_answer(text).split() if text else []


def compute_exact(gold: str, said: str) -> int:
    return int(normalize_answer(gold) == normalize_answer(said))


def compute_f1(gold: str, said: str) -> float:
    gold_tokens, said_tokens = get_tokens(gold), get_tokens(said)
    num_same = sum((collections.Counter(gold_tokens) & collections.Counter(said_tokens)).values())
    if len(gold_tokens) == 0 or len(said_tokens) == 0:
        return int(gold_tokens == said_tokens)
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(said_tokens)
    recall = 1.0 * num_same / len(gold_tokens)
    return (2 * precision * recall) / (precision + recall)


def get_raw_scores(golds: list[list[str]], said: list[str]) -> tuple[list[float], list[float]]:
    exact, f1 = [], []
    for answers, text in zip(golds, said, strict=True):
        kept = [answer for answer in answers if normalize_answer(answer)] or [""]
        exact.append(max(compute_exact(answer, text) for answer in kept))
        f1.append(max(compute_f1(answer, text) for answer in kept))
    return exact, f1


def find_best_thresh_v2(said: list[str], scores: list[float], odds: list[float], answered: list[bool]) -> tuple:
    """(best sum of scores, its threshold)."""
    current = sum(1 for item in answered if not item)
    best, threshold = current, 0.0
    for place in sorted(range(len(odds)), key=lambda place: odds[place]):
        if answered[place]:
            current += scores[place]
        else:
            current += -1 if said[place] else 0
        if current > best:
            best, threshold = current, odds[place]
    return best, threshold


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


# --- small cases ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The  Eiffel Tower!", "eiffel tower"),
        ("an apple a day", "apple day"),
        ("U.S.A.", "usa"),
        ("theatre another than", "theatre another than"),
        ("a-b", "ab"),
        ("the-cat", "thecat"),
        ("the", ""),
        ("...", ""),
        ("", ""),
        (" \t\nx\u00a0y\u2003z ", "x y z"),
        ("«Café» – 50 °C", "«café» – 50 °c"),
        ("İstanbul ΑΒΓ ß", "i̇stanbul αβγ ß"),
        ("$5.00 (five)", "500 five"),
    ],
)
def test_texts_are_normalised_as_the_official_script_does(text, wanted):
    assert squad.normalise(text) == wanted == normalize_answer(text)


@pytest.mark.parametrize(
    ("said", "golds", "exact", "f1"),
    [
        ("the cat", ["cat", "a dog"], 1.0, 1.0),
        ("black cat", ["cat"], 0.0, 2 / 3),
        ("cat cat", ["cat cat dog"], 0.0, 4 / 5),
        ("a cat sat", ["dog", "cat lay down"], 0.0, 2 / 5),
        ("cat", ["dog"], 0.0, 0.0),
        ("sat cat", ["cat sat"], 0.0, 1.0),
        ("", [], 1.0, 1.0),
        ("", [""], 1.0, 1.0),
        ("the", [], 1.0, 1.0),
        ("cat", [], 0.0, 0.0),
        ("", ["cat"], 0.0, 0.0),
        ("a", ["the", "cat"], 0.0, 0.0),
        ("", ["the"], 1.0, 1.0),
    ],
)
def test_small_cases(said, golds, exact, f1):
    assert squad.exact_match(said, golds) == exact
    assert squad.f1(said, golds) == pytest.approx(f1)
    assert get_raw_scores([golds], [said]) == ([exact], [pytest.approx(f1)])


def test_scores_are_means_from_0_to_1():
    found = squad.answer_scores(["cat", "dog", "black cat", "x"], [["the cat"], ["cat"], ["cat"], ["y"]])
    assert found == {"exact_match": 0.25, "f1": pytest.approx((1 + 2 / 3) / 4), "num_rows": 4}


def test_rows_with_and_without_an_answer_are_scored_apart_where_there_are_both():
    found = squad.answer_scores(["cat", "dog", "", "dog", ""], [["the cat"], ["black dog"], [], [""], ["cat"]])
    assert found == {
        "exact_match": 0.4,
        "f1": pytest.approx((1 + 2 / 3 + 1) / 5),
        "num_rows": 5,
        "has_answer_exact_match": pytest.approx(1 / 3),
        "has_answer_f1": pytest.approx((1 + 2 / 3) / 3),
        "num_has_answer": 3,
        "no_answer_exact_match": 0.5,
        "no_answer_f1": 0.5,
        "num_no_answer": 2,
    }


@pytest.mark.parametrize("golds", [[], [""]])
def test_rows_of_one_kind_are_not_scored_apart(golds):
    assert squad.answer_scores(["", "x"], [golds, golds]) == {"exact_match": 0.5, "f1": 0.5, "num_rows": 2}


def test_no_rows_score_0():
    assert squad.answer_scores([], []) == {"exact_match": 0.0, "f1": 0.0, "num_rows": 0}


def test_a_prediction_too_many_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        squad.answer_scores(["x", "y"], [["x"]])
    for said, odds in ((["x", "y"], [0.0]), (["x"], [0.0, 1.0])):
        with pytest.raises(ValueError, match="shorter"):
            squad.best_null_threshold(said, odds, [["x"]])


# --- the threshold of "no answer" -----------------------------------------------------------------------------------


def reached(threshold: float, said: list[str], odds: list[float], golds: list[list[str]]) -> float:
    kept = ["" if value > threshold else text for text, value in zip(said, odds, strict=True)]
    return squad.answer_scores(kept, golds)["f1"]


def made_up(seed: int, lowest: float, ties: bool, empty: str = "the") -> tuple[list[str], list[float], list[list[str]]]:
    generator = random.Random(seed)
    count = generator.randint(1, 40)
    said = generator.choices(["x", "", empty], [0.8, 0.1, 0.1], k=count)
    golds = [generator.choice([[], ["x"], ["x y"], ["z"]]) for _ in range(count)]
    odds = [lowest + 2 * bool(right) * -0.4 + generator.random() * 2 for right in golds]
    return said, [round(value, 1) for value in odds] if ties else odds, golds


@pytest.mark.parametrize("seed", range(40))
def test_the_threshold_is_that_of_the_official_script(seed):
    said, odds, golds = made_up(seed, lowest=1.0, ties=False, empty="")
    f1 = get_raw_scores(golds, said)[1]
    best, threshold = find_best_thresh_v2(said, f1, odds, [bool(right) for right in golds])
    assert squad.best_null_threshold(said, odds, golds) == threshold
    assert reached(threshold, said, odds, golds) == pytest.approx(best / len(said))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("lowest", [-3.0, -1.0, 1.0])
@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_is_better(seed, lowest, ties):
    said, odds, golds = made_up(seed, lowest, ties)
    found = reached(squad.best_null_threshold(said, odds, golds), said, odds, golds)
    best = max(reached(value, said, odds, golds) for value in (min(odds) - 1, *odds))
    assert found == pytest.approx(best)


def test_an_answer_is_given_up_to_the_threshold_and_not_beyond():
    said, odds, golds = ["x", "x", "x"], [-2.0, -1.0, 3.0], [["x"], ["x"], []]
    assert squad.best_null_threshold(said, odds, golds) == -1.0


def test_rows_of_equal_odds_are_answered_together():
    said, odds, golds = ["x", "x", "x"], [1.0, 1.0, 1.0], [["x"], [], []]
    assert find_best_thresh_v2(said, [1, 0, 0], odds, [True, False, False]) == (3, 1.0)  # which reaches 1
    assert squad.best_null_threshold(said, odds, golds) == 0.0


def test_an_answer_of_which_nothing_is_left_costs_nothing():
    said, odds, golds = ["the", "x"], [1.0, 2.0], [[], ["x y"]]
    assert find_best_thresh_v2(said, [1, 2 / 3], odds, [False, True]) == (1, 0.0)  # though answering both reaches 5/3
    assert squad.best_null_threshold(said, odds, golds) == 2.0


def test_where_it_is_best_to_answer_nothing_the_threshold_is_below_all_odds():
    assert squad.best_null_threshold(["x", "x"], [0.5, 0.7], [[], []]) == 0.0
    below = squad.best_null_threshold(["x", "x"], [-0.5, 0.7], [[], []])
    assert -0.51 < below < -0.5


def test_a_row_that_has_no_answer_to_give_may_have_infinite_odds():
    inf = float("inf")
    assert squad.best_null_threshold(["x", ""], [-1.0, inf], [["x"], ["y"]]) == -1.0
    assert squad.best_null_threshold([], [], []) == 0.0


def test_of_equal_scores_the_lowest_threshold_wins_whatever_the_order():
    rows = [("x", -1.0, ["x"]), ("x", 0.0, []), ("x", 1.0, ["x"]), ("", 2.0, [])]
    for order in (rows, rows[::-1]):
        said, odds, golds = zip(*order, strict=True)
        assert squad.best_null_threshold(said, odds, golds) == -1.0


# --- real answers ---------------------------------------------------------------------------------------------------


def questions(path) -> list[list[str]]:
    """The accepted answers of each question of a SQuAD file."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    items = [item for article in articles for paragraph in article["paragraphs"] for item in paragraph["qas"]]
    return [[answer["text"] for answer in item["answers"]] for item in items]


def perturbed(golds: list[list[str]], seed: int) -> list[str]:
    """As a model might answer: words dropped or repeated, articles, punctuation, other scripts, another's answer."""
    generator = random.Random(seed)
    pool = [text for right in golds for text in right]
    extras = ["the", "A", "an,", "—", "…", "(sic)", "naïve", "東京", "\u00a0", "'s", "THE"]
    said = []
    for right in golds:
        words = generator.choice(right or pool).split()
        words = [word for word in words if generator.random() > 0.2]
        for _ in range(generator.randint(0, 2)):
            words.insert(generator.randint(0, len(words)), generator.choice([*extras, *words]))
        text = generator.choice([str, str.upper, str.title])(" ".join(words))
        said.append(generator.choice([text, text, text, text + ".", "", generator.choice(pool)]))
    return said


FILES = ["squad2_cs224n/dev-v2.0.json", "squadshifts/new_wiki_v1.0.json", "squadshifts/amazon_reviews_v1.0.json"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", FILES)
def test_scores_of_real_answers_are_those_of_the_official_script(real_data, name):
    golds = questions(real_data / name)
    said = perturbed(golds, seed=0)
    exact, f1 = get_raw_scores(golds, said)
    assert [squad.exact_match(text, right) for text, right in zip(said, golds, strict=True)] == exact
    assert [squad.f1(text, right) for text, right in zip(said, golds, strict=True)] == f1
    found = squad.answer_scores(said, golds)
    assert 0.1 < found["exact_match"] < found["f1"] < 0.9
    assert found["exact_match"] == pytest.approx(mean(exact))
    assert found["f1"] == pytest.approx(mean(f1))
    has = [bool(right) for right in golds]
    assert ("has_answer_f1" in found) == (not all(has))
    if not all(has):
        for kind, wanted in (("has_answer", True), ("no_answer", False)):
            chosen = [place for place, answered in enumerate(has) if answered == wanted]
            assert found[f"num_{kind}"] == len(chosen)
            assert found[f"{kind}_exact_match"] == pytest.approx(mean([exact[place] for place in chosen]))
            assert found[f"{kind}_f1"] == pytest.approx(mean([f1[place] for place in chosen]))


@pytest.mark.real_data
@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_on_real_answers_is_that_of_the_official_script(real_data, seed):
    golds = questions(real_data / FILES[0])
    said = [text if normalize_answer(text) else "x" for text in perturbed(golds, seed)]
    f1 = get_raw_scores(golds, said)[1]
    generator = random.Random(seed)
    odds = [generator.gauss(-2.0 * score if right else 1.0, 2.0) for score, right in zip(f1, golds, strict=True)]
    best, threshold = find_best_thresh_v2(said, f1, odds, [bool(right) for right in golds])
    assert squad.best_null_threshold(said, odds, golds) == threshold
    assert reached(threshold, said, odds, golds) == pytest.approx(best / len(golds))
