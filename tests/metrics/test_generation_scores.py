"""Scores of generated texts equal rouge-score's, sacrebleu's and bert-score's; order and batches do not matter."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.errors import ConfigError
from tunewright.metrics import bertscore, generation, overlap

EASY = settings(deadline=None, derandomize=True, max_examples=60)
FEW = settings(deadline=None, derandomize=True, max_examples=8)
TOKENS = ["the", "The", "parcel", "late", "42", "box.", "don't", "naïve", "包裹", "Посылка", "-", "x_y", "\n", ""]
TEXTS = st.lists(st.sampled_from(TOKENS), max_size=14).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6)

BY_HAND = [
    ("the parcel is late", "the parcel is late"),
    ("the parcel is late", "your parcel came late again"),
    ("late is the parcel", "the parcel is late"),
    ("the the the the", "the cat sat on the mat"),
    ("", "the parcel is late"),
    ("the parcel is late", ""),
    ("", ""),
    ("  \n ", "one"),
    ("...!?", "the parcel"),
    ("Order no. 4711-B: €19.99, won't ship!", "order no 4711 b 19 99 won t ship"),
    ("The café's naïve İstanbul K", "The cafe\u0301's naive istanbul k"),
    ("包裹晚到了", "包裹还没有到"),
    ("荷物 box 42 が遅い", "荷物 box 42 が来ない"),
    ("Посылка опаздывает на день", "Посылка опаздывает на неделю"),
    ("line one\nline two .", "line one . line two"),
    ("👍🏽 ok", "ok 👍"),
]  # (prediction, reference)


def sides(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [said for said, _ in pairs], [there for _, there in pairs]


@pytest.fixture
def abstracts(real_data) -> list[tuple[str, str]]:
    """The first sentence of 50 abstracts against the summary that a person wrote."""
    lines = (real_data / "scitldr" / "test.jsonl").read_text(encoding="utf-8").splitlines()[:50]
    return [(row["source"][0], row["target"][0]) for row in map(json.loads, lines)]


@pytest.fixture
def answers(real_data) -> list[tuple[str, str]]:
    """A question, or another one's answer, against 100 answers that people wrote."""
    rows = json.loads((real_data / "dolly_3k" / "dolly_3k.json").read_text(encoding="utf-8"))[:101]
    pairs = [(row["instruction"], row["output"]) for row in rows[:50]]
    return pairs + [(rows[place + 1]["output"], rows[place]["output"]) for place in range(50, 100)]


# --- against the oracles -------------------------------------------------------------------------------------------


def assert_equal_to_rouge_score(pairs: list[tuple[str, str]]) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(overlap.ROUGE), use_stemmer=False)
    wanted = [scorer.score(there, said) for said, there in pairs]
    one = {"rouge1": lambda s, t: overlap.rouge_n(s, t, 1), "rouge2": lambda s, t: overlap.rouge_n(s, t, 2)}
    one["rougeL"] = overlap.rouge_l
    for name in overlap.ROUGE:
        for (said, there), right in zip(pairs, wanted, strict=True):
            assert one[name](said, there) == pytest.approx(tuple(right[name]), abs=1e-12)
        means = [sum(right[name][place] for right in wanted) / len(pairs) for place in range(3)]
        assert overlap.rouge(name, *sides(pairs)) == pytest.approx(means, abs=1e-12)


def assert_equal_to_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    from sacrebleu import corpus_bleu, corpus_chrf

    said, there = sides(pairs)
    assert overlap.bleu(said, there).value == corpus_bleu(said, [there]).score
    assert overlap.chrf(said, there).value == corpus_chrf(said, [there]).score


@EASY
@given(PAIRS)
def test_rouge_of_made_up_texts_is_rouge_scores(pairs):
    assert_equal_to_rouge_score(pairs)


@EASY
@given(PAIRS)
def test_bleu_and_chrf_of_made_up_texts_are_sacrebleus(pairs):
    assert_equal_to_sacrebleu(pairs)


