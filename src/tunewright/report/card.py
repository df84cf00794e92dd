"""The model card: README.md with metadata that the hub accepts. Numbers only, never a row of the data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from . import card_written, usage, verdict
from .analysis import by_weakness, weakest
from .calibration import calibration_sentence
from .files import GENERATIVE, RunFiles, read
from .generation import loss_name, score_title
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
_BESIDE = {"loss": ("perplexity", "token_accuracy"), "accuracy": ("margin",)}
_LEADING = re.compile(r"^(?:[#+=>-]|\d+(?=[.)](?:\s|$)))")


def render(run: Path) -> str:
    """The card of a run's directory. Raises RunDirectoryError where the directory holds no run."""
    return card(read(run))


def card(files: RunFiles) -> str:
    """The card of what a run left behind."""
    dumped = yaml.safe_dump(metadata(files), sort_keys=False, allow_unicode=True, width=10_000)
    sections = [
        _introduction(files),
        _intended_use(files),
        _labels(files),
        _training_data(files),
        _procedure(files),
        _results(files),
        _limits(files),
        _use(files),
        _repeat(files),
    ]
    return clean(f"---\n{dumped}---\n\n" + "\n\n".join(section for section in sections if section) + "\n")


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


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _introduction(files: RunFiles) -> str:
    model = files.base_model or str(files.config.get("model") or files.metrics.get("model") or "a model")
    goal = "causal_lm" if files.task == "preference" else files.task
    kind = task_name(goal).lower() + (" with several labels a text" if files.multi_label else "")
    made = f" on {date(files.metrics['created'])}" if files.metrics.get("created") else ""
    how = f"with Tunewright{made}, by {markdown(strategy_name(files.strategy, files.part('strategy')))}"
    how += f", tuned to preferences with {markdown(loss_name(files))}" if files.task == "preference" else ""
    said = f"{markdown(model)}, made into a model for {markdown(kind)} {how}."
    return f"# {markdown(files.name)}\n\n{said}{_main_result(files)}"


def _main_result(files: RunFiles) -> str:
    found, rows = verdict.main(files), finite(files.scores.get("num_rows"))
    if found is None:
        return ""
    said = f"\n\n{score_title(files, found.name)} on {files.split}: **{score(found.value)}**"
    if found.interval and rows:
        low, high = found.interval
        said += f" (95 % interval {score(low)} to {score(high)}, {plural(rows, files.row_noun)})"
    beside = {"f1": ("precision", "recall"), "exact_match": ("f1",), **_BESIDE}.get(found.name, ())
    others = [f"{score_word(name)} {score_value(name, files.scores[name])}" for name in beside if name in files.scores]
    return "; ".join([said, *others]) + "."


def _intended_use(files: RunFiles) -> str:
    alike = "source, language and labels" if files.labels else "source and language"
    said = f"For texts like those it was trained on: same {alike}."
    told = {
        "sequence_classification": _use_of_classes,
        "token_classification": _use_of_tags,
        "question_answering": _use_of_answers,
        **dict.fromkeys(GENERATIVE, card_written.use),
    }
    said += f" {told[files.task](files)}" if files.task in told else ""
    said += f"\n\n{prompts}\n\n" if (prompts := card_written.prompts(files)) else " "
    return f"## Intended use\n\n{said}Not meant for decisions about people that no person checks."


def _use_of_classes(files: RunFiles) -> str:
    amount = "any number of the labels below" if files.multi_label else "one of the labels below"
    return f"It answers every text with {amount}, also one that none of them fits."


def _use_of_tags(files: RunFiles) -> str:
    if files.plain_tags:
        return "It gives every word of a text one of the tags below."
    return "It marks stretches of a text that are of one of the types below; they never overlap or lie in one another."


def _use_of_answers(files: RunFiles) -> str:
    said = "It takes a question and a context, and answers with a stretch of that context, word for word"
    if (files.manifest.get("task") or files.part("task")).get("no_answer"):
        return f"{said}; where the context holds no answer, with none."
    return f"{said}. It always gives one, also where the context holds no answer: training had no such question."


def _labels(files: RunFiles) -> str:
    if not files.labels:
        return ""
    names = "\n".join(f"- {markdown(label)}" for label in files.labels)
    return f"## Labels\n\n{plural(len(files.labels), files.label_noun)}:\n\n{names}"


def _training_data(files: RunFiles) -> str:
    splits = {name: split for name, split in (files.ledger.get("splits") or {}).items() if split}
    if not splits:
        return ""
    keys = ("rows_in", "rows_kept", "truncated", "tokens")
    rows = [[markdown(name), markdown(files.source(name)), *(count(split.get(key)) for key in keys)]
            for name, split in splits.items()]  # fmt: skip
    mended = [
        f"- {markdown(name)}: {count(number)} {markdown(phrase)}"
        for name, split in splits.items()
        for phrase, number in (split.get("faults") or {}).items()
    ]
    table = _table(["split", "file", "rows", "kept", "truncated", "tokens"], rows)
    learned = card_written.learned(files, splits)
    table += f"\n\n{_table(*learned)}" if learned else ""
    return f"## Training data\n\n{table}" + ("\n\nMended or lost:\n\n" + "\n".join(mended) if mended else "")


