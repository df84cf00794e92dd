"""Label cells to label names."""

from __future__ import annotations

import pytest

from tunewright.data import labels
from tunewright.data.columns import Roles
from tunewright.data.table import Table
from tunewright.errors import DataError

NAMES = ("joy", "anger", "fear")


def single(value, names=None):
    return labels.single(Table("a.csv", ["label"], [{"label": value}], [7], ""), 0, "label", names)


def several(value, delimiter=None, names=None):
    made = Table("a.csv", ["label"], [{"label": value}], [7], "")
    return labels.several(made, 0, Roles(("text",), ("label",), delimiter), names)


def columns(**cells):
    return labels.several(Table("a.csv", list(cells), [cells], [7], ""), 0, Roles(("text",), tuple(cells)), None)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("spam", "spam"),
        (" spam ", "spam"),
        (3, "3"),
        (3.0, "3"),
        (2.5, "2.5"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
    ],
)
def test_one_label_may_be_text_a_number_or_a_truth_value(value, label):
    assert single(value) == label


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_an_empty_cell_is_no_label(value):
    assert single(value) is None


@pytest.mark.parametrize(
    ("value", "delimiter", "found"),
    [
        (["a", "b"], None, ("a", "b")),
        ([], None, ()),
        ([3, 4.0, True], None, ("3", "4", "true")),
        ("a|b", "|", ("a", "b")),
        (" a | b |", "|", ("a", "b")),
        ("a, b, a", ",", ("a", "b")),
        ("", "|", ()),
        ("alone", None, ("alone",)),
        (5, ",", ("5",)),
        (None, ",", None),
        (float("nan"), ",", None),
        (["a|b"], "|", ("a|b",)),
    ],
)
def test_several_labels_may_be_a_list_or_joined(value, delimiter, found):
    assert several(value, delimiter) == found


@pytest.mark.parametrize(
    ("yes", "no"), [(1, 0), ("1", "0"), (True, False), ("Yes", "No"), (1.0, 0.0), ("1.0", ""), ("true", None)]
)
def test_one_column_a_label(yes, no):
    assert columns(toxic=yes, rude=no, threat=yes) == ("toxic", "threat")


@pytest.mark.parametrize("value", [2, "maybe", "-1"])
def test_a_label_column_with_another_value_is_refused(value):  # D10
    with pytest.raises(DataError, match=r"a.csv, row 7: column 'rude' holds '.*'; write 1 or 0"):
        columns(toxic=1, rude=value)


@pytest.mark.parametrize("value", [{"a": 1}, ["a"], b"a"])
def test_a_single_label_that_is_no_value_is_refused(value):  # D10
    remedy = "task.multi_label" if isinstance(value, list) else "write each label as text"
    with pytest.raises(DataError, match=rf"a.csv, row 7: column 'label' holds .* as a label; .*{remedy}"):
        single(value)


@pytest.mark.parametrize("value", [{"a": 1}, ["a", None], [["a"]], [{"a": 1}]])
def test_a_list_of_labels_holds_values_only(value):  # D10
    with pytest.raises(DataError, match=r"a.csv, row 7: column 'label' holds .* as a label"):
        several(value, ",")


@pytest.mark.parametrize(
    ("value", "label"), [(0, "joy"), ("2", "fear"), (1.0, "anger"), ("1.0", "anger"), ("joy", "joy")]
)
def test_numbers_become_the_names_of_the_file(value, label):
    assert single(value, NAMES) == label
    assert several([value], None, NAMES) == (label,)


@pytest.mark.parametrize("value", ["3", "-1", "sad", "9" * 5000, "1.5"])
def test_a_number_without_a_name_is_refused(value):  # D10
    with pytest.raises(
        DataError, match=r"a.csv, row 7: column 'label': there is no label .*has 3 names, numbered from 0"
    ):
        single(value, NAMES)


def test_names_are_read_a_line_each(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffjoy\r\n very angry\nFurcht ä\n\n\n".encode())
    assert labels.read_names(str(path)) == ("joy", "very angry", "Furcht ä")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"joy\nanger\njoy\n", "row 3: 'joy' is there twice"),
        (b"joy\n\nanger\n", "row 2: has no name"),
        (b"\n\n", "holds no names"),
        (b"joy\nf\xfcrchten\n", "line 2: byte 0xfc is not UTF-8"),
    ],
)
def test_unusable_names_are_refused_with_their_row(tmp_path, raw, message):  # D10
    path = tmp_path / "labels.txt"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message):
        labels.read_names(str(path))


@pytest.mark.parametrize("name", ["nowhere.txt", "x" * 5000])
def test_missing_names_are_refused(name):  # D10
    with pytest.raises(DataError, match=r"there is no such file|cannot be read"):
        labels.read_names(name)
