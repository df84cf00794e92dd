"""No token and no absolute path in what a person passes on. S7"""

from __future__ import annotations

import pytest

from tunewright.report import privacy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/inbox.csv, row 118: empty", "inbox.csv, row 118: empty"),
        ("read from '/home/Ada Lovelace/my inbox.csv'", "read from 'my inbox.csv'"),
        ("file:///srv/data/x.csv", "x.csv"),
        ("out=/srv/data/x", "out=x"),
        ("runs/inbox and examples/parcel_desk/train.csv", "runs/inbox and examples/parcel_desk/train.csv"),
        ("https://example.org/a/b/c", "https://example.org/a/b/c"),
        ("either and/or both, 5 km /h", "either and/or both, 5 km /h"),
    ],
)
def test_absolute_paths_are_cut_to_their_name_and_nothing_else_is(text: str, expected: str) -> None:
    assert privacy.scrub(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "used hf_AbCdEfGhIjKlMnOp",
        "https://ada:S3cretS3cret@host/x",
        "https://host/x?token=S3cretS3cret",
        "password=S3cretS3cret",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    scrubbed = privacy.scrub(text)
    assert "S3cret" not in scrubbed
    assert "AbCdEf" not in scrubbed
    assert privacy.HIDDEN in scrubbed


def test_a_command_keeps_its_words_but_neither_paths_nor_secrets() -> None:
    command = "tunewright train '/home/ada/my inbox.csv' --token abc123 data.test=/srv/t.csv --out runs/x API_KEY=zzz"
    assert privacy.scrub_command(command) == (
        "tunewright train 'my inbox.csv' --token '[hidden]' data.test=t.csv --out runs/x 'API_KEY=[hidden]'"
    )


def test_an_unfinished_quotation_is_still_scrubbed() -> None:
    assert "/home" not in privacy.scrub_command("tunewright train 'x /home/ada/inbox.csv")


def test_nested_values_are_scrubbed_and_numbers_are_left() -> None:
    value = {"a": ["/home/ada/x.csv", 3, None, True], "hub_token": "abc", "b": {"c": 0.5}}
    assert privacy.scrub_values(value) == {"a": ["x.csv", 3, None, True], "hub_token": privacy.HIDDEN, "b": {"c": 0.5}}