def test_rouge_bleu_and_chrf_of_odd_texts_are_the_oracles():
    assert_equal_to_rouge_score(BY_HAND)
    assert_equal_to_sacrebleu(BY_HAND)
    for pair in BY_HAND:
        assert_equal_to_sacrebleu([pair])


@pytest.mark.real_data
def test_rouge_bleu_and_chrf_of_real_texts_are_the_oracles(abstracts, answers):
    for pairs in (abstracts, answers):
        assert_equal_to_rouge_score(pairs)
        assert_equal_to_sacrebleu(pairs)
    assert 0.1 < overlap.rouge("rouge1", *sides(abstracts)).f1 < 0.6


def test_signatures_are_sacrebleus():
    from sacrebleu.metrics import BLEU, CHRF

    for metric, mine in ((BLEU(), overlap.bleu), (CHRF(), overlap.chrf)):
        metric.corpus_score(["a"], [["a"]])
        assert mine(["a"], ["a"]).signature == str(metric.get_signature())
        assert "version:" in mine([], []).signature


@pytest.fixture(scope="module")
def embedder():
    return bertscore.load()


@pytest.fixture(scope="module")
def oracle():
    """bert-score's P, R, F1 of each pair, alone: where it pads, likeness below 0 becomes 0, so batches matter."""
    from bert_score import BERTScorer
    from transformers import PreTrainedTokenizerBase

    from tunewright.models import locate

    scorers = {layer: BERTScorer(str(locate("minilm").folder), num_layers=layer, device="cpu") for layer in (3, 6)}
    with pytest.MonkeyPatch.context() as patch:  # transformers 5 dropped what bert-score asks for an empty text
        patch.setattr(
            PreTrainedTokenizerBase,
            "build_inputs_with_special_tokens",
            lambda self, ids: [self.cls_token_id, *ids, self.sep_token_id],
            raising=False,
        )

        def scores(pairs, layer=6):
            sides_of_all = scorers[layer].score(*sides(pairs), batch_size=1)
            return list(zip(*(side.tolist() for side in sides_of_all), strict=True))

        yield scores


def assert_near(found: list[overlap.Overlap], wanted: list[tuple[float, ...]]) -> None:
    for mine, right in zip(found, wanted, strict=True):
        assert mine == pytest.approx(right, abs=1e-6)


@FEW
@given(pairs=PAIRS)
def test_bertscore_of_made_up_texts_is_bert_scores(pairs, embedder, oracle):
    assert_near(bertscore.pair_scores(embedder, *sides(pairs)), oracle(pairs))


def test_bertscore_of_odd_texts_is_bert_scores(embedder, oracle):
    pairs = [*BY_HAND, ("cat [SEP] dog", "dog"), ("late " * 600, "box late")]
    assert_near(bertscore.pair_scores(embedder, *sides(pairs)), oracle(pairs))


@pytest.mark.real_data
def test_bertscore_of_real_texts_is_bert_scores(abstracts, answers, embedder, oracle):
    pairs = abstracts + answers[:10]
    assert_near(bertscore.pair_scores(embedder, *sides(pairs)), oracle(pairs))


def test_bertscore_is_the_mean_of_bert_scores(oracle):
    wanted = oracle(BY_HAND)
    means = [sum(values) / len(wanted) for values in zip(*wanted, strict=True)]
    assert bertscore.bertscore(*sides(BY_HAND)) == pytest.approx(means, abs=1e-6)


def test_bertscore_of_another_layer_is_bert_scores(oracle):
    third = bertscore.load(num_layers=3)
    assert_near(bertscore.pair_scores(third, *sides(BY_HAND)), oracle(BY_HAND, 3))
    with pytest.raises(ConfigError, match="has no layer 7; give one from 0 to 6"):
        bertscore.load(num_layers=7)


