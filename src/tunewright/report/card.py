"""The model card: README.md with metadata that the hub accepts. Numbers only, never a row of the data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from . import usage
from .analysis import by_weakness, main_score, weakest, wilson
from .files import Record, RunFiles, read
from .markup import clean
from .outcome import calibration_sentence, source
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
    score_name,
    share,
    shorten,
    strategy_name,
    task_name,
)

_PIPELINES = {
    "sequence_classification": "text-classification",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
}
# Names of ours -> metric type of the hub. Others are in the results table, not in the metadata.
_METRICS = {
    "accuracy": "accuracy",
    "f1_macro": "f1",
    "f1_micro": "f1",
    "precision_macro": "precision",
    "recall_macro": "recall",
    "mcc": "matthews_correlation",
    "exact_match": "exact_match",
}
# The hub refuses a licence that it does not know, so the usual ones are named and the rest are `other`.
_LICENCES = frozenset({
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "gpl", "gpl-2.0", "gpl-3.0",
    "lgpl", "lgpl-2.1", "lgpl-3.0",
    "agpl-3.0", "mpl-2.0", "openrail", "bigscience-openrail-m", "bigscience-bloom-rail-1.0", "creativeml-openrail-m",
    "afl-3.0", "artistic-2.0", "bsl-1.0", "ecl-2.0", "epl-2.0", "eupl-1.1", "isc", "unlicense", "wtfpl", "zlib",
    "gemma", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "unknown", "other",
})  # fmt: skip
_LOADERS = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet"}
# What starts markup within a line (an underscore only at the edge of a word), or at its start.
_SPECIAL = re.compile(r"[\\`*\[\]|~$@]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=:)//|(?<=www)\.(?=\S)", re.IGNORECASE)
_LEADING = re.compile(r"^(?:[#+=>-]|\d+(?=[.)]))")


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


def metadata(files: RunFiles) -> Record:
    """The YAML of the card; what is not known is left out."""
    pipeline = _PIPELINES.get(files.task, "text-generation")
    results = _model_index(files, pipeline)
    found = {
        **_licence(files.metrics.get("model_licence")),
        "library_name": "peft" if usage.is_adapter(files) else "transformers",
        "pipeline_tag": pipeline,
        "base_model": files.base_model,
        "tags": _tags(files, pipeline),
        "metrics": sorted({metric["type"] for result in results for metric in result["results"][0]["metrics"]}),
        "model-index": results,
    }
    return {key: value for key, value in found.items() if value}


def _licence(name: Any) -> Record:
    if not name:
        return {}
    known = _one_line(str(name)).lower()
    return {"license": known} if known in _LICENCES else {"license": "other", "license_name": _slug(known)}


def _tags(files: RunFiles, pipeline: str) -> list[str]:
    named = ["tunewright", pipeline, _slug(files.strategy), "multi-label" if files.multi_label else ""]
    return [tag for tag in dict.fromkeys(named) if tag]


def _model_index(files: RunFiles, pipeline: str) -> list[Record]:
    """One result: the scores of the split that the report speaks of, in the hub's terms."""
    metrics = [
        {"type": kind, "value": round(value, 6), "name": score_name(name)}
        for name, kind in _METRICS.items()
        if (value := finite(files.scores.get(name))) is not None
    ]
    if not metrics:
        return []
    task = {"type": pipeline, "name": task_name(files.task)}
    result = {"task": task, "dataset": _dataset(files), "metrics": metrics}
    return [{"name": _one_line(files.name), "results": [result]}]


def _dataset(files: RunFiles) -> Record:
    """Name and type of the evaluated data: of a local file, the loader of `datasets` that reads it."""
    name = _one_line(source(files, files.split))
    suffixes = name.lower().removesuffix(".gz").rsplit(".", 1)
    kind = _LOADERS.get(suffixes[-1]) if len(suffixes) == 2 else None
    return {"name": name, "type": kind or _slug(name), "split": files.split}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


def markdown(text: Any) -> str:
    """Any text as inert markdown in one line: no markup, no link, no table cell and no HTML comes out of it."""
    inert = _SPECIAL.sub(lambda found: "".join(f"\\{character}" for character in found[0]), _one_line(str(text)))
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
    kind = task_name(files.task).lower() + (" with several labels a text" if files.multi_label else "")
    made = f" on {date(files.metrics['created'])}" if files.metrics.get("created") else ""
    how = f"by {markdown(strategy_name(files.strategy))} with Tunewright{made}"
    said = f"{markdown(model)}, made into a model for {markdown(kind)} {how}."
    return f"# {markdown(files.name)}\n\n{said}{_main_result(files)}"


