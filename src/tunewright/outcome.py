"""What a run leaves behind besides its model: the ledger, the metrics, the predictions."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from .data import ledger
from .desk.checking import for_ledger
from .evaluation import scalars
from .files import finite, write_text
from .resolve import now
from .tasks.scores import lines, scores_of
from .training.memory import peak_memory_mb
from .training.state import State, best_evaluation

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from .intake import Intake
    from .session import Session
    from .tasks.base import Task

PACKAGES = ("tunewright", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")


def ledger_of(session: Session) -> dict[str, Any]:
    """data.json: every row accounted for."""
    splits = {}
    for name, split in session.intake.splits.items():
        labels = Counter(label for row in split.rows for label in session.task.counted(row))
        encoded = session.encoded[name]
        mended = Counter(phrase for row in split.rows for phrase in row.mended)
        splits[name] = ledger.entry(split.source, split.sha256, split.rows_in, split.dropped, labels, encoded, mended)
    texts = {name: (row.text for row in split.rows) for name, split in session.intake.splits.items()}
    return {
        "splits": splits,
        "max_length": session.config.data.max_length,
        "length_percentiles": ledger.percentiles(session.encoded["train"].lengths),
        "duplicates_across_splits": ledger.duplicates_across(texts),
        "notes": session.intake.notes,
        **({"checks": for_ledger(session.checked)} if session.checked else {}),
    }


def metrics_of(session: Session, model: nn.Module, state: State, outputs: dict[str, list[Any]]) -> dict[str, Any]:
    """metrics.json."""
    scores = {name: scores_of(session.task, values, session.rows(name)) for name, values in outputs.items()}
    metric = session.task.metric
    best = best_evaluation(state.evaluations, metric)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return {
        **({"before": session.before} if session.before is not None else {}),
        "validation": scores.get("validation"),
        "test": scores.get("test"),
        **({"clean": clean} if (clean := clean_scores(session, outputs)) else {}),
        "fit_seconds": round(state.fit_seconds, 3),
        "total_seconds": round(time.perf_counter() - session.started, 3),
        "peak_memory_mb": peak_memory_mb(),
        "trainable_parameters": sum(size for size, trains in sizes if trains),
        "total_parameters": sum(size for size, _ in sizes),
        "best_step": best["step"] if best else state.step,
        "best_metric": {"name": metric.name, "value": best["validation"][metric.name]} if best else None,
        "steps": state.step,
        "stopped": state.stopped,
        **({"range_test": session.range_test} if session.range_test else {}),
        "seed": session.config.training.seed,
        "precision": session.precision.name,
        "device": str(session.accelerator.device),
        "processes": session.accelerator.num_processes,
        "model": session.config.model,
        "model_licence": session.source.licence,
        "task": session.task.kind,
        "strategy": session.strategy.kind,
        "versions": versions(),
        "command": command_line(),
        "created": now(),
        "warnings": state.warnings,
    }


def clean_scores(session: Session, outputs: dict[str, list[Any]]) -> dict[str, Any]:
    """Scores of each split without the rows that training knows already, where there are such rows."""
    found = {}
    for name, numbers in (session.checked.leaked if session.checked else {}).items():
        leaked, rows = set(numbers), session.rows(name)
        kept = [place for place, row in enumerate(rows) if row.number not in leaked]
        if kept and name in outputs:
            scores = scores_of(session.task, [outputs[name][at] for at in kept], [rows[at] for at in kept])
            found[name] = {**scalars(scores), "left_out": len(rows) - len(kept)}
    return found


def versions() -> dict[str, str]:
    """Of everything that can change a number."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_predictions(run: Path, task: Task, intake: Intake, outputs: dict[str, list[Any]]) -> None:
    """predictions/SPLIT.jsonl: each row's text, label and prediction, for people and later features to look at."""
    for name, values in outputs.items():
        told = lines(task, values, intake.splits[name].rows)
        text = "".join(json.dumps(finite(line), ensure_ascii=False) + "\n" for line in told)
        write_text(run / "predictions" / f"{name}.jsonl", text)


def command_line() -> str:
    """How this process was called, for the record."""
    ours = "tunewright" in sys.argv[0]  # the command, or `python -m tunewright`
    return shlex.join(["tunewright", *sys.argv[1:]]) if ours else "tunewright train run.yaml"
