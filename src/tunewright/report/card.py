"""The model card: README.md with metadata that the hub accepts. Numbers only, never a row of the data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from . import generation, origin, usage, verdict
from .analysis import by_weakness, weakest
from .answers import silence
from .classification import calibration_sentence
from .files import RunFiles, read
from .hub import metadata, one_line
from .markup import clean
from .words import (
    count,
    date,
    duration,
    finite,
    listing,
    memory,
    percent,
    plural,
    score,
    score_value,
    score_word,
    share,
    shorten,
    strategy_name,
    task_name,
)

# What starts markup within a line (an underscore only at the edge of a word), or at its start.
_SPECIAL = re.compile(r"[\\`*\[\]|~$@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=:)//|(?<=www)\.(?=\S)", re.IGNORECASE)
_LEADING = re.compile(r"^(?:[#+=>-]|\d+(?=[.)](?:\s|$)))")
# Told beside the main score.
_BESIDE = {
    "f1": ("precision", "recall"),
    "exact_match": ("f1",),
    "loss": ("perplexity", "token_accuracy"),
    "accuracy": ("margin",),
}
_USES = {
    "sequence_classification": "It answers every text with one of the labels below, also one that none of them fits.",
    "multi_label": "It answers every text with any number of the labels below.",
    "token_classification": "It marks stretches of a text that are of one of the types below; they never overlap or "
    "lie in one another.",
    "tags": "It gives every word of a text one of the tags below.",
    "question_answering": "It takes a question and a context, and answers with words of the context as they stand.",
    "seq2seq": "It reads a text and writes another.",
    "texts": "It goes on with a text; it follows no instructions.",
    "causal_lm": "It answers a prompt, or the last turn of a dialogue. What it writes may be wrong, and sounds as sure "
    "as what is right.",
}  # fmt: skip
_NO_TEST = "There was no test split: validation chose the best step and gave these scores."
_NO_ANSWER = {
    True: "Where the context holds no answer, it says so.",
    False: "It always gives one, also where the context holds no answer: training had no such question.",
}


def render(run: Path) -> str:
    """The card of a run's directory. Raises RunDirectoryError where the directory holds no run."""
    return card(read(run))


def card(files: RunFiles) -> str:
    """The card of what a run left behind."""
    dumped = yaml.safe_dump(metadata(files), sort_keys=False, allow_unicode=True, width=10_000)
    versions = ", ".join(f"{name} {version}" for name, version in (files.metrics.get("versions") or {}).items())
    named = plural(len(files.labels), files.label_noun)
    parts = {
        "Intended use": _intended_use(files),
        "Labels": [f"{named}:", _bullets(files.labels)] if files.labels else [],
        "Training data": _training_data(files),
        "Training procedure": _procedure(files),
        "Results": _results(files),
        "Limits": [_bullets(_limits(files))],
        "How to use": _use(files),
        "How to repeat it": [code_block("sh", usage.repeat_commands(files))],
        "Versions": [markdown(versions)] if versions else [],
    }
    told = [f"## {title}\n\n" + "\n\n".join(content) for title, content in parts.items() if content]
    return clean(f"---\n{dumped}---\n\n" + "\n\n".join([_introduction(files), *told]) + "\n")


def markdown(text: Any) -> str:
    """Any text as inert markdown in one line: no markup, no link, no table cell and no HTML comes out of it."""
    inert = _SPECIAL.sub(lambda found: "".join(f"\\{character}" for character in found[0]), one_line(str(text)))
    inert = _LEADING.sub(lambda found: f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}", inert)
    return inert.replace("&", "&amp;").replace("<", "&lt;")


