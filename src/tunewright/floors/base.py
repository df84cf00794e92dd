"""Floor: a baseline without a pretrained model, which a fine-tuned one must beat; it learns numbers and words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ..component import Component
from ..errors import ModelError
from ..files import read_json, write_json
from ..tasks.base import Row, Task

NUMBERS, WORDS = "floor.safetensors", "floor.json"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True)
class Reading:
    """How a task that writes reads its rows.

    Args:
        tokenizer: of the models that the floor is compared with; None for other tasks.
        max_length: tokens that are read at once.
    """

    tokenizer: Any = None
    max_length: int = 0


class Learner(ABC):
    """A floor's way to do one task; made by `learn`, and again by its constructor from what was saved.

    Args:
        numbers: arrays by name, for safetensors.
        words: what JSON can hold.
    """

    def __init__(self, task: Task, reading: Reading, numbers: Mapping[str, Any], words: Mapping[str, Any]) -> None:
        self.task: Any = task
        self.reading, self.numbers, self.words = reading, dict(numbers), dict(words)
        self.prepare()

    def prepare(self) -> None:
        """Makes of `numbers` and `words` what `outputs` is quick with. Raises where they are not whole."""
        return

    @staticmethod
    def refuses(task: Any) -> str | None:
        """Why it can't do this task as it is set, or None."""
        return None

    @classmethod
    @abstractmethod
    def learn(cls, task: Any, train: Sequence[Row], reading: Reading) -> Self:
        """What the training rows teach, and nothing else (D8)."""

    @abstractmethod
    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        """Raw outputs of rows, in the task's own format (`Task.predict`)."""

    @property
    def size(self) -> int:
        """Numbers that were learned."""
        return sum(int(values.size) for values in self.numbers.values())

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(values) for name, values in self.numbers.items()}, folder / NUMBERS)
        write_json(folder / WORDS, self.words)


class Floor(Component):
    """One kind of baseline, for every task that it has a learner for."""

    home: ClassVar[str] = "floors"

    @classmethod
    @abstractmethod
    def learners(cls) -> dict[str, type[Learner]]:
        """By the kind of the task."""

    def refuses(self, task: Task) -> str | None:
        """Why this floor can't do a task, or None."""
        learner = self.learners().get(task.kind)
        return learner.refuses(task) if learner else f"there is no {self.kind} for {task.kind}"

    def fit(self, task: Task, train: Sequence[Row], reading: Reading) -> Learner:
        return self.learners()[task.kind].learn(task, train, reading)

    def load(self, task: Task, reading: Reading, folder: Path) -> Learner:
        """What was saved. Raises ModelError where it is not whole."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            learner = self.learners()[task.kind]
            return learner(task, reading, load_file(folder / NUMBERS), read_json(folder / WORDS))
        except (*UNREADABLE, SafetensorError) as error:
            what = f"the floor cannot be loaded: {type(error).__name__}: {error}"
            raise ModelError(what, where=str(folder), fix="restore a copy, or train again") from error
