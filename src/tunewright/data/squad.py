"""SQuAD v1.1 and v2.0: articles of paragraphs with their questions, flattened to a row a question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import sha256
from .table import Table

COLUMNS = ["id", "title", "context", "question", "answers", "is_impossible"]
FORM = (
    'write {"title": "a text", "paragraphs": [{"context": "a text", "qas": [{"question": "a text", '
    '"is_impossible": false, "answers": [{"text": "as in the context", "answer_start": 17}]}]}]}'
)
KINDS = {str: "text", list: "list", int: "whole number", bool: "truth value"}


def is_squad(value: Any) -> bool:
    """Whether a JSON value is of articles whose paragraphs have a context or questions."""
    articles = value.get("data") if isinstance(value, dict) else None
    if not isinstance(articles, list):
        return False
    nested = [article.get("paragraphs") for article in articles if isinstance(article, dict)]
    paragraphs = [item for items in nested if isinstance(items, list) for item in items]
    return any(isinstance(item, dict) and ("qas" in item or "context" in item) for item in paragraphs)


def from_squad(path: Path, value: Any) -> Table:
    """One row a question: id, title, context, question, answers, is_impossible.

    Each answer is {"text": str, "answer_start": int}, in characters of the context. A missing title is "", a missing id
    the number of the question, a missing is_impossible False.

    Raises:
        DataError: naming the path in the JSON, as data[3].paragraphs[0].qas[7].
    """
    rows = []
    for number, (article, context, question, where) in enumerate(questions(value["data"], str(path)), 1):
        found = {
            "id": str(number if question.get("id") is None else question["id"]),
            "title": take(article, "title", str, where.partition(".paragraphs")[0], ""),
            "context": context,
            "question": take(question, "question", str, where),
            "answers": [
                checked(answer, f"{where}.answers[{place}]")
                for place, answer in enumerate(take(question, "answers", list, where))
            ],
            "is_impossible": take(question, "is_impossible", bool, where, False),
        }
        rows.append(found)
    notes = [f"read as SQuAD: {len(rows):,} questions in {len(value['data']):,} articles"]
    return Table(str(path), list(COLUMNS), rows, list(range(1, len(rows) + 1)), sha256(path), notes)


def questions(articles: list[Any], source: str) -> Iterator[tuple[dict[str, Any], str, dict[str, Any], str]]:
    """(article, context, question, its place) of each question."""
    for place, article in enumerate(articles):
        where = f"{source}, data[{place}]"
        for inner, paragraph in enumerate(take(article, "paragraphs", list, where)):
            at = f"{where}.paragraphs[{inner}]"
            context = take(paragraph, "context", str, at)
            for last, question in enumerate(take(paragraph, "qas", list, at)):
                yield article, context, must_be_object(question, f"{at}.qas[{last}]"), f"{at}.qas[{last}]"


def checked(answer: Any, where: str) -> dict[str, Any]:
    """What else an answer has is left out."""
    return {"text": take(answer, "text", str, where), "answer_start": take(answer, "answer_start", int, where)}


def take(value: Any, key: str, kind: type, where: str, default: Any = None) -> Any:
    """`value[key]`, which is of that type; the default where it is missing or null."""
    found = must_be_object(value, where).get(key)
    if found is None and default is not None:
        return default
    if found is None:
        raise DataError(f"has no {key!r}", where=where, fix=FORM)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        what = f"{key!r} is no {KINDS[kind]}, but of type {type(found).__name__}"
        raise DataError(what, where=where, fix=FORM)
    return found


def must_be_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"is no object, but of type {type(value).__name__}", where=where, fix=FORM)
    return value
