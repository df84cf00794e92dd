"""The section of a comparison that shows rows on which contestants disagree, and how often two of them agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import comparison_rows as rows
from . import page, privacy
from .answers import SEPARATOR
from .comparison_files import Comparison
from .comparison_rows import KINDS, Disagreement, Replies, Reply
from .marked import GOLD, Stretch, marked, occurrences
from .markup import Markup, element, join
from .words import count, plural, score, shorten

EACH, LIMIT, PAIRS = 6, 400, 12  # rows of a kind, and answers of a row; characters of a text; contestants in pairs
TITLE = "Where they disagree"

_ABOUT = {
    "one": "They say most about what sets a contestant apart.",
    "nobody": "Hard rows, or labels that are not clear.",
    "floor": "What a simple model sees here, the best one misses.",
    "split": "",
    "same": "Look at the labels of these first: the models agree with each other, not with them.",
}


def disagreements(comparison: Comparison) -> Markup:
    """Nothing where fewer than two contestants have predictions."""
    runs, floors = ({item.name: item.replies for item in comparison.answering if item.floor == floor}
                    for floor in (False, True))  # fmt: skip
    everyone = {item.name: item.replies for item in comparison.answering}
    runs, floors = (runs, floors) if len(runs) > 1 else (everyone, {})
    if len(runs) < 2:
        return Markup("")
    if all(item.right is None for replies in runs.values() for item in replies.values()):
        return _by_loss(comparison, runs, floors)
    best = str(comparison.verdict.get("best") or next(iter(everyone)))
    found = rows.disagreements(runs, floors, best)
    same = len(found["same"])
    lead = f"{plural(len(runs), 'contestant')} (first seed) differ on {count(sum(map(len, found.values())) - same)} of "
    lead += plural(len(comparison.lines), "row") + (f", and are wrong in the same way on {count(same)}" if same else "")
    lead += ". Floors are shown beside them." if floors else "."
    parts = [_kind(comparison, kind, items) for kind, items in found.items() if items]
    return page.section("disagreements", TITLE, lead, _agreement(everyone, best), *parts)


def _agreement(everyone: Mapping[str, Replies], best: str) -> Markup:
    """Every contestant against the best, and every pair of the first ones."""
    best = best if best in everyone else next(iter(everyone))
    head = [f"compared with {best}", "same answer", "both right", "only the best", "only this one", "none"]
    body = [
        [name, *map(count, rows.agreement(everyone[best], each))] for name, each in everyone.items() if name != best
    ]
    some = list(everyone.items())[:PAIRS]
    pairs = [[f"{place} {name}", *(count(rows.agreement(each, other).same) for _, other in some)]
             for place, (name, each) in enumerate(some, 1)]  # fmt: skip
    title, of = "Rows on which two agree, and who is right", "every pair" if len(some) == len(everyone) else "the best"
    every = page.table("Same answers, by pair", ["contestant", *map(str, range(1, len(some) + 1))], pairs)
    more = page.details(f"Same answers of {of}", every) if len(some) > 2 else None
    return element("div", element("h3", title), page.table(title, head, body), more, class_="card contest")


def _kind(comparison: Comparison, kind: str, items: Sequence[Disagreement]) -> Markup:
    floors = {item.name for item in comparison.contestants if item.floor}
    body = [
        (item.row, [(_said(reply), rows.who(people, floors)) for reply, people in item.by_answer]) for item in items
    ]
    more = f" The first {count(EACH)}, those with most different answers." if len(items) > EACH else ""
    return _sheet(comparison, f"{KINDS[kind]}: {plural(len(items), 'row')}", _ABOUT[kind] + more, body[:EACH])


def _by_loss(comparison: Comparison, runs: Mapping[str, Replies], floors: Mapping[str, Replies]) -> Markup:
    """Of models of language: the rows whose losses lie furthest apart."""
    body = [
        (row, [(element("b", f"{score(reply.loss)} {name}", dir="auto"), reply.told) for name, reply in known])
        for row, known in rows.widest(runs, floors, EACH + 2)
    ]
    lead = f"Rows of {comparison.record['split']} (first seed) whose losses lie furthest apart, the lowest loss first."
    sheet = _sheet(comparison, "Losses and answers", "", body)
    return page.section("disagreements", TITLE, lead, sheet) if body else Markup("")


def _sheet(
    comparison: Comparison, title: str, about: str, body: Sequence[tuple[Any, list[tuple[Markup, str]]]]
) -> Markup:
    """A table of rows: the text, the label, and what was answered by whom."""
    cells = [[_text(comparison, row), _label(comparison, row), _list(answers)] for row, answers in body]
    note = element("p", about, class_="note") if about else None
    sheet = page.table(title, ["text", "label", "answers"], cells, text=3)
    return element("div", element("h3", title), note, sheet, class_="card texts stacked")


def _list(answers: Sequence[tuple[Markup, str]]) -> Markup:
    told = [element("li", said, element("span", shorten(more, LIMIT), class_="small", dir="auto") if more else None)
            for said, more in answers[:EACH]]  # fmt: skip
    left = element("li", f"and {count(len(answers) - EACH)} more") if len(answers) > EACH else None
    return element("ul", *told, left, class_="said")


def _said(reply: Reply) -> Markup:
    return element("b", shorten(reply.told, LIMIT) or "(empty)", class_="right" if reply.right else "wrong", dir="auto")


def _text(comparison: Comparison, row: Any) -> Markup:
    """The text with what is labelled in it underlined."""
    line = comparison.lines[row]
    text = str(line.get("text") or "")
    shown: object = shorten(privacy.scrub(text), LIMIT) or "(empty text)"
    if comparison.task == "question_answering":
        question, _, context = text.partition(SEPARATOR)
        gold = [Stretch(*place, GOLD) for answer in line["label"][:1] for place in occurrences(str(answer), context)]
        shown = join([element("b", question), element("span", marked(context, gold, gold[:1]), class_="small")])
    elif comparison.task == "token_classification" and line.get("scheme") != "plain":  # there every word has a label
        shown = marked(text, [Stretch(item["start"], item["end"], GOLD) for item in line["label"]])
    return element("div", shown, element("span", f"row {row}", class_="small"), dir="auto")


def _label(comparison: Comparison, row: Any) -> Markup:
    line = comparison.lines[row]
    label, text = line.get("label"), str(line.get("text") or "")
    if comparison.task == "question_answering":
        said = str(label[0]) if label else "no answer"
    elif comparison.task == "token_classification":
        said = ", ".join(f"{text[item['start'] : item['end']]} ({item['type']})" for item in label or []) or "nothing"
    else:
        said = rows.label_text(rows.names(label))
    return element("span", shorten(said, LIMIT), dir="auto")
