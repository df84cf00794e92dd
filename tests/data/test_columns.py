"""Which column is the text and which the label."""

from __future__ import annotations

import datetime

import pytest

from tunewright.data.columns import Roles, assign, reassign
from tunewright.data.table import Table
from tunewright.errors import DataError


def table(rows: list[dict], source: str = "inbox.csv") -> Table:
    return Table(source, list(rows[0]), rows, list(range(2, len(rows) + 2)), "")


def inferred(rows: list[dict], **named) -> Roles:
    return assign(table(rows), named.get("text"), named.get("label"), named.get("delimiter"))


PARCELS = [
    {
        "id": f"PD-{n}",
        "received": f"2026-01-{n + 1:02}",
        "message": f"parcel {n} is late",
        "topic": "ab"[n % 2],
        "tags": "",
    }
    for n in range(28)
]


def test_the_columns_of_an_inbox_are_found_and_said():
    roles = inferred(PARCELS)
    assert (roles.text, roles.label) == (("message",), ("topic",))
    assert roles.notes == (
        "text column: message (by its name)",
        "label column: topic (by its name; also possible: tags (--label))",
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [("sentence1", "sentence2"), ("Text1", "Text2")],
)
def test_known_pairs_of_text_columns_are_found(first, second):
    roles = inferred([{"label": "x", second: "b", first: "a"}, {"label": "y", second: "d", first: "c"}])
    assert roles.text == (first, second)


def test_names_are_known_in_any_case():
    roles = inferred([{"Sentiment": "pos", "Review": "good"}, {"Sentiment": "neg", "Review": "bad"}])
    assert (roles.text, roles.label) == (("Review",), ("Sentiment",))


def test_without_known_names_the_longest_is_text_and_the_one_of_fewest_values_is_the_label():
    rows = [
        {"a": n, "b": "pos" if n % 3 else "neg", "c": f"some words {n}", "d": "same", "e": n % 7} for n in range(40)
    ]
    roles = inferred(rows)
    assert (roles.text, roles.label) == (("c",), ("b",))
    assert "the longest texts" in roles.notes[0]
    assert "the fewest distinct values" in roles.notes[1]


def test_headerless_goemotions_is_understood():
    rows = [
        {"column_1": f"I am happy about number {n}", "column_2": ("27", "4,27", "3")[n % 3], "column_3": f"ee{n:04}"}
        for n in range(30)
    ]
    roles = inferred(rows)
    assert (roles.text, roles.label, roles.delimiter) == (("column_1",), ("column_2",), ",")
    assert "column_2 joins numbers with a comma" in roles.notes[-1]


@pytest.mark.parametrize("cells", [["1,5", "a"], ["1", "2"], ["x,y", "z"]])
def test_only_numbers_joined_by_commas_are_several_labels(cells):
    rows = [{"text": f"t {n}", "label": cell} for n, cell in enumerate(cells)]
    assert inferred(rows).delimiter is None


def test_a_named_column_is_not_taken_for_the_other_role():
    rows = [{"text": f"{'ab'[n % 2]}", "note": f"a longer remark {n}"} for n in range(30)]
    roles = inferred(rows, label=["text"])
    assert (roles.text, roles.label) == (("note",), ("text",))


def test_a_column_of_lists_or_objects_is_no_text():
    rows = [{"meta": {"k": "a long value of an object"}, "words": ["a", "long", "list"], "msg": "hi", "label": "x"}] * 2
    assert inferred(rows).text == ("msg",)


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, b"bytes"])
def test_a_text_cell_that_is_no_text_is_refused_with_its_row(value):  # D10
    rows = [{"text": "fine", "label": "x"}, {"text": value, "label": "y"}]
    with pytest.raises(DataError, match=r"inbox.csv, row 3: column 'text' holds .*, not a text; write a text"):
        inferred(rows)


@pytest.mark.parametrize("value", [3, 2.5, True, datetime.date(2026, 1, 1), None])
def test_a_text_cell_may_be_a_number_or_a_date(value):
    assert inferred([{"text": value, "label": "x"}, {"text": "b", "label": "y"}]).text == ("text",)


