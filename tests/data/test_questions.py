"""Questions: every form of answers becomes places in the context; windows over it are Hugging Face's own."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.test_token_classification import byte_level
from tests.test_models import needs_minilm
from tunewright import models
from tunewright.config import load
from tunewright.data import questions, sources, spans
from tunewright.data.pairs import ContextEncoder
from tunewright.data.table import Table
from tunewright.errors import ConfigError, DataError
from tunewright.intake import read_rows, take_in
from tunewright.tasks.question_answering import ALTERED, CUT, QuestionAnswering

CONTEXT = "The red parcel and the red box came late."
RED = {"text": "red", "answer_start": 23}


def table_of(*rows: dict) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    filled = [{name: row.get(name) for name in columns} for row in rows]
    return Table("made.jsonl", columns, filled, list(range(1, len(rows) + 1)), "")


def read_one(answers, context=CONTEXT, labelled=True, **more):
    """The row of one question; by `questions` itself or the reason why it is unusable."""
    table = table_of({"question": "which?", "context": context, "answers": answers, **more})
    return questions.read(table, 0, questions.assign(table, None, None, None), labelled)


# --- forms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["red"], "answer_start": [23]},  # Hugging Face's flat form
        {"text": ["red", "red"], "answer_start": [23, 23]},  # of several people
        {"text": "red", "answer_start": 23},
        {"text": ["red"], "answer_start": ["23"]},
        {"text": ["red"], "answer_start": [23.0]},
        [RED],  # SQuAD's
        [RED, RED],
        json.dumps([RED]),  # as a cell of a csv file
        json.dumps({"text": ["red"], "answer_start": [23]}),
    ],
)
def test_every_form_of_an_answer_is_the_same_place_in_the_context(answers):
    row = read_one(answers)
    assert (row.label, row.mended) == (((23, "red"),), ())
    assert row.text == ("which?", CONTEXT)


def test_a_squad_file_and_its_flat_form_give_the_same_rows(tmp_path):
    asked = {"id": "q1", "question": " which? ", "answers": [RED, {"text": "box", "answer_start": 27}]}
    none = {"id": "q2", "question": "when?", "answers": [], "is_impossible": True}
    paragraph = {"context": CONTEXT, "qas": [asked, none]}
    (tmp_path / "squad.json").write_text(json.dumps({"data": [{"title": "Post", "paragraphs": [paragraph]}]}))
    flat = [
        {"id": "q1", "title": "Post", "context": CONTEXT, "question": "which?",
         "answers": {"text": ["red", "box"], "answer_start": [23, 27]}},
        {"id": "q2", "title": "Post", "context": CONTEXT, "question": "when?",
         "answers": {"text": [], "answer_start": []}},
    ]  # fmt: skip
    (tmp_path / "flat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in flat))
    first, second = (read_file(tmp_path / name) for name in ("squad.json", "flat.jsonl"))
    assert first == second
    assert [(row.id, row.group, row.label) for row in first] == [
        ("q1", "Post", ((23, "red"), (27, "box"))), ("q2", "Post", ())]  # fmt: skip


def read_file(path):
    table, task = sources.read(str(path)), QuestionAnswering()
    return read_rows(table, task, task.roles(table, None, None, None)).rows


def test_a_csv_with_answer_and_start(tmp_path):
    rows = [f'which?,"{CONTEXT}",red,23', f'when?,"{CONTEXT}",,', f'who?,"{CONTEXT}",,-1', f'x,"{CONTEXT}",late,36.0']
    (tmp_path / "a.csv").write_text("question,context,answer,answer_start\n" + "\n".join(rows) + "\n")
    found = read_file(tmp_path / "a.csv")
    assert [row.label for row in found] == [((23, "red"),), (), (), ((36, "late"),)]
    assert all(row.mended == () for row in found)


def test_a_csv_with_texts_alone_is_searched_and_this_is_counted(tmp_path):
    rows = [f'what?,"{CONTEXT}",parcel', f'which?,"{CONTEXT}",red', f'when?,"{CONTEXT}",']
    (tmp_path / "a.csv").write_text("question,context,answer\n" + "\n".join(rows) + "\n")
    found = read_file(tmp_path / "a.csv")
    assert [row.label for row in found] == [((8, "parcel"),), ((4, "red"),), ()]
    assert [row.mended for row in found] == [(questions.SEARCHED,), (questions.FIRST_OF_SEVERAL,), ()]


@pytest.mark.parametrize(
    ("start", "place", "mended"),
    [(4, 4, ()), (23, 23, ()), (6, 4, (questions.MOVED,)), (20, 23, (questions.MOVED,)), (99, 23, (questions.MOVED,))],
)
def test_an_answer_off_by_some_characters_is_taken_from_the_nearest_place(start, place, mended):
    row = read_one([{"text": "red", "answer_start": start}])
    assert (row.label, row.mended) == (((place, "red"),), mended)


def test_blanks_around_an_answer_are_no_part_of_it():
    assert read_one([{"text": " red ", "answer_start": 22}]).label == ((23, "red"),)
    assert read_one([{"text": " red ", "answer_start": 22}]).mended == ()


@pytest.mark.parametrize(
    "answers", [[], None, "", " ", {"text": [], "answer_start": []}, {"text": "", "answer_start": -1}, [{"text": ""}]]
)
def test_forms_of_no_answer(answers):
    table = table_of(
        {"question": "a", "context": CONTEXT, "answers": answers}, {"question": "a", "context": "b", "answers": [RED]}
    )
    row = questions.read(table, 0, questions.assign(table, None, None, None), True)
    assert (row.label, row.mended) == ((), ())


@pytest.mark.parametrize("mark", [True, "true", "True", 1, "1"])
def test_what_is_marked_impossible_has_no_answer_even_where_one_is_written(mark):
    assert read_one([RED], is_impossible=mark).label == ()
    assert read_one([RED], is_impossible=False).label == ((23, "red"),)


def test_without_labels_answers_are_not_read():
    assert read_one([{"text": "never there"}], labelled=False).label is None


@pytest.mark.parametrize("name", ["question", "context"])
def test_an_empty_text_is_unusable_with_the_reason(name):
    table = table_of({"question": "a", "context": "b", "answer": "b", name: " "})
    assert questions.read(table, 0, questions.assign(table, None, None, None), True) == f"column {name!r} is empty"


FAULTY = {
    "not there": ([{"text": "green", "answer_start": 4}], r"the answer 'green' is not in the context; answers are"),
    "other letters": (["Red"], r"the answer 'Red' is not in the context"),
    "no text": ([{"answer_start": 4}], r"column 'answers' holds None at 4 as an answer; write \{"),
    "a number": ([{"text": 7, "answer_start": 4}], r"column 'answers' holds 7 at 4 as an answer"),
    "no number": ([{"text": "red", "answer_start": "four"}], r"holds 'red' at 'four' as an answer"),
    "true": ([{"text": "red", "answer_start": True}], r"holds 'red' at True as an answer"),
    "below zero": ([{"text": "red", "answer_start": -7}], r"holds 'red' at -7 as an answer"),
    "uneven": ({"text": ["red", "box"], "answer_start": [4]}, r"column 'answers' has 1 starts for 2 answers; give"),
}


@pytest.mark.parametrize(("answers", "says"), FAULTY.values(), ids=FAULTY)
def test_a_faulty_answer_is_told_with_its_row(answers, says):
    table = table_of(
        {"question": "a", "context": CONTEXT, "answers": [RED]},
        {"question": "a", "context": CONTEXT, "answers": answers},
    )
    with pytest.raises(DataError, match=says) as caught:
        questions.read(table, 1, questions.assign(table, None, None, None), True)
    assert str(caught.value).startswith("made.jsonl, row 2: ")


def test_columns_that_do_not_fit_are_told():
    with pytest.raises(DataError, match=r"no columns of questions, contexts and answers; there are 'a'; name them"):
        questions.assign(table_of({"a": "x"}), None, None, None)
    table = table_of({"question": "a", "context": "b", "answer": "b"})
    with pytest.raises(DataError, match=r"data.text: a question and its context are read; name both columns"):
        questions.assign(table, ["context"], None, None)


def test_a_split_keeps_the_questions_on_one_paragraph_together(tmp_path):
    rows = [
        {"question": f"which {ask}?", "context": f"{CONTEXT} {place}", "answer": "red"}
        for place in range(20)
        for ask in range(1 + place % 4)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(tmp_path / "a.jsonl"), "validation_share": 0.2, "test_share": 0.2}
    found = take_in(load({"data": data}))
    contexts = {name: {row.text[1] for row in split.rows} for name, split in found.splits.items()}
    assert all(contexts.values())
    assert all(not first & second for first, second in itertools.combinations(contexts.values(), 2))
    assert sum(len(split.rows) for split in found.splits.values()) == len(rows)
    assert any("groups kept together" in note for note in found.notes)


# --- windows --------------------------------------------------------------------------------------------------------

LONG = "The red parcel (of Zoë) came late — very  late, indeed! 🙂 «東京», it's ten o'clock. \n Blue boxes: 3,141.59 "


def tokenizer_of(kind: str):
    if kind == "minilm":
        return models.load_tokenizer(models.locate("minilm"))
    return byte_level(kind)


def hf_windows(tokenizer, question: str, context: str, max_length: int, overlap: int):
    made = tokenizer(
        question, context, truncation="only_second", max_length=max_length, stride=overlap,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    places = [
        [offsets if part == 1 else (-1, -1) for offsets, part in zip(made["offset_mapping"][at], made.sequence_ids(at),
                                                                    strict=True)]
        for at in range(len(made["input_ids"]))
    ]  # fmt: skip
    return made["input_ids"], made.get("token_type_ids"), places


@pytest.mark.parametrize("kind", [pytest.param("minilm", marks=needs_minilm), "roberta", "without a class"])
def test_windows_are_those_of_hugging_face(kind):
    tokenizer = tokenizer_of(kind)
    for repeats, max_length, overlap in [(1, 64, 0), (3, 101, 9), (5, 64, 20), (5, 384, 9)]:
        context = LONG * repeats
        (found,) = ContextEncoder(tokenizer, max_length, overlap)([("What came late?", context)])
        ids, types, places = hf_windows(tokenizer, "What came late?", context, max_length, overlap)
        assert found.windows == ids
        assert found.types == types
        for window, item in zip(found.places, places, strict=True):
            assert [tuple(pair) for pair in window.tolist()] == [bare(pair, context) for pair in item]
        assert found.truncated == 0


def bare(pair: tuple[int, int], context: str) -> tuple[int, int]:
    """Without the blanks at its ends: byte-level tokens hold line breaks too, with which no answer begins."""
    start, end = pair
    text = context[max(start, 0) : max(end, 0)]
    start += len(text) - len(text.lstrip())
    return start, max(end - len(text) + len(text.rstrip()), start)


def test_token_types_are_the_tokenizers_own_where_both_texts_have_the_same():
    tokenizer = byte_level("without a class")
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    (found,) = ContextEncoder(tokenizer, 60, 9)([("What?", "red box")])
    assert found.types == [tokenizer("What?", "red box")["token_type_ids"]] == [[0] * len(found.windows[0])]


def test_a_long_question_leaves_half_of_the_room_and_is_counted():
    tokenizer = byte_level("roberta")
    (found,) = ContextEncoder(tokenizer, 24, 4)([("why " * 40, LONG)])
    assert found.truncated > 0
    assert all(len(window) <= 24 for window in found.windows)
    held = [places[places[:, 0] >= 0] for places in found.places]
    assert all(len(places) <= 10 for places in held)
    assert {tuple(pair) for pair in np.concatenate(held).tolist()} >= {(4, 7), (8, 14)}


def test_too_small_windows_are_refused():
    with pytest.raises(ConfigError, match=r"data.max_length: 7 tokens leave no room for a question and a context"):
        ContextEncoder(byte_level("roberta"), 7, 4)


# --- spans ----------------------------------------------------------------------------------------------------------


def every_span(first, last, places, longest):
    """By brute force: the best score of each stretch of characters."""
    found: dict[tuple[int, int], float] = {}
    for window, offsets in enumerate(places):
        inside = [token for token in range(len(offsets)) if offsets[token, 1] > offsets[token, 0] >= 0]
        for start, end in itertools.product(inside, inside):
            if 0 <= end - start < longest:
                chars, score = (
                    (offsets[start, 0], offsets[end, 1]),
                    float(first[window, start]) + float(last[window, end]),
                )
                found[chars] = max(score, found.get(chars, -np.inf))
    return sorted(found.items(), key=lambda item: -item[1])


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 30), st.integers(1, 9))
def test_the_best_spans_are_those_of_brute_force(seed, size, longest, count):
    generator = np.random.default_rng(seed)
    cuts = [(0, 8), (5, 13), (10, 15)][: generator.integers(1, 4)]  # tokens of three characters
    places = [
        np.array([(-1, -1)] * 3 + [(3 * token, 3 * token + 2) for token in range(*cut)] + [(-1, -1)]) for cut in cuts
    ]
    width = max(map(len, places)) + 2  # padded
    first, last = generator.normal(0, 3, (2, len(places), width)).astype(np.float32)
    for window, offsets in enumerate(places):
        first[window, len(offsets) :] = last[window, len(offsets) :] = -np.inf
    found = spans.best_spans(first, last, places, longest, count)
    assert found[0].tolist() == [-1, -1, min(float(first[w, 0] + last[w, 0]) for w in range(len(places)))]
    wanted = every_span(first, last, places, longest)[:count]
    assert [(start, end) for start, end, _ in found[1:].tolist()] == [chars for chars, _ in wanted]
    assert found[1:, 2] == pytest.approx([score for _, score in wanted])


def test_the_targets_of_an_answer_in_the_overlap_are_in_both_windows():
    places = [np.array([(-1, -1), (0, 3), (4, 7), (8, 11)]), np.array([(-1, -1), (4, 7), (8, 11), (12, 15)])]
    row = SimpleNamespace(text=("", "abc def ghi jkl"), label=((4, "def ghi"),))
    faults = Counter()
    assert QuestionAnswering().targets(row, places, faults).tolist() == [[2, 3], [1, 2]]
    row.label = ((12, "jkl"), (0, "abc"))  # of several golds each window has the first that it holds
    assert QuestionAnswering().targets(row, places, faults).tolist() == [[1, 1], [3, 3]]
    row.label = ()
    assert QuestionAnswering().targets(row, places, faults).tolist() == [[0, 0], [0, 0]]
    assert not faults


def test_answers_that_fit_no_window_or_are_parts_of_tokens_are_counted():
    places = [np.array([(-1, -1), (0, 3), (4, 7)]), np.array([(-1, -1), (8, 11), (12, 15)])]
    row = SimpleNamespace(text=("", "abc def ghi jkl"), label=((4, "def ghi"),))
    faults = Counter()
    assert QuestionAnswering().targets(row, places, faults).tolist() == [[0, 0], [0, 0]]
    assert faults == {CUT: 1}
    row.label = ((4, "de"),)
    assert QuestionAnswering().targets(row, places, faults).tolist() == [[2, 2], [0, 0]]
    assert faults == {CUT: 1, ALTERED: 1}


@pytest.mark.real_data
@needs_minilm
def test_every_labelled_span_decodes_to_its_gold_text_or_is_counted(real_data):  # D6
    rows, altered = [row for row in read_file(real_data / "squad2_cs224n/dev-v2.0.json") if row.label], 2
    assert len(rows) == 2910
    encoded = QuestionAnswering().encode(rows, tokenizer_of("minilm"), 384)
    missed = [row for row, item in zip(rows, encoded.features, strict=True) if not any(told(row, item))]
    assert encoded.faults == {ALTERED: altered}
    assert len(missed) == altered < 0.002 * len(rows)


@pytest.mark.real_data
def test_spans_of_bytes_in_many_windows_decode_to_their_gold_text_or_are_counted(real_data):  # D6
    """An untrained tokenizer: nearly a token a byte, so that answers are cut by windows too."""
    rows = [row for row in read_file(real_data / "squad2_cs224n/dev-v2.0.json") if row.label][:300]
    task = QuestionAnswering(window_overlap=8)
    encoded = task.encode(rows, byte_level("roberta"), 256)
    assert max(len(item.windows) for item in encoded.features) > 9
    missed = [row for row, item in zip(rows, encoded.features, strict=True) if not any(told(row, item))]
    assert len(missed) == encoded.faults.total() == encoded.faults[CUT] > 0
    assert all(max(len(text) for _, text in row.label) > 8 for row in missed)


def told(row, item):
    """Whether each labelled window gives back the very gold text that it was labelled with."""
    for (first, last), places in zip(item.label.tolist(), item.places, strict=True):
        if (first, last) != spans.NULL:
            start, end = places[first, 0], places[last, 1]
            gold = next(text for at, text in row.label if start <= at and at + len(text) <= end)
            yield row.text[1][start:end] == gold
