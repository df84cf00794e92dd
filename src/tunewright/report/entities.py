"""What went wrong in marking entities or tagging words, entity by entity; and the sections that tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from . import charts, mistakes, page
from .classification import by_confidence
from .files import Record, RunFiles
from .marked import GOLD, RIGHT, WRONG, Stretch, marked
from .markup import Markup, element, join
from .words import count, finite, percent, plural

TOLD = 6  # faults told of a row

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

    def named(self, item: Entity) -> str:
        """`Oslo (town)`."""
        return f"{' '.join(self.text[item.start : item.end].split())} ({item.type})"

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
            yield _fault(nearest if nearest and _overlap(item, nearest) > 0 else None, item)
    for item in gold:
        if item.key not in answered and not any(_overlap(item, other) > 0 for other in said):
            yield Fault("missed", item, None)


def _fault(gold: Entity | None, said: Entity) -> Fault:
    if gold is None:
        return Fault("invented", None, said)
    same_borders, same_type = gold[:2] == said[:2], gold.type == said.type
    return Fault("type" if same_borders else "borders" if same_type else "both", gold, said)


def _overlap(one: Entity, other: Entity) -> int:
    return min(one.end, other.end) - max(one.start, other.start)


def type_pairs(sentences: Iterable[Sentence]) -> Counter[tuple[str, str]]:
    """How often a labelled type was taken for another one, whatever the borders: (labelled, answered)."""
    found = (fault for sentence in sentences for fault in sentence.faults if fault.gold and fault.said)
    return Counter((fault.gold.type, fault.said.type) for fault in found if fault.gold.type != fault.said.type)  # type: ignore[union-attr]


def marks(sentences: Iterable[Sentence]) -> list[tuple[float, bool]]:
    """(confidence, whether it is right) of everything that was marked."""
    labelled = ((sentence, {item.key for item in sentence.gold}) for sentence in sentences)
    return [(item.confidence or 0.0, item.key in keys) for sentence, keys in labelled for item in sentence.said]


def most_confident(sentences: Iterable[Sentence]) -> list[Sentence]:
    """The rows in which something is wrong, those with the surest wrong mark first, then those that missed most."""
    wrong = [item for item in sentences if item.faults]
    return sorted(wrong, key=lambda item: (-item.confidence, -len(item.faults)))[: mistakes.SHOWN]


def errors(files: RunFiles) -> Markup:
    """How often what went wrong; nothing without predictions."""
    sentences = compare(files.predictions or [])
    if not any(sentence.gold or sentence.said for sentence in sentences):
        return Markup("")
    told = _word_errors(files, sentences) if files.plain_tags else _entity_errors(files, sentences)
    return page.section("errors", "Kinds of errors", *told)


def _word_errors(files: RunFiles, sentences: Sequence[Sentence]) -> list[object]:
    wrong = sum(len(sentence.faults) for sentence in sentences)
    words = sum(len(sentence.gold) for sentence in sentences)
    lead = f"{count(wrong)} of {plural(words, 'word')} of {files.predictions_split} have the wrong tag."
    return [lead, page.grid(_pairs(sentences, "tag"), by_confidence(marks(sentences), "tags"))]


def _entity_errors(files: RunFiles, sentences: Sequence[Sentence]) -> list[object]:
    counts = Counter(fault.kind for sentence in sentences for fault in sentence.faults)
    labelled = sum(len(sentence.gold) for sentence in sentences)
    right = sum(is_right for _, is_right in marks(sentences))
    lead = f"Of {plural(labelled, 'labelled entity', 'labelled entities')} of {files.predictions_split}, "
    lead += f"{count(right)} were found exactly and {count(counts['missed'])} were missed altogether; "
    lead += f"{count(counts['invented'])} more were marked where nothing is labelled."
    items = [("found exactly", right), *((FAULTS[kind], counts[kind]) for kind in FAULTS)]
    described = "; ".join(f"{said}: {number}" for said, number in items)
    drawing = charts.bars("errors", "Kinds of errors", described, items, good=1)
    note = "A mark with wrong borders or type overlaps a labelled entity; an invented one touches none."
    picture = page.chart("Labelled entities and wrong marks", drawing, note)
    return [lead, page.grid(page.stack(picture, by_confidence(marks(sentences), "marks")), _pairs(sentences, "type"))]


def _pairs(sentences: Sequence[Sentence], noun: str) -> Markup:
    pairs = type_pairs(sentences).most_common(10)
    rows = [[page.taken(true, said), count(number)] for (true, said), number in pairs]
    return page.sheet(f"{noun.capitalize()}s confused most often", [f"{noun}, taken for", "times"], rows)


def mistake_list(files: RunFiles) -> Markup:
    """Rows with wrong marks, the surest first; then rows in which it only missed something."""
    plain, found = files.plain_tags, most_confident(compare(files.predictions or []))
    about = f"Rows of {files.predictions_split} with wrong {'tags' if plain else 'marks'}, the surest first."
    lead = f"{about} Some may be wrong labels, not wrong answers."
    return mistakes.section(files, lead, (_card(item, plain) for item in found), _key(plain))


def _key(plain: bool) -> Markup:
    """What the markings mean."""
    wrong = element("mark", "wrong", class_=WRONG)
    parts = [element("u", "labelled", class_=GOLD), " ", element("mark", "marked and right", class_=RIGHT), " "]
    return element("p", "Key: ", *([] if plain else parts), wrong, class_="key")


def _card(sentence: Sentence, plain: bool) -> Markup:
    labelled = {item.key for item in sentence.gold}
    gold = [] if plain else [Stretch(item.start, item.end, GOLD) for item in sentence.gold]
    said = [Stretch(i.start, i.end, RIGHT if i.key in labelled else WRONG) for i in sentence.said]
    shown = [item for item in said if not plain or item.kind == WRONG]
    focus = [Stretch(item.start, item.end, WRONG) for fault in sentence.faults for item in fault[1:] if item]
    text = element("blockquote", marked(sentence.text, [*gold, *shown], focus) or "(empty text)", dir="auto")
    lines = [element("li", _told(fault, sentence.text, plain)) for fault in sentence.faults]
    if len(lines) > TOLD:
        lines[TOLD:] = [element("li", f"and {count(len(lines) - TOLD)} more")]
    return element("li", text, element("ul", *lines, class_="faults"), mistakes.place(sentence.row), class_="card")


def _told(fault: Fault, text: str, plain: bool) -> Markup:
    """`wrong type: Paris person 80 %, labelled Paris location`."""
    parts = [_named("wrong", fault.said, text), _named("right", fault.gold, text)]
    name = "wrong tag" if plain else FAULTS[fault.kind]
    return join([f"{name}: ", join([part for part in parts if part], ", labelled ")])


def _named(kind: str, item: Entity | None, text: str) -> Markup:
    if item is None:
        return Markup("")
    words = element("b", " ".join(text[item.start : item.end].split()), dir="auto")
    sure = percent(item.confidence, 0) if item.confidence is not None else None
    return element("span", join([words, item.type, *([sure] if sure else [])], " "), class_=kind)
