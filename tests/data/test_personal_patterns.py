"""Personal data is found by its form and checksum; what only looks like it is left alone."""

from __future__ import annotations

import pytest

from tunewright.data.checks.personal import edits_of, find
from tunewright.data.edits import apply

HELD = {
    "email": ["jane.doe+x@mail.example.co.uk", "anna@müller.de", "JANE@EXAMPLE.COM"],
    "phone": [
        *("0171 1234567", "030/123456789", "020 7946 0958", "06 12 34 56 78", "0770 452 118", "07700 900461"),
        "0655 90 21 34",
        *("+49 171 1234567", "+49 (0)171 1234567", "+4917112345678", "+263 71 555 0128", "0049 171 1234567"),
        *("(212) 555-0123", "212-555-0123", "212.555.0123", "1-800-541-6390"),
    ],
    "card": ["4111 1111 1111 1111", "4111111111111111", "5555-5555-5555-4444", "3782 822463 10005"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "BE68 5390 0754 7034"],
    "national_id": [
        *("123-45-6789", "AB 12 34 56 C", "86 095 742 719", "1 84 12 76 451 089 46"),
        *("12345678Z", "X1234567L", "529.982.247-25", "RSSMRA85T10A562S"),
    ],
    "ip_address": ["84.17.45.201", "2a02:8109:9ac0:1f3c:0:0:12:9", "2a02:8109::12:9a01"],
    "secret": [
        *("https://bob:hunter2@", "AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
        *("password: hunter2x", "-----BEGIN RSA PRIVATE KEY-----", "sk-abcdefghij0123456789"),
    ],
}


def mask(text: str) -> str:
    return apply(text, edits_of(text))


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in HELD.items() for value in values])
@pytest.mark.parametrize("around", ["{}", "it is ({}), B"])
def test_personal_data_is_found_whole_and_masked(kind, value, around):
    text = around.format(value)
    start = len(around.split("{}")[0])
    assert find(text) == [(kind, start, start + len(value))]
    assert mask(text) == around.format(f"<{kind.upper()}>")


TEMPTING = [
    *("PD-4471", "order 4471", "invoice 2024-000123", "tracking 1Z999AA10123456784", "00340434161094015902"),
    *("0034 0434 1610 9401 5902", "LP 0045 1234 56 DE", "ISBN 978-3-16-148410-0", "call about order 1234567"),
    *("2026-01-05 08:40", "01-02-2024", "01.02.2024 08:40", "12:30-13:45", "between 1990-2000 and 2010-2020"),
    *("price 1,234,567.89", "€ 1.234.567,89", "1000000 rows, 555 1234", "100 200 300", "3.14159265358979"),
    *(
        "version 1.2.3.4",
        "version 84.17.45.201",
        "84.1.2.3",
        "v10.12.13.14",
        "10.12.13.14",
        "192.168.10.11",
        "8.8.8.8",
        "00:1A:2B:3C:4D:5E",
    ),
    *("std::vector::iterator", "@someone said hi", "foo@bar", "my password is wrong", "https://example.org/a:b@c"),
]
WRONG_DIGIT = [
    *("4111 1111 1111 1112", "1234 5678 9012 3456", "DE89 3704 0044 0532 0130 01", "86 095 742 718"),
    *("1 84 12 76 451 089 47", "12345678A", "529.982.247-26", "000-12-3456", "12345678903", "BG123456C"),
]


@pytest.mark.parametrize("text", TEMPTING + WRONG_DIGIT)
def test_what_only_looks_like_personal_data_is_left_alone(text):
    assert find(text) == []
    assert mask(text) == text


def test_of_two_that_meet_the_graver_is_masked():
    assert mask("see https://bob:hunter2@example.org/x") == "see <SECRET>example.org/x"


def test_several_pieces_in_one_text_are_all_masked_and_do_not_overlap():
    text = "IBAN DE89 3704 0044 0532 0130 00, bob@example.org or 0171 1234567, again bob@example.org"
    assert mask(text) == "IBAN <IBAN>, <EMAIL> or <PHONE>, again <EMAIL>"


NASTY = ["1", "a", "a.", "@a", "a@", "a@b.co ", "0 1", "+1", "1-", "eyJ-", "eyJ", "sk-", "DE89 ", "AA "]
NASTY += ["1:", "a:a", "://a:", "1.", "(0", "pass:", "call 07700 900461, "]


def test_long_runs_of_nasty_pieces_are_read_to_their_end():
    """A pattern that tried every way to cut them would not come back."""
    for piece in NASTY:
        text = piece * (30_000 // len(piece))
        assert (text == mask(text)) == (piece not in ("a@b.co ", "call 07700 900461, "))
