"""What went wrong in tagging, entity by entity. Pure functions on the lines of predictions/SPLIT.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .words import finite

Record = dict[str, Any]

# In the order in which they are told. A mark is named after the labelled entity that it shares most characters with.
FAULTS = {
    "borders": "wrong borders",
    "type": "wrong type",
    "both": "wrong borders and type",
    "missed": "missed",
    "invented": "invented",
}


class Entity(NamedTuple):
    """Characters from `start` up to `end`; confidence: None for what is labelled."""

    start: int
    end: int
    type: str
    confidence: float | None = None

    @property
    def key(self) -> tuple[int, int, str]:
        return self[:3]


class Fault(NamedTuple):
    """One thing that went wrong; `gold` is None for what was invented, `said` for what was missed."""

    kind: str  # of FAULTS
    gold: Entity | None
    said: Entity | None


class Sentence(NamedTuple):
    """One row: what is labelled, what was answered, and what is wrong with it."""

    row: Any
    text: str
    gold: list[Entity]
    said: list[Entity]
    faults: list[Fault]

    @property
    def num_right(self) -> int:
        return len({item.key for item in self.gold} & {item.key for item in self.said})

    @property
    def confidence(self) -> float:
        """Of its surest wrong answer; -1 where it only missed something."""
        return max((fault.said.confidence or 0.0 for fault in self.faults if fault.said), default=-1.0)


def compare(lines: Iterable[Record]) -> list[Sentence]:
    """The labelled rows, each with its faults."""
    return [_sentence(line) for line in lines if isinstance(line.get("label"), list)]


def _sentence(line: Record) -> Sentence:
    text = str(line.get("text") or "")
    gold, said = _entities(line["label"], len(text)), _entities(line.get("predicted"), len(text))
    return Sentence(line.get("row"), text, gold, said, list(_faults(gold, said)))


def _entities(items: Any, length: int) -> list[Entity]:
    known = [item for item in items or [] if isinstance(item, dict)]
    places = [(finite(item.get("start")), finite(item.get("end")), item) for item in known]
    return [
        Entity(int(start), min(int(end), length), str(item.get("type")), finite(item.get("confidence")))
        for start, end, item in places
        if start is not None and end is not None
    ]


def _faults(gold: Sequence[Entity], said: Sequence[Entity]) -> Iterable[Fault]:
    labelled, answered = {item.key for item in gold}, {item.key for item in said}
    for item in said:
        if item.key not in labelled:
            nearest = max(gold, key=lambda other: _overlap(item, other), default=None)
            yield _named(nearest if nearest and _overlap(item, nearest) > 0 else None, item)
    for item in gold:
        if item.key not in answered and not any(_overlap(item, other) > 0 for other in said):
            yield Fault("missed", item, None)


def _named(gold: Entity | None, said: Entity) -> Fault:
    if gold is None:
        return Fault("invented", None, said)
    same_borders, same_type = gold[:2] == said[:2], gold.type == said.type
    return Fault("type" if same_borders else "borders" if same_type else "both", gold, said)


def _overlap(one: Entity, other: Entity) -> int:
    return min(one.end, other.end) - max(one.start, other.start)


def f1_rows(sentences: Iterable[Sentence]) -> list[tuple[float, float]]:
    """For each row (2 * right, labelled + answered): F1 is the sum of the first over the sum of the second."""
    return [(2.0 * item.num_right, float(len(item.gold) + len(item.said))) for item in sentences]


def word_rows(sentences: Iterable[Sentence]) -> list[tuple[float, float]]:
    """For each row whose every word is tagged (right words, words)."""
    return [(float(item.num_right), float(len(item.gold))) for item in sentences]


def count_faults(sentences: Iterable[Sentence]) -> Counter[str]:
    return Counter(fault.kind for sentence in sentences for fault in sentence.faults)


def type_pairs(sentences: Iterable[Sentence]) -> Counter[tuple[str, str]]:
    """How often a labelled type was taken for another one, whatever the borders: (labelled, answered)."""
    found = (fault for sentence in sentences for fault in sentence.faults if fault.gold and fault.said)
    return Counter((fault.gold.type, fault.said.type) for fault in found if fault.gold.type != fault.said.type)  # type: ignore[union-attr]


def frequent(sentences: Iterable[Sentence], kind: str, limit: int = 8) -> list[tuple[str, str, int]]:
    """The texts that were missed or invented at least twice: (text, type, times), the most frequent first."""
    counts = Counter(
        (" ".join(sentence.text[item.start : item.end].casefold().split()), item.type)
        for sentence in sentences
        for fault in sentence.faults
        if fault.kind == kind and (item := fault.gold or fault.said)
    )
    return [(text, type_, times) for (text, type_), times in counts.most_common(limit) if times > 1 and text]


def marks(sentences: Iterable[Sentence]) -> list[tuple[float, bool]]:
    """(confidence, whether it is right) of everything that was marked."""
    labelled = ((sentence, {item.key for item in sentence.gold}) for sentence in sentences)
    return [
        (item.confidence, item.key in keys)
        for sentence, keys in labelled
        for item in sentence.said
        if item.confidence is not None
    ]


def most_confident(sentences: Iterable[Sentence], limit: int) -> list[Sentence]:
    """The rows with a wrong answer, the surest first."""
    wrong = [item for item in sentences if item.confidence >= 0]
    return sorted(wrong, key=lambda item: -item.confidence)[:limit]


def most_missed(sentences: Iterable[Sentence], limit: int) -> list[Sentence]:
    """The rows in which nothing is wrong but that something was missed, most entities first."""
    missed = [item for item in sentences if item.faults and item.confidence < 0]
    return sorted(missed, key=lambda item: -len(item.faults))[:limit]
