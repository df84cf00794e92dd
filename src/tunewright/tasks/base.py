"""Task: knows data rows, features, loss, predictions and scores; knows nothing of parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from ..component import Component
from ..data.columns import Roles
from ..data.table import Table

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..models import Source


@dataclass(frozen=True, slots=True)
class Row:
    """One row that has a meaning. `number` is its number in the file, as a person counts."""

    number: int
    text: tuple[str, ...]
    label: Any = None


@dataclass(frozen=True, slots=True)
class Features:
    """What the model is fed for (a part of) one row.

    Args:
        row: index of the row in its split.
        windows: token ids; one list, or several where a long text is read in windows.
        types: token type ids of the windows, or None where the model has none.
        label: as the loss wants it; None where unknown.
        truncated: tokens that did not fit.
    """

    row: int
    windows: list[list[int]]
    types: list[list[int]] | None
    label: Any
    truncated: int = 0

    @property
    def length(self) -> int:
        return max(map(len, self.windows))

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.windows))


@dataclass(slots=True)
class Batch:
    """Features as tensors.

    Args:
        rows: index in the split of each of the B rows.
        inputs: what the model takes; (W, T) each, W windows, T tokens.
        labels: (B,) or (B, C), or None.
        owners: (W,) which of the B rows a window belongs to, or None where W = B.
        num_tokens: real tokens, without padding.
    """

    rows: list[int]
    inputs: dict[str, Tensor]
    labels: Tensor | None
    owners: Tensor | None
    num_tokens: int

    def to(self, device: Any) -> Batch:
        move = lambda tensor: None if tensor is None else tensor.to(device, non_blocking=True)  # noqa: E731
        inputs = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        return Batch(self.rows, inputs, move(self.labels), move(self.owners), self.num_tokens)


class Loss(NamedTuple):
    """A loss summed over the scored items of a batch."""

    sum: Tensor


@dataclass(frozen=True)
class Metric:
    """A score by which runs are compared."""

    name: str
    higher_is_better: bool = True


@dataclass(frozen=True)
class Encoded:
    """The features of a split, and what encoding did to it."""

    features: list[Features]
    lengths: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", [item.length for item in self.features])

    @property
    def truncated(self) -> int:
        return sum(item.truncated > 0 for item in self.features)


class Task(Component):
    """The contract of a task. Every method is pure; what is learned from data comes back as a new task."""

    home: ClassVar[str] = "tasks"

    @classmethod
    @abstractmethod
    def infer(cls, table: Table) -> bool:
        """Whether these columns can be this task's data."""

    @abstractmethod
    def roles(
        self, table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None
    ) -> Roles:
        """What the table's columns are for."""

    @abstractmethod
    def learn_form(self, table: Table, roles: Roles) -> Self:
        """What the form of the labels says (one or several a row); before any row is read."""

    @abstractmethod
    def read(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
        """One row, or the reason why it is unusable. Raises DataError where its form is wrong."""

    def unread(self) -> dict[str, str]:
        """Fields that were set but have no effect in this combination, each with the reason (C1)."""
        return {}

    @abstractmethod
    def stratum(self, row: Row) -> Any:
        """What splits keep in proportion."""

    @abstractmethod
    def learn(self, rows: Sequence[Row], source: str, roles: Roles, names: Sequence[str] | None) -> Self:
        """What is fitted on the training rows (the label names), and nothing else (D8)."""

    @abstractmethod
    def check(self, rows: Sequence[Row], source: str, roles: Roles) -> None:
        """Raises DataError where a split can't be scored by what training knows."""

    @abstractmethod
    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
        """Token ids and targets; in bulk, because tokenizers are parallel."""

    @abstractmethod
    def collate(self, features: Sequence[Features], tokenizer: Any) -> Batch:
        """Pads to the longest of these features."""

    @abstractmethod
    def weight(self, batch: Batch) -> Tensor:
        """() the number of scored items: rows, tokens or pairs. Needs no forward pass."""

    @abstractmethod
    def build(self, source: Source) -> nn.Module:
        """The model for this task, with fp32 weights; new parts drawn from torch's seeded generator."""

    @abstractmethod
    def settle(self, source: Source, head_only: bool) -> Self:
        """Resolves what depends on the model (pooling: auto) before it is loaded."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """The SUM of the loss over the batch's scored items."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """The raw output per row of the batch (numpy), as `decode` and `score` take it."""

    @abstractmethod
    def tune(self, outputs: Sequence[Any], references: Sequence[Any]) -> Self:
        """Decision parameters chosen on validation (thresholds), saved with the model."""

    @abstractmethod
    def score(self, outputs: Sequence[Any], references: Sequence[Any]) -> dict[str, Any]:
        """Scores by name; includes `loss` and the main metric."""

    @abstractmethod
    def decode(self, output: Any) -> Any:
        """A raw output as a typed prediction."""

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """The main score: it picks the best checkpoint."""
