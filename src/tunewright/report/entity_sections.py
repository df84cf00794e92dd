"""The sections of a run that marks entities or tags words: what kinds of mistakes it makes, and the surest of them."""

from __future__ import annotations

from collections.abc import Sequence

from . import charts, entities, mistakes, page
from .analysis import surest
from .entities import FAULTS, Entity, Fault, Sentence
from .files import RunFiles
from .marked import GOLD, RIGHT, WRONG, Stretch, marked
from .markup import Markup, element, join
from .words import count, percent, plural

SURE, MISSED, TOLD = 14, 6, 6  # rows with wrong marks, rows in which it only missed something, faults told of a row


def errors(files: RunFiles) -> Markup:
    """How often what went wrong; nothing without predictions."""
    sentences = entities.compare(files.predictions or [])
    if not any(sentence.gold or sentence.said for sentence in sentences):
        return Markup("")
    told = _word_errors(files, sentences) if files.plain_tags else _entity_errors(files, sentences)
    return page.section("errors", "Kinds of errors", *told)


def _word_errors(files: RunFiles, sentences: Sequence[Sentence]) -> list[object]:
    wrong = sum(len(sentence.faults) for sentence in sentences)
    words = sum(len(sentence.gold) for sentence in sentences)
    lead = f"{count(wrong)} of {plural(words, 'word')} of {files.predictions_split} have the wrong tag."
    return [lead, page.grid(_pairs(sentences, "tag"), _by_confidence(sentences, "tags"))]


def _entity_errors(files: RunFiles, sentences: Sequence[Sentence]) -> list[object]:
    counts = entities.count_faults(sentences)
    right, labelled = (sum(values) for values in zip(*((s.num_right, len(s.gold)) for s in sentences), strict=True))
    lead = f"Of {plural(labelled, 'labelled entity', 'labelled entities')} of {files.predictions_split}, "
    lead += f"{count(right)} were found exactly and {count(counts['missed'])} were missed altogether; "
    lead += f"{count(counts['invented'])} more were marked where nothing is labelled."
    several = len({item.type for sentence in sentences for item in sentence.gold}) > 1
    kinds = [kind for kind in FAULTS if several or counts[kind] or kind not in ("type", "both")]
    items = [("found exactly", right), *((FAULTS[kind], counts[kind]) for kind in kinds)]
    described = "; ".join(f"{said}: {number}" for said, number in items)
    drawing = charts.bars("errors", "Kinds of errors", described, items, good=1)
    note = "A mark with wrong borders or type overlaps a labelled entity; an invented one touches none."
    picture = page.chart("Labelled entities and wrong marks", drawing, note)
    cards = [
        page.stack(picture, _by_confidence(sentences, "marks")),
        _pairs(sentences, "type") if several else Markup(""),
        _frequent(sentences, "missed"),
        _frequent(sentences, "invented"),
    ]
    return [lead, page.grid(*cards)]


def _pairs(sentences: Sequence[Sentence], noun: str) -> Markup:
    pairs = entities.type_pairs(sentences).most_common(10)
    if not pairs:
        return Markup("")
    rows = [[page.taken(true, said), count(number)] for (true, said), number in pairs]
    title = f"{noun.capitalize()}s confused most often"
    return page.card(title, page.table(title, [f"{noun}, taken for", "times"], rows))


def _frequent(sentences: Sequence[Sentence], kind: str) -> Markup:
    found = entities.frequent(sentences, kind)
    if not found:
        return Markup("")
    title = f"{kind.capitalize()} more than once"
    rows = [[text, type_, count(times)] for text, type_, times in found]
    return page.card(title, page.table(title, ["text", "type", "times"], rows, text=2))


def _by_confidence(sentences: Sequence[Sentence], noun: str) -> Markup:
    return page.by_confidence(surest(entities.marks(sentences)), noun)


def mistake_list(files: RunFiles) -> Markup:
    """Rows with wrong marks, the surest first, and rows in which it only missed something."""
    sentences = entities.compare(files.predictions or [])
    plain = files.plain_tags
    sure = mistakes.listed(_card(item, plain) for item in entities.most_confident(sentences, SURE))
    missed = mistakes.listed(_card(item, plain) for item in entities.most_missed(sentences, MISSED))
    heading = element("h3", "Missed, with nothing else wrong", class_="apart") if missed else None
    about = f"Rows of {files.predictions_split} with wrong {'tags' if plain else 'marks'}, the surest first."
    lead = f"{about} Some may be wrong labels, not wrong answers."
    return mistakes.section(files, lead, _key(plain) if sure or missed else Markup(""), sure, join([heading, missed]))


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
    lines = [element("li", line) for line in _lines(sentence, plain)]
    if len(lines) > TOLD:
        lines[TOLD:] = [element("li", f"and {count(len(lines) - TOLD)} more")]
    return element("li", text, element("ul", *lines, class_="faults"), mistakes.place(sentence.row), class_="card")


def _lines(sentence: Sentence, plain: bool) -> list[Markup]:
    """A line for each fault, the surest first; all wrong marks of one labelled entity share a line."""
    ordered = sorted(sentence.faults, key=lambda fault: -(fault.said.confidence or 0.0) if fault.said else 1.0)
    by_entity: dict[tuple[str, Entity | None, Entity | None], list[Fault]] = {}
    for fault in ordered:
        by_entity.setdefault((fault.kind, fault.gold, None if fault.gold else fault.said), []).append(fault)
    return [_told(faults, sentence.text, plain) for faults in by_entity.values()]


def _told(faults: Sequence[Fault], text: str, plain: bool) -> Markup:
    """`wrong type: Paris person 80 %, labelled location`."""
    fault, gold = faults[0], faults[0].gold
    name = "wrong tag" if plain else FAULTS[fault.kind]
    if fault.said is None:
        return join([f"{name}: ", _named("right", gold, text)])
    with_type = fault.kind != "borders"
    parts: list[object] = [f"{name}: ", join((_named("wrong", item.said, text, with_type) for item in faults), ", ")]
    if gold is not None:
        parts += [", labelled ", _named("right", gold, text, with_type, with_text=gold[:2] != fault.said[:2])]
    return join(parts)


def _named(kind: str, item: Entity | None, text: str, with_type: bool = True, with_text: bool = True) -> Markup:
    if item is None:
        return Markup("")
    words = element("b", " ".join(text[item.start : item.end].split()), dir="auto") if with_text else None
    type_ = element("span" if with_text else "b", item.type) if with_type else None
    sure = percent(item.confidence, 0) if item.confidence is not None else None
    return element("span", join([part for part in (words, type_, sure) if part], " "), class_=kind)
