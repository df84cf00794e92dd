"""Entity scores equal seqeval's and conlleval's, on made-up and on real tags."""

from __future__ import annotations

import random
import warnings

import pytest

from tunewright.data import tagging
from tunewright.metrics.entities import entity_scores

TAGS = ["O", "O", "O", "B-x", "I-x", "B-y", "I-y", "B-a-b", "I-a-b"]


def made_up(seed: int, count: int = 40) -> list[list[str]]:
    generator = random.Random(seed)
    return [generator.choices(TAGS, k=generator.randint(1, 15)) for _ in range(count)]


def corrupted(sequences: list[list[str]], seed: int, share: float = 0.1) -> list[list[str]]:
    """The same with some tags replaced by others of the file."""
    generator = random.Random(seed)
    known = sorted({tag for tags in sequences for tag in tags})
    return [[generator.choice(known) if generator.random() < share else tag for tag in tags] for tags in sequences]


def strict(sequences: list[list[str]], scheme: str) -> list[list[tagging.Span]]:
    return [tagging.spans(tags, scheme) for tags in sequences]


def assert_equal_to_seqeval(gold: list[list[str]], predicted: list[list[str]], scheme: str) -> None:
    report = pytest.importorskip("seqeval.metrics").classification_report
    kind = getattr(pytest.importorskip("seqeval.scheme"), {"BIOES": "IOBES"}.get(scheme, scheme))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = report(gold, predicted, mode="strict", scheme=kind, output_dict=True, zero_division=0)
    found = entity_scores(strict(gold, scheme), strict(predicted, scheme))
    micro, macro, weighted = (wanted.pop(f"{name} avg") for name in ("micro", "macro", "weighted"))
    for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
        assert found[name] == pytest.approx(micro[key])
        for item in wanted:
            assert found["per_type"][item][name] == pytest.approx(wanted[item][key])
    assert found["f1_macro"] == pytest.approx(macro["f1-score"])
    assert found["f1_weighted"] == pytest.approx(weighted["f1-score"])
    assert found["num_entities"] == micro["support"]
    assert {kind: scores["support"] for kind, scores in found["per_type"].items()} == {
        kind: scores["support"] for kind, scores in wanted.items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_ill_formed_tags_are_seqevals(seed):
    gold = made_up(seed)
    assert_equal_to_seqeval(gold, corrupted(gold, seed, 0.4), "IOB2")


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_bioes_are_seqevals(seed):
    gold = [tagging.tags_of(tagging.conll_spans(tags), len(tags), "BIOES") for tags in made_up(seed)]
    assert_equal_to_seqeval(gold, corrupted(gold, seed, 0.2), "BIOES")


class Conlleval:
    """The counting of the conlleval script, tag by tag: gold and predicted entities, and those that are both."""

    STARTS = frozenset({("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")})
    ENDS = frozenset({("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")})

    def __init__(self, gold: list[list[str]], predicted: list[list[str]]) -> None:
        self.gold = self.predicted = self.correct = 0
        before, agreeing = (("O", ""), ("O", "")), False
        for right, said in zip(gold, predicted, strict=True):
            pairs = zip([*right, "O"], [*said, "O"], strict=True)  # a sentence's end is outside
            for here in ((self.split(a), self.split(b)) for a, b in pairs):
                agreeing = self.step(before, here, agreeing)
                before = here

    def split(self, tag: str) -> tuple[str, str]:
        letter, _, kind = tag.partition("-")
        return letter, kind

    def changed(self, before: tuple, here: tuple, table: frozenset, decisive: tuple) -> bool:
        return (before[0], here[0]) in table or (decisive[0] != "O" and before[1] != here[1])

    def step(self, before: tuple, here: tuple, agreeing: bool) -> bool:
        """Whether gold and prediction agree since an entity began in both, after this word."""
        ends = [self.changed(before[side], here[side], self.ENDS, before[side]) for side in (0, 1)]
        starts = [self.changed(before[side], here[side], self.STARTS, here[side]) for side in (0, 1)]
        if agreeing and all(ends) and before[0][1] == before[1][1]:
            self.correct += 1
            agreeing = False
        elif agreeing and (ends[0] != ends[1] or here[0][1] != here[1][1]):
            agreeing = False
        self.gold += starts[0]
        self.predicted += starts[1]
        return agreeing or (all(starts) and here[0][1] == here[1][1])


def assert_equal_to_conlleval(gold: list[list[str]], predicted: list[list[str]]) -> None:
    wanted = Conlleval(gold, predicted)
    found = entity_scores(*([tagging.conll_spans(tags) for tags in side] for side in (gold, predicted)))
    assert wanted.correct
    assert found["num_entities"] == wanted.gold
    assert found["precision"] == pytest.approx(wanted.correct / wanted.predicted)
    assert found["recall"] == pytest.approx(wanted.correct / wanted.gold)
    assert found["f1"] == pytest.approx(2 * wanted.correct / (wanted.gold + wanted.predicted))


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_lenient_entities_are_conllevals(seed):
    gold = made_up(seed)
    assert_equal_to_conlleval(gold, corrupted(gold, seed, 0.4))


GOLD = ["B-PER", "I-PER", "O", "B-LOC", "O", "B-ORG", "I-ORG", "I-ORG", "O", "B-PER", "O", "I-LOC"]
SAID = ["B-PER", "I-PER", "O", "B-ORG", "O", "B-ORG", "I-ORG", "O", "O", "I-PER", "O", "I-LOC"]


def test_the_figures_of_a_sentence_counted_by_hand():
    """Leniently (the perl script prints the same) 5 in gold and 5 said, 3 right; strictly an entity needs its B."""
    lenient = entity_scores([tagging.conll_spans(GOLD)], [tagging.conll_spans(SAID)])
    assert [lenient[name] for name in ("precision", "recall", "f1")] == pytest.approx([0.6, 0.6, 0.6])
    assert lenient["num_entities"] == 5
    assert lenient["f1_macro"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert lenient["f1_weighted"] == pytest.approx((2 * 1 + 2 * (2 / 3) + 1 * 0) / 5)
    assert lenient["per_type"] == {
        "LOC": {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2},
        "ORG": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        "PER": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2},
    }
    exact = entity_scores([tagging.spans(GOLD, "IOB2")], [tagging.spans(SAID, "IOB2")])
    assert [exact[name] for name in ("precision", "recall", "f1")] == pytest.approx([1 / 3, 1 / 4, 2 / 7])
    assert exact["num_entities"] == 4


def test_conlleval_counts_the_same_sentence_so():
    assert vars(Conlleval([GOLD], [SAID])) == {"gold": 5, "predicted": 5, "correct": 3}
    assert_equal_to_conlleval([GOLD], [SAID])


def test_a_type_that_is_only_predicted_counts_in_the_macro_average():
    found = entity_scores([[(0, 1, "x")]], [[(0, 1, "x"), (2, 3, "y")]])
    assert found["per_type"]["y"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert found["f1_macro"] == 0.5
    assert found["f1_weighted"] == 1.0


@pytest.mark.parametrize(
    ("gold", "predicted"), [([], []), ([[]], [[]]), ([[(0, 1, "x")]], [[]]), ([[]], [[(0, 1, "x")]])]
)
def test_what_is_undefined_is_zero(gold, predicted):
    found = entity_scores(gold, predicted)
    averages = [found[name] for name in ("precision", "recall", "f1", "f1_macro", "f1_weighted")]
    assert averages == [0.0] * 5
    assert found["num_entities"] == sum(map(len, gold))


def test_a_wrong_border_type_or_sentence_is_no_hit():
    gold = [[(2, 4, "x")], []]
    for wrong in ([[(2, 3, "x")], []], [[(1, 4, "x")], []], [[(2, 4, "y")], []], [[], [(2, 4, "x")]]):
        assert entity_scores(gold, wrong)["f1"] == 0.0
    assert entity_scores(gold, gold)["f1"] == 1.0


def test_an_entity_that_is_there_twice_counts_once():
    found = entity_scores([[(0, 1, "x"), (0, 1, "x")]], [[(0, 1, "x")]])
    assert (found["precision"], found["recall"], found["num_entities"]) == (1.0, 1.0, 1)


def test_the_order_of_sentences_and_entities_does_not_matter():  # D9
    gold, said = strict(made_up(1), "IOB2"), strict(made_up(2)[:40], "IOB2")
    turned = entity_scores(*([entities[::-1] for entities in side[::-1]] for side in (gold, said)))
    assert entity_scores(gold, said) == turned


def test_different_numbers_of_sentences_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        entity_scores([[], []], [[]])


FILES = ["wnut17/emerging.dev.conll", "wnut17/wnut17train.conll", "bio_ner/NCBI-disease-IOB/test.tsv"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", [*FILES, "atis_snips/atis/test/seq.out", "atis_snips/snips/test/seq.out"])
def test_scores_on_real_tags_are_seqevals_and_conllevals(real_data, name):
    text = (real_data / name).read_text(encoding="utf-8")
    if name.endswith("seq.out"):
        gold = [line.split() for line in text.splitlines()]
    else:
        blocks = "\n".join(line.strip() for line in text.split("\n")).split("\n\n")
        gold = [[line.split("\t")[-1] for line in block.split("\n") if "\t" in line] for block in blocks]
    said = corrupted(gold, seed=0)
    assert_equal_to_seqeval(gold, said, "IOB2")
    assert_equal_to_conlleval(gold, said)
