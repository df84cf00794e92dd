"""What the model card says of models that write answers: prompts, what was learned, limits. Never a row of the data."""

from __future__ import annotations

from typing import Any

from . import generation
from .files import Record, RunFiles
from .origin import learned_share
from .words import count, finite, percent, share


def use(files: RunFiles) -> str:
    """What it takes and gives."""
    if files.task == "seq2seq":
        prefix = files.part("task").get("prefix")
        after = " (`predict` puts its prefix before every text; with plain transformers you do)" if prefix else ""
        return f"It reads a text and writes another{after}."
    if files.part("task").get("shape") == "text":
        return "It goes on with a text; it follows no instructions."
    said = "It answers a prompt, or the last turn of a dialogue."
    return f"{said} What it writes may be wrong, and sounds as sure as what is right."


def prompts(files: RunFiles) -> str:
    """How a prompt must look."""
    if files.stored.template is None:
        return ""
    end = files.stored.end or ""
    end = f" An answer ends with `{end}`." if end and end.isprintable() and "`" not in end else ""
    said = "Prompts must look as they did in training: the chat template is stored with the tokenizer, and "
    return f"{said}`apply_chat_template` uses it.{end} {_lengths(files)}".rstrip()


def _lengths(files: RunFiles) -> str:
    limit, most = finite(files.ledger.get("max_length")), finite(files.part("task").get("max_new_tokens"))
    said = f"Training saw at most {count(limit)} tokens of prompt and answer together." if limit else ""
    return f"{said} Answers were written with at most {count(most)} tokens." if most else said


def learned(files: RunFiles, splits: dict[str, Any]) -> tuple[list[str], list[list[str]]] | None:
    """(head, rows) of the tokens in the loss, and of the answers that were cut; None for other tasks."""
    known = {name: split for name, split in splits.items() if finite(split.get("supervised_tokens")) is not None}
    if not known:
        return None
    keys = [key for key in ("answers_cut", "rows_without_a_target") if any(key in split for split in known.values())]
    rows = [
        [name, count(split["supervised_tokens"]), share(learned_share(split, files.task)),
         *(count(split.get(key)) for key in keys)]
        for name, split in known.items()
    ]  # fmt: skip
    return ["split", "supervised tokens", "of all", *(key.replace("_", " ") for key in keys)], rows


def limits(files: RunFiles) -> list[str]:
    """What was measured to be weak; and what a score of written answers does not say."""
    if not files.generative:
        return []
    said = []
    finished, written = finite(files.scores.get("finished")), finite(files.scores.get("answers"))
    if finished is not None and finished < 1:
        said.append(f"{percent(1 - finished)} of the answers written for the scores did not end, and were cut.")
    if written is None:
        said.append("No answer was written for the scores: they are of likelihoods alone.")
    elif written < (finite(files.scores.get("num_rows")) or 0):
        said.append(f"Scores of written answers are of {count(written)} rows only.")
    if generation.falls(files):
        said.append("Tuning made the chosen answers themselves less likely, only less so than the rejected ones.")
    said += _cut(files.ledger)
    if files.task != "seq2seq" and files.part("task").get("shape") != "text":
        said.append("Whether its answers are true, safe or harmless was not measured.")
    return said


def _cut(ledger: Record) -> list[str]:
    train = (ledger.get("splits") or {}).get("train") or {}
    cut, kept = finite(train.get("answers_cut")), finite(train.get("rows_kept"))
    return [f"{percent(cut / kept)} of the training answers were cut."] if cut and kept else []
