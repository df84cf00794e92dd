"""What each technique does, and what it leaves alone; tables of synonyms; how many new rows; what is kept."""

from __future__ import annotations

import random
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.data.augment.back_translation import BackTranslation
from tunewright.data.augment.base import Aids, Edit, Passage, applied
from tunewright.data.augment.case import Case
from tunewright.data.augment.deletion import Deletion
from tunewright.data.augment.masked_lm import MaskedLM
from tunewright.data.augment.paraphrase import Paraphrase
from tunewright.data.augment.punctuation import Punctuation
from tunewright.data.augment.quotas import MOST, balanced
from tunewright.data.augment.sieve import Copies, Judge, around, hardly_rewritten
from tunewright.data.augment.spelling import Spelling, misspelt
from tunewright.data.augment.swap import Swap
from tunewright.data.augment.synonyms import Synonyms, synonyms_of
from tunewright.data.augment.synthesis import Synthesis
from tunewright.data.augment.tables import read_synonyms
from tunewright.data.augment.typos import NEIGHBOURS, Typos
from tunewright.errors import DataError

TEXT = "Where is my parcel? It was not delivered on Monday, and nobody answers the telephone."


def results(technique, text=TEXT, aids=None, count=40) -> set[str]:
    passage = Passage(text)
    return {
        applied(passage, technique.edits(passage, random.Random(seed), aids or Aids())).text for seed in range(count)
    }


def distance(one: str, other: str) -> int:
    """Of Damerau and Levenshtein, where it is 0 or 1; else 2."""
    if one == other:
        return 0
    swaps = {one[:i] + one[i + 1] + one[i] + one[i + 2 :] for i in range(len(one) - 1)}
    drops = {one[:i] + one[i + 1 :] for i in range(len(one))}
    others = {other[:i] + other[i + 1 :] for i in range(len(other))}
    same = len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1
    return 1 if same or other in swaps or other in drops or one in others else 2


def test_a_typo_is_one_slip_in_a_word():
    for text in results(Typos()):
        changed = [pair for pair in zip(TEXT.split(), text.split(), strict=True) if pair[0] != pair[1]]
        assert len(changed) == 1
        assert distance(*changed[0]) == 1
        assert changed[0][0][0] == changed[0][1][0]  # people read by the first letter


def test_neighbours_are_the_keys_around():
    assert set(NEIGHBOURS["g"]) == set("ftyhbv")
    assert set(NEIGHBOURS["q"]) == set("wa")


def test_case_changes_nothing_but_case():
    made = results(Case())
    assert {text.lower() for text in made} == {TEXT.lower()}
    assert {TEXT.lower(), TEXT.upper()} <= made
    assert len(made) > 4


def test_punctuation_changes_no_letter_and_no_number():
    text = "It isn't here, 4.90 euros gone! See www.larkpost.example, please."
    for made in results(Punctuation(), text):
        assert made != text
        assert "4.90" in made
        assert "www.larkpost.example" in made
        assert "".join(filter(str.isalnum, made)) == "".join(filter(str.isalnum, text))


def test_deletion_leaves_out_words_but_never_a_negation():
    for text in results(Deletion(share=1.0)):
        assert text.split() != TEXT.split()
        assert {"not", "nobody"} <= set(text.replace(",", " ").split())
    assert results(Deletion(), "Two words") == {"Two words"}
    assert all(text.strip() for text in results(Deletion(share=1.0), "Just three words"))


def test_swap_keeps_every_word():
    words = lambda text: sorted(text.lower().replace("?", "").replace(",", "").replace(".", "").split())  # noqa: E731
    made = results(Swap())
    assert TEXT not in made
    assert all(words(text) == words(TEXT) for text in made)


def test_spelling_mistakes_are_those_that_people_make():
    assert misspelt("receive") == ["recieve"]
    assert "adress" in misspelt("address")
    assert misspelt("Their") == ["There", "They're"]
    assert "possable" in misspelt("possible")
    assert misspelt("4") == []
    assert all(text != TEXT for text in results(Spelling()))


# --- synonyms -------------------------------------------------------------------------------------------------------

