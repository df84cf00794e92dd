"""Causal language modelling: supervised fine-tuning on instructions and dialogues, and plain texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from ..data import dialogues, templates
from ..data.columns import Roles
from ..data.row import Dialogue
from ..data.table import Table
from ..data.tokens import document_windows, documents
from ..errors import ConfigError, DataError
from .base import Batch, Encoded, Features, Loss, Row
from .encoded import Flat
from .generative import SCORED, Generative

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..models import Source
    from ..packing import Packed

Shape = Literal[
    "auto", "messages", "sharegpt", "instruction", "completion", "text",
    "classification", "question_answering", "summarisation",
]  # fmt: skip


class CausalLM(Generative):
    """Predicts the next token: of answers alone, or of everything."""

    peft_type: ClassVar[str] = "CAUSAL_LM"
    embedded: ClassVar[str | None] = "pocket-lm"

    kind: Literal["causal_lm"] = "causal_lm"
    shape: Shape = Field(
        "auto", description="what a row is; auto: by the columns; the last three make prompts of other tasks' rows"
    )
    template: str = Field(
        "auto", min_length=1,
        description="auto, tokenizer, chatml, alpaca, instruction, plain, or a .jinja file; stored with the model",
    )  # fmt: skip
    loss_on: Literal["answers", "last_answer", "everything"] = Field("answers", description="which tokens are learned")
    prompt_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of a prompt's tokens in the loss (Huerta-Enochian and Ko 2024); an answer's have 1",
    )
    labels: tuple[str, ...] = Field((), description="names that a classification prompt lists; learned from train")

    # --- data -----------------------------------------------------------------------------------------------------

    @classmethod
    def infer(cls, table: Table) -> int:
        return 2 if dialogues.find(table) else 0

    def roles(
        self, table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None
    ) -> Roles:
        if delimiter is not None:
            raise DataError("answers are not joined", where="data.label_delimiter", fix="leave it out")
        return dialogues.roles(table, self.shape_of(table), text, label)

    def shape_of(self, table: Table) -> str:
        shape = dialogues.find(table) if self.shape == "auto" else self.shape
        if shape is None:
            what = f"the columns {', '.join(map(repr, table.columns))} are no instructions, dialogues or texts"
            raise DataError(what, where=table.source, fix="name what a row is with task.shape")
        return str(shape)

    def match(self, table: Table, roles: Roles, labelled: bool = True) -> Roles:
        return dialogues.match(table, roles, self.shape, labelled)

    def learn_form(self, table: Table, roles: Roles, names: Sequence[str] | None) -> Self:
        found = super().learn_form(table, roles, names).model_copy(update={"shape": roles.form})
        if roles.form == "classification" and not self.labels:
            seen = sorted({str(row[roles.label[0]]) for row in table.rows if row[roles.label[0]] not in (None, "")})
            found = found.model_copy(update={"labels": tuple(seen)})
        return found

    def read(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
        row = dialogues.read(table, index, roles, self.shape, labelled, self.labels)
        if self.shape == "text" and labelled and isinstance(row, Row):
            return replace(row, label=row.text[0])  # of a plain text everything is the answer
        return row

    def ask(self, number: int, given: Any) -> Row:
        return dialogues.ask(number, given, self.shape, self.labels)

    def unread(self) -> dict[str, str]:
        found = super().unread()
        if self.shape == "text":
            found |= dict.fromkeys(self.changed(("template", "loss_on", "prompt_weight")), "plain texts have no turns")
            found |= dict.fromkeys(self.changed(("score_answers", *SCORED)), "plain texts have no answers to score by")
            found |= dict.fromkeys(self.changed(("max_truncated",)), "long texts are read in windows, none is cut")
        elif self.loss_on == "everything" and self.prompt_weight:
            found["prompt_weight"] = "task.loss_on is everything"
        if self.labels and self.shape != "classification":
            found["labels"] = f"the rows are of the shape {self.shape}"
        return found

    def summary(self) -> str:
        on = {"answers": "all answers", "last_answer": "the last answer", "everything": "everything"}[self.loss_on]
        return "plain texts" if self.shape == "text" else f"{self.shape} rows; the loss is on {on}"

    def reference(self, row: Row) -> str | None:
        return None if self.shape == "text" else row.label

    def settle(self, source: Source, solves: bool) -> Self:
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
            MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        )

        kind = source.config.model_type
        if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
            what = f"a model of type {kind} does not predict the next token"
            raise ConfigError(what, where=f"model: {source.name}", fix="give a decoder such as pocket-lm, Llama, Qwen")
        return self

    def dress(self, tokenizer: Any) -> list[str]:
        if self.shape == "text":
            return []
        tokenizer.chat_template, note = templates.choose(self.template, tokenizer, self.shape)
        return [note]

    # --- tensors --------------------------------------------------------------------------------------------------

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
        if self.shape == "text":
            known = not rows or rows[0].label is not None
            return encode_texts(rows, tokenizer, max_length) if known else begun(rows, tokenizer, max_length - 1)
        encoder = templates.DialogueEncoder(
            tokenizer, tokenizer.chat_template, max_length, self.loss_on, self.prompt_weight
        )
        if rows and rows[0].label is None:
            return Encoded(asked(rows, encoder, max_length - 1))
        features, faults, counts = [], Counter[str](), Counter[str]()
        for place, made in enumerate(encoder.encode([dialogue_of(row) for row in rows], names_of(rows))):
            prompt = min(made.prompt, len(made.ids))
            features.append(Features(place, [made.ids], None, made.weights, made.truncated, prompt=prompt))
            faults.update(made.faults)
            supervised = int(np.count_nonzero(made.weights))
            counts.update({"supervised tokens": supervised, "tokens": len(made.ids),
                           "answers cut": int(made.answer_cut),
                           "rows without a target": int(supervised == 0)})  # fmt: skip
        return Encoded(features, faults, counts)

    def examples(self, encoded: Encoded) -> Encoded:
        """Windows of texts, each by itself; rows that teach nothing are left out, and counted."""
        parts = (
            Features(item.row, [window], None, [weights], item.truncated, prompt=item.prompt)
            for item in encoded.features
            for window, weights in zip(item.windows, per_window(item), strict=True)
            if np.any(weights)
        )
        return Encoded(Flat.of(parts), encoded.faults, encoded.counts)

    def pack(self, features: Sequence[Features]) -> Packed:
        """One document after another."""
        from ..packing import pack

        return pack([pair for item in features for pair in zip(item.windows, per_window(item), strict=True)])

    def weight(self, batch: Batch) -> Tensor:
        weight: Tensor = batch.more.pack.weights.sum()
        return weight

    def build(self, source: Source, **load: Any) -> nn.Module:
        from .. import language_model
        from ..models import load_model

        return language_model.prepare(load_model(source, "AutoModelForCausalLM", **load))

    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy of the supervised tokens, each by its weight."""
        return Loss(self.scored(model, batch).cross_entropy())

    @property
    def num_written(self) -> int:
        return 0 if self.shape == "text" else self.score_answers


