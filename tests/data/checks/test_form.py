"""Faults of form are found where they are planted, and not in clean texts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.desks import make_desk, run, table_of
from tunewright.data import sources
from tunewright.data.checks.form import Form, faults_of, language_of
from tunewright.data.table import Fault

CLEAN = [
    *("where is my parcel PD-4471, ordered on 2026-01-05?", "größer als 5 €, naïve “quotes” … and a — dash"),
    *("a < b and c > d, AT&T, <name>, R&D;", "👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️ thanks!", "two\nlines\tand a tab", "می‌خواهم"),
    *("שלום\u200f!", "हिन्दी क्‍ष", "ﬁne"),
]  # fmt: skip
FAULTY = {
    "mojibake": ["wo ist mein PÃ¤ckchen", "itâ€™s late", "50 â‚¬"],
    "lost_characters": ["wo ist mein P\ufffdckchen"],
    "control_characters": ["a\x00b", "a\x1b[31mred", "bell\x07"],
    "invisible_characters": ["pass\u200bword", "\ufeffhello", "a\u202egpj.exe", "soft\u00adhyphen", "no\u200djoin"],
    "html": ["<p>hello</p>", "fish &amp; chips", "a<br/>b", '<a href="x">l</a>', "&#39;tis"],
}


def rows(texts: list[str], **more) -> list[dict]:
    return [{"text": text, "label": "ab"[place % 2], **more} for place, text in enumerate(texts)]


def many(count: int = 60) -> list[str]:
    return [f"my parcel number {place} did not come today and nobody tells me why" for place in range(count)]


def rules(notebook) -> dict[str, list]:
    return {
        name.removeprefix("form."): [found.row for found in tally.shown] for name, tally in notebook.tallies.items()
    }


@pytest.mark.parametrize("text", CLEAN)
def test_clean_texts_have_no_faults(text):
    assert list(faults_of(text)) == []


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in FAULTY.items() for text in texts])
def test_a_planted_fault_is_found_with_its_row(rule, text):
    desk = make_desk(rows([*many(), f"look at this: {text}"]))
    assert rules(run(Form(), desk)) == {rule: [62]}


def test_mojibake_among_right_letters_is_told_as_two_encodings():
    texts = [*many(), *["schöne Grüße"] * 5, "schÃ¶n", "grÃ¼n"]
    found = run(Form(), make_desk(rows(texts))).tallies["form.mixed_encodings"].shown[0]
    assert found.details == {"wrong": 2, "right": 5}


def test_what_reading_stepped_over_becomes_findings():
    desk = make_desk(rows([*many(), "  "]))
    part = replace(desk.train, faults=[Fault(7, "ragged_row", "has 3 cells, not 2", "quote them", "text")])
    desk.parts = {"train": part}
    notebook = run(Form(), desk)
    assert rules(notebook) == {"ragged_row": [7], "unusable_row": [62]}
    found = notebook.tallies["form.ragged_row"].shown[0]
    assert (found.message, found.remedy, found.column) == ("has 3 cells, not 2", "quote them", "text")


@pytest.mark.parametrize("text", ["?", "...", "x"])
def test_nearly_empty_texts_are_told(text):
    assert rules(run(Form(), make_desk(rows([*many(), text]))))["near_empty"] == [62]


@pytest.mark.parametrize("text", ["ok", "好", "no"])
def test_short_texts_are_no_empty_ones(text):
    assert "near_empty" not in rules(run(Form(), make_desk(rows([*many(), text]))))


def test_numbers_among_texts_and_texts_among_numbers_are_told():
    records = rows([*many(), "4711"], price=3) + rows(["and this one is the last of all"], price="cheap")
    shown = run(Form(), make_desk(records)).tallies["form.wrong_type"].shown
    assert [(found.column, found.severity, found.details["rows"]) for found in shown] == [
        ("text", "warning", [62]), ("price", "note", [63]),
    ]  # fmt: skip


def test_columns_of_both_numbers_and_texts_are_of_no_type():
    records = [row | {"size": place if place % 2 else "large"} for place, row in enumerate(rows(many()))]
    assert "form.wrong_type" not in run(Form(), make_desk(records)).tallies


def test_columns_that_say_nothing_or_the_same_are_told():
    records = [
        row | {"copy": row["text"], "empty": "", "same": "x", "id": place} for place, row in enumerate(rows(many()))
    ]
    shown = {name: [f.column for f in tally.shown] for name, tally in run(Form(), make_desk(records)).tallies.items()}
    assert shown == {
        "form.duplicated_column": ["copy"], "form.empty_column": ["empty"], "form.constant_column": ["same"],
    }  # fmt: skip


def test_a_cell_that_swallowed_the_file_is_told():
    notebook = run(Form(), make_desk(rows([*many(), "and so on\n" * 3000])))
    assert notebook.tallies["form.long_cell"].shown[0].details == {"characters": 30_000}


TEXTS = {
    "English": "The driver said that it is not at my door, and I would like to have it",
    "German": "Das Paket ist nicht da und ich habe es auch nicht von den Nachbarn bekommen",
    "French": "Je ne sais pas où est le colis et vous ne répondez pas, merci de me dire pour quand",
    "Spanish": "No sé dónde está el paquete y no me lo han dicho, gracias por mi dinero con el que",
    "Cyrillic script": "Где моя посылка? Я жду её уже неделю",
    "CJK script": "私の荷物はどこですか。もう一週間待っています",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_language_is_told_where_its_common_words_or_its_script_say_it(name):
    assert language_of(TEXTS[name]) == name


@pytest.mark.parametrize(
    "text",
    ["parcel late", "PD-4471", "die", "was ist it", "🙂", "Internet status: online", "the and is with der die und ist"],
)
def test_no_language_is_told_where_little_says_it(text):
    assert language_of(text) is None


def test_a_second_language_is_noted_with_its_rows():
    notebook = run(Form(), make_desk(rows([TEXTS["English"]] * 30 + [TEXTS["German"]] * 4)))
    found = notebook.tallies["form.languages"].shown[0]
    assert (found.severity, found.details) == ("note", {"language": "German", "count": 4, "rows": [32, 33, 34, 35]})


def leaking(count: int, share: float) -> list[dict]:
    return [
        {"text": f"[{'ham' if place % 2 else 'spam'}] message {place}" if place < share * count else f"message {place}",
         "label": "ham" if place % 2 else "spam"}
        for place in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(("share", "severity"), [(1.0, "severe"), (0.85, "warning")])
def test_texts_that_name_their_own_label_are_a_leak(share, severity):
    notebook = run(Form(), make_desk(leaking(100, share)))
    assert notebook.tallies["form.label_in_text"].severity == severity


def test_texts_that_name_all_labels_or_a_few_their_own_are_none():
    both = [row | {"text": "spam or ham? " + row["text"]} for row in leaking(100, 1.0)]
    assert "form.label_in_text" not in run(Form(), make_desk(both)).tallies
    assert "form.label_in_text" not in run(Form(), make_desk(leaking(100, 0.5))).tallies
    assert "form.label_in_text" not in run(Form(), make_desk(leaking(10, 1.0))).tallies


def test_a_table_that_splits_share_is_looked_at_once():
    table = table_of([row | {"same": "x"} for row in rows(many())])
    notebook = run(Form(), make_desk(table, table))
    assert notebook.tallies["form.constant_column"].count == 1


def test_html_in_answers_may_be_meant():
    turns = [{"role": "user", "content": "write a link"}, {"role": "assistant", "content": "<a href='x'>x</a>"}]
    assert run(Form(), make_desk([{"messages": turns}] * 2, task="causal_lm")).tallies["form.html"].severity == "note"


@pytest.mark.real_data
def test_a_clean_english_file_has_nothing_said_of_its_form(real_data):
    notebook = run(Form(), make_desk(sources.read(str(real_data / "banking77" / "train.csv"))))
    assert not notebook.tallies
    assert set(notebook.facts["form"]["languages"]["train"]) == {"English", "rows"}