def test_bertscore_is_of_fp32_and_leaves_torch_as_it_was(embedder):
    import torch

    before, seen = torch.get_rng_state(), []
    torch.set_float32_matmul_precision("medium")
    hook = embedder.model.register_forward_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    bertscore.pair_scores(embedder, *sides(BY_HAND))
    hook.remove()
    bertscore.load()
    assert set(seen) == {"highest"}
    assert torch.get_float32_matmul_precision() == "medium"
    assert torch.equal(torch.get_rng_state(), before)


# --- order and batches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_scores_do_not_depend_on_the_order_of_rows(seed):  # D9
    pairs = [*BY_HAND, *((json.dumps({"a": place}), json.dumps({"a": place % 3, "b": 1})) for place in range(7))]
    mixed = random.Random(seed).sample(pairs, len(pairs))
    options = {"schema": {"properties": {"a": {"maximum": 4}}}, "pattern": r"\{.*"}
    assert generation.score(generation.SCORES, *sides(mixed), **options) == generation.score(
        generation.SCORES, *sides(pairs), **options
    )


def test_batches_of_bertscore_do_not_depend_on_the_order_of_rows():  # D9
    pairs = [([row], [row] * (row % 4)) for row in range(20)]
    mixed = random.Random(1).sample(pairs, len(pairs))
    found = [[[rows[place] for place in batch] for batch in bertscore.batches(rows, 8)] for rows in (pairs, mixed)]
    assert found[0] == found[1]
    assert all(len(batch) * max(max(map(len, pair)) for pair in batch) <= 8 for batch in found[0])


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_bertscore_does_not_depend_on_the_batch_size(batch_tokens, embedder):  # D9
    found = bertscore.pair_scores(embedder, *sides(BY_HAND), batch_tokens=batch_tokens)
    assert_near(found, [bertscore.pair_scores(embedder, [said], [there])[0] for said, there in BY_HAND])


# --- obvious values -------------------------------------------------------------------------------------------------


def test_rouge_by_hand():
    found = overlap.rouge_n("the cat sat", "the cat was here", 1)
    assert found == pytest.approx((2 / 3, 2 / 4, 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2)))
    assert overlap.rouge_n("the cat sat", "the cat was here", 2)[:2] == pytest.approx((1 / 2, 1 / 3))
    assert overlap.rouge_l("police kill the gunman", "police killed the gunman").f1 == 0.75  # Lin 2004, section 3.1
    assert overlap.rouge_l("the gunman kill police", "police killed the gunman").f1 == 0.5


@EASY
@given(st.lists(st.integers(0, 3), max_size=9), st.lists(st.integers(0, 3), max_size=9))
def test_the_longest_common_subsequence_is_the_longest(first, second):
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, left in enumerate(first, 1):
        for j, right in enumerate(second, 1):
            table[i][j] = max(table[i - 1][j], table[i][j - 1], table[i - 1][j - 1] + (left == right))
    assert overlap.common_subsequence([*map(str, first)], [*map(str, second)]) == table[-1][-1]


REFERENCES = ["The parcel came two days late.", '{"topic": "late", "order": 4711}']
OPTIONS = {"schema": {"type": "object"}, "pattern": "(?s)[T{].*"}


def test_outputs_that_are_their_references_have_the_highest_scores():
    found = generation.score(generation.SCORES, REFERENCES, REFERENCES, **OPTIONS)
    highest = dict.fromkeys(generation.SCORES, 1.0) | {"bleu": 100.0, "chrf": 100.0}
    highest |= {"json_valid": 0.5, "json_schema": 0.5, "distinct_2": 8 / 10}
    assert found == pytest.approx(highest)


@pytest.mark.parametrize("size", [0, 2])
def test_empty_outputs_and_no_rows_score_nothing(size):
    found = generation.score(generation.SCORES, [""] * size, REFERENCES[:size], **OPTIONS)
    assert found == dict.fromkeys(generation.SCORES, 0.0)