def code_block(language: str, content: str) -> str:
    """A code block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content}\n{fence}"


def _table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [["---", *["---:"] * (len(head) - 1)], *([markdown(cell) for cell in cells] for cells in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [list(map(str, head)), *lines])


def _bullets(said: Iterable[object]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in said)


def _introduction(files: RunFiles) -> str:
    model = files.base_model or str(files.config.get("model") or files.metrics.get("model") or "a model")
    kind = task_name("causal_lm" if files.task == "preference" else files.task).lower()
    kind += " with several labels a text" if files.multi_label else ""
    made = f" on {date(files.metrics['created'])}" if files.metrics.get("created") else ""
    how = f"with Tunewright{made}, by {strategy_name(files.strategy, files.part('strategy'))}"
    how += f", tuned to preferences with {generation.loss_name(files)}" if files.task == "preference" else ""
    said = markdown(f"{model}, made into a model for {kind} {how}.")
    return "\n\n".join(filter(None, [f"# {markdown(files.name)}", said, _main_result(files)]))


def _main_result(files: RunFiles) -> str:
    found, rows = verdict.main(files), finite(files.scores.get("num_rows"))
    if found is None:
        return ""
    said = f"{generation.score_title(files, found.name)} on {files.split}: **{score(found.value)}**"
    if found.interval and rows:
        low, high = found.interval
        said += f" (95 % interval {score(low)} to {score(high)}, {plural(rows, files.row_noun)})"
    beside = [name for name in _BESIDE.get(found.name, ()) if name in files.scores]
    return "; ".join([said, *(f"{score_word(name)} {score_value(name, files.scores[name])}" for name in beside)]) + "."


def _intended_use(files: RunFiles) -> list[str]:
    alike = "source, language and labels" if files.labels else "source and language"
    kind = {"preference": "causal_lm"}.get(files.task, files.task)
    kind = "multi_label" if files.multi_label else "tags" if files.plain_tags else kind
    kind = "texts" if files.part("task").get("shape") == "text" else kind
    said = [f"For texts like those it was trained on: same {alike}.", _USES.get(kind, "")]
    if files.task == "question_answering":
        said.append(_NO_ANSWER[bool((files.manifest.get("task") or files.part("task")).get("no_answer"))])
    if files.part("task").get("prefix"):
        said.append("`predict` puts its prefix before every text; with plain transformers you do.")
    caution = "Not meant for decisions about people that no person checks."
    return [" ".join(filter(None, said)), *_prompts(files), caution]


def _prompts(files: RunFiles) -> list[str]:
    """How a prompt must look."""
    if files.stored.template is None:
        return []
    said = "Prompts must look as they did in training: the chat template is stored with the tokenizer, and "
    limit, most = finite(files.ledger.get("max_length")), finite(files.part("task").get("max_new_tokens"))
    return [
        said + "`apply_chat_template` uses it."
        + (f" Training saw at most {count(limit)} tokens of prompt and answer together." if limit else "")
        + (f" Answers were written with at most {count(most)} tokens." if most else "")
    ]  # fmt: skip


def _training_data(files: RunFiles) -> list[str]:
    splits = origin.splits_of(files)
    if not splits:
        return []
    rows = [
        [name, files.source(name), *(count(split.get(key)) for key in ("rows_in", "rows_kept", "truncated", "tokens"))]
        for name, split in splits.items()
    ]
    faults = [(name, split.get("faults") or {}) for name, split in splits.items()]
    mended = [f"{name}: {count(number)} {said}" for name, found in faults for said, number in found.items()]
    learned = origin.learned(files)
    return [
        _table(["split", "file", "rows", "kept", "truncated", "tokens"], rows),
        *([_table(*learned)] if learned else []),
        *(["Mended or lost:", _bullets(mended)] if mended else []),
    ]


def _procedure(files: RunFiles) -> list[str]:
    """Cost, and the hyperparameters that were set, part by part."""
    learned = {} if files.null_threshold is None else {"null_threshold": files.null_threshold}
    parts = {"strategy": files.part("strategy"), "training": files.part("training"),
             "task": {**files.part("task"), **learned}}  # fmt: skip
    rows = [
        [f"{part}.{key}", shorten(str(value), 80)]
        for part, values in parts.items()
        for key, value in values.items()
        if value is not None and key != "labels" and not isinstance(value, dict | list)
    ]
    metrics, peak = files.metrics, memory(files.metrics.get("peak_memory_mb"))
    said = f"Trained for {duration(metrics.get('fit_seconds'))} on {metrics.get('device') or 'an unknown device'}, "
    said += f"peak memory {peak}."
    trainable, total = finite(metrics.get("trainable_parameters")), finite(metrics.get("total_parameters"))
    if trainable is not None and total:
        said += f" {count(trainable)} of {count(total)} parameters were trained ({share(trainable / total)})."
    return [markdown(said), *([_table(["setting", "value"], rows)] if rows else [])]


def _results(files: RunFiles) -> list[str]:
    if not files.score_names:
        return ["Not evaluated."]
    rows = [
        [generation.score_title(files, name), *(score_value(name, each.get(name)) for each in files.splits.values())]
        for name in files.score_names
    ]
    groups = [
        [label, *(score(row.get(key)) for key in ("f1", "precision", "recall")), count(row.get("support"))]
        for label, row in by_weakness(files.groups)
    ]
    head = [files.label_noun, "F1", "precision", "recall", files.counted_noun]
    return [_table(["score", *files.splits], rows), *([_table(head, groups)] if groups else [])]


def _limits(files: RunFiles) -> list[str]:
    """What was measured to be weak, and what was not measured."""
    error = finite(files.scores.get("calibration_error"))
    return [
        *_limits_of_groups(files),
        *([f"Calibration error {score(error)}. {calibration_sentence(files)}"] if error is not None else []),
        *silence(files),
        *([] if files.metrics.get("test") else [_NO_TEST]),
        *_limits_of_data(files),
        *(_limits_of_writing(files) if files.generative else []),
        *map(str, files.metrics.get("warnings") or []),
        "Not measured: other domains and languages, fairness between groups of people, texts made to deceive it.",
    ]


def _limits_of_groups(files: RunFiles) -> list[str]:
    groups = files.groups
    weak = [f"{label} (F1 {score(groups[label].get('f1'))})" for label in weakest(groups)]
    rare = sum((finite(row.get("support")) or 0) < 10 for row in groups.values())
    some = plural(rare, f"{files.label_noun} has", f"{files.label_noun}s have")
    rough = f"{some} fewer than ten {files.counted_noun} in the evaluation: their scores are rough."
    return [*([f"Weakest on {listing(weak)}."] if weak else []), *([rough] if rare else [])]


def _limits_of_data(files: RunFiles) -> list[str]:
    """Duplicates across splits, and texts and answers that were cut."""
    said = [f"{shared}: the scores are a little too good." for shared in origin.shared_texts(files)]
    train = origin.splits_of(files).get("train") or {}
    kept, cut, answers = (finite(train.get(key)) for key in ("rows_kept", "truncated", "answers_cut"))
    if kept and cut:
        limit = f"Texts of more than {count(files.ledger.get('max_length'))} tokens are cut"
        said.append(f"{limit}: {percent(cut / kept)} in training.")
    return [*said, *([f"{percent(answers / kept)} of the training answers were cut."] if answers and kept else [])]


def _limits_of_writing(files: RunFiles) -> list[str]:
    """And what a score of written answers does not say."""
    finished, written = finite(files.scores.get("finished")), finite(files.scores.get("answers"))
    said = []
    if finished is not None and finished < 1:
        said.append(f"{percent(1 - finished)} of the answers written for the scores did not end, and were cut.")
    if written is None:
        said.append("No answer was written for the scores: they are of likelihoods alone.")
    elif written < (finite(files.scores.get("num_rows")) or 0):
        said.append(f"Scores of written answers are of {count(written)} rows only.")
    if generation.falls(files):
        said.append("Tuning made the chosen answers themselves less likely, only less so than the rejected ones.")
    if files.task != "seq2seq" and files.part("task").get("shape") != "text":
        said.append("Whether its answers are true, safe or harmless was not measured.")
    return said


def _use(files: RunFiles) -> list[str]:
    kind = "plain PEFT" if usage.is_adapter(files) else "plain transformers"
    return [
        code_block("sh", usage.predict_command(files)),
        code_block("python", usage.python_lines(files)),
        f"With {kind}:",
        code_block("python", usage.plain_lines(files)),
    ]
