"""Of a model that writes answers: what its scores say, its answers, and the stored template."""

from __future__ import annotations

import math
from collections.abc import Sequence

from . import page
from .files import Record, RunFiles
from .markup import Markup, element, join
from .words import NOTHING, count, finite, percent, plural, score, score_name, score_value, score_word, shorten

SHOWN, LETTERS = 20, 600  # rows of the table of answers, and characters of a text in it
CAPTION = "Prompts and answers"

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
    "loss": "what was trained on; lower is better",
    "accuracy": "share of pairs whose chosen answer has the higher reward; 0.5 is chance",
    "chosen_reward": "how much likelier than before tuning the chosen answers are: beta times the difference of their "
    "log-probabilities; below 0 they became less likely",
    "rejected_reward": "the same of the rejected answers",
}
_WITHOUT_REFERENCE = {
    "chosen_reward": "beta times the log-probability a token of the chosen answers; nearer to 0 is likelier",
}


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
    """What a score of a model that writes is, in a line."""
    if not files.generative:
        return None
    if files.task == "preference":
        known = {**_OF_PAIRS, **({} if has_reference(files) else _WITHOUT_REFERENCE)}
        return known.get(name, ABOUT.get(name))
    if name == "loss":
        return (
            f"cross-entropy of a token of the {learned(files)}, in nats: how little it expected them; lower is better"
        )
    return ABOUT.get(name)


def lead_of_scores(files: RunFiles) -> str:
    """What the scores by split are of."""
    if not files.generative:
        return "Scores by split."
    said = "Likelihoods are of the references, with everything before a token given."
    said = "Likelihoods are of the given answers, chosen and rejected." if files.task == "preference" else said
    written = finite(files.scores.get("answers"))
    return said + (f" Scores of answers are of {plural(written, 'answer')} that it wrote." if written else "")


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


def answers(files: RunFiles) -> Markup:
    """Prompts, references and what was written; without kept predictions it says so."""
    title = "Texts" if files.part("task").get("shape") == "text" else "Answers"
    if files.predictions is None:
        reason = "The run kept no predictions, so its answers cannot be shown."
        return page.section("answers", title, reason) if files.scores else Markup("")
    shown = worst(files.predictions)
    if not shown:
        return Markup("")
    lead = _lead(files, files.predictions, shown)
    return page.section("answers", title, lead, element("div", _table(files, shown), class_="card texts"))


def worst(lines: Sequence[Record]) -> list[Record]:
    """Those with an answer in writing, where any has one; the highest loss first, as they come where none is known."""
    shown = [line for line in lines if line.get("predicted") is not None] or list(lines)
    return sorted(shown, key=lambda line: -math.inf if line.get("loss") is None else line["loss"], reverse=True)[:SHOWN]


def _lead(files: RunFiles, lines: Sequence[Record], shown: Sequence[Record]) -> str:
    """Which rows are shown, in which order, and what the order does not say."""
    written = sum(line.get("predicted") is not None for line in lines)
    ranked = any(line.get("loss") is not None for line in shown)
    number = count(len(shown)) if len(shown) < len(lines) else "All"
    said = f"{number} of {plural(len(lines), files.row_noun)} of {files.predictions_split}"
    said += ", the highest loss first." if ranked else "."
    if not written:
        return f"{said} None was answered in writing; task.score_answers says how many are."
    said += f" {count(written)} were answered in writing (task.score_answers)." if written < len(lines) else ""
    return f"{said} The loss says how little the reference was expected, not how bad the answer is." if ranked else said


def _table(files: RunFiles, shown: Sequence[Record]) -> Markup:
    """A row each; columns that would be empty are left out."""
    reads_text = files.task == "seq2seq" or files.part("task").get("shape") == "text"
    limit = files.part("task").get("max_new_tokens")
    texts = {
        "text" if reads_text else "prompt": [_text(line.get("text")) for line in shown],
        "chosen" if files.task == "preference" else "reference": [_text(line.get("label")) for line in shown],
        "rejected": [_text(line.get("rejected")) for line in shown],
        "written": [_written(line, limit) for line in shown],
    }
    losses = ["" if line.get("loss") is None else score(line["loss"]) for line in shown]
    told = {name: cells for name, cells in texts.items() if any(cells)}
    columns = {**told, **({"loss": losses} if any(losses) else {}), "row": [str(line.get("row")) for line in shown]}
    rows = [[cell or NOTHING for cell in cells] for cells in zip(*columns.values(), strict=True)]
    return page.table(CAPTION, list(columns), rows, text=len(told))


def _text(text: object) -> Markup:
    if text is None:
        return Markup("")
    return element("div", shorten(str(text).strip(), LETTERS) or "(empty)", dir="auto")


def _written(line: Record, limit: object) -> Markup:
    """The answer, and whether it is the reference or was cut."""
    if line.get("predicted") is None:
        return Markup("")
    note = None
    if str(line["predicted"]).strip() == str(line.get("label")).strip():
        note = element("span", "as the reference", class_="right small")
    if line.get("finished") is False:
        note = element("span", f"cut at {count(limit)} tokens" if finite(limit) else "cut", class_="wrong small")
    return join([_text(line["predicted"]), note])


def template(files: RunFiles) -> Markup:
    """The template that is stored with the model, folded away."""
    notes = [str(note) for note in files.ledger.get("notes") or [] if str(note).startswith("template: ")]
    text, ends = files.stored.template, files.stored.end
    if text is None and not notes:
        return Markup("")
    chosen = notes[-1].removeprefix("template: ") if notes else str(files.part("task").get("template") or "auto")
    lead = f"Dialogues become text by a template: {chosen}. It is stored with the model, so that plain transformers "
    told = element("p", "An answer ends with ", element("code", ends), ".") if ends else None
    shown = page.card(None, told, page.details("Its text (Jinja)", page.code(text))) if text else None
    return page.section("template", "Template", f"{lead}feeds it what it was trained on.", shown)
