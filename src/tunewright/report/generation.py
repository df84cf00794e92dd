"""What the scores and predictions of a task that writes answers say. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from .files import Record, RunFiles
from .words import count, finite, percent, score, score_name, score_value, score_word

# The score that stands for the whole.
FIRST = {
    "causal_lm": ("loss",),
    "seq2seq": ("loss",),
    "preference": ("accuracy", "log_probability_accuracy", "loss"),
}
REFERENCE_FREE = ("simpo", "orpo")
_LOSSES = {"dpo": "DPO", "ipo": "IPO", "robust": "robust DPO", "hinge": "hinge", "simpo": "SimPO", "orpo": "ORPO"}

# What each score is, in the order in which they are told. Up to 1 and higher is better, unless it says otherwise.
ABOUT = {
    "perplexity": "e to the power of the loss: among how many equally likely tokens it chooses, as it were; lower is "
    "better, 1 is best",
    "token_accuracy": "share of the reference's tokens that were its first guess, given the ones before",
    "margin": "how much more reward the chosen answer has than the rejected one; above 0 is right",
    "log_probability_accuracy": "share of pairs whose chosen answer is the likelier one as a whole; short ones are at "
    "an advantage",
    "chosen_log_probability": "of a token of the chosen answers, in nats; nearer to 0 is likelier",
    "exact_match": "share of the written answers that are the reference, word for word",
    "json_valid": "share of the written answers that are JSON",
    "json_schema": "share of the written answers that are JSON of the schema",
    "json_fields": "share of the reference's JSON fields that the written answer has with the same value",
    "regex": "share of the written answers that match the pattern",
    "rouge1": "words shared with the reference (F1)",
    "rouge2": "pairs of words shared with the reference (F1)",
    "rougeL": "longest common sequence of words with the reference (F1)",
    "bleu": "runs of one to four words shared with the references; from 0 to 100",
    "chrf": "runs of one to six characters shared with the reference; from 0 to 100",
    "bertscore": "likeness of the words' meanings to the reference, by an encoder (F1)",
    "distinct_1": "different words among all written words; low means that it repeats itself",
    "distinct_2": "the same of pairs of neighbouring words",
    "finished": "share of the written answers that it ended by itself; the others were cut at the limit",
    "answers": "rows that were answered in writing; the scores of answers are theirs",
    "json_answers": "rows among them whose reference is a JSON object; the scores of JSON are theirs",
}
_OF_PAIRS = {
    "accuracy": "share of pairs whose chosen answer has the higher reward; 0.5 is chance",
    "chosen_reward": "how much likelier than before tuning the chosen answers are: beta times the difference of their "
    "log-probabilities; below 0 they became less likely",
    "rejected_reward": "the same of the rejected answers",
}
_WITHOUT_REFERENCE = {
    "chosen_reward": "beta times the log-probability a token of the chosen answers; nearer to 0 is likelier",
}


class Answer(NamedTuple):
    """A row, and what was written. rejected: of a pair; None stands for what is not there."""

    row: object
    prompt: str
    reference: str | None
    rejected: str | None
    written: str | None
    finished: bool
    loss: float | None


def answers(lines: Iterable[Record]) -> list[Answer]:
    return [_answer(line) for line in lines]


def _answer(line: Record) -> Answer:
    known = {key: None if line.get(key) is None else str(line[key]) for key in ("label", "rejected", "predicted")}
    text, ended = str(line.get("text") or ""), line.get("finished", True) is not False
    return Answer(line.get("row"), text, known["label"], known["rejected"], known["predicted"], ended,
                  finite(line.get("loss")))  # fmt: skip


def worst(found: Iterable[Answer], limit: int = 20) -> list[Answer]:
    """Those with an answer in writing, where any has one; the highest loss first, as they come where none is known."""
    rows = list(found)
    shown = [row for row in rows if row.written is not None] or rows
    return sorted(shown, key=lambda row: -math.inf if row.loss is None else row.loss, reverse=True)[:limit]


def loss_name(files: RunFiles) -> str:
    """`DPO`."""
    kind = str(files.part("task").get("loss") or "dpo")
    smoothed = kind == "dpo" and finite(files.part("task").get("label_smoothing"))
    return "conservative DPO" if smoothed else _LOSSES.get(kind, kind)


def has_reference(files: RunFiles) -> bool:
    """Whether rewards compare with the model as it was before tuning."""
    return files.task == "preference" and files.part("task").get("loss") not in REFERENCE_FREE


def falls(files: RunFiles) -> bool:
    """Whether the chosen answers themselves became less likely."""
    value = finite(files.scores.get("chosen_reward"))
    return has_reference(files) and value is not None and value < 0


def loss_before(files: RunFiles) -> float | None:
    """The loss of a model that has not moved from its reference: known without measuring it."""
    if not has_reference(files):
        return None
    task = files.part("task")
    beta = finite(task.get("beta")) or 0.1
    return {"hinge": 1.0, "ipo": (0.5 / beta) ** 2}.get(str(task.get("loss")), math.log(2))


def learned(files: RunFiles) -> str:
    """What the tokens in the loss are tokens of."""
    task = files.part("task")
    if files.task == "causal_lm" and task.get("shape") == "text":
        return "texts"
    if task.get("loss_on") == "everything":
        return "prompts and answers"
    return "targets" if files.task == "seq2seq" else "answers"


def score_title(files: RunFiles, name: str) -> str:
    """As `score_name`, but the loss and the accuracy of pairs are no classifier's."""
    if files.task == "preference":
        return {"loss": f"{loss_name(files)} loss", "accuracy": "Pairs ranked right"}.get(name, score_name(name))
    return "Loss" if name == "loss" and files.generative else score_name(name)