def _procedure(files: RunFiles) -> str:
    """The hyperparameters that were set, part by part."""
    learned = {} if files.null_threshold is None else {"null_threshold": files.null_threshold}
    task = {**files.part("task"), **learned}
    parts = [("strategy", files.part("strategy")), ("training", files.part("training")), ("task", task)]
    rows = [
        [markdown(f"{part}.{key}"), markdown(shorten(str(value), 80))]
        for part, values in parts
        for key, value in values.items()
        if value is not None and key != "labels" and not isinstance(value, dict | list)
    ]
    trainable, total = finite(files.metrics.get("trainable_parameters")), finite(files.metrics.get("total_parameters"))
    device = markdown(files.metrics.get("device") or "an unknown device")
    peak = memory(files.metrics.get("peak_memory_mb"))
    said = f"Trained for {duration(files.metrics.get('fit_seconds'))} on {device}, peak memory {peak}."
    if trainable is not None and total:
        said += f" {count(trainable)} of {count(total)} parameters were trained ({share(trainable / total)})."
    return f"## Training procedure\n\n{said}" + ("\n\n" + _table(["setting", "value"], rows) if rows else "")


def _results(files: RunFiles) -> str:
    splits = [name for name in ("validation", "test") if files.metrics.get(name)]
    scores = {split: files.metrics[split] for split in splits}
    names = {name: None for split in splits for name, value in scores[split].items() if finite(value) is not None}
    if not names:
        return "## Results\n\nNot evaluated."
    rows = [
        [markdown(score_title(files, name)), *(score_value(name, scores[split].get(name)) for split in splits)]
        for name in names
    ]
    return "## Results\n\n" + _table(["score", *splits], rows) + _groups(files)


def _groups(files: RunFiles) -> str:
    """The scores of each class or type, weakest first."""
    if not files.groups:
        return ""
    keys = ("f1", "precision", "recall")
    rows = [
        [markdown(label), *(score(row.get(key)) for key in keys), count(row.get("support"))]
        for label, row in by_weakness(files.groups)
    ]
    return "\n\n" + _table([files.label_noun, "F1", "precision", "recall", files.counted_noun], rows)


def _limits(files: RunFiles) -> str:
    """What was measured to be weak, and what was not measured."""
    said = [
        *_limits_of_groups(files),
        *_limits_of_scores(files),
        *_limits_of_data(files),
        *card_written.limits(files),
        *(markdown(warning) for warning in files.metrics.get("warnings") or []),
        "Not measured: other domains and languages, fairness between groups of people, texts made to deceive it.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in said)


def _limits_of_groups(files: RunFiles) -> list[str]:
    groups = files.groups
    weak = [f"{markdown(label)} (F1 {score(groups[label].get('f1'))})" for label in weakest(groups)]
    rare = [label for label, row in groups.items() if (finite(row.get("support")) or 0) < 10]
    said = [f"Weakest on {listing(weak)}."] if weak else []
    if rare:
        some = plural(len(rare), f"{files.label_noun} has", f"{files.label_noun}s have")
        said.append(f"{some} fewer than ten {files.counted_noun} in the evaluation: their scores are rough.")
    return said


def _limits_of_scores(files: RunFiles) -> list[str]:
    bins, error = files.scores.get("calibration_bins") or [], finite(files.scores.get("calibration_error"))
    said = []
    if error is not None:
        said.append(f"Calibration error {score(error)}. {calibration_sentence(bins, error, files.multi_label)}")
    said += _limits_of_answers(files) if files.task == "question_answering" else []
    if not files.metrics.get("test"):
        said.append("There was no test split: validation chose the best step and gave these scores.")
    return said


def _limits_of_answers(files: RunFiles) -> list[str]:
    """How it does where there is an answer, against saying nothing."""
    none, rows = finite(files.scores.get("num_no_answer")), finite(files.scores.get("num_rows"))
    exact, silent = (finite(files.scores.get(f"{part}_answer_exact_match")) for part in ("has", "no"))
    if not none or not rows or exact is None or silent is None:
        return []
    return [
        f"Word for word it answers {percent(exact)} of the questions that have an answer, and leaves {percent(silent)} "
        f"of those that have none unanswered. Never answering would be right {percent(none / rows)} of the time."
    ]


def _limits_of_data(files: RunFiles) -> list[str]:
    """Duplicates across splits, and texts that were cut."""
    pairs = {name: number for name, number in (files.ledger.get("duplicates_across_splits") or {}).items() if number}
    said = []
    for name, number in pairs.items():
        both = markdown(" and ".join(str(name).split("/")))
        said.append(f"{plural(number, 'text')} in both {both}: the scores are a little too good.")
    train = (files.ledger.get("splits") or {}).get("train") or {}
    kept, truncated = finite(train.get("rows_kept")), finite(train.get("truncated"))
    if kept and truncated:
        limit = f"Texts of more than {count(files.ledger.get('max_length'))} tokens are cut"
        said.append(f"{limit}: {percent(truncated / kept)} in training.")
    return said


def _use(files: RunFiles) -> str:
    kind = "plain PEFT" if usage.is_adapter(files) else "plain transformers"
    blocks = [
        code_block("sh", usage.predict_command(files)),
        code_block("python", usage.python_lines(files)),
        f"With {kind}:",
        code_block("python", usage.plain_lines(files)),
    ]
    return "## How to use\n\n" + "\n\n".join(blocks)


def _repeat(files: RunFiles) -> str:
    versions = files.metrics.get("versions") or {}
    listed = ", ".join(f"{markdown(name)} {markdown(version)}" for name, version in versions.items())
    said = "## How to repeat it\n\n" + code_block("sh", usage.repeat_commands(files))
    return said + (f"\n\n## Versions\n\n{listed}" if listed else "")
