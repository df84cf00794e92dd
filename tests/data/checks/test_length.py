"""Lengths are counted by the tokenizer; what a max_length cuts is told with its share."""

from __future__ import annotations

import pytest

from tests.conftest import make_tokenizer
from tests.desks import make_desk, run
from tunewright.data.checks.length import Length


@pytest.fixture(scope="module")
def tokenizer():
    made = make_tokenizer()
    made.model_max_length = 512
    return made


def rows(lengths: list[int]) -> list[dict]:
    """Texts of so many tokens, the two special ones included."""
    return [
        {"text": " ".join(["parcel"] * (length - 2)), "label": "ab"[place % 2]} for place, length in enumerate(lengths)
    ]


def test_percentiles_histogram_and_cuts_are_those_of_the_tokens(tokenizer):
    desk = make_desk(rows([10] * 90 + [80] * 10), tokenizer=tokenizer, max_length=128)
    facts = run(Length(), desk).facts["length"]["parts"]["train"]
    assert facts["percentiles"] == {"50": 10, "90": 80, "99": 80, "100": 80}
    assert sum(facts["histogram"]["counts"]) == facts["rows"] == 100
    assert len(facts["histogram"]["edges"]) == len(facts["histogram"]["counts"]) + 1
    cuts = {cut["max_length"]: (cut["rows"], cut["tokens"]) for cut in facts["cuts"]}
    assert list(cuts) == [64, 128, 256, 512]
    assert cuts[64] == (pytest.approx(0.1), pytest.approx(160 / 1700))
    assert cuts[128] == (0, 0)


def test_the_length_advised_leaves_99_percent_whole_and_is_a_multiple_of_8(tokenizer):
    notebook = run(Length(), make_desk(rows([10] * 150 + [33] * 49 + [400]), tokenizer=tokenizer, max_length=512))
    assert notebook.facts["length"]["advised"] == 40
    assert list(notebook.tallies) == ["length.advised"]


def test_no_more_is_advised_than_the_model_reads(tokenizer):
    notebook = run(Length(), make_desk(rows([10, 600] * 20), tokenizer=tokenizer, max_length=512))
    assert notebook.facts["length"]["advised"] == 512
    assert "all that the model reads" in notebook.tallies["length.advised"].shown[0].remedy


@pytest.mark.parametrize(("long", "severity"), [(2, "note"), (10, "warning")])
def test_more_than_five_percent_cut_is_a_warning(tokenizer, long, severity):
    desk = make_desk(rows([10] * (100 - long) + [80] * long), tokenizer=tokenizer, max_length=64)
    tally = run(Length(), desk).tallies["length.cut"]
    assert (tally.severity, tally.shown[0].details["rows"]) == (severity, long)
    assert tally.shown[0].message.startswith(f"{long} of 100 rows")


def test_what_is_read_in_windows_is_not_cut(tokenizer):
    records = [{"tokens": ["parcel"] * 80, "tags": ["B-x"] + ["O"] * 79}] * 20
    tally = run(Length(), make_desk(records, task="token_classification", tokenizer=tokenizer, max_length=64)).tallies
    assert tally["length.cut"].severity == "note"
    assert "windows" in tally["length.cut"].shown[0].message


def test_dialogues_count_every_turn_and_of_a_pair_the_longer_answer(tokenizer):
    turns = [{"role": "user", "content": "parcel late"}, {"role": "assistant", "content": "red box one"}]
    facts = run(Length(), make_desk([{"messages": turns}] * 2, task="causal_lm", tokenizer=tokenizer)).facts
    assert facts["length"]["parts"]["train"]["percentiles"]["100"] == 5
    pair = {"prompt": "parcel late", "chosen": "red", "rejected": "red box one two"}
    facts = run(Length(), make_desk([pair] * 2, task="preference", tokenizer=tokenizer)).facts
    assert facts["length"]["parts"]["train"]["percentiles"]["100"] == 6


def test_without_a_tokenizer_it_says_so():
    assert "tokenizer" in (Length().cannot(make_desk(rows([10] * 20))) or "")
