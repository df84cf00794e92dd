"""Task: knows data rows, features, loss, predictions and scores; knows nothing of parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np

from ..component import Component
from ..data import columns
from ..data.columns import Roles
from ..data.row import Row
from ..data.table import Table
from ..errors import DataError
from .encoded import Encoded, Features

__all__ = ["IGNORED", "Batch", "Encoded", "Features", "Loss", "Metric", "Prediction", "Row", "Task"]

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..models import Source
    from ..strategies.base import Defaults

IGNORED = -100  # torch's own mark for a position without a target


@dataclass(slots=True)
class Batch:
    """Features as tensors.

    Args:
        features: the B rows' features.
        inputs: what the model takes; (W, T) each, W windows, T tokens.
        labels: (B,) or (B, C) a row, (W, T) a token, (W, 2) a span; or None.
        owners: (W,) which of the B rows a window belongs to, or None where W = B.
        more: what a task's `collate` hands to its own `loss` and `predict`; moves with the rest.
    """

    features: Sequence[Features]
    inputs: dict[str, Tensor]
    labels: Tensor | None
    owners: Tensor | None = None
    more: Any = None

    @property
    def rows(self) -> list[int]:
        """Index in the split of each row."""
        return [item.row for item in self.features]

    @property
    def num_tokens(self) -> int:
        """Real tokens, without padding."""
        return sum(item.num_tokens for item in self.features)

    def to(self, device: Any) -> Batch:
        move = lambda tensor: None if tensor is None else tensor.to(device, non_blocking=True)  # noqa: E731
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(self.features, inputs, move(self.labels), move(self.owners), move(self.more))


class Loss(NamedTuple):
    """A loss summed over the scored items of a batch, and what else is worth logging, summed alike."""

    sum: Tensor
    parts: dict[str, Tensor] = {}  # noqa: RUF012  (never changed)


class Prediction(Protocol):
    """What every task's typed prediction can do."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""

    def line(self, text: tuple[str, ...]) -> str:
        """For a terminal: the answer, tab, how sure, tab, the text."""


@dataclass(frozen=True)
class Metric:
    """A score by which runs are compared."""

    name: str
    higher_is_better: bool = True


