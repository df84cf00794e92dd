"""Desks for tests of checks: from rows in memory, with no encoder, a made-up one, or minilm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tunewright.component import members
from tunewright.data.checks.base import Notebook
from tunewright.data.desk import Desk, Part
from tunewright.data.table import Table
from tunewright.desk.reading import usable_rows
from tunewright.tasks.base import Task


def table_of(records: Sequence[dict[str, Any]], name: str = "train.csv") -> Table:
    """Records as a csv with a header would give them: the first row of data is row 2."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    rows = [{key: record.get(key) for key in columns} for record in records]
    return Table(name, columns, rows, list(range(2, len(rows) + 2)), "0" * 64)


def make_desk(
    train: Sequence[dict[str, Any]] | Table, test: Sequence[dict[str, Any]] | Table | None = None,
    task: str = "sequence_classification", text: Sequence[str] | None = None, label: Sequence[str] | None = None,
    **options: Any,
) -> Desk:  # fmt: skip
    """`options` go to Desk (encoder, tokenizer, max_length, seconds, ...)."""
    tables = {"train": train if isinstance(train, Table) else table_of(train)}
    if test is not None:
        tables["test"] = test if isinstance(test, Table) else table_of(test, "test.csv")
    kind = members(Task)[task]
    learned = kind(kind=task)
    roles = learned.roles(tables["train"], text, label, None)
    learned = learned.learn_form(tables["train"], roles, None)
    parts = {}
    for name, table in tables.items():
        own = roles if name == "train" else learned.match(table, roles)
        rows, unusable = usable_rows(table, learned, own, None)
        parts[name] = Part(name, table, rows, own, (), unusable)
    learned = learned.learn(list(parts["train"].rows), "train.csv", roles, None)
    return Desk(learned, parts, **options)


def run(check: Any, desk: Desk) -> Notebook:
    """What a check finds; fails where it cannot be asked."""
    notebook = Notebook()
    assert check.cannot(desk) is None
    check.run(desk, notebook)
    return notebook


class HashedWords:
    """A made-up encoder: each word adds its own random direction. Texts with the same words lie together."""

    name = "hashed words"

    def __init__(self, width: int = 32) -> None:
        self.width = width

    def __call__(self, texts: Sequence[tuple[str, ...]], progress: Any = None) -> np.ndarray:
        rows = [sum((self.direction(word) for word in " ".join(text).split()), np.zeros(self.width)) for text in texts]
        if progress:
            progress(len(rows), len(rows))
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.width)

    def direction(self, word: str) -> np.ndarray:
        return np.random.default_rng(list(word.encode())).standard_normal(self.width)