def score_phrase(files: RunFiles, name: str) -> str:
    """As `score_title` within a sentence."""
    if files.generative and name == "loss":
        return f"{loss_name(files)} loss" if files.task == "preference" else "loss"
    return score_word(name)


def about(files: RunFiles, name: str) -> str | None:
    """What a score is, in a line."""
    if files.task == "preference":
        if name == "loss":
            before = loss_before(files)
            return "what was trained on; lower is better" + (f", {score(before)} before tuning" if before else "")
        known = {**_OF_PAIRS, **({} if has_reference(files) else _WITHOUT_REFERENCE)}
        if name in known:
            return known[name]
    if name == "loss":
        return (
            f"cross-entropy of a token of the {learned(files)}, in nats: how little it expected them; lower is better"
        )
    return ABOUT.get(name)


def told_scores(files: RunFiles) -> list[str]:
    """The scores that are there and have something said of them, in their order."""
    order = ["accuracy", "loss", "perplexity", "token_accuracy", "margin", "chosen_reward", "rejected_reward", *ABOUT]
    return [name for name in dict.fromkeys(order) if finite(files.scores.get(name)) is not None and about(files, name)]


def likelihood(files: RunFiles, loss: float, on: str) -> str:
    """How well it expects the references, in words."""
    perplexity, hits = finite(files.scores.get("perplexity")), finite(files.scores.get("token_accuracy"))
    said = f"On {on} its loss is {score(loss)} nats a token of the {learned(files)} (lower is better)"
    if perplexity is not None:
        many = score_value("perplexity", perplexity)
        said += f": a perplexity of {many}, as if it had to choose among {_about(perplexity)} equally likely tokens"
    said += "."
    if hits is not None:
        said += f" Its first guess is the right token {percent(hits)} of the time."
    before = finite(files.before.get("loss"))
    if before is None:
        return f"{said} How the model did before tuning was not measured."
    many = score_value("perplexity", files.before.get("perplexity"))
    return f"{said} Before tuning its loss was {score(before)}, its perplexity {many}."


def _about(number: float) -> str:
    return f"{number:.1f}" if number < 10 else count(number) if number < 1e6 else f"{number:.1e}"


def pairs(files: RunFiles, name: str, value: str, on: str) -> str:
    """How often it ranks a pair as people did, in words."""
    if name == "log_probability_accuracy":
        return f"On {on} the chosen answer is the likelier one {value} of the time; {percent(0.5, 0)} would be chance."
    chance = f"{percent(0.5, 0)} would be chance"
    said = f"On {on} it ranks the chosen answer above the rejected one {value} of the time; {chance}."
    if not has_reference(files):
        return f"{said} It ranks by log-probability a token."
    said += " It ranks by how much likelier an answer became by tuning."
    return f"{said} The chosen answers themselves became less likely than before." if falls(files) else said
