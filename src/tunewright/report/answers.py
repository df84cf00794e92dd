"""What went wrong in answering questions. Pure functions on the lines of predictions/SPLIT.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from .words import finite

Record = dict[str, Any]

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

    question, context = _parts(line.get("text"))
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


def _parts(text: Any) -> tuple[str, str]:
    if isinstance(text, list | tuple) and len(text) == 2:
        return str(text[0]), str(text[1])
    question, _, context = str(text or "").partition(SEPARATOR)
    return question, context


def count_verdicts(replies: Iterable[Reply]) -> Counter[str]:
    return Counter(reply.verdict for reply in replies)


def confident_mistakes(replies: Iterable[Reply], limit: int = 20) -> list[Reply]:
    """The answers that are not right word for word, the surest first."""
    wrong = (reply for reply in replies if reply.verdict != "right")
    return sorted(wrong, key=lambda reply: -reply.confidence)[:limit]
