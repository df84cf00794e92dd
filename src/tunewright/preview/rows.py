"""Rows that are labelled: what a model is fed for one, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..data.row import Row
from ..data.spans import NULL
from ..tasks.base import Batch, Features, Task
from ..tasks.token_classification import IGNORED
from .alignment import Place, Whole, in_earlier_windows, located, not_located, whole_texts

if TYPE_CHECKING:
    from .prepared import Preview


@dataclass(frozen=True)
class Token:
    """One position of a window.

    Args:
        token: the vocabulary's entry.
        type: as the model is told it; None where it has no types.
        part: the column whose text it is of; None for the tokenizer's own, such as [CLS].
        start, end: characters of that text; None for the tokenizer's own.
        text: that stretch of the text.
        word: the number of its word, where words are answered.
        label: its tag; of an answer start, inside, end or both ends; None where there is none.
        note: what is to know of it: why it is ignored, that it is unknown, or in an earlier window too.
    """

    place: int
    id: int
    token: str
    type: int | None
    part: str | None
    start: int | None
    end: int | None
    text: str
    word: int | None = None
    label: str | None = None
    ignored: bool = False
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """Where a window holds its row's answer. start, end: tokens, both included; text: what they give back."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Window:
    """What is read at once. shared: tokens of the text that an earlier window has too."""

    tokens: tuple[Token, ...]
    shared: int
    answer: Answer | None = None


@dataclass(frozen=True)
class Cut:
    """Tokens of one stretch of a text that no window holds."""

    part: str
    num_tokens: int
    text: str


@dataclass(frozen=True)
class Described:
    """A row as it is fed.

    Args:
        number: its number in the file.
        texts: by their columns.
        of: what is answered: "row", "tokens" or "span".
        label: in the data's words: a name, several, entities or answers in characters; None where unknown.
        windows: one, or several of a long text.
        truncated: tokens that did not fit; `cut` holds their texts.
        mended: what reading had to put right.
        aligned: whether the tokens fed are those that the tokenizer makes of the whole text.
    """

    source: str
    number: int
    split: str
    texts: dict[str, str]
    of: str
    label: Any
    windows: tuple[Window, ...]
    truncated: int
    cut: tuple[Cut, ...]
    mended: tuple[str, ...]
    aligned: bool


def describe(preview: Preview, split: str, row: Row, item: Features) -> Described:
    """One row, from the batch that the model would be fed with it alone."""
    tokenizer, columns = preview.tokenizer, preview.intake.roles.text
    batch = preview.task.collate([item], tokenizer)
    words = row.words or () if preview.task.by_words else None
    wholes = whole_texts(row.text, words, tokenizer)
    places = located(item.windows, wholes, tokenizer, preview.max_length, None if words is None else item.places)
    fed = Fed(row, item, batch, preview.task, columns, wholes, places, tokenizer)
    return Described(
        source=preview.intake.splits[split].source,
        number=row.number,
        split=split,
        texts=dict(zip(columns, row.text, strict=True)),
        of=answers(item),
        label=fed.label(),
        windows=tuple(fed.window(number) for number in range(len(item.windows))),
        truncated=item.truncated,
        cut=tuple(fed.cut()),
        mended=row.mended,
        aligned=places is not None,
    )


def answers(item: Features) -> str:
    """What a row's targets are of: the row, its tokens, or a span of them."""
    if item.places is None:
        return "row"
    return "tokens" if item.places[0].ndim == 1 else "span"


