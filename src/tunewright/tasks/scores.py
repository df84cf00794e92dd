"""All scores of a split: the task's own, and those of metrics that other packages bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..component import installed, plug_in
from ..errors import ConfigError
from .base import Row, Task

GROUP = "tunewright.metrics"  # of entry points: functions that take lines and return a number, or None


def scores_of(task: Task, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
    """The task's scores, and beside them those of every installed metric that has something to say of these rows.

    Raises:
        ConfigError: a metric cannot be imported, or has the name of another score.
    """
    scores, points = task.score(outputs, rows), installed(GROUP)
    told = list(lines(task, outputs, rows)) if points else []
    for point in points:
        if point.name in scores:
            fix = "upgrade or uninstall its package"
            raise ConfigError(f"the metric {point.name!r} has another score's name", where=point.value, fix=fix)
        value = plug_in(point)(told)
        if value is not None:
            scores[point.name] = float(value)
    return scores


def lines(task: Task, outputs: Sequence[Any], rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The lines of predictions/SPLIT.jsonl: each row's number, text and label, and what is predicted for it."""
    for row, output in zip(rows, outputs, strict=True):
        named = {} if row.id is None else {"id": row.id}
        verdict = task.verdict(row, task.decode(output, row))
        yield {"row": row.number, **named, "text": " | ".join(row.text), **verdict}
