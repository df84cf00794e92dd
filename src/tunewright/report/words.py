"""Numbers, dates and names as a person reads them. Pure functions: value in, text out."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

NOTHING = "–"  # stands for a value that is not there or is not a finite number
NARROW = "\N{NARROW NO-BREAK SPACE}"
_SIZES = ("r", "bottleneck_size", "num_virtual_tokens")  # of strategies: told beside their kind

_SCORES = {
    "loss": "Log loss",
    "accuracy": "Accuracy",
    "f1_macro": "Macro F1",
    "f1_micro": "Micro F1",
    "f1_weighted": "Weighted F1",
    "f1_samples": "Samples F1",
    "precision_macro": "Macro precision",
    "recall_macro": "Macro recall",
    "precision_micro": "Micro precision",
    "recall_micro": "Micro recall",
    "mcc": "Matthews correlation",
    "exact_match": "Exact match",
    "f1": "F1",
    "num_rows": "Rows",
    "num_words": "Words",
    "num_entities": "Entities",
    "has_answer_exact_match": "Exact match, with an answer",
    "has_answer_f1": "F1, with an answer",
    "num_has_answer": "Questions with an answer",
    "no_answer_exact_match": "Exact match, without an answer",
    "no_answer_f1": "F1, without an answer",
    "num_no_answer": "Questions without an answer",
    "average_precision_macro": "Macro average precision",
    "calibration_error": "Calibration error",
    "perplexity": "Perplexity",
    "token_accuracy": "Token accuracy",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU",
    "chrf": "chrF",
    "bertscore": "BERTScore",
    "json_valid": "Valid JSON",
    "json_schema": "JSON of the schema",
    "json_fields": "JSON fields right",
    "regex": "Matches the pattern",
    "distinct_1": "Distinct words",
    "distinct_2": "Distinct word pairs",
    "finished": "Answers that ended",
    "answers": "Answers written",
    "margin": "Margin of rewards",
    "chosen_reward": "Reward of the chosen",
    "rejected_reward": "Reward of the rejected",
    "chosen_log_probability": "Log-probability of the chosen",
    "log_probability_accuracy": "Chosen likelier",
}
_PROPER = ("rouge1", "rouge2", "rougeL", "bleu", "chrf", "bertscore")  # names that keep their capitals
_UNBOUNDED = ("margin", "chosen_reward", "rejected_reward", "chosen_log_probability")  # small or large
_TASKS = {
    "sequence_classification": "Text classification",
    "token_classification": "Token classification",
    "question_answering": "Question answering",
    "causal_lm": "Text generation",
    "seq2seq": "Text to text",
    "preference": "Preference tuning",
}


def finite(value: Any) -> float | None:
    """The value as a finite float, or None: null, NaN, infinity, text and booleans are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def score(value: Any, digits: int = 3) -> str:
    """0.9333 is `0.933`."""
    number = finite(value)
    return NOTHING if number is None else f"{number:.{digits}f}"


def percent(share: Any, digits: int = 1) -> str:
    """A share from 0 to 1 is a percentage: 0.9333 is `93.3 %`."""
    number = finite(share)
    return NOTHING if number is None else f"{100 * number:.{digits}f}{NARROW}%"


def share(value: Any) -> str:
    """A share that may be tiny: 0.0066 is `0.66 %`, 1 is `100 %`."""
    number = finite(value)
    if number is None:
        return NOTHING
    return percent(number, 0 if number >= 0.995 else 1 if number >= 0.1 else 2)


def count(value: Any) -> str:
    """12345 is `12 345`, with narrow spaces that do not break."""
    number = finite(value)
    return NOTHING if number is None else f"{round(number):,}".replace(",", NARROW)