class Task(Component):
    """The contract of a task. Every method is pure; what is learned from data comes back as a new task."""

    home: ClassVar[str] = "tasks"
    by_words: ClassVar[bool] = False  # whether texts are given to the tokenizer word by word
    peft_type: ClassVar[str]  # PEFT's name for models with this task's head
    new_head: ClassVar[bool] = True  # whether the model gets a head that starts from nothing
    packs: ClassVar[bool] = False  # whether rows are packed into forward passes by their tokens
    embedded: ClassVar[str | None] = "minilm"  # the model where nobody names one
    without_dropout: ClassVar[bool] = False  # whether the model's own dropout is off unless training.dropout sets it
    needs_reference: ClassVar[bool] = False  # whether what the untuned model says of the rows is part of the data

    @classmethod
    @abstractmethod
    def infer(cls, table: Table) -> int:
        """How well these columns fit this task: 0 not at all, 1 they can, 2 they are made for it."""

    @abstractmethod
    def roles(
        self, table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None
    ) -> Roles:
        """What the table's columns are for."""

    def match(self, table: Table, roles: Roles, labelled: bool = True) -> Roles:
        """The same roles in another file, whose columns may have other names."""
        return columns.reassign(table, roles, labelled=labelled)

    def learn_form(self, table: Table, roles: Roles, names: Sequence[str] | None) -> Self:
        """What the form of the labels says (one or several a row, the tag scheme); before any row is read."""
        if names is not None:
            raise DataError("answers have no names", where="data.label_names", fix="leave it out")
        return self

    @abstractmethod
    def read(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
        """One row, or the reason why it is unusable. Raises DataError where its form is wrong."""

    @abstractmethod
    def ask(self, number: int, given: Any) -> Row:
        """A row without label from what a person wants answered: a text, or several parts of one."""

    def unread(self) -> dict[str, str]:
        """Fields that were set but have no effect in this combination, each with the reason (C1)."""
        return {}

    @abstractmethod
    def counted(self, row: Row) -> Sequence[str]:
        """What the ledger counts of a row's label, and splits keep in proportion."""

    @abstractmethod
    def learn(self, rows: Sequence[Row], source: str, roles: Roles, names: Sequence[str] | None) -> Self:
        """What is fitted on the training rows (the label names), and nothing else (D8)."""

    @abstractmethod
    def check(self, rows: Sequence[Row], source: str, roles: Roles) -> None:
        """Raises DataError where a split can't be scored by what training knows."""

    @abstractmethod
    def summary(self) -> str:
        """What was learned and settled, in a few words for the terminal."""

    def max_length(self, source: Source) -> int:
        """Tokens that are read at once where nobody says otherwise."""
        return source.max_length

    def temper(self, defaults: Defaults) -> Defaults:
        """A strategy's rate, epochs and batch size as this task takes them."""
        return defaults

    def dress(self, tokenizer: Any) -> list[str]:
        """Puts into the tokenizer what this task stores in it (a chat template); returns notes for the person."""
        return []

    @abstractmethod
    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
        """Token ids and targets; in bulk, because tokenizers are parallel."""

    def accept(self, encoded: Encoded, where: str) -> None:
        """Raises DataError where a split that was encoded can't teach or be scored (D1, D2). where: its source."""
        return

    def examples(self, encoded: Encoded) -> Encoded:
        """What a training step counts: rows, unless a task says otherwise (windows of a long text, pairs)."""
        return encoded

    @abstractmethod
    def collate(self, features: Sequence[Features], tokenizer: Any) -> Batch:
        """Pads to the longest of these features."""

    def weight(self, batch: Batch) -> Tensor:
        """() the number of scored items: rows, tokens or pairs; here of labels. Needs no forward pass."""
        assert batch.labels is not None
        return (batch.labels != IGNORED).sum().float()

    @abstractmethod
    def build(self, source: Source, **load: Any) -> nn.Module:
        """The model for this task, with fp32 weights; new parts drawn from torch's seeded generator.

        Args:
            load: what a strategy adds to loading (`Strategy.load_kwargs`).
        """

    def settle(self, source: Source, solves: bool) -> Self:
        """Resolves what depends on the model (pooling: auto) before it is loaded.

        Args:
            solves: whether the strategy solves for the head.

        Raises:
            ConfigError: a model of this type can't do the task.
        """
        return self

    @abstractmethod
    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        """The SUM of the loss over the batch's scored items."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """The raw output per row of the batch (numpy), as `decode` and `score` take it."""

    def during_training(self) -> Self:
        """The task as it is scored between steps: without what takes too long to be done often."""
        return self

    def worries(self, scores: dict[str, Any]) -> list[str]:
        """What a person should be warned of, seeing a validation's scores."""
        return []

    def tune(self, outputs: Sequence[Any], rows: Sequence[Row]) -> Self:
        """Decision parameters chosen on validation (thresholds), saved with the model."""
        return self

    @abstractmethod
    def score(self, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
        """Scores by name; the main metric among them, and `loss` where the outputs tell it."""

    @abstractmethod
    def decode(self, output: Any, row: Row) -> Prediction:
        """A raw output as a typed prediction."""

    @abstractmethod
    def verdict(self, row: Row, said: Any) -> dict[str, Any]:
        """A labelled row beside what was predicted for it, for predictions/SPLIT.jsonl."""

    def distance(self, first: Any, second: Any) -> float:
        """How far two raw outputs of one row lie apart: the largest difference of a logit."""
        return float(np.abs(np.asarray(first) - np.asarray(second)).max(initial=0.0))

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """The main score: it picks the best checkpoint."""


def named(labels: Sequence[str]) -> dict[str, dict[Any, Any]]:
    """What a model's configuration says of its labels, in the order of the logits."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: place for place, label in enumerate(labels)}}
