"""Truth of labels: whatever a technique does to a text, every entity and every answer still reads as it did."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.desks import table_of
from tunewright.component import members
from tunewright.data import questions, tagging, words
from tunewright.data.augment import slots
from tunewright.data.augment.base import Aids, Augmenter, Edit, Editing, Passage, applied, relocated
from tunewright.data.columns import Roles
from tunewright.errors import DataError
from tunewright.tasks.question_answering import QuestionAnswering
from tunewright.tasks.token_classification import TokenClassification

EDITING = sorted(kind for kind, member in members(Augmenter).items() if issubclass(member, Editing))
PIECES = ["parcel", "Order", "the", "a", "broken", "not", "their", "don't", "E-mail", "Bogotá", "e\u0301", "n\u0303o",
          "Straße", "İstanbul", "ΟΔΟΣ", "京", "都東", "พัสดุ", "12", "LP-17", "4.90", "😭", "\u200d", "\u200b", "\u00ad",
          ".", ",", "!", "?", "'", "’", "-", "(", "\t", "\n", "\u00a0", "x", "I", "ẞ", "ŉ", "receive"]  # fmt: skip
CHARACTERS = st.characters(exclude_categories=("Cs",))
TEXTS = st.lists(st.sampled_from([*PIECES, " ", " ", " "]) | CHARACTERS, max_size=25).map("".join)
SEEDS = st.integers(0, 2**16)
KINDS = st.sampled_from(EDITING)
TABLE = dict.fromkeys(("parcel", "order", "broken", "receive", "straße"), ("thing", "an item", "Übel"))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
MANY = settings(max_examples=60, deadline=None, suppress_health_check=SLOW)


class Anything:
    """A masked model that expects the same words everywhere."""

    def __call__(self, text: str, places: Any, count: int) -> list[list[tuple[str, float]]]:
        return [[("something", 0.6), ("else", 0.4)] for _ in places]


@cache
def technique(kind: str) -> Editing:
    """At full strength: more changes, more to go wrong."""
    return members(Augmenter)[kind](kind=kind, share=1.0)  # type: ignore[return-value]


def edited(kind: str, found: list[slots.Slot], record: dict[str, Any], seed: int) -> dict[str, Any]:
    """The record after one technique changed all of its texts."""
    made, draw = dict(record), random.Random(seed)
    for slot in found:
        edits = technique(kind).edits(slot.passage, draw, Aids(synonyms=TABLE, fill=Anything()))
        assert slot.put(made, applied(slot.passage, edits))
    return made


@st.composite
def spanned(draw: Any) -> tuple[str, list[tuple[int, int]]]:
    """A text and stretches of it: overlapping, nested, adjoining, the same twice, with blanks at their edges."""
    text = draw(TEXTS)
    places = st.integers(0, len(text))
    pairs = draw(st.lists(st.tuples(places, places), max_size=5))
    return text, [(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]]


# --- entities -------------------------------------------------------------------------------------------------------


@MANY
@given(KINDS, spanned(), SEEDS, st.booleans())
def test_every_entity_of_a_text_still_decodes(kind, given_, seed, as_lists):
    text, spans = given_
    kinds = [f"type{place}" for place in range(len(spans))]
    cell = [[*span, name] if as_lists else {"start": span[0], "end": span[1], "type": name, "note": 7}
            for span, name in zip(spans, kinds, strict=True)]  # fmt: skip
    record = {"text": text, "entities": cell}
    made = edited(kind, [slots.of_spans(record, "text", "entities")], record, seed)
    for old, new in zip(cell, made["entities"], strict=True):
        start, end, name = (new["start"], new["end"], new["type"]) if isinstance(new, dict) else new
        first, last, wanted = (old["start"], old["end"], old["type"]) if isinstance(old, dict) else old
        assert made["text"][start:end] == text[first:last]
        assert name == wanted
    assert [read_entities(record)] == [read_entities(made)]


def read_entities(record: dict[str, Any]) -> list[tuple[str, str]] | None:
    """What the task makes of a record: entities of whole words; None where it refuses it."""
    try:
        row = words.read(table_of([record]), 0, Roles(("text",), ("entities",), form=words.AS_SPANS), None, True)
    except DataError:
        return None
    return None if isinstance(row, str) else entities_of(row)


def entities_of(row: Any) -> list[tuple[str, str]]:
    edges = [(row.words[first][0], row.words[last - 1][1], kind) for first, last, kind in row.label]
    return [(row.text[0][start:end], kind) for start, end, kind in edges]


@st.composite
def tagged(draw: Any) -> tuple[list[str], list[tuple[int, int, str]]]:
    """Tokens (also empty ones) and entities, some of them side by side."""
    token = st.sampled_from([*PIECES, "", "a b"]).filter(lambda token: token == token.strip())
    tokens = draw(st.lists(token | TEXTS.map(str.strip), max_size=12))
    spans, place = [], 0
    while place < len(tokens):
        length = draw(st.integers(0, min(3, len(tokens) - place)))
        if length:
            spans.append((place, place + length, draw(st.sampled_from(["place", "person"]))))
        place += max(length, 1)
    return tokens, spans


@MANY
@given(KINDS, st.sampled_from(["IOB2", "BIOES"]), tagged(), SEEDS)
def test_every_entity_of_tokens_still_decodes(kind, scheme, given_, seed):
    tokens, spans = given_
    tags = tagging.tags_of(spans, len(tokens), scheme)
    record = {"tokens": tokens, "tags": tags, "lemmas": list(range(len(tokens)))}
    roles = Roles(("tokens",), ("tags",), form=scheme)
    row = words.read(table_of([record]), 0, roles, None, True)
    assume(not isinstance(row, str))
    made = edited(kind, [slots.of_tokens(record, roles, row, None)], record, seed)
    assert len(made["tokens"]) == len(made["tags"]) == len(made["lemmas"])
    again = words.read(table_of([made]), 0, roles, None, True)
    assert entities_of(again) == entities_of(row)
    for token, place in zip(made["tokens"], made["lemmas"], strict=True):
        assert tags[place] == "O" or token == tokens[place]


def test_a_plain_tagged_row_changes_only_where_the_tag_is_o():
    record = {"tokens": ["send", "parcel", "to", "Tartu", "now", "please"], "tags": ["O", "O", "O", "place", "O", "O"]}
    roles = Roles(("tokens",), ("tags",), form="plain")
    row = words.read(table_of([record]), 0, roles, None, True)
    (slot,) = slots.slots_of(TokenClassification(), table_of([record]), 0, roles, row, None)
    made = edited("case", [slot], record, 3)
    assert made["tokens"][3] == "Tartu"
    assert made["tokens"] != record["tokens"]


# --- answers --------------------------------------------------------------------------------------------------------


def answer_cells(form: str, texts: list[str], starts: list[int]) -> Any:
    if form == "dict":
        return {"text": texts, "answer_start": starts}
    cells = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    return json.dumps(cells) if form == "json" else cells


@MANY
@given(KINDS, spanned(), TEXTS, SEEDS, st.sampled_from(["list", "dict", "json"]))
def test_every_answer_still_decodes(kind, given_, question, seed, form):
    context, spans = given_
    texts, starts = [context[start:end] for start, end in spans], [start for start, _ in spans]
    record = {"question": question, "context": context, "answers": answer_cells(form, texts, starts)}
    roles = Roles(("question", "context"), ("answers",))
    found = slots.of_question(table_of([record]), 0, roles)
    made = edited(kind, found, record, seed)
    pairs = questions.pairs(made["answers"], None, table_of([made]), 0, "answers")
    assert [text for text, _ in pairs] == texts
    for text, start in pairs:
        assert not text.strip() or made["context"].startswith(text, start)
    before, after = (QuestionAnswering().read(table_of([item]), 0, roles, None, True) for item in (record, made))
    if not isinstance(before, str) and not isinstance(after, str):
        assert [text for _, text in after.label] == [text for _, text in before.label]
        assert not after.mended


def test_an_answer_with_its_start_in_a_column_of_its_own_moves_along():
    record = {
        "question": "who?",
        "context": "the parcel was sent by Ann",
        "answer": "Ann",
        "answer_start": "23",
    }
    roles = Roles(("question", "context"), ("answer", "answer_start"))
    slot = slots.of_question(table_of([record]), 0, roles)[1]
    made = dict(record)
    assert slot.put(made, applied(slot.passage, [Edit(4, 10, "box")]))
    assert made == {**record, "context": "the box was sent by Ann", "answer_start": "20"}


def test_the_answer_of_an_impossible_question_that_is_not_there_is_left_alone():
    cell = [{"text": "a plausible one", "answer_start": 3}]
    record = {"question": "why?", "context": "the parcel was late", "answers": cell, "is_impossible": True}
    made = edited(
        "deletion", slots.of_question(table_of([record]), 0, Roles(("question", "context"), ("answers",))), record, 1
    )
    assert made["answers"] == cell


# --- edits ----------------------------------------------------------------------------------------------------------

PLACES = st.integers(0, 40)


@MANY
@given(
    spanned(), st.lists(st.tuples(PLACES, PLACES, st.sampled_from(["", "x", " ", "é", "\u0301", "xyz "])), max_size=8)
)
def test_no_edit_touches_a_span_or_an_earlier_edit(given_, wanted):
    text, spans = given_
    edits = [Edit(min(a, b), max(a, b), new) for a, b, new in wanted if max(a, b) <= len(text)]
    changed = applied(Passage(text, tuple(spans)), edits)
    for (start, end), (first, last) in zip(changed.spans, spans, strict=True):
        assert changed.text[start:end] == text[first:last]
    parts, at = [], 0
    for edit in changed.edits:
        assert edit.start >= at
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    assert "".join([*parts, text[at:]]) == changed.text


def test_of_several_edits_for_one_place_the_first_is_made():
    assert applied(Passage("a b"), [Edit(2, 3, "best"), Edit(2, 3, "other")]).text == "a best"


def test_an_edit_beside_a_span_cannot_grow_together_with_it():
    passage = Passage("in Bogotá today", ((3, 9),))
    assert applied(passage, [Edit(2, 3, ""), Edit(9, 9, "n"), Edit(9, 10, ""), Edit(3, 3, "x")]).text == passage.text
    assert applied(passage, [Edit(0, 2, "to"), Edit(10, 15, "now")]).text == "to Bogotá now"


def test_a_span_inside_of_a_word_protects_the_whole_word():
    passage = Passage("a Szegedből came", ((2, 8),))
    assert applied(passage, [Edit(9, 10, "x")]).text == passage.text


def test_empty_texts_have_nothing_to_change():
    for kind in EDITING:
        assert technique(kind).edits(Passage(""), random.Random(0), Aids(synonyms=TABLE, fill=Anything())) == []


# --- texts written anew ---------------------------------------------------------------------------------------------


def test_a_rewritten_text_is_kept_only_where_each_entity_is_there_once():
    passage = Passage("Ann waits in Tartu", ((0, 3), (13, 18)))
    found = relocated(passage, "In Tartu, Ann is waiting")
    assert [found.text[start:end] for start, end in found.spans] == ["Ann", "Tartu"]
    assert relocated(passage, "She waits in Tartu") is None
    assert relocated(passage, "Ann and Annika wait in Tartu") is None


def test_rewritten_tokens_are_tagged_in_their_scheme():
    record = {"tokens": ["Ann", "Lee", "waits", "in", "Tartu"], "tags": [1, 2, 0, 0, 3]}
    names = ["O", "B-person", "I-person", "B-place", "I-place"]
    roles = Roles(("tokens",), ("tags",), form=words.NUMBERED)
    row = words.read(table_of([record]), 0, roles, names, True)
    slot, made = slots.of_tokens(record, roles, row, names), dict(record)
    assert slot.put(made, relocated(slot.passage, "In Tartu waits Ann Lee!"))
    assert made == {"tokens": ["In", "Tartu", "waits", "Ann", "Lee", "!"], "tags": [0, 3, 0, 1, 2, 0]}
    assert not slot.put(dict(record), relocated(slot.passage, "In Tartuffe waits Ann Lee"))