TABLE = {
    "parcel": ("package",),
    "answer": ("respond", "answering"),
    "box": ("item",),
    "the": ("le",),
    "try": ("attempt",),
}


def test_synonyms_are_bent_and_capitalised_as_the_word_was():
    assert synonyms_of("answers", TABLE) == ["responds"]
    assert synonyms_of("answered", TABLE) == ["responded"]
    assert synonyms_of("tries", TABLE) == ["attempts"]
    assert synonyms_of("the", TABLE) == []  # no sense of its own
    assert results(Synonyms(), "Parcel lost", Aids(TABLE)) == {"Package lost"}


def test_forms_of_the_same_word_are_no_synonyms():
    assert synonyms_of("arrived", {"arrived": ("arrive", "came")}) == ["came"]


def test_an_article_follows_its_word():
    assert results(Synonyms(), "a box came", Aids(TABLE)) == {"an item came"}


def test_a_name_inside_of_a_sentence_has_no_synonyms():
    assert results(Synonyms(), "we live in Box Hill", Aids(TABLE)) == {"we live in Box Hill"}


def test_pairs_are_read_in_both_directions(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("# made up\nParcel package \nbox, crate, case\n\n", encoding="utf-8")
    found = read_synonyms(path)
    assert found["parcel"] == ["package"]
    assert found["package"] == ["parcel"]
    assert found["crate"] == ["box", "case"]


ENTRIES = """parcel:
  n:
    sense:
    - id: 'parcel%1:06:00::'
      synset: 1-n
    - id: 'parcel%1:06:01::'
      synset: 2-n
    - id: 'parcel%1:06:02::'
      synset: 3-n
'package':
  n:
    sense:
    - id: 'package%1:14:00::'
      synset: 1-n
tract:
  n:
    sense:
    - id: 'tract%1:15:00::'
      synset: 3-n
wrap up:
  v:
    sense:
    - id: x
      synset: 1-n
"""


def test_wordnet_gives_the_words_of_foremost_senses(tmp_path):
    with zipfile.ZipFile(tmp_path / "wordnet.zip", "w") as file:
        file.writestr("yaml/entries-p.yaml", ENTRIES)
        file.writestr("yaml/noun.artifact.yaml", "1-n:\n  members:\n  - parcel\n")
    assert read_synonyms(tmp_path / "wordnet.zip") == {"parcel": ["package"], "package": ["parcel"]}


@pytest.mark.parametrize(
    ("content", "wrong"), [(b"one\ntwo\n", "holds no synonyms"), (b"PK\x05\x06" + b"\0" * 18, "holds no synonyms")]
)
def test_a_table_without_synonyms_is_told(tmp_path, content, wrong):
    (tmp_path / "table").write_bytes(content)
    with pytest.raises(DataError, match=wrong):
        read_synonyms(tmp_path / "table")


@pytest.mark.real_data
def test_the_public_tables_are_read(real_data):
    pairs = read_synonyms(real_data / "ppdb_synonyms_small" / "ppdb_synonyms.txt")
    assert len(pairs) > 15_000
    assert "fractured" in pairs["broken"]
    assert "package" in read_synonyms(real_data / "english_wordnet" / "oewn_yaml.zip")["parcel"]


# --- models ---------------------------------------------------------------------------------------------------------


class Expects:
    """A masked model that always expects the same."""

    def __call__(self, text, places, count):
        return [[(text[slice(*place)], 0.9), ("box", 0.1)] for place in places]


def test_a_masked_word_never_comes_back_as_itself():
    assert results(MaskedLM(share=0.01), "parcel", Aids(fill=Expects())) == {"box"}


class Says:
    """A writer that answers from a list, and remembers what it was asked."""

    def __init__(self, *answers: str, chats: bool = True) -> None:
        self.answers, self.chats, self.asked = answers, chats, []

    def __call__(self, prompts, seed):
        self.asked += prompts
        return [self.answers[place % len(self.answers)] for place in range(len(prompts))]


def test_a_paraphrase_is_asked_for_in_words_or_by_the_text_alone():
    asks, feeds = Says('"Other words."'), Says("Other words.", chats=False)
    for writer in (asks, feeds):
        assert Paraphrase().rewrite([Passage("My words.")], Aids(writers={"paraphrase": [writer]}), 0) == [
            "Other words."
        ]
    assert asks.asked[0].endswith("\n\nMy words.")
    assert feeds.asked == ["My words."]


def test_a_round_trip_goes_through_both_models():
    there, back = Says("Wo ist es?", chats=False), Says("Where is it?")
    writers = {"back_translation": [there, back]}
    assert BackTranslation().rewrite([Passage("Where's it?")], Aids(writers=writers), 0) == ["Where is it?"]
    assert there.asked == ["Where's it?"]
    assert "into English" in back.asked[0]
    assert back.asked[0].endswith("Wo ist es?")


def test_new_texts_are_written_after_examples_of_their_label_alone():
    writer = Says("- A third one.")
    aids = Aids(writers={"synthesis": [writer]}, examples={"billing": ["pay me", "too much"], "damage": ["broken"]})
    assert Synthesis().rewrite([Passage("pay me", label="billing")], aids, 0) == ["A third one."]
    assert "billing" in writer.asked[0]
    assert writer.asked[0].splitlines()[-3:] == ["- pay me", "- too much", "- "]


# --- how many -------------------------------------------------------------------------------------------------------

COUNTS = st.dictionaries(st.text(max_size=2), st.integers(1, 300), min_size=1, max_size=8)


@settings(max_examples=50)
@given(COUNTS, st.integers(0, 5000))
def test_balanced_classes_get_all_new_rows_that_the_bound_allows_and_differ_only_where_they_must(counts, wanted):
    found = balanced(counts, wanted)
    assert sum(found.values()) == min(wanted, (MOST - 1) * sum(counts.values()))
    assert all(0 <= found[label] <= (MOST - 1) * count + 1 for label, count in counts.items())
    after = {label: counts[label] + found[label] for label in counts}
    grown = [after[label] for label in counts if found[label] > 0 and after[label] < MOST * counts[label]]
    assert not grown or max(grown) - min(grown) <= 1
    assert all(after[label] >= max(grown) - 1 for label in counts if grown and after[label] < MOST * counts[label])


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_a_text_of_the_file_is_a_copy_whatever_its_blanks():
    copies = Copies([("caf\u00e9 on\tMonday",)])
    assert copies.has(("cafe\u0301  on Monday",))
    assert not copies.has(("Caf\u00e9 on Monday",))
    copies.add(("new",))
    assert copies.has(("new ",))


def test_a_rewritten_text_must_differ_in_more_than_case_and_signs():
    assert hardly_rewritten("Where is it?", "where is it")
    assert not hardly_rewritten("Where is my parcel?", "My parcel, where is it?")


def test_an_edit_is_judged_by_the_words_around_it():
    text = "x" * 50 + " the parcel came broken to me"
    start = text.index("broken")
    before, after = around(Passage(text), Edit(start, start + 6, "cracked"))
    assert (before, after) == ("the parcel came broken to me", "the parcel came cracked to me")


def test_the_judge_finds_rows_that_look_like_another_label():
    draw = np.random.default_rng(0)
    features = np.concatenate([draw.normal(place, 0.3, (40, 4)) for place in (0, 3)]).astype(np.float32)
    judge = Judge(features, ["a"] * 40 + ["b"] * 40, ("a", "b"))
    assert judge.flipped(features[[0, 0, 45, 45]], ["a", "b", "b", "a"]) == [False, True, False, True]


def test_of_new_texts_the_judge_must_be_convinced():
    draw = np.random.default_rng(0)
    features = draw.normal(0, 1, (80, 4)).astype(np.float32)
    judge = Judge(features, ["a", "b"] * 40, ("a", "b"))  # nothing to learn: never sure
    unsure = judge.flipped(features[:1].repeat(2, 0), ["a", "b"])
    assert unsure == [False, False]
    assert sum(judge.flipped(features[:1].repeat(2, 0), ["a", "b"], [True, True])) == 1
