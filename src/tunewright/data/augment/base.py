"""Augmenter: one technique that makes new texts of old ones; Passage: a text with stretches that must stay."""

from __future__ import annotations

import random
from abc import abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import regex
from pydantic import Field

from ...component import Component
from .. import words
from ..row import Offsets
from .prompts import answer_in

Item = TypeVar("Item")
# like data/words.py, but what people take for one word is one: don't, e-mail, LP-1740-63, 4.90
WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
    r"|[\p{L}\p{N}\p{M}]+(?:['’\-.@/_][\p{L}\p{N}\p{M}]+)*"
)
NEGATIONS_TEXT = """
    no not none nobody nothing never neither nor without cannot nicht kein keine nie ohne ne pas non jamais
    dont doesnt didnt cant wont isnt arent wasnt werent hasnt havent hadnt couldnt wouldnt shouldnt
    don doesn didn can won isn aren wasn weren hasn haven hadn couldn wouldn shouldn t
"""
STOPWORDS_TEXT = """
    a an the and or but if then than so as of at by for from in into on onto off out over to up down with about after
    before under between through during i me my mine we us our ours you your yours he him his she her hers it its they
    them their theirs this that these those here there who whom whose which what when where why how am is are was were
    be been being do does did doing done have has had having will would shall should can could may might must let get
    got all any both each few more most other some such only own same too very just also still yet again please thank
    thanks hello hi dear yes ok okay one two three four five six seven eight nine ten eleven twelve hundred thousand
    first second third last next monday tuesday wednesday thursday friday saturday sunday said says
"""
NEGATIONS, STOPWORDS = frozenset(NEGATIONS_TEXT.split()), frozenset(STOPWORDS_TEXT.split())