def plural(value: Any, one: str, many: str | None = None) -> str:
    """`1 row`, `2 rows`."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def compact(value: Any) -> str:
    """22713216 is `22.7 M`."""
    number = finite(value)
    if number is None:
        return NOTHING
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{NARROW}{unit}"
    return f"{number:.3g}"


def duration(seconds: Any) -> str:
    """31.2 is `31 s`, 4000 is `1 h 7 min`."""
    number = finite(seconds)
    if number is None:
        return NOTHING
    if number < 9.95:
        return f"{number:.1f}{NARROW}s"
    whole = round(number)
    if whole < 60:
        return f"{whole}{NARROW}s"
    if whole < 3600:
        return f"{whole // 60}{NARROW}min {whole % 60}{NARROW}s"
    return f"{whole // 3600}{NARROW}h {whole % 3600 // 60}{NARROW}min"


def memory(megabytes: Any) -> str:
    """1234 (MB) is `1.2 GB`."""
    number = finite(megabytes)
    if number is None:
        return NOTHING
    return f"{number / 1000:.1f}{NARROW}GB" if number >= 1000 else f"{number:.0f}{NARROW}MB"


def size(num_bytes: Any) -> str:
    """90868377 is `90.9 MB`."""
    number = finite(num_bytes)
    if number is None:
        return NOTHING
    power, unit = next(((1e3**n, u) for n, u in ((3, "GB"), (2, "MB"), (1, "kB")) if number >= 1e3**n), (1, "bytes"))
    return f"{number / power:.3g}{NARROW}{unit}"


def brief(value: float) -> str:
    """Two digits, or all before the point: 0.0523 is `0.052`, 1234.5 is `1234`."""
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"


def signed(key: str, value: Any) -> str:
    """A difference of two scores: -0.0204 is `−0.020`, with a true minus."""
    number = finite(value)
    if number is None:
        return NOTHING
    said = score_value(key, abs(number))
    return said if float(f"{number:.6f}") == 0 else ("+" if number > 0 else "\N{MINUS SIGN}") + said


def chance(p: Any) -> str:
    """A p value: 0.0002 is `<0.001`."""
    number = finite(p)
    if number is None:
        return NOTHING
    return "<0.001" if number < 0.001 else f"{number:.2g}" if number < 0.1 else f"{number:.2f}"


def date(created: Any) -> str:
    """An ISO 8601 moment is `20 November 2026, 20:00 UTC`; what cannot be read is given back."""
    try:
        moment = datetime.fromisoformat(str(created)).astimezone(UTC)
    except ValueError:
        return str(created)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def score_name(key: str) -> str:
    """`f1_macro` is `Macro F1`."""
    return _SCORES.get(key, key.replace("_", " ").capitalize())


def task_name(kind: Any) -> str:
    """`sequence_classification` is `Text classification`."""
    return _TASKS.get(str(kind), str(kind or "training").replace("_", " ").capitalize())


def score_word(key: str) -> str:
    """Within a sentence: `f1_macro` is `macro F1`."""
    name = score_name(key)
    if key in _PROPER:
        return name
    return name.lower().replace("f1", "F1").replace("json", "JSON")


def score_value(key: str, value: Any) -> str:
    """Numbers of things are whole; what has no upper bound has three or four digits that count, all else three
    behind the point."""
    number = finite(value)
    if number is None:
        return NOTHING
    if key.startswith("num_") or key == "answers":
        return count(number)
    if key in _UNBOUNDED:
        return f"{number:.3g}"
    if key == "perplexity":
        return f"{number:.2f}" if number < 100 else count(number) if number < 1e6 else f"{number:.2e}"
    return score(number, 1 if key in ("bleu", "chrf") else 3)  # those two go to 100


def strategy_name(kind: Any, settings: dict[str, Any]) -> str:
    """`lora`, with its settings `lora (r=8)`."""
    sizes = [f"{name}={settings[name]}" for name in _SIZES if settings.get(name) is not None]
    return f"{kind or 'unknown strategy'}{f' ({sizes[0]})' if sizes else ''}"


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters; the last is an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def listing(names: list[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""
