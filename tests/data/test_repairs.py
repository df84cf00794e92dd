"""Repairs put right what was asked for and nothing else; spans and answers still mark what they marked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.desks import table_of
from tunewright.data.columns import Roles
from tunewright.data.edits import TEXTS, apply, moved
from tunewright.data.repairs import LEFT_ALONE, label_key, read_corrections, repair
from tunewright.errors import ConfigError, DataError

SINGLE = Roles(("text",), ("label",))
SPANS = Roles(("text",), ("entities",), form="spans")
QUESTIONS = Roles(("question", "context"), ("answers",))
CLASSES = "sequence_classification"


def repaired(records, fixes, roles=SINGLE, task=CLASSES, **more):
    """(records, what was changed)."""
    found = repair(table_of(records), roles, task, fixes, **more)
    return list(found.records), dict(+found.changed)


MENDED = {
    "encoding": [("GrÃ¶ÃŸe itâ€™s", "Größe it’s"), ("“quotes” ﬁ ＡＢ", "“quotes” ﬁ ＡＢ")],
    "control": [("a\u200bb\x00c\x1b[31md", "abcd"), ("one\x0ctwo", "one two"), ("👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿\n", "👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿\n")],
    "html": [
        ("<p>Hello <b>you</b> &amp; me</p>", "\nHello you & me\n"),
        ("a<br/>b &lt;b&gt; &#39;x&#39;", "a\nb <b> 'x'"),
        ("a < b and c > d <name> AT&T; <ok", "a < b and c > d <name> AT&T; <ok"),
    ],
    "blanks": [("  a  b\t\u00a0c \n\n\n\n  d ", "a b c\n\n  d"), ("as it\nis", "as it\nis")],
    "personal": [("bob@example.org, order PD-4471", "<EMAIL>, order PD-4471")],
}


@pytest.mark.parametrize(("name", "old", "new"), [(name, *case) for name, cases in MENDED.items() for case in cases])
def test_each_repair_does_its_own_and_leaves_the_rest(name, old, new):
    records, changed = repaired([{"text": old, "label": "a &amp;"}, {"text": "fine", "label": "b"}], [name])
    assert [row["text"] for row in records] == [new, "fine"]
    assert changed == ({name: 1} if old != new else {})
    assert records[0]["label"] == "a &amp;"  # a label is renamed by `labels` alone


def test_repairs_are_made_in_their_own_order():
    """Entities become characters before the encoding is mended, and blanks go last."""
    record = {"text": "Gr&Atilde;&para;n<br>  &#8203; x", "label": "a"}
    (row,), _ = repaired([record], ["blanks", "control", "encoding", "html"])
    assert row["text"] == "Grön\n   x"


def test_a_repair_nobody_knows_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError, match="encoding"):
        repair(table_of([{"text": "a", "label": "b"}]), SINGLE, CLASSES, ["encodings"])


def test_spellings_of_a_label_are_merged_into_the_most_frequent():
    given = ["delivery_change", "delivery_change", "Delivery-Change", "delivery\u200b change ", "billing"]
    records, changed = repaired([{"text": "t", "label": label} for label in given], ["labels"])
    assert [row["label"] for row in records] == ["delivery_change"] * 4 + ["billing"]
    assert changed == {"labels": 2}


def test_spellings_are_merged_in_lists_joined_cells_tags_and_spans():
    joined = [{"text": "t", "label": label} for label in ("a|b", "a|b", "A|b")]
    records, _ = repaired(joined, ["labels"], Roles(("text",), ("label",), "|"))
    assert records[2]["label"] == "a|b"
    tagged = [{"tokens": ["x", "y"], "tags": ["B-Loc", "I-LOC"]}, {"tokens": ["x"], "tags": ["B-LOC"]}]
    records, _ = repaired(tagged, ["labels"], Roles(("tokens",), ("tags",), form="IOB2"), "token_classification")
    assert records[0]["tags"] == ["B-LOC", "I-LOC"]
    spans = [{"text": "Ann", "entities": [{"start": 0, "end": 3, "label": kind}]} for kind in ("PER", "PER", "per")]
    records, _ = repaired(spans, ["labels"], SPANS, "token_classification")
    assert records[2]["entities"] == [{"start": 0, "end": 3, "label": "PER"}]


@pytest.mark.parametrize(("a", "b"), [("-1", "1"), ("C++", "C"), ("a-b", "ab"), ("+", "-")])
def test_labels_that_mean_something_else_are_not_one(a, b):
    assert label_key(a) != label_key(b)


def test_duplicates_with_the_same_label_are_dropped_and_the_first_is_kept():
    rows = [("Where is it?", "x"), ("where  is IT?", "x"), ("where is it?", "y"), ("else", "x")]
    records, changed = repaired([{"text": text, "label": label} for text, label in rows], ["duplicates"])
    assert [tuple(row.values()) for row in records] == [rows[0], rows[2], rows[3]]
    assert changed == {"duplicates": 1}


# --- spans and answers ------------------------------------------------------------------------------------------------

MESSY = "SchrÃ¶dinger &amp; Co  in <b>ZÃ¼rich</b> \u200b now"


def marked(text: str, *words: str) -> list[dict]:
    return [{"start": text.index(word), "end": text.index(word) + len(word), "type": "x"} for word in words]


def test_spans_move_with_their_text():
    record = {"text": MESSY, "entities": marked(MESSY, "SchrÃ¶dinger", "ZÃ¼rich", "now")}
    (row,), changed = repaired([record], list(TEXTS), SPANS, "token_classification")
    assert row["text"] == "Schrödinger & Co in Zürich now"
    assert [row["text"][span["start"] : span["end"]] for span in row["entities"]] == ["Schrödinger", "Zürich", "now"]
    assert changed == {"html": 1, "encoding": 1, "control": 1, "blanks": 1}


def test_a_span_of_which_only_blanks_would_stay_leaves_its_row_alone():
    record = {"text": "a &nbsp; b", "entities": marked("a &nbsp; b", "&nbsp;")}
    assert repaired([record], ["html"], SPANS, "token_classification") == ([record], {LEFT_ALONE: 1})


def test_a_span_that_ends_inside_what_would_change_leaves_its_row_alone():
    record = {"text": MESSY, "entities": marked(MESSY, "amp; Co")}
    (row,), changed = repaired([record], ["html", "encoding"], SPANS, "token_classification")
    assert row["text"] == "Schrödinger &amp; Co  in <b>Zürich</b> \u200b now"
    assert changed == {LEFT_ALONE: 1, "encoding": 1}
    (span,) = row["entities"]
    assert row["text"][span["start"] : span["end"]] == "amp; Co"


PIECES = ["Ann", "&amp;", " ", "  ", "<b>", "\u200b", "bob@x.org", "ZÃ¼rich", "Ã©", "é", "x "]


@given(
    st.lists(st.sampled_from(PIECES), max_size=12), st.integers(0, 60), st.integers(1, 20), st.sampled_from(list(TEXTS))
)
@settings(max_examples=50, deadline=None)
def test_what_a_span_marks_is_what_the_repair_makes_of_it(pieces, start, length, name):
    text = "".join(pieces)
    end = min(start + length, len(text))
    edits = TEXTS[name](text)
    places = moved([(start, end)], edits) if start < end else None
    if places is None:
        return
    before = apply(text[:start], [edit for edit in edits if edit[1] <= start])
    inside = [(first - start, last - start, new) for first, last, new in edits if start <= first and last <= end]
    assert apply(text, edits).startswith(before + apply(text[start:end], inside))
    assert places == [(len(before), len(before + apply(text[start:end], inside)))]


CONTEXT = "A &amp; B met JosÃ© there"
FORMS = {
    "hugging_face": lambda text, start: {"text": [text], "answer_start": [start]},
    "squad": lambda text, start: [{"text": text, "answer_start": start}],
    "json": lambda text, start: f'{{"text": ["{text}"], "answer_start": [{start}]}}',
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_move_with_their_context_in_the_form_they_were_given(form):
    record = {"question": "who &amp; when?", "context": CONTEXT, "answers": FORMS[form]("JosÃ©", 14)}
    (row,), changed = repaired([record], ["html", "encoding"], QUESTIONS, "question_answering")
    assert row == {"question": "who & when?", "context": "A & B met José there", "answers": FORMS[form]("José", 10)}
    assert changed == {"html": 1, "encoding": 1}


def test_answers_in_columns_of_their_own_move_too():
    roles = Roles(("question", "context"), ("answer", "start"))
    record = {"question": "who?", "context": CONTEXT, "answer": "JosÃ©", "start": "14"}
    (row,), _ = repaired([record], ["html", "encoding"], roles, "question_answering")
    assert (row["answer"], row["start"]) == ("José", 10)


UNFOLLOWED = [{"text": ["amp; B"], "answer_start": [3]}, {"text": ["B"], "answer_start": [0]}, {"start": 3}, 7]


@pytest.mark.parametrize("answers", UNFOLLOWED)
def test_answers_that_cannot_be_followed_leave_their_row_alone(answers):
    record = {"question": "who?", "context": CONTEXT, "answers": answers}
    records, changed = repaired([record], ["html"], QUESTIONS, "question_answering")
    assert records == [record]
    assert changed == {LEFT_ALONE: 1}


def test_tokens_stay_as_many_as_their_tags():
    tokens = ["call", "0171", "1234567", "&amp;", "GrÃ¶n", "<b>", "\u200b"]
    record = {"tokens": tokens, "tags": ["O"] * 7}
    roles = Roles(("tokens",), ("tags",), form="IOB2")
    (row,), _ = repaired([record], list(TEXTS), roles, "token_classification")
    assert row["tokens"] == ["call", "<PHONE>", "<PHONE>", "&", "Grön", "<b>", "\u200b"]


VALUES = st.recursive(
    st.none()
    | st.integers(-3, 9)
    | st.sampled_from(["&amp; x", "Ã©", '[{"role": 3}]', '{"text": 5}', '{"start": 5}', "[x]", "[1]", "", "a|A"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "start", "end", "answer_start", "content", "role"]), inner, max_size=4
        )
    ),
    max_leaves=5,
)
TASKS = [
    (CLASSES, SINGLE), (CLASSES, Roles(("text",), ("label",), "|")), ("causal_lm", Roles(("text",), ())),
    ("token_classification", SINGLE), ("question_answering", Roles(("more", "text"), ("label",))),
]  # fmt: skip


@given(st.fixed_dictionaries({"text": VALUES, "label": VALUES, "more": VALUES}), st.sampled_from(TASKS))
@settings(max_examples=50, deadline=None)
def test_whatever_a_record_holds_is_repaired_or_left(record, task):
    records, _ = repaired([record], ["html", "encoding", "labels", "duplicates"], task[1], task[0])
    assert [set(row) for row in records] == [set(record)]


# --- dialogues and other columns --------------------------------------------------------------------------------------


def test_what_is_said_in_messages_is_repaired_and_their_roles_are_not():
    turns = [{"role": "user", "content": "a &amp; b"}, {"from": "gpt", "value": "bob@example.org"}]
    (row,), _ = repaired([{"messages": turns}], ["html", "personal"], Roles(("messages",), ()), "causal_lm")
    assert row["messages"] == [{"role": "user", "content": "a & b"}, {"from": "gpt", "value": "<EMAIL>"}]


def test_messages_written_as_json_stay_json():
    cell = '[{"role": "user", "content": "say \\"&quot;\\""}]'
    (row,), _ = repaired([{"messages": cell}], ["html"], Roles(("messages",), ()), "causal_lm")
    assert row["messages"] == '[{"role": "user", "content": "say \\"\\"\\""}]'


def test_answers_that_are_texts_are_repaired_and_labels_of_wrapped_rows_are_not():
    record = {"instruction": "a &amp; b", "output": "c &amp; d"}
    (row,), _ = repaired([record], ["html"], Roles(("instruction",), ("output",), form="instruction"), "causal_lm")
    assert row == {"instruction": "a & b", "output": "c & d"}
    record = {"text": "a &amp; b", "label": "R&amp;D"}
    (row,), _ = repaired([record], ["html"], Roles(("text",), ("label",), form="classification"), "causal_lm")
    assert row["label"] == "R&amp;D"


# --- corrections ------------------------------------------------------------------------------------------------------

INBOX = [{"text": f"text {place}", "label": label} for place, label in enumerate(["a", "b", "a"])]  # rows 2, 3, 4


def fixes(tmp_path, *lines: str, header: str = "row,given,correction"):
    path = tmp_path / "fixes.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return read_corrections(path)


def test_corrections_change_drop_and_keep(tmp_path):
    found = fixes(tmp_path, "2,a,b", "3,b,drop", "4,a,")
    assert list(found) == [2, 3]
    records, changed = repaired(INBOX, [], corrections=found)
    assert records == [INBOX[0] | {"label": "b"}, INBOX[2]]
    assert changed == {"corrected": 1, "dropped as corrected": 1}


def test_corrections_of_other_splits_are_left_out(tmp_path):
    found = fixes(tmp_path, "2,test,a,b", "3,train,b,a", header="row,split,given,correction")
    assert list(found) == [3]


def test_a_row_that_is_not_there_is_named_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"fixes\.csv, row 3: train\.csv has no row 9"):
        repair(table_of(INBOX), SINGLE, CLASSES, (), fixes(tmp_path, "2,a,b", "9,a,b"))


def test_a_file_that_changed_since_is_refused_with_its_row(tmp_path):
    with pytest.raises(DataError, match=r"train\.csv, row 3: has the label 'b', not 'a'.*changed since"):
        repair(table_of(INBOX), SINGLE, CLASSES, (), fixes(tmp_path, "3,a,b"))


TWICE = ["2,a,b", "2,a,drop"]


@pytest.mark.parametrize(
    ("lines", "said"), [(["x,a,b"], "'x' is no row's number"), (TWICE, "row 2 is corrected twice")]
)
def test_lines_that_make_no_sense_are_named(tmp_path, lines, said):
    with pytest.raises(DataError, match=said):
        fixes(tmp_path, *lines)


def test_a_new_label_is_noted_and_a_known_one_is_not(tmp_path):
    found = repair(table_of(INBOX), SINGLE, CLASSES, (), fixes(tmp_path, "2,a,c", "3,b,a"))
    assert len(found.notes) == 1
    assert "'c' is a new label" in found.notes[0]


def test_corrections_are_written_as_the_file_writes_its_labels(tmp_path):
    found = fixes(tmp_path, "2,x,y")
    listed = Roles(("text",), ("label",))
    assert repaired([{"text": "t", "label": ["x"]}], [], listed, corrections=found)[0][0]["label"] == ["y"]
    joined = Roles(("text",), ("label",), "|")
    both = fixes(tmp_path, "2,z|x,x|y")
    assert repaired([{"text": "t", "label": "x|z"}], [], joined, corrections=both)[0][0]["label"] == "x|y"
    by_comma = Roles(("text",), ("label",), ",")  # the list joins by a bar whatever the file does
    assert repaired([{"text": "t", "label": "x,z"}], [], by_comma, corrections=both)[0][0]["label"] == "x,y"
    columns, record = Roles(("text",), ("x", "y")), {"text": "t", "x": 1, "y": 0}
    assert repaired([record], [], columns, corrections=found)[0] == [{"text": "t", "x": 0, "y": 1}]
    numbers = fixes(tmp_path, "2,3,4")
    assert repaired([{"text": "t", "label": 3}], [], corrections=numbers)[0][0]["label"] == 4
    names = fixes(tmp_path, "2,no,yes")
    assert repaired([{"text": "t", "label": 0}], [], corrections=names, names=("no", "yes"))[0][0]["label"] == 1


def test_rows_of_entities_can_be_dropped_and_nothing_else(tmp_path):
    records = [{"text": "Ann", "entities": [[0, 3, "x"]]}, {"text": "Bo", "entities": [[0, 2, "x"]]}]
    kept, _ = repaired(records, [], SPANS, "token_classification", corrections=fixes(tmp_path, "2,x,drop"))
    assert kept == records[1:]
    with pytest.raises(DataError, match="only rows of sequence_classification"):
        repair(table_of(records), SPANS, "token_classification", (), fixes(tmp_path, "2,x,y"))


def test_labels_written_as_numbers_stay_numbers_when_they_are_corrected_by_their_names(tmp_path):
    names, several = ("no", "yes", "so"), Roles(("text",), ("label",), ",")
    for old, correction, roles, new in (("0", "yes", SINGLE, "1"), ("0,2", "yes|so", several, "1,2")):
        given = "|".join(names[int(part)] for part in old.split(","))
        records, _ = repaired(
            [{"text": "t", "label": old}],
            [],
            roles,
            corrections=fixes(tmp_path, f"2,{given},{correction}"),
            names=names,
        )
        assert records[0]["label"] == new
