"""Texts to token ids: as the tokenizer itself would, or in windows that lose nothing."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import WORDS, make_tokenizer
from tunewright.data.tokens import TextEncoder, pad
from tunewright.errors import ConfigError

TOKENIZER = make_tokenizer()
PAIRED = make_tokenizer()
PAIRED.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)


def encode(text, max_length, *more, tokenizer=TOKENIZER, **how):
    return TextEncoder(tokenizer, max_length, **how)([(text, *more)])[0]


def inner(window: list[int]) -> list[int]:
    assert (window[0], window[-1]) == (2, 3)
    return window[1:-1]


@settings(deadline=None, derandomize=True, max_examples=25)
@given(TEXTS, st.integers(4, 40))
def test_the_head_is_what_the_tokenizer_truncates_to(text, max_length):
    found = encode(text, max_length)
    assert found.windows == [TOKENIZER(text, truncation=True, max_length=max_length)["input_ids"]]
    assert found.truncated == len(TOKENIZER(text)["input_ids"]) - len(found.windows[0])


@settings(deadline=None, derandomize=True, max_examples=25)
@given(TEXTS, st.integers(4, 40))
def test_head_and_tail_keep_a_quarter_and_three(text, max_length):
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    found = encode(text, max_length, long_text="head_tail")
    kept = inner(found.windows[0])
    room = max_length - 2
    if len(ids) <= room:
        assert (kept, found.truncated) == (ids, 0)
    else:
        assert kept == ids[: room // 4] + ids[-(room - room // 4) :]
        assert found.truncated == len(ids) - room


@settings(deadline=None, derandomize=True, max_examples=25)
@given(TEXTS, st.integers(4, 40), st.data())
def test_windows_cover_every_token_and_overlap(text, max_length, data):
    overlap = data.draw(st.integers(0, max_length - 3))
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    found = encode(text, max_length, long_text="windows", overlap=overlap)
    parts = [inner(window) for window in found.windows]
    joined = parts[0]
    for before, part in pairwise(parts):
        assert before[len(before) - overlap :] == part[:overlap]
        assert len(part) > overlap  # no window without a new token
        joined = joined + part[overlap:]
    assert joined == ids
    assert all(len(window) <= max_length for window in found.windows)
    assert found.truncated == 0


@settings(deadline=None, derandomize=True, max_examples=25)
@given(TEXTS, TEXTS, st.integers(5, 40))
def test_pairs_are_cut_as_the_tokenizer_does(first, second, max_length):
    found = encode(first, max_length, second, tokenizer=PAIRED)
    whole = PAIRED([first], [second])  # lists: transformers takes a lone "" for no second text
    cut = PAIRED([first], [second], truncation="longest_first", max_length=max_length)
    assert found.windows == cut["input_ids"]
    assert found.types == cut["token_type_ids"]
    assert set(found.types[0]) == {0, 1}
    assert found.truncated == len(whole["input_ids"][0]) - len(cut["input_ids"][0])


def test_special_tokens_are_the_tokenizers_own():
    from tokenizers import processors

    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] [CLS] $A [SEP] [UNK]", special_tokens=[("[CLS]", 2), ("[SEP]", 3), ("[UNK]", 1)]
    )
    assert encode("red", 10, tokenizer=tokenizer).windows == [tokenizer("red")["input_ids"]]
    two = TOKENIZER("red blue", add_special_tokens=False)["input_ids"]
    assert encode("red blue green", 6, tokenizer=tokenizer).windows == [[2, 2, *two, 3, 1]]


@pytest.mark.parametrize("how", [{"max_length": 2}, {"max_length": 10, "long_text": "windows", "overlap": 8}])
def test_no_room_for_text_is_refused(how):
    with pytest.raises(ConfigError, match=r"data.max_length: \d+ tokens leave no room"):
        TextEncoder(TOKENIZER, **how)


def test_pairs_need_room_for_both_and_are_cut_at_the_end():
    with pytest.raises(ConfigError, match=r"data.max_length: 4 tokens leave no room for pairs"):
        encode("red", 4, "blue")
    with pytest.raises(ConfigError, match=r"task.long_text"):
        encode("red", 20, "blue", long_text="windows", overlap=2)


def features(*windows: list[list[int]], types=None):
    return [SimpleNamespace(windows=item, types=types and types[place]) for place, item in enumerate(windows)]


def test_padding_is_on_the_right_and_masked():
    inputs, owners = pad(features([[2, 5, 3]], [[2, 5, 6, 7, 3]]), TOKENIZER)
    assert inputs["input_ids"].tolist() == [[2, 5, 3, 0, 0], [2, 5, 6, 7, 3]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert owners is None


def test_windows_know_their_row():
    inputs, owners = pad(features([[2, 5, 3]], [[2, 6, 3], [2, 7, 3]]), TOKENIZER)
    assert inputs["input_ids"].tolist() == [[2, 5, 3], [2, 6, 3], [2, 7, 3]]
    assert owners.tolist() == [0, 1, 1]


def test_token_types_are_padded_too():
    inputs, _ = pad(features([[2, 5, 3, 6, 3]], [[2, 3, 3]], types=[[[0, 0, 0, 1, 1]], [[0, 0, 1]]]), TOKENIZER)
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1], [0, 0, 1, 0, 0]]
