"""Token classification: named entities, chunks, slots, or any tag a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from .. import losses
from ..data import tagging, words
from ..data.columns import Roles
from ..data.table import Table
from ..data.tokens import WordEncoder, pad, padded
from ..errors import ConfigError, DataError, suggest
from ..metrics import classification, entities
from .base import IGNORED, Batch, Encoded, Features, Loss, Metric, Row, Task, named

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..models import Source


@dataclass(frozen=True)
class Entity:
    """A stretch of the text.

    Args:
        start, end: characters: the first, and one past the last.
        confidence: mean over its words of the probability of the tag they were given.
    """

    text: str
    start: int
    end: int
    type: str
    confidence: float


@dataclass(frozen=True)
class Tagging:
    """What was found in one text, in its order."""

    entities: tuple[Entity, ...]

    def to_json(self) -> dict[str, Any]:
        return {"entities": [vars(entity) for entity in self.entities]}

    def line(self, text: tuple[str, ...]) -> str:
        found = ", ".join(f"{item.text} ({item.type} {item.confidence:.2f})" for item in self.entities)
        return f"{found or '-'}\t{text[0]}"


class TokenClassification(Task):
    """A tag for every word; entities where tags are of a scheme (B-person I-person O)."""

    by_words: ClassVar[bool] = True
    peft_type: ClassVar[str] = "TOKEN_CLS"

    kind: Literal["token_classification"] = "token_classification"
    labels: tuple[str, ...] | None = Field(None, description="entity types (or plain tags); learned from train")
    scheme: Literal["auto", "IOB2", "BIOES", "plain"] = Field(
        "auto", description="of the model's own tags; auto: IOB2, or plain where the data's tags have no prefixes"
    )
    sub_words: Literal["first", "all"] = Field(
        "first", description="which pieces of a word are labelled (Devlin et al. 2019, section 5.3: the first)"
    )
    decoding: Literal["legal", "greedy"] = Field(
        "legal", description="legal: the best sequence that the scheme allows; greedy: each word's best tag"
    )
    window_overlap: int = Field(64, ge=0, description="tokens that neighbouring windows of a long text share")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Szegedy et al. 2016, section 7")

    # --- data -----------------------------------------------------------------------------------------------------

    @classmethod
    def infer(cls, table: Table) -> int:
        return 2 if words.find(table) else 0

    def roles(
        self, table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None
    ) -> Roles:
        return words.assign(table, text, label, delimiter)

    def match(self, table: Table, roles: Roles, labelled: bool = True) -> Roles:
        return words.match(table, roles, labelled)

    def learn_form(self, table: Table, roles: Roles, names: Sequence[str] | None) -> Self:
        if names is not None and roles.form != words.NUMBERED:
            what = f"has no effect: column {roles.label[0]!r} holds no numbers"
            raise ConfigError(what, where="data.label_names", fix="leave it out")
        found = words.scheme_of(roles, names)
        if self.scheme != "auto":
            if (self.scheme == "plain") != (found == "plain"):
                what = f"{self.scheme} does not fit the tags of column {roles.label[0]!r}, which are {found}"
                raise ConfigError(what, where="task.scheme", fix="leave it out")
            return self
        return self.model_copy(update={"scheme": "plain" if found == "plain" else "IOB2"})

    def read(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
        return words.read(table, index, roles, names, labelled)

    def ask(self, number: int, given: Any) -> Row:
        if isinstance(given, str):
            return Row(number, (given,), None, words.split(given))
        return words.row_of_tokens(number, [str(token) for token in given])

    def unread(self) -> dict[str, str]:
        if self.scheme == "plain" and self.decoding != type(self).model_fields["decoding"].default:
            return {"decoding": "any sequence of plain tags is legal"}
        return {}

    def counted(self, row: Row) -> list[str]:
        return [kind for _, _, kind in row.label or ()]

    def learn(self, rows: Sequence[Row], source: str, roles: Roles, names: Sequence[str] | None) -> Self:
        counts = Counter(kind for row in rows for kind in self.counted(row))
        if not counts:
            what = f"0 of {len(rows)} rows have an entity: nothing is supervised"
            raise DataError(what, where=source, fix="give tagged text, or name the column of tags (data.label)")
        known = tuple(self.labels or sorted(counts))
        if len(set(known)) < len(known):
            raise ConfigError("a label is there twice", where="task.labels", fix="name each label once")
        return self.model_copy(update={"labels": known})

    def check(self, rows: Sequence[Row], source: str, roles: Roles) -> None:
        known = set(self.labels or ())
        for row in rows:
            for kind in self.counted(row):
                if kind not in known:
                    what = f"type {kind!r} is not among the training labels"
                    fix = f"correct it ({suggest(kind, known)}), or add rows with it to the training data"
                    raise DataError(what, where=f"{source}, row {row.number}", fix=fix)

    def summary(self) -> str:
        kind = "tags" if self.scheme == "plain" else "entity types"
        return f"{len(self.labels or ())} {kind} as {len(self.tags)} tags ({self.scheme}); decoding: {self.decoding}"

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """In the order of the logits."""
        if self.scheme == "plain":
            return tuple(self.labels or ())
        return tagging.tag_names(self.labels or (), "IOB2" if self.scheme == "auto" else self.scheme)

    def tags_of(self, row: Row) -> list[int]:
        """The tag's number of every word of a labelled row."""
        count = len(row.words or ())
        if self.scheme == "plain":
            return [self.places[kind] for _, _, kind in row.label]
        return [self.places[tag] for tag in tagging.tags_of(row.label, count, self.scheme)]

    @cached_property
    def places(self) -> dict[str, int]:
        return {tag: place for place, tag in enumerate(self.tags)}

    # --- tensors --------------------------------------------------------------------------------------------------

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
        encoder = WordEncoder(tokenizer, max_length, self.window_overlap, self.sub_words == "all")
        features, faults = [], Counter[str]()
        for place, (row, text) in enumerate(zip(rows, encoder([words.pieces(row) for row in rows]), strict=True)):
            label = None if row.label is None else np.asarray(self.tags_of(row), dtype=np.int64)
            count = len(row.words or ())
            features.append(Features(place, text.windows, None, label, text.truncated, text.places, count))
            if text.lost:
                faults["words that the tokenizer drops"] += text.lost
        return Encoded(features, faults)

    def collate(self, features: Sequence[Features], tokenizer: Any) -> Batch:
        inputs, owners = pad(features, tokenizer)
        if features[0].label is None:
            return Batch(features, inputs, None, owners)
        targets = [np.where(places >= 0, item.label[places], IGNORED) for item, places in windows_of(features)]
        return Batch(features, inputs, padded(targets, IGNORED), owners)

    def build(self, source: Source, **load: Any) -> nn.Module:
        from ..models import load_model

        return load_model(source, "AutoModelForTokenClassification", **named(self.tags), **load)

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """(W, T, C)."""
        from ..heads import last_tokens

        return last_tokens(model(**batch.inputs).logits, batch.inputs)

    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        assert batch.labels is not None
        logits, chosen = self.logits(model, batch), batch.labels != IGNORED
        total, _ = losses.cross_entropy(logits[chosen], batch.labels[chosen], None, self.label_smoothing)
        return Loss(total)

    # --- answers --------------------------------------------------------------------------------------------------

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """(words, C) logits a row: of a word's labelled pieces the mean; 0 for a word that has none."""
        logits = self.logits(model, batch).float().cpu().numpy()
        sums = {id(item): np.zeros((item.num_words, logits.shape[2]), np.float32) for item in batch.features}
        counts = {id(item): np.zeros((item.num_words, 1), np.float32) for item in batch.features}
        for window, (item, places) in enumerate(windows_of(batch.features)):
            chosen = places >= 0
            np.add.at(sums[id(item)], places[chosen], logits[window, : len(places)][chosen])
            np.add.at(counts[id(item)], places[chosen], 1)
        return [sums[id(item)] / np.maximum(counts[id(item)], 1) for item in batch.features]

    def tagged(self, output: Any) -> Any:
        """(words,) numbers of the tags decided on."""
        if self.scheme == "plain" or self.decoding == "greedy" or not len(output):
            return output.argmax(1)
        return tagging.best_legal_path(classification.log_softmax(output), *self.legal)

    @cached_property
    def legal(self) -> Any:
        return tagging.transitions(self.tags, self.scheme)

    def spans(self, output: Any) -> list[tagging.Span]:
        """What was found, in word numbers."""
        tags = [self.tags[place] for place in self.tagged(output)]
        if self.scheme == "plain":
            return [(place, place + 1, tag) for place, tag in enumerate(tags) if output[place].any()]
        return tagging.spans(tags, self.scheme)

    def score(self, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
        """Strict entity scores with the declared scheme, and what goes word by word."""
        targets = np.concatenate([np.asarray(self.tags_of(row), dtype=np.int64) for row in rows])
        logits = np.concatenate(outputs).astype(np.float64)
        chosen = np.concatenate([self.tagged(output) for output in outputs])
        answered = logits.any(1) if self.scheme == "plain" else True  # else a dropped word has the first tag (D7)
        right = float(((chosen == targets) & answered).mean())
        loss = -float(classification.log_softmax(logits)[np.arange(len(targets)), targets].mean())
        shared = {"accuracy": right, "loss": loss, "num_rows": len(rows), "num_words": len(targets)}
        found = entities.entity_scores([list(row.label) for row in rows], [self.spans(output) for output in outputs])
        if self.scheme != "plain":
            return {**found, **shared}
        return {**shared, "f1_macro": found["f1_macro"], "per_type": found["per_type"]}

    def decode(self, output: Any, row: Row) -> Tagging:
        if not row.words:
            return Tagging(())
        shares, chosen = classification.softmax(output.astype(np.float64)), self.tagged(output)
        sure = shares[np.arange(len(chosen)), chosen]  # of the best legal tag, which may not be the likeliest
        found = []
        for first, last, kind in self.spans(output):
            start, end = row.words[first][0], row.words[last - 1][1]
            found.append(Entity(row.text[0][start:end], start, end, kind, float(sure[first:last].mean())))
        return Tagging(tuple(found))

    def verdict(self, row: Row, said: Tagging) -> dict[str, Any]:
        assert row.words is not None
        edges = [(row.words[first][0], row.words[last - 1][1], kind) for first, last, kind in row.label]
        gold = [{"start": start, "end": end, "type": kind} for start, end, kind in edges]
        scheme = {"scheme": "plain"} if self.scheme == "plain" else {}
        return {"label": gold, "predicted": [vars(entity) for entity in said.entities], **scheme}

    @property
    def metric(self) -> Metric:
        return Metric("accuracy" if self.scheme == "plain" else "f1")


def windows_of(features: Sequence[Features]) -> Iterator[tuple[Features, Any]]:
    """(row's features, word number of each token) for every window, in the order of the batch."""
    for item in features:
        for places in item.places or ():
            yield item, places
