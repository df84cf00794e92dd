"""Answers: from scores to stretches of the raw context, with a threshold for none; no row tells of its neighbours."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
import torch

from tests.conftest import WORDS, make_tokenizer
from tunewright import models
from tunewright.data import sources, spans
from tunewright.data.row import Row
from tunewright.data.tokens import pad
from tunewright.errors import ConfigError, DataError
from tunewright.evaluation import outputs_of
from tunewright.intake import read_rows
from tunewright.tasks.base import Batch
from tunewright.tasks.question_answering import QuestionAnswering

TOKENIZER = make_tokenizer()
TASK = QuestionAnswering(no_answer=True, window_overlap=4)


def asked(count: int = 10, longest: int = 30, seed: int = 0) -> list[Row]:
    """Questions for a word of a context of uneven length; every third has no answer."""
    generator = random.Random(seed)
    rows = []
    for number in range(1, count + 1):
        words = generator.choices(WORDS, k=generator.randint(3, longest))
        place = generator.randrange(len(words))
        start = len(" ".join([*words[:place], ""]))
        label = () if number % 3 == 0 else ((start, words[place]),)
        rows.append(Row(number, (generator.choice(WORDS), " ".join(words)), label))
    return rows


def collated(rows, task=TASK, max_length: int = 16) -> Batch:
    return task.collate(task.encode(rows, TOKENIZER, max_length).features, TOKENIZER)


def output_of(null: float, *found: tuple[int, int, float]):
    """A raw output: the score of no answer, then stretches with theirs."""
    return np.array([(-1, -1, null), *found])


@pytest.fixture(scope="module")
def model(tiny):
    torch.manual_seed(0)
    return TASK.build(models.locate(tiny)).eval()


def answers(model, rows, task=TASK, max_length: int = 16):
    encoded = task.encode(rows, TOKENIZER, max_length)
    return outputs_of(model, task, encoded, partial(task.collate, tokenizer=TOKENIZER), torch.device("cpu"))


# --- targets --------------------------------------------------------------------------------------------------------


def test_labelled_tokens_spell_the_answer_and_windows_without_it_point_to_the_first_token():
    rows = asked()
    for row, item in zip(rows, TASK.encode(rows, TOKENIZER, 16).features, strict=True):
        told = 0
        for window, places, (first, last) in zip(item.windows, item.places, item.label.tolist(), strict=True):
            start, text = row.label[0] if row.label else (None, "")
            if (first, last) == spans.NULL:
                assert window[0] == TOKENIZER.cls_token_id
                assert not row.label or not any(start == at for at in places[:, 0])
                continue
            assert TOKENIZER.decode(window[first : last + 1]) == text
            assert row.text[1][places[first, 0] : places[last, 1]] == text
            told += 1
        assert bool(told) == bool(row.label)


def test_the_loss_is_the_mean_of_both_cross_entropies_summed_over_windows(model):
    batch = collated(asked())
    assert len(batch.labels) > len(batch.features)
    with torch.no_grad():
        output = model(**batch.inputs)
    wanted = 0.0
    for window, (first, last) in enumerate(batch.labels.tolist()):
        real = batch.inputs["attention_mask"][window].bool()
        wanted -= float(output.start_logits[window][real].log_softmax(0)[first]) / 2
        wanted -= float(output.end_logits[window][real].log_softmax(0)[last]) / 2
    assert float(TASK.objective(model, batch).sum.detach()) == pytest.approx(wanted, rel=1e-6)
    assert float(TASK.weight(batch)) == len(batch.labels)


def test_padding_takes_no_share_of_the_loss(model):
    features = TASK.encode(asked(1), TOKENIZER, 40).features
    inputs, _ = pad(features, TOKENIZER)
    labels = torch.from_numpy(features[0].label)
    more = {name: torch.nn.functional.pad(value, (0, 20)) for name, value in inputs.items()}
    losses = [float(TASK.objective(model, Batch(features, given, labels)).sum.detach()) for given in (inputs, more)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


# --- answers --------------------------------------------------------------------------------------------------------


def test_what_is_said_of_a_row_does_not_depend_on_its_batch_or_its_neighbours_windows(model):  # D9
    rows = asked(12)
    assert {len(item.windows) for item in TASK.encode(rows, TOKENIZER, 16).features} >= {1, 2, 3}
    together, backwards = answers(model, rows), answers(model, rows[::-1])[::-1]
    alone = [answers(model, [row])[0] for row in rows]
    for row, *outputs in zip(rows, together, backwards, alone, strict=True):
        assert all(TASK.distance(outputs[0], other) < 1e-5 for other in outputs[1:])
        assert len({TASK.decode(output, row).text for output in outputs}) == 1


def test_logits_that_are_sure_of_the_labels_are_decoded_to_the_gold_answers():
    rows = asked(30)

    def oracle(**inputs):
        batch = oracle.batch
        logits = torch.full((*inputs["input_ids"].shape, 2), -10.0)
        for end in (0, 1):
            logits[torch.arange(len(batch.labels)), batch.labels[:, end], end] = 10.0
        return type("Output", (), {"start_logits": logits[..., 0], "end_logits": logits[..., 1]})

    oracle.batch = collated(rows)
    outputs = TASK.predict(oracle, oracle.batch)
    assert TASK.score(outputs, rows)["exact_match"] == 1.0
    said = [TASK.decode(output, row) for output, row in zip(outputs, rows, strict=True)]
    assert [answer.text for answer in said] == [row.label[0][1] if row.label else None for row in rows]
    for answer, row in zip(said, rows, strict=True):
        assert all(row.text[1][item.start : item.end] == item.text for item in answer.best)
        assert answer.text is None or row.text[1][answer.start : answer.end] == answer.text


def test_at_most_n_best_answers_of_at_most_so_many_tokens(model):
    task = QuestionAnswering(n_best=7, max_answer_length=2, window_overlap=4)
    rows = asked(6)
    for output, row in zip(answers(model, rows, task), rows, strict=True):
        best = task.decode(output, row).best
        words = row.text[1].split()
        assert len(best) == min(7, len({(n, n + k) for n in range(len(words)) for k in (1, 2) if n + k <= len(words)}))
        assert all(len(item.text.split()) <= 2 for item in best)
        assert [item.confidence for item in best] == sorted((item.confidence for item in best), reverse=True)


def test_confidences_are_shares_among_the_candidates():
    row = Row(1, ("which", "red box"))
    output = output_of(np.log(2), (0, 3, np.log(5)), (4, 7, np.log(3)))
    certain = QuestionAnswering(no_answer=False).decode(output, row)
    assert (certain.text, [item.confidence for item in certain.best]) == ("red", pytest.approx([5 / 8, 3 / 8]))
    either = TASK.decode(output, row)
    assert (either.text, either.confidence) == ("red", pytest.approx(0.5))
    none = TASK.model_copy(update={"null_threshold": -1.0}).decode(output, row)
    assert (none.text, none.start, none.end, none.confidence) == (None, None, None, pytest.approx(0.2))
    assert none.line(row.text) == "-\t0.200\twhich"
    assert either.to_json()["best"][1] == {"text": "box", "start": 4, "end": 7, "confidence": pytest.approx(0.3)}


@pytest.mark.parametrize(
    ("task", "null", "silent"),
    [
        (QuestionAnswering(no_answer=True), 2.0, True),
        (QuestionAnswering(no_answer=True), 0.5, False),
        (QuestionAnswering(no_answer=True, null_threshold=3.0), 2.0, False),
        (QuestionAnswering(no_answer=True, null_threshold=-3.0), -1.0, True),
        (QuestionAnswering(no_answer=False), 99.0, False),
    ],
)
def test_no_answer_is_said_where_its_score_is_over_the_threshold(task, null, silent):
    assert bool(task.says_nothing(output_of(null, (0, 3, 1.0)))) is silent


def test_a_context_without_words_has_no_answer(model):
    for row in (TASK.ask(1, ("red", "")), TASK.ask(1, {"question": "red", "context": " "}), TASK.ask(1, ("", "red"))):
        (output,) = answers(model, [row])
        said = TASK.decode(output, row)
        assert said.text in ((None,) if not row.text[1].strip() else (None, "red"))


@pytest.mark.parametrize("given", ["red", ("red",), ("a", "b", "c")])
def test_a_question_without_its_context_is_told(given):
    with pytest.raises(DataError, match=r"predict: a question needs the context .* --context TEXT"):
        TASK.ask(1, given)


# --- what is learned and tuned --------------------------------------------------------------------------------------


def test_whether_there_may_be_no_answer_is_learned_from_train():
    rows, fresh = asked(), QuestionAnswering()
    assert fresh.learn(rows, "t", None, None).no_answer is True
    sure = fresh.learn([row for row in rows if row.label], "t", None, None)
    assert sure.no_answer is False
    assert sure.tune([], []).null_threshold is None
    with pytest.raises(DataError, match=r"v.json, row 3: has no answer, which training did not know of; drop it"):
        sure.check(rows, "v.json", None)
    with pytest.raises(DataError, match=r"0 of 3 questions have an answer: nothing is supervised"):
        fresh.learn([row for row in rows if not row.label], "t", None, None)


def test_the_null_threshold_is_tuned_for_the_highest_f1():
    rows = [Row(n, ("q", "red box"), ((0, "red"),) if n < 3 else ()) for n in range(6)]
    odds = [-5.0, 2.0, 1.0, 4.0, 3.0, 2.5]  # how much surer no answer is: all above 2 have none
    outputs = [output_of(odd + 7.0, (0, 3, 7.0)) for odd in odds]
    tuned = TASK.tune(outputs, rows)
    assert tuned.null_threshold == 2.0
    assert TASK.score(outputs, rows)["f1"] == pytest.approx(4 / 6)
    assert tuned.score(outputs, rows)["f1"] == 1.0
    given = TASK.model_copy(update={"null_threshold": 9.0})
    assert given.tune(outputs, rows) is given


def test_a_threshold_without_effect_is_refused(tiny, tmp_path):  # C1
    import tunewright as tw

    rows = ["question,context,answer", *(f"which {n}?,red box {n},red" for n in range(30))]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    raw = {"model": tiny, "data": {"train": str(tmp_path / "a.csv")}, "out": str(tmp_path / "run")}
    raw["task"] = {"kind": "question_answering", "null_threshold": 1.0}
    with pytest.raises(ConfigError, match=r"task.null_threshold"):
        tw.train(raw, progress=False)


# --- scores ---------------------------------------------------------------------------------------------------------


def test_the_best_of_several_golds_counts():
    row = Row(1, ("q", "the red box, late"), ((4, "red"), (0, "the red box"), (13, "late")))
    scores = [TASK.score([output_of(-9, (start, end, 1.0))], [row]) for start, end in ((8, 11), (4, 11), (13, 17))]
    assert [score["exact_match"] for score in scores] == [0, 1, 1]
    assert [score["f1"] for score in scores] == pytest.approx([2 / 3, 1, 1])  # "box" in "red box"
    assert TASK.verdict(row, TASK.decode(output_of(-9, (4, 7, 1.0)), row))["label"] == ["red", "the red box", "late"]


@pytest.mark.real_data
def test_the_gold_answers_of_real_data_have_the_full_score(real_data):
    table = sources.read(str(real_data / "squad2_cs224n/dev-v2.0.json"))
    rows = read_rows(table, TASK, TASK.roles(table, None, None, None)).rows
    outputs = [
        output_of(-1.0, (row.label[0][0], row.label[0][0] + len(row.label[0][1]), 1.0)) if row.label
        else output_of(1.0, (0, 4, -1.0))
        for row in rows
    ]  # fmt: skip
    scores = TASK.score(outputs, rows)
    assert (scores["exact_match"], scores["f1"]) == (1.0, 1.0)
    assert (scores["num_has_answer"], scores["num_no_answer"]) == (2910, 3168)
