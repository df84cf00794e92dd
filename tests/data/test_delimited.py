"""What a csv or tsv file does not say itself: its delimiter and its header."""

from __future__ import annotations

import pytest

from tunewright.data import sources
from tunewright.data.delimited import first_data_row, guess_delimiter, names_columns
from tunewright.errors import DataError

HEADERS = {
    "sst2": [["label", "sentence"], ["0", "hide new secretions from the parental units"], ["1", "that loves it"]],
    "banking77": [["text", "category"], ["I am still waiting on my card?", "card_arrival"]],
    "parcel_desk": [
        ["id", "received", "message", "topic", "tags"],
        ["PD-1", "2026-01-05", "late", "tracking", "urgent"],
        ["PD-2", "2026-01-06", "where is it", "tracking", ""],
    ],
    "pandas_index": [["", "text", "label"], ["0", "good", "1"], ["1", "bad", "0"]],
    "toxic": [["comment_text", "toxic", "obscene"], ["you fool", "1", "0"], ["hello", "0", "0"]],
    "unknown_names": [["utterance_raw", "klass"], ["good film", "pos"], ["bad film", "neg"]],
    "a_known_name_as_label": [["text", "label"], ["what is that?", "text"], ["which label?", "label"]],
    "a_survey_question": [["text", "how happy were you with our service"], ["very", "5"], ["not at all", "1"]],
}
HEADERLESS = {
    "goemotions": [
        ["Is this in New Orleans?? I really feel like this is.", "27", "edgurhb"],
        ["You know the answer man, you are programmed!", "4,27", "ee84bjg"],
    ],
    "numbers": [["good", "1"], ["bad", "0"]],
    "labels_come_again": [["good film", "pos"], ["bad film", "neg"], ["nice", "pos"]],
    "a_sentence": [["the parcel came on a wet monday morning", "late"], ["hello", "other"]],
    "a_label_that_is_a_known_name": [["what is it?", "question"], ["who?", "question"], ["no", "statement"]],
    "ids": [["PD-1", "ok", "1.5"], ["PD-2", "no", "2.5"]],
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_recognised(name):
    assert names_columns(HEADERS[name])


@pytest.mark.parametrize("name", HEADERLESS)
def test_a_first_row_of_data_is_not_taken_for_a_header(name):
    assert not names_columns(HEADERLESS[name])


def test_what_the_person_says_about_the_header_holds():
    records = HEADERS["sst2"]
    assert first_data_row(records, False) == (0, None)
    assert first_data_row(HEADERLESS["goemotions"], True) == (1, None)


def test_a_guess_about_the_header_is_told():
    assert first_data_row(HEADERS["sst2"], None) == (1, None)
    assert "no header found" in first_data_row(HEADERLESS["numbers"], None)[1]
    assert "utterance_raw, klass (data.header: false" in first_data_row(HEADERS["unknown_names"], None)[1]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("text,label\na,b\n", ","),
        ("text;label\na,b,c;d\n", ";"),
        ("text\tlabel\na, b, c\td\n", "\t"),
        ("text|label\na|b\n", "|"),
        ('"a; b; c",x\n"d",y\n', ","),
        ("first; second; third,x\nanother,y\n", ","),
        ('"a;\nb;;c",x\n"d",y\n', ","),
        ("\n\ntext;label\na;b\n", ";"),
        ("alone\n", ","),
        ("", ","),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_lines_alike(text, delimiter):
    assert guess_delimiter(text) == delimiter


def test_columns_without_a_name_get_one(tmp_path):
    path = tmp_path / "inbox.csv"
    path.write_text(",text,label\n0,a,x\n1,b,y\n")
    assert sources.read(str(path)).columns == ["column_1", "text", "label"]


@pytest.mark.parametrize("header", ["text,label,label", "message,extra,extra", "text,topic,x,x"])
def test_a_column_name_that_is_there_twice_is_refused(tmp_path, header):  # D10
    path = tmp_path / "inbox.csv"
    path.write_text(header + "\n" + ",".join("abcd"[: header.count(",") + 1]) + "\n")
    with pytest.raises(DataError, match=r"row 1: column '(label|extra|x)' is there twice; rename"):
        sources.read(str(path))
