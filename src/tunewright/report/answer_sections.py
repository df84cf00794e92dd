"""The sections of a run that answers questions: right answers, withheld answers, and the surest mistakes."""

from __future__ import annotations

from . import answers, charts, mistakes, page
from .analysis import surest
from .answers import VERDICTS, Reply
from .files import RunFiles
from .marked import GOLD, WRONG, Stretch, marked, occurrences
from .markup import Markup, element
from .words import count, finite, listing, percent, score

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
    replies = answers.judge(files.predictions or [])
    table = page.card("Scores", _table(files), *map(_note, _about(files)))
    counts = answers.count_verdicts(replies)
    items = [(said, counts[kind]) for kind, said in VERDICTS.items() if counts[kind] or kind in _possible(files)]
    described = "; ".join(f"{said}: {number}" for said, number in items)
    drawing = charts.bars("answers", "Answers", described, items, good=1) if replies else Markup("")
    picture = page.chart(f"What it answered on {files.predictions_split}", drawing)
    lead = f"Scores on {files.split}, by SQuAD's rules: case, punctuation and articles do not count."
    sure = page.by_confidence(surest((reply.confidence, reply.verdict == "right") for reply in replies), "answers")
    return page.section("answers", "Answers", lead, page.grid(table, page.stack(picture, sure)))


def _possible(files: RunFiles) -> tuple[str, ...]:
    """Kinds that are told even where there are none of them."""
    return tuple(VERDICTS) if finite(files.scores.get("num_no_answer")) else ("right", "overlap", "elsewhere")


def _table(files: RunFiles) -> Markup:
    scores, rows = files.scores, []
    for said, (prefix, number) in PARTS.items():
        exact = finite(scores.get(f"{prefix}exact_match"))
        if exact is not None:
            measure = page.measure(exact, percent(exact))
            rows.append([said, count(scores.get(number)), measure, score(scores.get(f"{prefix}f1"))])
    return page.table("Scores of answers", ["questions", "number", "word for word", "F1"], rows)


def _note(said: str) -> Markup:
    return element("p", said, class_="note")


def _about(files: RunFiles) -> list[str]:
    """What "no answer" costs and gains."""
    none, rows = finite(files.scores.get("num_no_answer")), finite(files.scores.get("num_rows"))
    threshold = finite(files.null_threshold)
    said = []
    if none and rows:
        said.append(f"Never answering would be right {percent(none / rows)} of the time.")
    if threshold is not None:
        lead = "its score is above the best answer's" if threshold >= 0 else "the best answer's score is above its own"
        where = "where" if threshold >= 0 else "unless"
        said.append(f"It says “no answer” {where} {lead} by more than {abs(threshold):.3g}, as tuned on validation.")
    return said


def mistake_list(files: RunFiles) -> Markup:
    """The wrong answers in their contexts, the surest first."""
    found = answers.confident_mistakes(answers.judge(files.predictions or []))
    lead = f"Questions of {files.predictions_split} that it answered wrongly, the surest first. An answer is marked "
    lead += "wherever its words stand in the context."
    key = [element("u", "labelled", class_=GOLD), " ", element("mark", "answered", class_=WRONG)]
    told = element("p", "Key: ", *key, class_="key") if found else Markup("")
    return mistakes.section(files, lead, told, mistakes.listed(map(_card, found)))


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