@dataclass(frozen=True)
class Fed:
    """A row, its features, their batch, and where the batch's tokens stand in the texts."""

    row: Row
    item: Features
    batch: Batch
    task: Task
    columns: Sequence[str]
    wholes: list[Whole]
    places: list[list[Place | None]] | None
    tokenizer: Any

    def label(self) -> Any:
        """The row's label; of a row that is answered as a whole, what the batch's target says."""
        if self.row.label is None or self.batch.labels is None:
            return None
        if answers(self.item) == "row":
            return named(self.batch.labels[0], getattr(self.task, "labels", None))
        if answers(self.item) == "span":
            return [{"start": start, "end": start + len(text), "text": text} for start, text in self.row.label]
        return [self.entity(*span) for span in self.row.label]

    def entity(self, first: int, last: int, kind: str) -> dict[str, Any]:
        assert self.row.words is not None
        start, end = self.row.words[first][0], self.row.words[last - 1][1]
        return {"start": start, "end": end, "type": kind, "text": self.row.text[0][start:end]}

    def window(self, number: int) -> Window:
        ids = self.batch.inputs["input_ids"][number][self.batch.inputs["attention_mask"][number] == 1].tolist()
        entries = self.tokenizer.convert_ids_to_tokens(ids)
        answer = self.answer(number)
        fed = enumerate(zip(ids, entries, strict=True))
        tokens = tuple(self.token(number, place, *pair, answer) for place, pair in fed)
        return Window(tokens, sum(self.is_shared(number, place) for place in range(len(ids))), answer)

    def token(self, window: int, place: int, id: int, entry: str, answer: Answer | None) -> Token:
        types = self.batch.inputs.get("token_type_ids")
        told = None if types is None else int(types[window, place])
        part, start, end, text, word = self.stretch(window, place)
        label, ignored = self.target(window, place, answer)
        note = self.note(window, place, id, word, ignored)
        return Token(place, id, entry, told, part, start, end, text, word, label, ignored, note)

    def stretch(self, window: int, place: int) -> tuple[str | None, int | None, int | None, str, int | None]:
        """(column, first character, one past the last, text, word) of a token."""
        at = self.places[window][place] if self.places else None
        if at is None:
            return None, None, None, "", None
        start, end = self.wholes[at[0]].offsets[at[1]]
        words = self.wholes[at[0]].words
        return self.columns[at[0]], start, end, self.row.text[at[0]][start:end], words[at[1]] if words else None

    def target(self, window: int, place: int, answer: Answer | None) -> tuple[str | None, bool]:
        """(label, whether the loss leaves the position out), by the batch's own labels."""
        if self.batch.labels is None:
            return None, False
        if answers(self.item) == "tokens":
            tag = int(self.batch.labels[window, place])
            return (None, True) if tag == IGNORED else (tag_name(self.task, tag), False)
        if answer is None or not answer.start <= place <= answer.end:
            return None, False
        ends = [name for name, end in (("start", answer.start), ("end", answer.end)) if end == place]
        return " and ".join(ends) or "inside", False

    def answer(self, window: int) -> Answer | None:
        known = answers(self.item) == "span" and self.batch.labels is not None
        start, end = self.batch.labels[window].tolist() if known else NULL  # type: ignore[index]
        if (start, end) == NULL:
            return None
        offsets = (self.item.places or ())[window]
        return Answer(start, end, self.row.text[1][offsets[start, 0] : offsets[end, 1]])

    def note(self, window: int, place: int, id: int, word: int | None, ignored: bool) -> str:
        """Why a position is ignored, and what else sets it apart."""
        if self.places and self.places[window][place] is None:
            return "special"
        notes = ["unknown to the tokenizer"] if id == self.tokenizer.unk_token_id else []
        if ignored and word is not None:
            owner = self.owners.get(word, window)
            notes.append("later piece of its word" if owner == window else f"answered in window {owner + 1}")
        if self.is_shared(window, place):
            notes.append("also in an earlier window")
        return ", ".join(notes)

    @cached_property
    def owners(self) -> dict[int, int]:
        """The window that answers each word."""
        windows = enumerate(self.item.places or ())
        return {int(word): number for number, marks in windows for word in marks if word >= 0}

    def is_shared(self, window: int, place: int) -> bool:
        return self.places is not None and self.places[window][place] in self.before[window]

    @cached_property
    def before(self) -> list[set[Place]]:
        return in_earlier_windows(self.places or [], len(self.wholes) - 1)

    def cut(self) -> list[Cut]:
        """Stretches of tokens that no window holds."""
        found = not_located(self.places, self.wholes) if self.places else []
        return [self.cut_of(number, first, last) for number, first, last in found]

    def cut_of(self, number: int, first: int, last: int) -> Cut:
        start, end = self.wholes[number].offsets[first][0], self.wholes[number].offsets[last][1]
        return Cut(self.columns[number], last - first + 1, self.row.text[number][start:end])


def named(target: Any, names: Sequence[str] | None) -> Any:
    """A row's target in words: one name, or those of several that are set."""
    value = target.tolist()
    if isinstance(value, list):
        return [name for name, is_set in zip(names or map(str, range(len(value))), value, strict=True) if is_set]
    return names[value] if names and isinstance(value, int) else value


def tag_name(task: Task, tag: int) -> str:
    names = getattr(task, "tags", None) or getattr(task, "labels", None)
    return str(names[tag]) if names else str(tag)