def _main_result(files: RunFiles) -> str:
    main, rows = main_score(files.scores), finite(files.scores.get("num_rows"))
    if main is None:
        return ""
    name, value = main
    said = f"\n\n{score_name(name)} on {files.split}: **{score(value)}**"
    if name == "accuracy" and rows:
        low, high = wilson(value, int(rows))
        said += f" (95 % interval {score(low)} to {score(high)}, {plural(rows, 'row')})"
    return said + "."


def _intended_use(files: RunFiles) -> str:
    said = "For texts like those it was trained on: same source, language and labels."
    if files.task == "sequence_classification":
        amount = "any number of the labels below" if files.multi_label else "one of the labels below"
        said += f" It answers every text with {amount}, also one that none of them fits."
    return f"## Intended use\n\n{said} Not meant for decisions about people that no person checks."


def _labels(files: RunFiles) -> str:
    if not files.labels:
        return ""
    names = "\n".join(f"- {markdown(label)}" for label in files.labels)
    return f"## Labels\n\n{plural(len(files.labels), 'label')}:\n\n{names}"


def _training_data(files: RunFiles) -> str:
    splits = {name: split for name, split in (files.ledger.get("splits") or {}).items() if split}
    if not splits:
        return ""
    keys = ("rows_in", "rows_kept", "truncated", "tokens")
    rows = [[markdown(name), markdown(source(files, name)), *(count(split.get(key)) for key in keys)]
            for name, split in splits.items()]  # fmt: skip
    return "## Training data\n\n" + _table(["split", "file", "rows", "kept", "truncated", "tokens"], rows)


def _procedure(files: RunFiles) -> str:
    """The hyperparameters that were set, part by part."""
    parts = [("strategy", files.part("strategy")), ("training", files.part("training")), ("task", files.part("task"))]
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
    rows = [[_row_name(name), *(_value(name, scores[split].get(name)) for split in splits)] for name in names]
    return "## Results\n\n" + _table(["score", *splits], rows) + _per_class(files.scores.get("per_class") or {})


def _row_name(name: str) -> str:
    return "Rows" if name == "num_rows" else markdown(score_name(name))


def _value(name: str, value: Any) -> str:
    return count(value) if name == "num_rows" else score(value)


def _per_class(per_class: dict[str, Record]) -> str:
    if not per_class:
        return ""
    keys = ("f1", "precision", "recall")
    rows = [
        [markdown(label), *(score(row.get(key)) for key in keys), count(row.get("support"))]
        for label, row in by_weakness(per_class)
    ]
    return "\n\n" + _table(["label", "F1", "precision", "recall", "rows"], rows)


def _limits(files: RunFiles) -> str:
    """What was measured to be weak, and what was not measured."""
    said = [
        *_limits_of_classes(files.scores.get("per_class") or {}),
        *_limits_of_scores(files),
        *_limits_of_data(files),
        *(markdown(warning) for warning in files.metrics.get("warnings") or []),
        "Not measured: other domains and languages, fairness between groups of people, texts made to deceive it.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in said)


def _limits_of_classes(per_class: dict[str, Record]) -> list[str]:
    weak = [f"{markdown(label)} (F1 {score(per_class[label].get('f1'))})" for label in weakest(per_class)]
    rare = [label for label, row in per_class.items() if (finite(row.get("support")) or 0) < 10]
    said = [f"Weakest on {listing(weak)}."] if weak else []
    if rare:
        some = plural(len(rare), "label has", "labels have")
        said.append(f"{some} fewer than ten rows in the evaluation: their scores are rough.")
    return said


def _limits_of_scores(files: RunFiles) -> list[str]:
    bins, error = files.scores.get("calibration_bins") or [], finite(files.scores.get("calibration_error"))
    said = []
    if error is not None:
        said.append(f"Calibration error {score(error)}. {calibration_sentence(bins, error, files.multi_label)}")
    if not files.metrics.get("test"):
        said.append("There was no test split: validation chose the best step and gave these scores.")
    return said


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
