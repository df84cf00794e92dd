"""Numbers and dates as a person reads them."""

from __future__ import annotations

import pytest

from tunewright.report import words


def plain(text: str) -> str:
    return text.replace(words.NARROW, " ")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.percent(0.9333), "93.3 %"),
        (words.share(0.0066), "0.66 %"),
        (words.share(1.0), "100 %"),
        (words.count(1234567), "1 234 567"),
        (words.compact(22_713_216), "22.7 M"),
        (words.duration(3.14), "3.1 s"),
        (words.duration(59.7), "1 min 0 s"),
        (words.duration(4000), "1 h 6 min"),
        (words.memory(1234), "1.2 GB"),
        (words.memory(870.4), "870 MB"),
        (words.size(90_868_377), "90.9 MB"),
        (words.size(12_300), "12.3 kB"),
        (words.size(180), "180 bytes"),
        (words.size(None), words.NOTHING),
        (words.signed("accuracy", -0.0204), "−0.020"),
        (words.signed("bleu", 1.26), "+1.3"),
        (words.signed("accuracy", 0.0), "0.000"),
        (words.chance(0.0002), "<0.001"),
        (words.chance(0.0124), "0.012"),
        (words.chance(0.5), "0.50"),
        (words.brief(0.0523), "0.052"),
        (words.brief(1234.4), "1234"),
        (words.date("2026-11-20T21:30:00+02:00"), "20 November 2026, 19:30 UTC"),
        (words.date("yesterday"), "yesterday"),
        (words.plural(1, "row"), "1 row"),
        (words.plural(2, "class", "classes"), "2 classes"),
        (words.listing(["a", "b", "c"]), "a, b and c"),
        (words.shorten("abcdef", 4), "abc…"),
        (words.strategy_name("lora", {"r": 8}), "lora (r=8)"),
        (words.strategy_name("full", {}), "full"),
        (words.score_word("f1_macro"), "macro F1"),
        (words.score_value("num_words", 1234), "1 234"),
        (words.score_value("f1", 0.5), "0.500"),
    ],
)
def test_values_are_said_as_people_say_them(said: str, expected: str) -> None:
    assert plain(said) == expected


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "text", True])
def test_what_is_no_finite_number_is_a_dash(value: object) -> None:
    for say in (words.score, words.percent, words.count, words.duration, words.memory, words.share, words.compact):
        assert say(value) == words.NOTHING
