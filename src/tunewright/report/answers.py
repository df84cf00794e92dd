"""What went wrong in answering questions; and the sections that tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from . import charts, mistakes, page
from .classification import by_confidence
from .files import Record, RunFiles
from .marked import GOLD, WRONG, Stretch, marked, occurrences
from .markup import Markup, element
from .words import count, finite, listing, percent, score

SEPARATOR = " | "  # between question and context in a line's text

# In the order in which they are told.
VERDICTS = {
    "right": "right word for word",
    "overlap": "shares words",
    "elsewhere": "elsewhere in the context",
    "held_back": "wrongly no answer",
    "answered": "should be no answer",
}


class Reply(NamedTuple):
    """One question and what was answered. said: None for "no answer"; overlap: F1 over words with the best gold."""

    row: Any
    id: str | None
    question: str
    context: str
    golds: list[str]
    said: str | None
    confidence: float
    verdict: str  # of VERDICTS
    overlap: float


def judge(lines: Iterable[Record]) -> list[Reply]:
    """The labelled questions by SQuAD's rules, which do not mind case, punctuation and articles."""
    return [_reply(line) for line in lines if isinstance(line.get("label"), list)]


def _reply(line: Record) -> Reply:
    from ..metrics import squad

    question, _, context = str(line.get("text") or "").partition(SEPARATOR)
    golds = [str(gold) for gold in line["label"] if squad.has_answer([str(gold)])]
    said = None if line.get("predicted") is None else str(line["predicted"])
    exact, overlap = squad.scores_of(said or "", golds)
    verdict = "right" if exact else _fault(bool(golds), said is not None, overlap)
    known = None if line.get("id") is None else str(line["id"])
    sure = finite(line.get("confidence")) or 0.0
    return Reply(line.get("row"), known, question, context, golds, said, sure, verdict, overlap)


def _fault(has_answer: bool, answered: bool, overlap: float) -> str:
    if not has_answer:
        return "answered"
    if not answered:
        return "held_back"
    return "overlap" if overlap > 0 else "elsewhere"


def confident_mistakes(replies: Iterable[Reply]) -> list[Reply]:
    """The answers that are not right word for word, the surest first."""
    wrong = (reply for reply in replies if reply.verdict != "right")
    return sorted(wrong, key=lambda reply: -reply.confidence)[: mistakes.SHOWN]


# Which questions: how their scores begin, and the name of their number.
PARTS = {
    "all questions": ("", "num_rows"),
    "with an answer": ("has_answer_", "num_has_answer"),
    "without an answer": ("no_answer_", "num_no_answer"),
}


def results(files: RunFiles) -> Markup:
    """The scores of questions with and without an answer, and what the wrong answers are."""
    if not files.scores:
        return Markup("")
    replies = judge(files.predictions or [])
    table = page.card("Scores", _table(files), *map(page.note, [*silence(files), _threshold(files)]))
    counts = Counter(reply.verdict for reply in replies)
    items = [(said, counts[kind]) for kind, said in VERDICTS.items() if counts[kind]]
    described = "; ".join(f"{said}: {number}" for said, number in items)
    drawing = charts.bars("answers", "Answers", described, items, good=1) if replies else Markup("")
    picture = page.chart(f"What it answered on {files.predictions_split}", drawing)
    lead = f"Scores on {files.split}, by SQuAD's rules: case, punctuation and articles do not count."
    sure = by_confidence(((reply.confidence, reply.verdict == "right") for reply in replies), "answers")
    return page.section("answers", "Answers", lead, page.grid(table, page.stack(picture, sure)))


def _table(files: RunFiles) -> Markup:
    scores, rows = files.scores, []
    for said, (prefix, number) in PARTS.items():
        exact = finite(scores.get(f"{prefix}exact_match"))
        if exact is not None:
            measure = page.measure(exact, percent(exact))
            rows.append([said, count(scores.get(number)), measure, score(scores.get(f"{prefix}f1"))])
    return page.table("Scores of answers", ["questions", "number", "word for word", "F1"], rows)


def silence(files: RunFiles) -> list[str]:
    """What never answering would be worth; nothing where every question has an answer."""
    none, rows = finite(files.scores.get("num_no_answer")), finite(files.scores.get("num_rows"))
    return [f"Never answering would be right {percent(none / rows)} of the time."] if none and rows else []


def _threshold(files: RunFiles) -> str | None:
    threshold = finite(files.null_threshold)
    if threshold is None:
        return None
    where = "unless the best answer's score is above its own"
    where = "where its score is above the best answer's" if threshold >= 0 else where
    return f"It says “no answer” {where} by more than {abs(threshold):.3g}, as tuned on validation."


def mistake_list(files: RunFiles) -> Markup:
    """The wrong answers in their contexts, the surest first."""
    found = confident_mistakes(judge(files.predictions or []))
    lead = f"Questions of {files.predictions_split} that it answered wrongly, the surest first. An answer is marked "
    lead += "wherever its words stand in the context."
    key = [element("u", "labelled", class_=GOLD), " ", element("mark", "answered", class_=WRONG)]
    return mistakes.section(files, lead, map(_card, found), element("p", "Key: ", *key, class_="key"))


def _card(reply: Reply) -> Markup:
    gold = [Stretch(*place, GOLD) for text in reply.golds for place in occurrences(text, reply.context)]
    said = [Stretch(*place, WRONG) for place in occurrences(reply.said or "", reply.context)]
    focus = [*gold[:1], *said[:1]]
    question = element("p", reply.question or "(empty question)", class_="question", dir="auto")
    context = element("blockquote", marked(reply.context, [*gold, *said], focus), dir="auto")
    lines = [element("li", _answered(reply)), element("li", _labelled(reply))]
    where = mistakes.place(reply.row, reply.id)
    return element("li", question, context, element("ul", *lines, class_="faults"), where, class_="card")


def _answered(reply: Reply) -> Markup:
    sure = f" {percent(reply.confidence, 0)}"
    what = element("b", reply.said if reply.said is not None else "no answer", dir="auto")
    shared = f", F1 {reply.overlap:.2f}" if reply.verdict == "overlap" else ""
    return element("span", "answered ", element("span", what, sure, class_="wrong"), shared)


def _labelled(reply: Reply) -> Markup:
    if not reply.golds:
        return element("span", "labelled ", element("span", element("b", "no answer"), class_="right"))
    first, *others = reply.golds
    shown = element("span", element("b", first, dir="auto"), class_="right")
    also = f", also {listing([f'“{other}”' for other in others[:3]])}" if others else ""
    return element("span", "labelled ", shown, also)
