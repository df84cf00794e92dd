"""Scores of generated texts by name, and which of them apply to given references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from ..errors import ConfigError, suggest
from . import form, overlap

SCORES = (
    "rouge1", "rouge2", "rougeL", "bleu", "chrf", "bertscore", "exact_match",
    "json_valid", "json_schema", "json_fields", "regex", "distinct_1", "distinct_2",
)  # fmt: skip
SHORT = 5  # words, at most: a label, a number or a name, that is right or wrong as a whole
MOSTLY_JSON = 0.9  # share of the references: a few broken ones do not make it another task

Scorer = Callable[[Sequence[str], Sequence[str]], float]
PLAIN: dict[str, Scorer] = {
    "rouge1": lambda said, there: overlap.rouge("rouge1", said, there).f1,
    "rouge2": lambda said, there: overlap.rouge("rouge2", said, there).f1,
    "rougeL": lambda said, there: overlap.rouge("rougeL", said, there).f1,
    "bleu": lambda said, there: overlap.bleu(said, there).value,
    "chrf": lambda said, there: overlap.chrf(said, there).value,
    "exact_match": overlap.exact_match,
    "json_valid": lambda said, _: form.json_valid(said),
    "json_fields": form.json_fields,
    "distinct_1": lambda said, _: overlap.distinct(said, 1),
    "distinct_2": lambda said, _: overlap.distinct(said, 2),
}


def choose(references: Sequence[str]) -> tuple[str, ...]:
    """The scores that apply to outputs with such references.

    json_valid and json_fields where at least 90 % of them are JSON objects; exact_match for those and where the median
    has at most 5 words; ROUGE, chrF and BLEU where it has more. Of these, ROUGE reads a-z and 0-9 alone, and BLEU words
    between blanks: they are left out where they would see next to nothing. distinct_1 and distinct_2 always.
    """
    chosen = {"distinct_1", "distinct_2"}
    if references:
        json = overlap.mean(map(form.is_object, references)) >= MOSTLY_JSON
        length = median(len(overlap.words(text)) for text in references)
        chosen |= {"json_valid", "json_fields"} if json else set()
        chosen |= {"exact_match"} if json or length <= SHORT else set()
        chosen |= overlaps(references, length) if length > SHORT else set()
    return tuple(name for name in SCORES if name in chosen)


def overlaps(references: Sequence[str], length: float) -> set[str]:
    """chrF, with ROUGE and BLEU where they can read the references; `length`: their median words."""
    found = {"chrf"}
    if median(len(text.split()) for text in references) > SHORT:
        found.add("bleu")
    if 2 * median(len(overlap.rouge_words(text)) for text in references) >= length:
        found |= set(overlap.ROUGE)
    return found


def score(
    names: Sequence[str],
    predictions: Sequence[str],
    references: Sequence[str],
    schema: dict[str, Any] | None = None,
    pattern: str | None = None,
    bertscore_model: str = "minilm",
) -> dict[str, float]:
    """Named scores of outputs: from 0 to 1, but bleu and chrf from 0 to 100, as sacreBLEU has them.

    rouge1, rouge2, rougeL and bertscore are F1. No rows score 0, and so do empty outputs, unless an empty reference or
    the regular expression wants them.

    Args:
        names: of `SCORES`.
        schema: a JSON schema; json_schema needs it.
        pattern: a regular expression for Python's re; regex needs it.
        bertscore_model: an embedded alias, a local folder or a hub id.

    Raises:
        ConfigError: an unknown name, or one that lacks its schema or pattern, or those are not valid.
        ValueError: different numbers of predictions and references.
    """
    check(names, schema, pattern)
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    scorers = PLAIN | {
        "bertscore": lambda said, there: bertscore_f1(said, there, bertscore_model),
        "json_schema": lambda said, _: form.json_schema(said, schema or {}),
        "regex": lambda said, _: form.pattern_match(said, pattern or ""),
    }
    return {name: scorers[name](predictions, references) for name in names}


def bertscore_f1(predictions: Sequence[str], references: Sequence[str], model: str) -> float:
    from .bertscore import bertscore

    return bertscore(predictions, references, model).f1


def check(names: Sequence[str], schema: dict[str, Any] | None, pattern: str | None) -> None:
    """Raises ConfigError for an unknown name, and for one that lacks what it needs."""
    for name in names:
        if name not in SCORES:
            raise ConfigError(f"unknown score {name!r}", where="task.scores", fix=suggest(name, SCORES))
    if "json_schema" in names and schema is None:
        fix = "give a JSON schema file as task.json_schema"
        raise ConfigError("json_schema needs a schema", where="task.scores", fix=fix)
    if "regex" in names and pattern is None:
        raise ConfigError("regex needs a pattern", where="task.scores", fix="give one as task.pattern")
