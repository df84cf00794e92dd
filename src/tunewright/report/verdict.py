"""How good the model is, in a number with its interval and in a sentence: the same in the report and in the card."""

from __future__ import annotations

from typing import NamedTuple

from . import generation
from .analysis import Point, main_score
from .files import RunFiles
from .words import NARROW, count, finite, percent, plural, score, score_word

# Where the usual order of scores would pick another one.
_FIRST = {"token_classification": ("f1", "accuracy"), "question_answering": ("exact_match", "f1"), **generation.FIRST}
_CAUTION = " They also chose the best step: expect a little less on new text."


class Main(NamedTuple):
    """The score that stands for the whole; interval: of 95 %, None where none is sound."""

    name: str
    value: float
    interval: Point | None


def main(files: RunFiles) -> Main | None:
    """The main score of the split that the report speaks of; None where it was not evaluated."""
    first = ((name, finite(files.scores.get(name))) for name in _FIRST.get(files.task, ()))
    found = next(((name, value) for name, value in first if value is not None), None) or main_score(files.scores)
    return Main(*found, _interval(files, found[0])) if found else None


def _interval(files: RunFiles, name: str) -> Point | None:
    """Of shares from their number of rows; of what is counted within rows from the predictions alone."""
    value, rows = finite(files.scores.get(name)), finite(files.scores.get("num_rows"))
    if files.task == "token_classification":
        return _interval_over_rows(files, name)
    shares = ("exact_match",) if files.task == "question_answering" else ("accuracy", "log_probability_accuracy")
    if name not in shares or not rows or value is None:
        return None
    from ..evidence.intervals import interval

    return _ends(*interval(value, value * (1 - value) / rows, int(rows)))


def _interval_over_rows(files: RunFiles, name: str) -> Point | None:
    """Entities of one row are not independent, so no formula on their number is honest."""
    if not files.predictions or files.predictions_split != files.split:
        return None
    from ..evidence.intervals import intervals
    from ..metrics.rows import scorer

    scores = scorer(files.predictions)
    found = intervals(scores, seed=0).get(name) if scores else None
    return _ends(found["low"], found["high"]) if found else None


def _ends(low: float | None, high: float | None) -> Point | None:
    return None if low is None or high is None else (low, high)


def sentence(files: RunFiles, found: Main | None) -> str:
    """How it did, in a sentence or two."""
    if found is None:
        return "It was not evaluated: there are no scores on validation or test data."
    rows, noun = finite(files.scores.get("num_rows")), files.row_noun
    on = f"{plural(rows, noun)} of {files.source('test')}" if files.split == "test" else f"the validation {noun}s"
    said = _SAYING.get((files.task, found.name), _of_classes if found.name == "accuracy" else _of_any)
    return said(files, found, on) + ("" if files.split == "test" else _CAUTION)


def _of_any(files: RunFiles, found: Main, on: str) -> str:
    return f"On {on} its {score_word(found.name)} is {score(found.value)}{_in_brackets(found)}."


def _of_classes(files: RunFiles, found: Main, on: str) -> str:
    return f"On {on} it is right {percent(found.value)} of the time{_in_brackets(found)}."


def _of_words(files: RunFiles, found: Main, on: str) -> str:
    words = plural(finite(files.scores.get("num_words")), "word")
    return f"On {on} it tags {percent(found.value)} of the {words} right{_in_brackets(found)}."


def _of_entities(files: RunFiles, found: Main, on: str) -> str:
    """Recall and precision in words; both are strict."""
    scores = files.scores
    recall, precision = finite(scores.get("recall")), finite(scores.get("precision"))
    if recall is None or precision is None:
        return _of_any(files, found, on)
    amount = f"the {count(scores['num_entities'])} entities" if finite(scores.get("num_entities")) else "the entities"
    exactly = "with their exact borders and type"
    said = f"On {on} it finds {percent(recall)} of {amount}, {exactly}; {percent(precision)} of what it marks is right."
    return f"{said} F1 is {score(found.value)}{_in_brackets(found)}."


def _of_answers(files: RunFiles, found: Main, on: str) -> str:
    scores = files.scores
    said = f"On {on} it answers {percent(found.value)} of the questions word for word{_in_brackets(found)}"
    said += f"; F1 over words is {score(scores['f1'])}." if finite(scores.get("f1")) is not None else "."
    none, silent = finite(scores.get("num_no_answer")), finite(scores.get("no_answer_exact_match"))
    if none and silent is not None:
        have = "question that has" if none == 1 else "questions that have"
        said += f" It leaves {percent(silent, 0)} of the {count(none)} {have} no answer unanswered."
    return said


def _of_likelihood(files: RunFiles, found: Main, on: str) -> str:
    return generation.likelihood(files, found.value, on)


def _of_pairs(files: RunFiles, found: Main, on: str) -> str:
    return generation.pairs(files, found.name, f"{percent(found.value)}{_in_brackets(found)}", on)


_SAYING = {
    ("token_classification", "f1"): _of_entities,
    ("token_classification", "accuracy"): _of_words,
    ("question_answering", "exact_match"): _of_answers,
    ("causal_lm", "loss"): _of_likelihood,
    ("seq2seq", "loss"): _of_likelihood,
    ("preference", "accuracy"): _of_pairs,
    ("preference", "log_probability_accuracy"): _of_pairs,
}


def _in_brackets(found: Main) -> str:
    said = interval_words(found)
    return f" (95{NARROW}% interval {said})" if said else ""


def interval_words(found: Main) -> str:
    """`88.2 % to 94.1 %`, or `0.80 to 0.84` of a score that is no share; nothing where there is no interval."""
    if found.interval is None:
        return ""
    low, high = (score(end) if found.name == "f1" else percent(end) for end in found.interval)
    return f"{low} to {high}"
