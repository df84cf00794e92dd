"""Sequence classification: binary, multi-class and multi-label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr

from .. import losses
from ..data import columns, labels
from ..data.columns import Roles
from ..data.table import Table, is_missing
from ..data.tokens import TextEncoder, pad
from ..errors import ConfigError, DataError, suggest
from ..metrics import classification as metrics
from .base import Batch, Encoded, Features, Loss, Metric, Row, Task, named

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..models import Source


@dataclass(frozen=True)
class Classification:
    """What one text is taken for.

    Args:
        label: the label, or None for a multi-label task.
        labels: of a multi-label task, the ones above their thresholds.
        probability: of `label`; None for a multi-label task.
        probabilities: of every label.
    """

    label: str | None
    labels: tuple[str, ...]
    probability: float | None
    probabilities: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        if self.label is None:
            return {"labels": list(self.labels), "probabilities": self.probabilities}
        return {"label": self.label, "probability": self.probability, "probabilities": self.probabilities}

    def line(self, text: tuple[str, ...]) -> str:
        shown = " | ".join(text)
        if self.label is not None:
            return f"{self.label}\t{self.probability:.3f}\t{shown}"
        chosen = ", ".join(f"{name} {self.probabilities[name]:.3f}" for name in self.labels) or "-"
        return f"{chosen}\t{shown}"


class SequenceClassification(Task):
    """One label a text, or several; on a pair of texts too."""

    peft_type: ClassVar[str] = "SEQ_CLS"

    kind: Literal["sequence_classification"] = "sequence_classification"
    labels: tuple[str, ...] | None = Field(None, description="in the order of the logits; learned from train")
    multi_label: bool | None = Field(None, description="any number of labels a row; inferred from the column's form")
    thresholds: tuple[float, ...] | None = Field(None, description="multi-label: per label; tuned on validation")
    pooling: Literal["auto", "model", "mean", "cls"] = Field(
        "auto", description="model: its own head; auto: as a sentence encoder was made, else its own head"
    )
    long_text: Literal["head", "head_tail", "windows"] = Field("head", description="what is read of texts too long")
    window_overlap: int = Field(32, ge=0, description="tokens that neighbouring windows share")
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = "none"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Szegedy et al. 2016, section 7")
    _focus: float = PrivateAttr(0.0)  # set by training.balance: focal

    @classmethod
    def infer(cls, table: Table) -> int:
        return int(len(table.columns) > 1)

    def roles(
        self, table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None
    ) -> Roles:
        return columns.assign(table, text, label, delimiter)

    def learn_form(self, table: Table, roles: Roles, names: Sequence[str] | None) -> Self:
        lists = columns.facts(table, roles.label[0]).lists
        several = len(roles.label) > 1 or roles.delimiter is not None or lists
        return self.model_copy(update={"multi_label": several if self.multi_label is None else self.multi_label})

    def read(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
        cells = [table.rows[index][name] for name in roles.text]
        for name, cell in zip(roles.text, cells, strict=True):
            if is_missing(cell):
                return f"column {name!r} is empty"
        text = tuple(map(str, cells))
        label = self.read_label(table, index, roles, names) if labelled else None
        if labelled and label is None:
            return f"column {roles.label[0]!r} is empty"
        return Row(table.numbers[index], text, label)

    def read_label(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None) -> Any:
        if self.multi_label:
            return labels.several(table, index, roles, names)
        return labels.single(table, index, roles.label[0], names)

    def ask(self, number: int, given: Any) -> Row:
        return Row(number, (given,) if isinstance(given, str) else tuple(given))

    def unread(self) -> dict[str, str]:
        found = {}
        if self.thresholds is not None and not self.multi_label:
            found["thresholds"] = "only a multi-label task has thresholds"
        if self.window_overlap != type(self).model_fields["window_overlap"].default and self.long_text != "windows":
            found["window_overlap"] = "long_text is not windows"
        return found

    def learn(self, rows: Sequence[Row], source: str, roles: Roles, names: Sequence[str] | None) -> Self:
        counts = Counter(label for row in rows for label in self.counted(row))
        where = f"{source}, column {' and '.join(map(repr, roles.label))}"
        if not counts:
            what = f"0 of {len(rows)} rows have a label: nothing is supervised"
            raise DataError(what, where=where, fix="fill the column, or name another with data.label (--label)")
        known = tuple(self.labels or names or sorted(counts, key=natural_order))
        if len(known) < (1 if self.multi_label else 2):
            what = f"only one label, {known[0]!r}: nothing to tell apart"
            raise DataError(what, where=where, fix="give rows of at least two classes")
        if len(known) == len(rows) and len(rows) > 20 and not self.multi_label:
            what = f"every row has a label of its own ({known[0]!r}, {known[1]!r}, ...)"
            raise DataError(what, where=where, fix="name the label column with data.label (--label)")
        if len(set(known)) < len(known):
            raise ConfigError("a label is there twice", where="task.labels", fix="name each label once")
        if self.thresholds is not None and len(self.thresholds) != len(known):
            what = f"{len(self.thresholds)} thresholds for {len(known)} labels"
            raise ConfigError(
                what, where="task.thresholds", fix="give one per label, or leave it out to have them tuned"
            )
        learned = self.model_copy(update={"labels": known})
        return learned.model_copy(update={"class_weights": learned.weigh(counts, len(rows))})

    def weigh(self, counts: Mapping[str, int], num_rows: int) -> Any:
        """Balanced weights: rows / (classes * rows of the class); multi-label: negatives over positives, at most 10."""
        assert self.labels is not None
        if isinstance(self.class_weights, dict):
            for name in self.class_weights:
                if name not in self.labels:
                    raise ConfigError(
                        f"unknown label {name!r}", where="task.class_weights", fix=suggest(name, self.labels)
                    )
        if self.class_weights != "balanced":
            return self.class_weights
        if self.multi_label:
            return {name: min((num_rows - counts[name]) / max(counts[name], 1), 10.0) or 1.0 for name in self.labels}
        return {name: num_rows / (len(self.labels) * max(counts[name], 1)) for name in self.labels}

    def balanced(self, how: str, rows: Sequence[Row]) -> Self:
        """The task with `training.balance`; see docs/data.md.

        Raises:
            ConfigError: class weights are set besides, and say something else.
        """
        counts = Counter(label for row in rows for label in self.counted(row))
        weights = self.model_copy(update={"class_weights": "balanced"}).weigh(counts, len(rows))
        doubled = how == "sampling" or (how == "class_weights" and self.class_weights != weights)
        if doubled and self.class_weights != "none":
            what = f"is set, and training.balance is {how}"
            raise ConfigError(what, where="task.class_weights", fix="leave one of the two out")
        made = self.model_copy(update={"class_weights": weights} if how == "class_weights" else {})
        made._focus = losses.FOCUS if how == "focal" else 0.0
        return made

    def classes(self, rows: Sequence[Row]) -> list[int]:
        """By what rows are drawn evenly: the rarest of a row's labels, as its rank; a rank of its own for none."""
        counts = Counter(label for row in rows for label in self.counted(row))
        ranks = {label: rank for rank, label in enumerate(sorted(self.places, key=counts.__getitem__))}
        return [min((ranks[label] for label in self.counted(row)), default=len(ranks)) for row in rows]

    def check(self, rows: Sequence[Row], source: str, roles: Roles) -> None:
        assert self.labels is not None
        known, column = set(self.labels), " and ".join(map(repr, roles.label))
        for row in rows:
            for label in self.counted(row):
                if label not in known:
                    fix = f"correct it ({suggest(label, known)}), or add rows with it to the training data"
                    raise DataError(
                        f"column {column}: label {label!r} is not among the training labels",
                        where=f"{source}, row {row.number}",
                        fix=fix,
                    )

    def counted(self, row: Row) -> tuple[str, ...]:
        return row.label if self.multi_label else (row.label,)

    def summary(self) -> str:
        return f"{len(self.labels or ())} labels; pooling: {self.pooling}"

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
        encoder = TextEncoder(tokenizer, max_length, self.long_text, self.window_overlap)
        encoded = encoder([row.text for row in rows])
        features = []
        for place, (row, text) in enumerate(zip(rows, encoded, strict=True)):
            label = None if row.label is None else self.target(row)
            features.append(Features(place, text.windows, text.types, label, text.truncated))
        return Encoded(features)

    def target(self, row: Row) -> Any:
        """The index of the row's label, or (C,) zeros and ones."""
        if not self.multi_label:
            return self.places[row.label]
        chosen = set(row.label)
        return np.array([name in chosen for name in self.labels or ()], dtype=np.int64)

    @cached_property
    def places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.labels or ())}

    def collate(self, features: Sequence[Features], tokenizer: Any) -> Batch:
        import torch

        inputs, owners = pad(features, tokenizer)
        known = features[0].label is not None
        targets = torch.from_numpy(np.array([item.label for item in features], dtype=np.int64)) if known else None
        return Batch(features, inputs, targets, owners)

    def weight(self, batch: Batch) -> Tensor:
        assert batch.labels is not None
        return self.weight_of(batch.labels)

    def weight_of(self, targets: Tensor) -> Tensor:
        return losses.count(targets, None if self.multi_label else self.weights(targets))

    def weights(self, like: Tensor) -> Tensor | None:
        """(C,) class weights on the device of `like`, or None."""
        import torch

        if not isinstance(self.class_weights, dict):
            return None
        return torch.tensor([self.class_weights.get(name, 1.0) for name in self.labels or ()], device=like.device)

    def settle(self, source: Source, head_only: bool) -> Self:
        if self.pooling != "auto":
            return self
        pooling = source.sentence_pooling or ("mean" if head_only else "model")
        return self.model_copy(update={"pooling": pooling})

    def build(self, source: Source, **load: Any) -> nn.Module:
        from ..heads import PooledClassifier, drop_pooler
        from ..models import load_model

        assert self.labels is not None
        names = named(self.labels)
        problem = "multi_label_classification" if self.multi_label else "single_label_classification"
        if self.pooling == "model":
            return load_model(source, "AutoModelForSequenceClassification", problem_type=problem, **names, **load)
        encoder = drop_pooler(load_model(source, "AutoModel", **names, **load))
        rate = getattr(source.config, "hidden_dropout_prob", None) or 0.0
        return PooledClassifier(encoder, len(self.labels), self.pooling, rate)

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """(B, C): the mean over a row's windows."""
        from ..heads import mean_by_owner

        output = model(**batch.inputs)
        logits: Tensor = output if not hasattr(output, "logits") else output.logits
        return logits if batch.owners is None else mean_by_owner(logits, batch.owners, len(batch.rows))

    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        return self.loss_of(self.logits(model, batch), batch.labels)

    def loss_of(self, logits: Tensor, targets: Tensor | None) -> Loss:
        assert targets is not None
        function = losses.binary_cross_entropy if self.multi_label else losses.cross_entropy
        total, _ = function(logits, targets, self.weights(logits), self.label_smoothing, self._focus)
        return Loss(total)

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        return list(self.logits(model, batch).float().cpu().numpy())

    def tune(self, outputs: Sequence[Any], rows: Sequence[Row]) -> Self:
        if not self.multi_label or self.thresholds is not None:
            return self
        targets = np.stack([self.target(row) for row in rows])
        found = metrics.best_thresholds(np.stack(outputs).astype(np.float64), targets)
        return self.model_copy(update={"thresholds": tuple(found)})

    def score(self, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
        names = self.labels or ()
        logits = np.stack(outputs).astype(np.float64)
        targets = np.stack([self.target(row) for row in rows])
        if self.multi_label:
            return metrics.multi_label(logits, targets, names, self.thresholds or (0.5,) * len(names))
        return metrics.single_label(logits, targets, names)

    def decode(self, output: Any, row: Row) -> Classification:
        names = self.labels or ()
        logits = np.asarray(output, dtype=np.float64)
        values = (metrics.sigmoid if self.multi_label else metrics.softmax)(logits)
        probabilities = {name: float(value) for name, value in zip(names, values, strict=True)}
        if self.multi_label:
            limits = self.thresholds or (0.5,) * len(names)
            chosen = tuple(name for name, value, limit in zip(names, values, limits, strict=True) if value >= limit)
            return Classification(None, chosen, None, probabilities)
        best = int(values.argmax())
        return Classification(names[best], (names[best],), float(values[best]), probabilities)

    def verdict(self, row: Row, said: Classification) -> dict[str, Any]:
        if said.label is None:
            return {"label": list(row.label), "predicted": list(said.labels), "probabilities": said.probabilities}
        return {"label": row.label, "predicted": said.label, "probability": said.probability}

    @property
    def metric(self) -> Metric:
        return Metric("f1_macro" if self.multi_label else "accuracy")


def natural_order(label: str) -> tuple[int, float, str]:
    """Numbers by value, then words by the alphabet."""
    return (0, float(label), label) if re.fullmatch(r"-?[0-9]{1,300}", label) else (1, 0.0, label)
