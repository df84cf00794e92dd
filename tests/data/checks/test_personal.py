"""Personal data is counted by kind and never quoted."""

from __future__ import annotations

import io

import pytest

from tests.desks import make_desk, run
from tunewright.data import sources
from tunewright.data.checks.base import Notebook
from tunewright.data.checks.personal import Personal

ROWS = [
    {"text": "my parcel PD-4471 is late since 2026-01-05", "label": "late"},
    {"text": "write to jane@example.org or to bob@example.org", "label": "app"},
    {"text": "charged on 4111 1111 1111 1111", "label": "billing"},
]


def test_rows_with_personal_data_are_told_by_kind_and_severity():
    notebook = run(Personal(), make_desk(ROWS))
    found = {rule: [(f.row, f.details["count"]) for f in tally.shown] for rule, tally in notebook.tallies.items()}
    assert found == {"personal.email": [(3, 2)], "personal.card": [(4, 1)]}
    assert notebook.tallies["personal.email"].severity == "note"
    assert notebook.tallies["personal.card"].severity == "warning"
    assert notebook.facts["personal"] == {"train": {"email": 1, "card": 1}}


def test_a_finding_shows_the_first_character_and_the_length_alone():
    file = io.StringIO()
    Personal().run(make_desk(ROWS), Notebook(file))
    assert "e-mail address in the text: j*** (16 characters) and 1 more" in file.getvalue()
    assert "card number in the text: 4*** (19 characters)" in file.getvalue()
    assert not [secret for secret in ("jane", "example.org", "4111") if secret in file.getvalue()]


def test_answers_and_every_turn_are_read_too():
    turns = [{"role": "user", "content": "where?"}, {"role": "assistant", "content": "ask bob@example.org"}]
    assert list(run(Personal(), make_desk([{"messages": turns}] * 2, task="causal_lm")).tallies) == ["personal.email"]
    pair = {"prompt": "who?", "chosen": "me", "rejected": "call +49 171 1234567"}
    assert list(run(Personal(), make_desk([pair] * 2, task="preference")).tallies) == ["personal.phone"]


@pytest.mark.real_data
def test_questions_to_a_bank_hold_prices_and_dates_and_nothing_personal(real_data):
    assert not run(Personal(), make_desk(sources.read(str(real_data / "banking77" / "train.csv")))).tallies