@pytest.mark.parametrize("role", ["text", "label"])
def test_a_named_column_that_is_missing_gets_a_suggestion(role):  # D10 C3
    setting = rf"data\.{role}"
    with pytest.raises(
        DataError, match=rf"there is no column 'mesage' \(did you mean 'message'\?\); set {setting} to one"
    ):
        inferred(PARCELS, **{role: ["mesage"]})


def test_no_possible_label_names_the_columns():
    rows = [{"text": f"t {n}", "same": "x", "id": n} for n in range(30)]
    with pytest.raises(DataError, match=r"no column can be the label; the columns are 'text', 'same', 'id'; name it"):
        inferred(rows)


def test_no_possible_text_is_an_error():
    with pytest.raises(DataError, match="no column can be the text"):
        inferred([{"label": "x", "words": ["a"]}, {"label": "y", "words": ["b"]}], label=["label"])


@pytest.mark.parametrize("named", [{"text": ["message"], "label": ["message"]}, {"label": ["topic", "topic"]}])
def test_a_column_with_two_roles_is_refused(named):
    with pytest.raises(DataError, match=r"column '(message|topic)' is named twice; give each column one role"):
        inferred(PARCELS, **named)


def test_a_delimiter_for_several_label_columns_is_refused():
    with pytest.raises(DataError, match=r"label_delimiter is ',', but data.label names 2 columns"):
        inferred(PARCELS, label=["topic", "tags"], delimiter=",")


def test_a_delimiter_that_joins_nothing_is_said():
    assert "no cell of 'topic' contains '|'" in inferred(PARCELS, label=["topic"], delimiter="|").notes[-1]
    joined = [{**row, "tags": "a|b"} for row in PARCELS]
    assert not any("no cell" in note for note in inferred(joined, label=["tags"], delimiter="|").notes)


def test_the_same_columns_are_reassigned_silently():
    roles = Roles(("message",), ("topic",), None, ("old",))
    assert reassign(table(PARCELS), roles) == Roles(("message",), ("topic",))


def test_a_text_column_of_another_name_is_found_and_said():  # as in SST-2: sentence in train, content in dev
    dev = table([{"label": "0", "content": "a gob of drivel"}, {"label": "1", "content": "no"}], "dev.tsv")
    roles = reassign(dev, Roles(("sentence",), ("label",)))
    assert (roles.text, roles.label) == (("content",), ("label",))
    assert roles.notes == ("dev.tsv: no column 'sentence'; used 'content' as text and 'label' as label",)


def test_a_label_column_of_another_name_is_found_when_the_text_is_known():
    dev = table([{"text": f"t {n}", "gold": "ab"[n % 2], "id": n} for n in range(6)])
    assert reassign(dev, Roles(("text",), ("label",))).label == ("gold",)


def test_an_id_is_never_taken_for_a_missing_text():  # D10
    dev = table([{"id": f"PD-{n}", "label": "ab"[n % 2]} for n in range(6)], "dev.csv")
    with pytest.raises(DataError, match=r"dev.csv: there is no column 'text'.*'id', 'label'"):
        reassign(dev, Roles(("text",), ("label",)))


@pytest.mark.parametrize(
    "rows", [[{"text": "a"}, {"text": "b"}], [{"body": "a b c", "gold": "x"}, {"body": "c d", "gold": "y"}]]
)
def test_a_missing_label_is_an_error_where_it_can_not_be_told(rows):  # D10
    with pytest.raises(DataError, match="there is no column 'label'"):
        reassign(table(rows), Roles(("text",), ("label",)))


def test_pairs_and_label_columns_must_be_there():  # D10
    rows = [{"sentence1": "a b", "other": "c d", "label": "x"}, {"sentence1": "e", "other": "f", "label": "y"}]
    with pytest.raises(DataError, match="there is no column 'sentence2'"):
        reassign(table(rows), Roles(("sentence1", "sentence2"), ("label",)))


def test_prediction_needs_no_label():
    rows = table([{"body": "where is my parcel"}, {"body": "late again"}])
    assert reassign(rows, Roles(("text",), ("label",)), labelled=False).text == ("body",)
    assert reassign(table([{"text": "a"}]), Roles(("text",), ("label",)), labelled=False).text == ("text",)
