"""The metadata of the model card, in the hub's terms."""

from __future__ import annotations

import re
from typing import Any

from .files import Record, RunFiles
from .markup import clean
from .usage import is_adapter
from .words import finite, score_name, task_name

_PIPELINES = {
    "sequence_classification": "text-classification",
    "token_classification": "token-classification",
    "question_answering": "question-answering",
    "causal_lm": "text-generation",
    "seq2seq": "text2text-generation",
    "preference": "text-generation",
}
# Names of ours -> metric type of the hub. Others are in the results table, not in the metadata.
_METRICS = {
    "f1": "f1",
    "accuracy": "accuracy",
    "f1_macro": "f1",
    "f1_micro": "f1",
    "precision_macro": "precision",
    "recall_macro": "recall",
    "mcc": "matthews_correlation",
    "exact_match": "exact_match",
    "precision": "precision",
    "recall": "recall",
    "perplexity": "perplexity",
    "rouge1": "rouge",
    "rouge2": "rouge",
    "rougeL": "rouge",
    "bleu": "bleu",
    "chrf": "chrf",
    "bertscore": "bertscore",
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


def metadata(files: RunFiles) -> Record:
    """The YAML of the card; what is not known is left out."""
    pipeline = _PIPELINES.get(files.task, "text-generation")
    results = _model_index(files, pipeline)
    found = {
        **_licence(files.metrics.get("model_licence")),
        "library_name": "peft" if is_adapter(files) else "transformers",
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
    known = one_line(str(name)).lower()
    return {"license": known} if known in _LICENCES else {"license": "other", "license_name": _slug(known)}


def _tags(files: RunFiles, pipeline: str) -> list[str]:
    named = ["tunewright", pipeline, _slug(files.strategy), "multi-label" if files.multi_label else "", *_method(files)]
    return [tag for tag in dict.fromkeys(named) if tag]


def _method(files: RunFiles) -> list[str]:
    """The field's word for what was trained: `sft` for answers to prompts, the loss for preferences."""
    if files.task == "preference":
        return ["preference-tuning", _slug(str(files.part("task").get("loss") or "dpo"))]
    return ["sft"] if files.task == "causal_lm" and files.part("task").get("shape") != "text" else []


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
    return [{"name": one_line(files.name), "results": [result]}]


def _dataset(files: RunFiles) -> Record:
    """Name and type of the evaluated data: of a local file, the loader of `datasets` that reads it."""
    name = one_line(files.source(files.split))
    suffixes = name.lower().removesuffix(".gz").rsplit(".", 1)
    kind = _LOADERS.get(suffixes[-1]) if len(suffixes) == 2 else None
    return {"name": name, "type": kind or _slug(name), "split": files.split}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


def one_line(text: str) -> str:
    return " ".join(clean(text).split())
