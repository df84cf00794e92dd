"""SQuAD files become one row a question; a malformed entry is told with its path in the JSON."""

from __future__ import annotations

import copy
import json
import re

import pytest

from tunewright.data import sources
from tunewright.errors import DataError

ANSWER = {"text": "Rollo", "answer_start": 4}
DOCUMENT = {
    "version": "v2.0",
    "data": [
        {
            "title": "Normans",
            "paragraphs": [
                {
                    "context": "The Rollo of Normandy",
                    "qas": [
                        {
                            "id": "a",
                            "question": "Who?",
                            "answers": [ANSWER, {"text": "Normandy", "answer_start": 13}, ANSWER],
                            "is_impossible": False,
                        },
                        {
                            "id": "b",
                            "question": "When?",
                            "answers": [],
                            "is_impossible": True,
                            "plausible_answers": [ANSWER],
                        },
                    ],
                },
                {"context": "empty", "qas": []},
            ],
        },
        {"paragraphs": [{"context": "Of Rollo", "qas": [{"question": "Whose?", "answers": [{**ANSWER, "by": 3}]}]}]},
    ],
}


def read(folder, value):
    (folder / "train.json").write_text(json.dumps(value))
    return sources.read(str(folder / "train.json"))


def test_a_squad_file_is_one_row_a_question(tmp_path):
    table = read(tmp_path, DOCUMENT)
    assert table.columns == ["id", "title", "context", "question", "answers", "is_impossible"]
    assert [row["id"] for row in table.rows] == ["a", "b", "3"]
    assert [row["title"] for row in table.rows] == ["Normans", "Normans", ""]
    assert [row["context"] for row in table.rows] == ["The Rollo of Normandy"] * 2 + ["Of Rollo"]
    assert [row["question"] for row in table.rows] == ["Who?", "When?", "Whose?"]
    assert [row["is_impossible"] for row in table.rows] == [False, True, False]
    assert table.numbers == [1, 2, 3]
    assert table.notes == ["read as SQuAD: 3 questions in 2 articles"]


def test_answers_are_texts_with_their_starts(tmp_path):
    rows = read(tmp_path, DOCUMENT).rows
    assert rows[0]["answers"] == [ANSWER, {"text": "Normandy", "answer_start": 13}, ANSWER]
    assert rows[1]["answers"] == []
    assert rows[2]["answers"] == [ANSWER]


@pytest.mark.parametrize(
    "rows", [[{"text": "a", "paragraphs": ["b", "c"]}], [{"context": "a", "qas": 1}], [{"paragraphs": [{"text": "a"}]}]]
)
def test_other_rows_under_data_are_read_as_before(tmp_path, rows):
    assert read(tmp_path, {"data": rows}).rows == rows


def changed(path, value=...):
    """The document with the value at a path of keys replaced, or taken out."""
    made = copy.deepcopy(DOCUMENT)
    *before, last = path
    inner = made
    for key in before:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return made


PARAGRAPH = ("data", 0, "paragraphs", 0)
QUESTION = (*PARAGRAPH, "qas", 1)
FIRST_ANSWER = (*PARAGRAPH, "qas", 0, "answers", 1)
MALFORMED = {
    "article": (("data", 1), 7, r"data\[1\]: is no object, but of type int; write"),
    "paragraphs": (("data", 1, "paragraphs"), ..., r"data\[1\]: has no 'paragraphs'; write"),
    "title": (("data", 0, "title"), 7, r"data\[0\]: 'title' is no text, but of type int; write"),
    "paragraph": (PARAGRAPH, None, r"data\[0\]\.paragraphs\[0\]: is no object, but of type NoneType; write"),
    "context": ((*PARAGRAPH, "context"), ..., r"data\[0\]\.paragraphs\[0\]: has no 'context'; write"),
    "question": ((*QUESTION, "question"), ..., r"paragraphs\[0\]\.qas\[1\]: has no 'question'; write"),
    "answers": ((*QUESTION, "answers"), ..., r"qas\[1\]: has no 'answers'; write"),
    "impossible": ((*QUESTION, "is_impossible"), "no", r"qas\[1\]: 'is_impossible' is no truth value, .* str; write"),
    "answer": (FIRST_ANSWER, "Rollo", r"qas\[0\]\.answers\[1\]: is no object, but of type str; write"),
    "start": (
        (*FIRST_ANSWER, "answer_start"),
        ...,
        r"qas\[0\]\.answers\[1\]: has no 'answer_start'; write",
    ),
    "start_bool": (
        (*FIRST_ANSWER, "answer_start"),
        True,
        r"'answer_start' is no whole number, but of type bool; write",
    ),
}


@pytest.mark.parametrize(("path", "value", "says"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_entry_is_told_with_its_path_and_remedy(tmp_path, path, value, says):
    with pytest.raises(DataError) as caught:
        read(tmp_path, changed(path, value))
    assert str(caught.value).startswith(f"{tmp_path / 'train.json'}, data[")
    assert re.search(says, str(caught.value)), caught.value


def test_a_file_without_a_question_has_no_rows(tmp_path):
    with pytest.raises(DataError, match=r"train\.json: the file has no rows; give a file"):
        read(tmp_path, {"data": [{"paragraphs": [{"context": "a", "qas": []}]}]})


@pytest.mark.parametrize("value", [{"data": 7}, {"data": {"paragraphs": []}}, {"data": None}, {"data": [7]}])
def test_data_of_other_kinds_are_told_as_before(tmp_path, value):
    with pytest.raises(DataError, match=r"no list of rows|no object|file has no rows"):
        read(tmp_path, value)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "questions", "impossible"),
    [
        ("squadshifts/new_wiki_v1.0.json", 7938, 0),
        ("squad2_cs224n/dev-v2.0.json", 6078, 6078 - 2910),
    ],
)
def test_real_squad_files_have_the_known_numbers_of_questions(real_data, name, questions, impossible):
    table = sources.read(str(real_data / name))
    assert len(table.rows) == len({row["id"] for row in table.rows}) == questions
    assert sum(row["is_impossible"] for row in table.rows) == impossible
    assert all(bool(row["answers"]) != row["is_impossible"] for row in table.rows)
    spans = [(row["context"], answer) for row in table.rows for answer in row["answers"]]
    assert all(context[a["answer_start"] :].startswith(a["text"]) for context, a in spans)
