"""Tags are read as seqeval's strict mode and as conlleval read them; what a scheme spells, it reads."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data import tagging

EASY = settings(deadline=None, derandomize=True, max_examples=25)
IOB = ["O", "B-x", "I-x", "B-y", "I-y"]
IOBES = [*IOB, "E-x", "S-x", "E-y", "S-y"]
LETTERS = {"IOB1": IOB, "IOB2": IOB, "BIOES": IOBES}
SCHEMES = [*LETTERS, "plain"]
KINDS = ("person", "creative-work", "fromloc.city_name", "B")


def sequences(tags: list[str], longest: int) -> list[list[str]]:
    """Every sequence of 1 to `longest` tags."""
    return [list(item) for size in range(1, longest + 1) for item in itertools.product(tags, repeat=size)]


@st.composite
def sentences(draw, scheme: str) -> tuple[list[tagging.Span], int]:
    """(entities, number of words) that the scheme can spell."""
    if scheme == "plain":
        kinds = draw(st.lists(st.sampled_from(KINDS), max_size=12))
        return [(place, place + 1, kind) for place, kind in enumerate(kinds)], len(kinds)
    found, place = [], 0
    steps = st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(KINDS))
    for gap, size, kind in draw(st.lists(steps, max_size=6)):
        found.append((place + gap, place + gap + size, kind))
        place += gap + size
    return found, place + draw(st.integers(0, 2))


# --- schemes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("B-x I-x O B-y B-y", "IOB2"),
        ("B-x O", "IOB2"),
        ("O O O", "IOB2"),
        ("I-x I-x O I-y B-y", "IOB1"),
        ("I-x O I-y", "IOB1"),
        ("I-x B-x B-x O", "IOB1"),
        ("B-x I-x E-x O S-y", "BIOES"),
        ("B-x I-x L-x O U-y", "BIOES"),
        ("B-x M-x E-x O W-y", "BIOES"),
        ("B-x E-x O", "BIOES"),
        ("O S-x", "BIOES"),
        ("DT NN VBZ -LRB- PRP$", "plain"),
        ("x O y x", "plain"),
        ("b-x i-x O", "plain"),
        ("B_x I_x O", "plain"),
        ("B-fromloc.city_name I-fromloc.city_name O B-creative-work", "IOB2"),
    ],
)
def test_the_scheme_is_told_from_the_tags(tags, scheme):
    assert tagging.detect([tags.split()]) == scheme


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES"])
@pytest.mark.parametrize("fault", ["I-x", "B-x", "S-x", "E-y", "nonsense", "B-"])
def test_one_faulty_tag_does_not_change_the_scheme_of_a_file(scheme, fault):
    spelled = tagging.tags_of([(0, 1, "x"), (3, 6, "y"), (8, 10, "x"), (12, 13, "y")], 14, scheme)
    spelled[11] = fault
    assert tagging.detect([spelled, ["O"]]) == scheme


@pytest.mark.parametrize("order", ["by type", "by letter"])
@pytest.mark.parametrize("scheme", ["IOB2", "BIOES"])
def test_the_scheme_is_told_from_a_list_of_all_tags(scheme, order):
    names = list(tagging.tag_names(["x", "y", "z"], scheme))
    assert tagging.detect([sorted(names) if order == "by letter" else names]) == scheme


def test_letters_of_bilou_and_bmewo_are_those_of_bioes():
    wanted = [(0, 3, "x"), (4, 5, "x"), (5, 7, "y")]
    for letters in ("BIESBE", "BILUBL", "BMEWBE"):
        first, inside, last, single, begin, end = letters
        tags = [f"{first}-x", f"{inside}-x", f"{last}-x", "O", f"{single}-x", f"{begin}-y", f"{end}-y"]
        assert tagging.spans(tags, "BIOES") == tagging.conll_spans(tags) == wanted
        assert tagging.mended_spans(tags, "BIOES") == (wanted, 0)


@pytest.mark.parametrize("tag", ["", "B", "B-", "-x", "b-x", "o", "X-x", "B_x", " B-x", "BI-x"])
def test_what_is_no_tag_of_a_scheme_is_named(tag):
    message = f"{tag!r} is no tag"
    for read in (tagging.conll_spans, lambda tags: tagging.mended_spans(tags, "IOB2")):
        with pytest.raises(ValueError, match=message):
            read(["O", tag])


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2"])
def test_strictly_a_letter_of_another_scheme_is_refused(scheme):
    with pytest.raises(ValueError, match="'S-x' is no tag of " + scheme):
        tagging.spans(["O", "S-x"], scheme)


# --- entities -------------------------------------------------------------------------------------------------------


def seqeval_spans(tags: list[str], scheme: str) -> list[tagging.Span]:
    known = pytest.importorskip("seqeval.scheme")
    kind = {"BIOES": "IOBES"}.get(scheme, scheme)
    return [(item.start, item.end, item.tag) for item in known.Tokens(tags, getattr(known, kind)).entities]


@pytest.mark.parametrize(("scheme", "longest"), [("IOB2", 4), ("BIOES", 3)])
def test_strict_entities_of_every_short_sequence_are_seqevals(scheme, longest):
    for tags in sequences(LETTERS[scheme], longest):
        assert tagging.spans(tags, scheme) == seqeval_spans(tags, scheme), tags


@pytest.mark.parametrize("scheme", ["IOB2", "BIOES", "BILOU"])
def test_strict_entities_of_long_sequences_are_seqevals(scheme):
    generator = random.Random(0)
    letters = LETTERS.get(scheme) or [*IOB, "L-x", "U-x", "L-y", "U-y"]
    ours = "BIOES" if scheme == "BILOU" else scheme
    for _ in range(100):
        tags = generator.choices(letters, k=30)
        assert tagging.spans(tags, ours) == seqeval_spans(tags, scheme)


def test_strictly_an_ill_spelled_entity_is_none():
    assert tagging.spans(["O", "I-x", "I-x"], "IOB2") == []
    assert tagging.spans(["B-x", "I-y"], "IOB2") == [(0, 1, "x")]
    assert tagging.spans(["B-x", "I-x", "O"], "BIOES") == []


def begins_in_conlleval(before: tuple[str, str], here: tuple[str, str]) -> bool:
    """The conditions of conlleval's startOfChunk as a table of (previous letter, letter)."""
    table = {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"), ("E", "E"), ("E", "I"), ("O", "E")}
    return (before[0], here[0]) in table or (here[0] != "O" and before[1] != here[1])


def ends_in_conlleval(before: tuple[str, str], here: tuple[str, str]) -> bool:
    """Those of its endOfChunk."""
    table = {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"), ("E", "E"), ("E", "I"), ("E", "O")}
    return (before[0], here[0]) in table or (before[0] != "O" and before[1] != here[1])


def conlleval_spans(tags: list[str]) -> list[tagging.Span]:
    parsed = [("O", "") if tag == "O" else (tag[0], tag[2:]) for tag in tags]
    found, start, before = [], 0, ("O", "")
    for place, here in enumerate([*parsed, ("O", "")]):
        if ends_in_conlleval(before, here):
            found.append((start, place, before[1]))
        if begins_in_conlleval(before, here):
            start = place
        before = here
    return found


@pytest.mark.parametrize("letters", [IOB, ["O", "I-x", "E-x", "I-y", "E-y"]], ids=["IOB", "IOE"])
def test_lenient_entities_of_every_short_sequence_are_conllevals(letters):
    for tags in sequences(letters, 4):
        assert tagging.conll_spans(tags) == conlleval_spans(tags), tags


def test_lenient_entities_of_every_short_sequence_are_those_of_seqevals_default_mode():
    oracle = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
    for tags in sequences(IOBES, 3):
        wanted = [(start, last + 1, kind) for kind, start, last in oracle(tags)]
        assert tagging.conll_spans(tags) == wanted, tags


@pytest.mark.parametrize(
    ("tags", "scheme", "wrong"),
    [
        ("B-x I-x O", "IOB2", 0),
        ("I-x I-x O I-y", "IOB2", 2),
        ("I-x I-x B-x O I-y", "IOB1", 0),
        ("B-x I-x O", "IOB1", 1),
        ("B-x I-x O S-y", "BIOES", 1),
        ("B-x I-x E-x S-y", "IOB2", 2),
        ("x y", "plain", 0),
    ],
)
def test_tags_out_of_scheme_are_counted(tags, scheme, wrong):
    assert tagging.mended_spans(tags.split(), scheme)[1] == wrong


@pytest.mark.parametrize("scheme", SCHEMES)
@EASY
@given(st.data())
def test_what_is_spelled_is_read_again(scheme, data):
    entities, length = data.draw(sentences(scheme))
    tags = tagging.tags_of(entities[::-1], length, scheme)
    assert len(tags) == length
    assert tagging.spans(tags, scheme) == entities
    assert tagging.mended_spans(tags, scheme) == (entities, 0)
    assert set(tags) <= {"O", *tagging.tag_names(KINDS, scheme)}


def test_schemes_spell_as_the_papers_do():
    entities = [(0, 2, "x"), (2, 3, "x"), (3, 6, "y")]
    spelled = {scheme: " ".join(tagging.tags_of(entities, 7, scheme)) for scheme in LETTERS}
    assert spelled["IOB1"] == "I-x I-x B-x I-y I-y I-y O"
    assert spelled["IOB2"] == "B-x I-x B-x B-y I-y I-y O"
    assert spelled["BIOES"] == "B-x E-x S-x B-y I-y E-y O"
    assert tagging.tags_of([(1, 2, "NN"), (0, 1, "DT")], 2, "plain") == ["DT", "NN"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_entities_that_no_tags_can_spell_are_refused(scheme):
    with pytest.raises(ValueError, match="overlap at word 1"):
        tagging.tags_of([(1, 2, "x"), (1, 2, "y")], 4, scheme)
    for start, end in ((-1, 1), (2, 2), (3, 2), (3, 5)):
        with pytest.raises(ValueError, match=f"words {start} to {end} of 4"):
            tagging.tags_of([(start, end, "x")], 4, scheme)
    if scheme == "plain":
        with pytest.raises(ValueError, match="as plain"):
            tagging.tags_of([(0, 2, "x")], 4, scheme)


def test_names_of_tags_begin_with_o_and_keep_the_order_of_the_types():
    assert tagging.tag_names(["y", "x"], "IOB2") == ("O", "B-y", "I-y", "B-x", "I-x")
    assert tagging.tag_names(["y"], "BIOES") == ("O", "B-y", "I-y", "E-y", "S-y")
    assert tagging.tag_names(["y", "O"], "plain") == ("y", "O")


# --- legal sequences ------------------------------------------------------------------------------------------------


def is_legal(path, start, follow, end) -> bool:
    steps = all(follow[before, after] for before, after in itertools.pairwise(path))
    return bool(start[path[0]] and end[path[-1]] and steps)


@pytest.mark.parametrize(("scheme", "longest"), [("IOB2", 4), ("BIOES", 3)])
def test_a_sequence_is_legal_where_it_is_what_its_entities_are_spelled_as(scheme, longest):
    names = LETTERS[scheme]
    legal = tagging.transitions(names, scheme)
    for path in sequences(range(len(names)), longest):
        tags = [names[place] for place in path]
        entities = tagging.spans(tags, scheme)
        assert is_legal(path, *legal) == (tagging.tags_of(entities, len(tags), scheme) == tags), tags


def test_every_sequence_of_plain_tags_is_legal():
    assert all(part.all() for part in tagging.transitions(["NN", "DT"], "plain"))


@pytest.mark.parametrize("kind", ["normal", "ties", "with -inf"])
@pytest.mark.parametrize(("scheme", "length"), [("IOB2", 1), ("IOB2", 5), ("BIOES", 4)])
def test_the_best_legal_path_is_that_of_brute_force(scheme, length, kind):
    names = tagging.tag_names(["x", "y"], scheme)
    legal = tagging.transitions(names, scheme)
    paths = [path for path in itertools.product(range(len(names)), repeat=length) if is_legal(path, *legal)]
    generator = np.random.default_rng(length)
    for _ in range(20):
        scores = generator.normal(0, 3, (length, len(names)))
        if kind == "ties":
            scores = np.round(scores / 3)
        if kind == "with -inf":
            scores[generator.random(scores.shape) < 0.3] = -np.inf
        found = tagging.best_legal_path(scores, *legal)
        sums = scores[np.arange(length), np.array(paths)].sum(1)
        assert tuple(found) in set(paths)
        assert scores[np.arange(length), found].sum() == pytest.approx(sums.max(), rel=1e-12)


def test_no_words_have_an_empty_path():
    legal = tagging.transitions(tagging.tag_names(["x"], "IOB2"), "IOB2")
    assert tagging.best_legal_path(np.zeros((0, 3)), *legal).tolist() == []


def test_where_no_sequence_is_legal_there_is_no_best():
    with pytest.raises(ValueError, match="no sequence of 1 tags is legal"):
        tagging.best_legal_path(np.zeros((1, 1)), *tagging.transitions(["I-x"], "IOB2"))