def test_exact_match_sees_through_blanks_and_composition_but_not_case():
    pairs = [(" caf\u00e9  au\nlait ", "cafe\u0301 au lait"), ("late", "Late"), ("late", "late."), ("42", "42.0")]
    assert [overlap.exact_match([said], [there]) for said, there in pairs] == [1, 0, 0, 0]
    assert overlap.exact_match(*sides(pairs)) == 0.25


def test_distinct_counts_over_all_outputs_and_never_across_two():
    assert overlap.distinct(["late late late"], 1) == pytest.approx(1 / 3)
    assert overlap.distinct(["a b", "a b"], 1) == overlap.distinct(["a b", "b a"], 1) == 0.5
    assert overlap.distinct(["a b", "a b"], 2) == 0.25  # "b a" would be a second one
    assert overlap.distinct(["a b", "b a"], 2) == 0.5
    assert overlap.distinct(["包裹 包裹"], 1) == 0.5


# --- names and choice -----------------------------------------------------------------------------------------------

ALWAYS = ("distinct_1", "distinct_2")
LONG = ("rouge1", "rouge2", "rougeL", "bleu", "chrf")
JSON = ("json_valid", "json_fields")


@pytest.mark.parametrize(
    ("references", "wanted"),
    [
        ([], ALWAYS),
        (["late", "four words of it", "damage"], ("exact_match", *ALWAYS)),
        (["five words are not many"], ("exact_match", *ALWAYS)),
        (["but six words are too many"], (*LONG, *ALWAYS)),
        (["late", "late", "a long answer that is rare here"], ("exact_match", *ALWAYS)),
        (['{"a": 1}'] * 9 + ["late"], ("exact_match", *JSON, *ALWAYS)),
        (['{"a": 1}'] * 8 + ["late"], ("exact_match", *ALWAYS)),
        (["[1, 2]", "3"], ("exact_match", *ALWAYS)),
        (['{"topic": "late", "order": 4711, "urgent": 1}'], (*LONG, "exact_match", *JSON, *ALWAYS)),
        (["包裹晚到了两天，我很生气。"], ("chrf", *ALWAYS)),
        (["Посылка опоздала на два дня, верните деньги"], ("bleu", "chrf", *ALWAYS)),
    ],
)
def test_scores_are_chosen_by_what_the_references_are(references, wanted):
    assert generation.choose(references) == wanted


@pytest.mark.real_data
def test_real_answers_choose_overlap(answers):
    assert generation.choose(sides(answers)[1]) == (*LONG, *ALWAYS)


def test_only_named_scores_are_given_in_their_order():
    assert list(generation.score(["distinct_1", "rougeL"], ["a"], ["a"])) == ["distinct_1", "rougeL"]


def test_scores_are_f1_of_their_kind():
    said, there = sides(BY_HAND)
    found = generation.score(["rouge2", "bertscore"], said, there)
    assert found["rouge2"] == overlap.rouge("rouge2", said, there).f1
    assert found["bertscore"] == bertscore.bertscore(said, there).f1


def test_bertscore_takes_the_named_model(tiny):
    given = generation.score(["bertscore"], ["red box"], ["blue box"], bertscore_model=tiny)["bertscore"]
    assert given == bertscore.bertscore(["red box"], ["blue box"], tiny).f1
    assert given != generation.score(["bertscore"], ["red box"], ["blue box"])["bertscore"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rouge_l", r"task\.scores: unknown score 'rouge_l'; did you mean 'rougeL'\?"),
        ("json_schema", r"task\.scores: json_schema needs a schema; give a JSON schema file as task\.json_schema"),
        ("regex", r"task\.scores: regex needs a pattern; give one as task\.pattern"),
    ],
)
def test_a_score_that_cannot_be_computed_is_refused(name, told):
    with pytest.raises(ConfigError, match=told):
        generation.score(["bleu", name], ["a"], ["a"])


@pytest.mark.parametrize("name", generation.SCORES)
def test_every_output_needs_its_reference(name):
    with pytest.raises(ValueError, match="2 predictions for 1 references"):
        generation.score([name], ["a", "b"], ["a"], schema={}, pattern="a")
