"""Rows of words: every form of tags and spans becomes the same spans of words, and nothing is put right unsaid."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data import words
from tunewright.data.table import Table
from tunewright.errors import DataError

TOKENS = ["Ann", "Lee", "Kim", "left", "New", "York", "today"]
SPANS = ((0, 2, "person"), (2, 3, "person"), (4, 6, "place"))
TAGGED = {
    "IOB1": "I-person I-person B-person O I-place I-place O",
    "IOB2": "B-person I-person B-person O B-place I-place O",
    "BIOES": "B-person E-person S-person O B-place E-place O",
}
NAMES = ["O", "B-person", "I-person", "B-place", "I-place"]
TEXT = "Ann Lee, Kim left New York today."


def table_of(*rows: dict) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    filled = [{name: row.get(name) for name in columns} for row in rows]
    return Table("made.jsonl", columns, filled, list(range(1, len(rows) + 1)), "")


def read_first(*rows: dict, names=None, labelled=True, text=None, label=None):
    table = table_of(*rows)
    roles = words.assign(table, text, label, None)
    return words.read(table, 0, roles, names, labelled)


# --- forms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", TAGGED)
def test_tags_of_every_scheme_are_the_same_spans_and_the_scheme_is_said(scheme):
    table = table_of({"tokens": TOKENS, "ner_tags": TAGGED[scheme].split()})
    roles = words.assign(table, None, None, None)
    row = words.read(table, 0, roles, None, True)
    assert (row.label, row.mended) == (SPANS, ())
    assert words.scheme_of(roles, None) == scheme
    assert roles.notes == (f"text column: tokens; label column: ner_tags ({scheme} tags)",)


@pytest.mark.parametrize(
    "entities",
    [
        [{"start": 0, "end": 7, "label": "person"}, {"start": 9, "end": 12, "type": "person"}, [18, 26, "place"]],
        [[0, 7, "person"], [9, 12, "person"], [18, 26, "place"]],
        [[18, 26, "place"], [9, 12, "person"], [0, 7, "person"]],
    ],
)
def test_spans_of_characters_become_spans_of_words(entities):
    row = read_first({"text": TEXT, "entities": entities})
    assert words.pieces(row) == ["Ann", "Lee", ",", "Kim", "left", "New", "York", "today", "."]
    assert row.label == ((0, 2, "person"), (3, 4, "person"), (5, 7, "place"))
    assert row.text == (TEXT,)
    assert row.mended == ()


def test_numbered_tags_have_the_names_that_were_given():
    row = read_first({"tokens": TOKENS, "tags": [1, 2, 1, 0, 3, 4, 0]}, names=NAMES)
    assert row.label == SPANS


def test_an_empty_first_row_does_not_hide_that_tags_are_numbers():
    table = table_of({"tokens": [], "tags": []}, {"tokens": TOKENS, "tags": [1, 2, 1, 0, 3, 4, 0]})
    roles = words.assign(table, ["tokens"], ["tags"], None)
    assert roles.form == words.NUMBERED
    assert words.read(table, 0, roles, NAMES, True) == "column 'tokens' is empty"
    assert words.read(table, 1, roles, NAMES, True).label == SPANS


def test_plain_tags_are_a_span_a_word():
    row = read_first({"words": ["the", "door"], "pos": ["DT", "NN"]})
    assert row.label == ((0, 1, "DT"), (1, 2, "NN"))


def test_the_text_of_tokens_is_the_tokens_joined_and_each_stands_where_it_is_said():
    row = read_first({"tokens": ["naïve", "日本", "🙂", "x y"], "tags": ["O", "B-a", "O", "O"]})
    assert row.text == ("naïve 日本 🙂 x y",)
    assert words.pieces(row) == ["naïve", "日本", "🙂", "x y"]


def test_a_row_without_words_is_unusable_with_the_reason():
    for tokens in ([], None):
        rows = {"tokens": tokens, "tags": []}, {"tokens": ["a"], "tags": ["O"]}
        assert read_first(*rows) == "column 'tokens' is empty"
    for text in ("", " \n", "\u200b\u200d"):
        rows = {"text": text, "entities": []}, {"text": "Ann", "entities": [[0, 3, "person"]]}
        assert read_first(*rows, text=["text"], label=["entities"]) == "column 'text' is empty"


def test_another_file_may_write_the_same_in_another_form():
    roles = words.assign(table_of({"tokens": TOKENS, "tags": TAGGED["IOB2"].split()}), None, None, None)
    other = table_of({"words": TOKENS, "ner": TAGGED["BIOES"].split()})
    own = words.match(other, roles, labelled=True)
    assert words.read(other, 0, own, None, True).label == SPANS
    assert own.notes == ("made.jsonl: text column: words; label column: ner",)
    texts = table_of({"message": TEXT})
    assert words.read(texts, 0, words.match(texts, roles, labelled=False), None, False).text == (TEXT,)


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("don't stop", ["don", "'", "t", "stop"]),
        ("東京へ行く", ["東", "京", "へ", "行", "く"]),
        ("Zoe\u0308 ko\u0308mmt", ["Zoe\u0308", "ko\u0308mmt"]),  # combining marks belong to their letter
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("ไทย", ["ไ", "ท", "ย"]),
        ("한국어 말", ["한국어", "말"]),
        ("مرحبا بكم", ["مرحبا", "بكم"]),
        ("ok🙂👍🏽", ["ok", "🙂", "👍", "🏽"]),
        ("a\u200bb\u00adc", ["a", "b", "c"]),  # format characters are seen by nobody
        ("IL-2 x²", ["IL", "-", "2", "x²"]),
        ("a\u00a0b\t\u3000c\r\n", ["a", "b", "c"]),
        ("", []),
    ],
)
def test_the_words_of_odd_texts(text, found):
    assert [text[start:end] for start, end in words.split(text)] == found


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.text(max_size=40))
def test_words_are_in_order_and_nothing_that_is_seen_is_lost(text):
    found = words.split(text)
    assert all(start < end for start, end in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    between = set(range(len(text))) - {place for start, end in found for place in range(start, end)}
    assert all(text[place].isspace() or unicodedata.category(text[place]) in ("Cc", "Cf") for place in between)


# --- what is put right ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "mended"),
    [
        ([0, 7, "person"], ()),
        ([0, 8, "person"], ()),  # a blank too much is no other word
        ([1, 7, "person"], (words.WIDENED,)),
        ([0, 5, "person"], (words.WIDENED,)),
    ],
)
def test_spans_are_widened_to_whole_words_and_this_is_counted(entity, mended):
    row = read_first({"text": "Ann Lee left", "entities": [entity]})
    assert (row.label, row.mended) == (((0, 2, "person"),), mended)


@pytest.mark.parametrize(
    ("entities", "kept"),
    [
        ([[0, 3, "person"], [0, 7, "person"]], ((0, 2, "person"),)),  # nested: the longer
        ([[4, 12, "b"], [0, 7, "a"]], ((1, 3, "b"),)),  # crossed: the longer
        ([[0, 2, "a"], [2, 7, "b"]], ((0, 2, "b"),)),  # they meet in a word
        ([[0, 7, "a"], [0, 7, "b"]], ((0, 2, "a"),)),  # alike: the first
    ],
)
def test_of_spans_that_meet_the_longer_is_kept_and_this_is_counted(entities, kept):
    row = read_first({"text": "Ann Lee left", "entities": entities})
    assert row.label == kept
    assert words.NESTED in row.mended


def test_tags_out_of_scheme_are_read_and_counted():
    good = {"tokens": TOKENS, "tags": TAGGED["IOB2"].split()}
    row = read_first({"tokens": ["a", "b", "c"], "tags": ["O", "I-person", "I-person"]}, good, good)
    assert (row.label, row.mended) == (((1, 3, "person"),), (words.MENDED,))


# --- errors ---------------------------------------------------------------------------------------------------------

GOOD = {"text": "Ann Lee", "entities": [[0, 3, "person"]]}
FAULTY = {
    "too few tags": ({"tokens": ["a", "b"], "tags": ["O"]}, r"column 'tags' has 1 tags for 2 tokens; give each token"),
    "no tags": ({"tokens": ["a", "b"], "tags": None}, r"column 'tags' has no tags for 2 tokens"),
    "a tag of no scheme": ({"tokens": ["a"], "tags": ["person"]}, r"column 'tags': 'person' is no tag of a scheme"),
    "beyond the text": ({"text": "Ann", "entities": [[0, 9, "x"]]}, r"'entities': \[0, 9, 'x'\] is no stretch .* of 3"),
    "backwards": ({"text": "Ann", "entities": [[2, 1, "x"]]}, r"column 'entities': \[2, 1, 'x'\] is no stretch"),
    "no type": ({"text": "Ann", "entities": [{"start": 0, "end": 3}]}, r"column 'entities' holds \{.*\} as a span"),
    "no numbers": ({"text": "Ann", "entities": [["0", "3", "x"]]}, r"holds \['0', '3', 'x'\] as a span; write"),
    "true is no number": ({"text": "Ann", "entities": [[True, 3, "x"]]}, r"as a span; write \{\"start\": 0"),
    "between words": ({"text": "Ann  Lee", "entities": [[3, 5, "x"]]}, r"the x at 3 to 5 holds no word; mark some"),
}


@pytest.mark.parametrize(("row", "says"), FAULTY.values(), ids=FAULTY)
def test_a_row_in_wrong_form_is_told_with_row_column_and_remedy(row, says):
    tagged = {"tokens": TOKENS, "tags": TAGGED["IOB2"].split()}
    table = table_of(GOOD if "text" in row else tagged, row)
    roles = words.assign(table, None, None, None)
    with pytest.raises(DataError, match=says) as caught:
        words.read(table, 1, roles, None, True)
    assert str(caught.value).startswith("made.jsonl, row 2: ")


@pytest.mark.parametrize("number", [5, -1])
def test_a_number_without_a_name_is_told(number):
    says = rf"made.jsonl, row 1: column 'tags': there is no label {number}; data.label_names has 5 names"
    with pytest.raises(DataError, match=says):
        read_first({"tokens": ["a"], "tags": [number]}, names=NAMES)


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"text": ["token"]}, r"there is no column 'token' \(did you mean 'tokens'"),
        ({"text": ["tokens", "tags"]}, r"data.text: one column is read; name one, not 2"),
        ({"delimiter": ","}, r"data.label_delimiter: tags are not joined; leave it out"),
        ({"label": ["id"]}, r"column 'id' holds 7, not tags or spans; write a list of tags per row"),
    ],
)
def test_columns_that_do_not_fit_are_told(settings_, says):
    table = table_of({"tokens": TOKENS, "tags": TAGGED["IOB2"].split(), "id": 7})
    chosen = {"text": None, "label": None, "delimiter": None} | settings_
    with pytest.raises(DataError, match=says):
        words.assign(table, **chosen)


def test_a_table_without_words_is_told_with_its_columns():
    with pytest.raises(DataError, match=r"no column of tokens and tags, .* there are 'a', 'b'; name them"):
        words.assign(table_of({"a": "x", "b": "y"}), None, None, None)
