"""Scores from prediction lines: the task's own where each row counts once, and quick for thousands of weightings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tunewright.data import words
from tunewright.data.row import Row
from tunewright.files import finite
from tunewright.metrics.rows import by_class, by_loss, scorer
from tunewright.tasks.causal_lm import CausalLM
from tunewright.tasks.generative import Said
from tunewright.tasks.preference import Compared, Preference
from tunewright.tasks.question_answering import QuestionAnswering
from tunewright.tasks.seq2seq import Seq2Seq
from tunewright.tasks.sequence_classification import SequenceClassification
from tunewright.tasks.token_classification import TokenClassification

COUNT = 40
NAMES = ("a", "b", "c")
DRAWN = np.random.default_rng(0)


def classes(multi_label: bool) -> tuple[Any, list[Any], list[Row]]:
    task = SequenceClassification(labels=NAMES, multi_label=multi_label)
    labels = [tuple(name for name in NAMES if DRAWN.random() < 0.4) if multi_label else str(DRAWN.choice(NAMES))
              for _ in range(COUNT)]  # fmt: skip
    return task, list(DRAWN.standard_normal((COUNT, 3))), [Row(i, ("text",), label) for i, label in enumerate(labels)]


def tags(scheme: str) -> tuple[Any, list[Any], list[Row]]:
    task, rows, outputs = TokenClassification(labels=NAMES, scheme=scheme), [], []
    for number in range(COUNT):
        length = int(DRAWN.integers(1, 9))
        kinds = DRAWN.choice(NAMES, length)
        kept = [(at, at + 1, str(kind)) for at, kind in enumerate(kinds) if scheme == "plain" or DRAWN.random() < 0.5]
        rows.append(words.row_of_tokens(number, ["word"] * length, tuple(kept)))
        outputs.append(DRAWN.standard_normal((length, len(task.tags))).astype(np.float32))
        if length > 2:
            outputs[-1][1] = 0.0  # a word that the tokenizer drops
    return task, outputs, rows


def answers() -> tuple[Any, list[Any], list[Row]]:
    context, rows, outputs = "the red box is under the old table", [], []
    for number in range(COUNT):
        start, end = sorted(DRAWN.choice(len(context) + 1, 2, replace=False))
        gold = () if number % 4 == 0 else ((4, "red box"), (0, "the red box"))
        rows.append(Row(number, ("where?", context), gold))
        outputs.append(np.array([(-1, -1, DRAWN.normal()), (start, end, 0.0)], dtype=np.float32))
    return QuestionAnswering(no_answer=True), outputs, rows


def likelihoods(task: Any) -> tuple[Any, list[Any], list[Row]]:
    sizes = [0, *DRAWN.integers(1, 60, COUNT - 1)]  # of one row nothing is supervised
    outputs = [Said(-DRAWN.exponential(2, size).astype(np.float32), DRAWN.choice([0.5, 1.0], size).astype(np.float32),
                    np.zeros(size)) for size in sizes]  # fmt: skip
    return task, outputs, [Row(number, ("say",), "said") for number in range(COUNT)]


def preferences(**fields: Any) -> tuple[Any, list[Any], list[Row]]:
    answer = type("Answers", (), {"chosen": [{"content": "yes"}], "rejected": [{"content": "no"}]})()
    outputs = [Compared(DRAWN.normal(-9, 3, 2).astype(np.float32), DRAWN.integers(1, 9, 2).astype(np.float32),
                        DRAWN.normal(-9, 3, 2).astype(np.float32)) for _ in range(COUNT)]  # fmt: skip
    return Preference(**fields), outputs, [Row(number, ("say",), answer) for number in range(COUNT)]


def lines_of(task: Any, outputs: list[Any], rows: list[Row]) -> list[dict[str, Any]]:
    """As a run writes and a comparison reads them."""
    each = [task.verdict(row, task.decode(output, row)) for output, row in zip(outputs, rows, strict=True)]
    return [json.loads(json.dumps(finite(line))) for line in each]


CASES = {
    "one label": lambda: classes(False), "labels": lambda: classes(True), "entities": lambda: tags("IOB2"),
    "plain tags": lambda: tags("plain"), "answers": answers, "causal": lambda: likelihoods(CausalLM()),
    "seq2seq": lambda: likelihoods(Seq2Seq()), "dpo": preferences, "simpo": lambda: preferences(loss="simpo"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_with_each_row_once_a_score_is_the_tasks_own(case):
    task, outputs, rows = CASES[case]()
    own = task.score(outputs, rows)
    found = scorer(lines_of(task, outputs, rows))(np.ones(COUNT))
    assert task.metric.name in found
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {name: own[name] for name in found}, rel=1e-5
    )


@pytest.mark.parametrize("case", CASES)
def test_many_weightings_at_once_are_scored_as_each_by_itself(case):
    made = scorer(lines_of(*CASES[case]()))
    weights = np.random.default_rng(1).integers(0, 3, (4, COUNT))
    together = made(weights)
    for place, each in enumerate(weights):
        assert {name: float(value) for name, value in made(each).items()} == pytest.approx(
            {name: float(value[place]) for name, value in together.items()}
        )


def test_a_row_that_counts_twice_is_there_twice():
    lines = lines_of(*classes(False))
    weights = np.random.default_rng(1).integers(0, 3, COUNT)
    again = [line for line, times in zip(lines, weights, strict=True) for _ in range(times)]
    assert scorer(lines)(weights) == pytest.approx(scorer(again)(np.ones(len(again))))


@pytest.mark.parametrize("case", ["labels", "causal"])
def test_pseudo_values_come_from_leaving_each_row_out(case):
    lines = lines_of(*CASES[case]())
    made, once = scorer(lines), np.ones(COUNT)
    name = next(iter(made(once)))
    for row in (0, 7):
        without = scorer([line for place, line in enumerate(lines) if place != row])(np.ones(COUNT - 1))[name]
        expected = COUNT * made(once)[name] - (COUNT - 1) * without
        assert made.pseudo_values(name)[row] == pytest.approx(expected)
    single = scorer([{"label": "a", "predicted": said, "probability": 1.0} for said in "aab"])
    assert single.pseudo_values("accuracy") == pytest.approx([1, 1, 0])


def test_what_tells_no_score_has_no_scorer_and_a_loss_that_is_no_number_stays_one():
    assert scorer([]) is None
    assert scorer([{"label": "x", "predicted": None}]) is None
    assert by_loss([{"loss": None, "scored_tokens": 0}]) is None
    lost = scorer([{"loss": None, "scored_tokens": 3}, {"loss": 1.0, "scored_tokens": 3}])
    assert np.isnan(lost(np.ones(2))["loss"])
    assert scorer([{"label": "x", "predicted": None, "loss": 2.0}])(np.array([3])) == {"loss": 2.0}


def test_classes_that_nobody_has_count_only_where_they_are_asked_for():
    pairs = [({("a",)}, {("a",)})]
    assert by_class(pairs, {"f1": "f1_macro"})(np.ones(1)) == {"f1": 1.0}
    assert by_class(pairs, {"f1": "f1_macro"}, ["a", "b"])(np.ones(1)) == {"f1": 0.5}


def test_entities_and_answers_are_scored_by_row():
    town = {"type": "town", "start": 0, "end": 4}
    lines = [{"label": [town], "predicted": [{**town, "text": "Bren", "confidence": 0.9}]},
             {"label": [town], "predicted": []}]  # fmt: skip
    assert scorer(lines)(np.array([1, 1])) == {"f1": pytest.approx(2 / 3), "f1_macro": pytest.approx(2 / 3)}
    assert scorer(lines)(np.array([2, 0]))["f1"] == 1
    answers = [{"label": ["red box"], "predicted": "red", "start": 0, "confidence": 0.5},
               {"label": [], "predicted": None, "start": None, "confidence": 0.5}]  # fmt: skip
    assert scorer(answers)(np.array([1, 1])) == pytest.approx({"exact_match": 0.5, "f1": (2 / 3 + 1) / 2})