class Edit(NamedTuple):
    """Characters `start` to `end` of a text become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Passage:
    """A text that may change, except for its spans.

    Args:
        spans: stretches whose characters must stay as they are; may overlap, adjoin or be the same.
        exact: whether a rewritten text must hold each span once, so that it can be found again; else once or more.
        label: of the row, for techniques that write new rows of it.
    """

    text: str
    spans: tuple[Offsets, ...] = ()
    exact: bool = True
    label: Any = None

    @cached_property
    def zones(self) -> list[Offsets]:
        """What no edit may touch: spans widened to whole words, and the character on either side, so that nothing can
        grow together with them. Ascending, apart from each other."""
        cut = words.split(self.text) if self.spans else ()
        firsts, lasts = [first for first, _ in cut], [last for _, last in cut]
        found: list[Offsets] = []
        for start, end in sorted(self.spans):
            before, behind = bisect_right(lasts, start), bisect_left(firsts, end) - 1
            if before <= behind:
                start, end = min(start, firsts[before]), max(end, lasts[behind])
            start, end = start - 1, end + 1
            if found and start < found[-1][1]:
                found[-1] = found[-1][0], max(end, found[-1][1])
            else:
                found.append((start, end))
        return found

    def free(self, start: int, end: int) -> bool:
        """Whether the characters from `start` to `end` may change, or some be put in where these are the same."""
        place = bisect_left(self.zones, end, key=lambda zone: zone[0])  # zones from here on begin at `end` or later
        return place == 0 or self.zones[place - 1][1] <= start

    @cached_property
    def words(self) -> list[Offsets]:
        """Where the words stand that may change."""
        return [match.span() for match in WORD.finditer(self.text) if self.free(*match.span())]

    def free_words(self) -> list[Offsets]:
        """Words of letters that may change, and whose change turns nothing around."""
        return [(start, end) for start, end in self.words if self.is_plain(self.text[start:end])]

    def in_sentence(self, start: int) -> bool:
        """Whether a word is written as any other of its sentence: one with a capital inside of it is a name."""
        before = self.text[:start].rstrip()
        return self.text[start].islower() or not before or before[-1] in ".!?:"

    @staticmethod
    def is_plain(word: str) -> bool:
        bare = word.lower().replace("’", "'")
        return bare.replace("'", "").isalpha() and bare not in NEGATIONS and not bare.endswith("n't")


@dataclass(frozen=True)
class Changed:
    """What became of a passage.

    Args:
        spans: the passage's own, in their order, where they stand now.
        edits: how the text came about; None where it was written anew.
    """

    text: str
    spans: tuple[Offsets, ...]
    edits: tuple[Edit, ...] | None


def applied(passage: Passage, edits: Sequence[Edit]) -> Changed:
    """The text after those edits that touch no span and no earlier edit; spans move along."""
    taken: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: edit[:2]):  # of several for one place the first
        meets = taken and (edit.start < taken[-1].end or edit.start == taken[-1].start)
        if not meets and passage.free(edit.start, edit.end) and passage.text[edit.start : edit.end] != edit.text:
            taken.append(edit)
    parts, at = [], 0
    for edit in taken:
        parts += [passage.text[at : edit.start], edit.text]
        at = edit.end
    ends = [edit.end for edit in taken]
    growth = [0, *accumulate(len(edit.text) - (edit.end - edit.start) for edit in taken)]
    moved = lambda place: place + growth[bisect_right(ends, place)]  # noqa: E731
    spans = tuple((moved(start), moved(end)) for start, end in passage.spans)
    return Changed("".join([*parts, passage.text[at:]]), spans, tuple(taken))


def relocated(passage: Passage, text: str) -> Changed | None:
    """A text written anew, with the spans where their words stand in it; None where one is not there, or not once."""
    found = []
    for start, end in passage.spans:
        piece = passage.text[start:end]
        place = text.find(piece)
        if place < 0 or (passage.exact and text.find(piece, place + 1) >= 0):
            return None
        found.append((place, place + len(piece)))
    return Changed(text, tuple(found), None)


class Writer(Protocol):
    """A model that answers prompts."""

    @property
    def chats(self) -> bool:
        """Whether it is asked in words; else it is fed the bare text, as translation models are."""

    def __call__(self, prompts: Sequence[str], seed: int) -> list[str]:
        """An answer to each prompt, in their order; "" where it has none."""


class Filler(Protocol):
    """A masked language model."""

    def __call__(self, text: str, places: Sequence[Offsets], count: int) -> list[list[tuple[str, float]]]:
        """For each place the likeliest words in it with their probabilities, all places being masked at once."""


@dataclass
class Aids:
    """What techniques work with beside the text; each is there where a technique that needs it was chosen.

    Args:
        synonyms: words that can stand for a word, both in lower case.
        writers: by kind of technique; of a round trip two, there and back.
        examples: by label, texts of the file.
    """

    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fill: Filler | None = None
    writers: dict[str, list[Writer]] = field(default_factory=dict)
    examples: Mapping[Any, Sequence[str]] = field(default_factory=dict)


class Augmenter(Component):
    """One technique. The fields are its strength; the defaults are what everybody gets."""

    home: ClassVar[str] = "data.augment"
    title: ClassVar[str]  # a few words for tables
    needs: ClassVar[str] = ""  # table, masked, writer or writers (there and back)
    least_cosine: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="of the features before and after (for an edit: of the words around it)",
    )


class Editing(Augmenter):
    """Changes a text here and there. Several edits of one place are alternatives, the likeliest first."""

    share: float = Field(0.1, gt=0, le=1, description="of the words, at least one (Wei and Zou 2019, section 2: 0.1)")

    @abstractmethod
    def edits(self, passage: Passage, draw: random.Random, aids: Aids) -> list[Edit]:
        """What to change. Edits that touch a span or each other are left out by whoever applies them."""

    def some(self, items: Sequence[Item], draw: random.Random) -> list[Item]:
        """`share` of the items, at least one where there is one."""
        return draw.sample(items, min(len(items), max(1, round(self.share * len(items)))))


class Rewriting(Augmenter):
    """Writes texts anew with a model."""

    labelled: ClassVar[bool] = False  # whether it makes new rows of a label: then only of classified texts
    model: str | None = Field(None, description="a local folder or hub id; --model or --endpoint where left out")
    temperature: float = Field(0.8, ge=0, le=2, description="of the sampling; 0: always the likeliest")
    max_new_tokens: int = Field(256, ge=1, description="of one text")

    @abstractmethod
    def ask(self, passage: Passage, leg: int, chats: bool, aids: Aids, seed: int) -> str:
        """What a model is asked of a passage.

        Args:
            leg: 0, or 1 on the way back of a round trip.
            chats: whether the model is asked in words; else it is fed the bare text.
        """

    def rewrite(self, passages: Sequence[Passage], aids: Aids, seed: int) -> list[str]:
        """A new text for each; "" where none came."""
        texts = [passage.text for passage in passages]
        for leg, writer in enumerate(aids.writers[self.kind]):
            now = [replace(passage, text=text) for passage, text in zip(passages, texts, strict=True)]
            said = writer([self.ask(passage, leg, writer.chats, aids, seed) for passage in now], seed)
            texts = [answer_in(answer, passage.text) for answer, passage in zip(said, passages, strict=True)]
        return texts


def in_case_of(word: str, model: str) -> str:
    """A word capitalised as another one is."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