def dialogue_of(row: Row) -> Dialogue:
    assert row.dialogue is not None
    return row.dialogue


def names_of(rows: Sequence[Row]) -> list[str]:
    """What an error calls each row."""
    return [f"row {row.number}" for row in rows]


def per_window(item: Features) -> list[Any]:
    """(T,) weights for each window; none of what nobody knows."""
    if item.label is None:
        return [np.zeros(len(window), dtype=np.float32) for window in item.windows]
    return item.label if isinstance(item.label, list) else [item.label]


def encode_texts(rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
    """Windows of each text; every token but the first of a text is a target, once."""
    features, counts = [], Counter[str]()
    for place, ids in enumerate(documents([row.text[0] for row in rows], tokenizer)):
        windows: list[Any] = document_windows(ids, max_length)
        weights = [np.r_[np.float32(0), np.ones(len(window) - 1, dtype=np.float32)] for window in windows]
        features.append(Features(place, windows, None, weights))
        counts.update({"supervised tokens": len(ids) - 1, "tokens": len(ids)})
    return Encoded(features, counts=counts)


def begun(rows: Sequence[Row], tokenizer: Any, most: int) -> Encoded:
    """Beginnings of texts, to be gone on with."""
    made = documents([row.text[0] for row in rows], tokenizer, whole=False)
    kept = [ids.tolist()[-most:] for ids in made]
    return Encoded([Features(place, [ids], None, None, prompt=len(ids)) for place, ids in enumerate(kept)])


def asked(rows: Sequence[Row], encoder: Any, most: int) -> list[Features]:
    """Prompts without an answer; of one that is too long the end is kept, which is where the question stands."""
    found = []
    for place, ids in enumerate(encoder.encode_prompts([dialogue_of(row) for row in rows], names_of(rows))):
        kept = ids[-most:]
        found.append(Features(place, [kept], None, None, truncated=len(ids) - len(kept), prompt=len(kept)))
    return found
