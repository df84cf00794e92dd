"""Causal language modelling: supervised fine-tuning on instructions and dialogues, and plain texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from ..data import dialogues, documents, templates
from ..data.columns import Roles
from ..data.row import Dialogue
from ..data.table import Table
from ..errors import ConfigError, DataError
from .base import Batch, Encoded, Features, Loss, Row
from .encoded import Flat
from .generative import NOTHING, SCORED, Generative, Said

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..models import Source

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
        if names is not None:
            raise DataError("answers have no names", where="data.label_names", fix="leave it out")
        found = self.model_copy(update={"shape": roles.form})
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

    def learn(self, rows: Sequence[Row], source: str, roles: Roles, names: Sequence[str] | None) -> Self:
        return self

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

    def collate(self, features: Sequence[Features], tokenizer: Any) -> Batch:
        from ..data.tokens import pad

        inputs, owners = pad(features, tokenizer)
        return Batch(features, inputs, None, owners, Turns(features, tokenizer))

    def weight(self, batch: Batch) -> Tensor:
        weight: Tensor = batch.more.pack.weights.sum()
        return weight

    def build(self, source: Source, **load: Any) -> nn.Module:
        from .. import language_model
        from ..models import load_model

        return language_model.prepare(load_model(source, "AutoModelForCausalLM", **load))

    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy of the supervised tokens, each by its weight."""
        from .. import language_model

        return Loss(language_model.scored(model, batch.more.pack).cross_entropy())

    # --- answers --------------------------------------------------------------------------------------------------

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """`Said` of each row: log-probabilities where the answer is known, an answer where one is wanted."""
        known = batch.features[0].label is not None
        likelihoods = self.likelihoods(model, batch) if known else [(NOTHING, NOTHING, NOTHING)] * len(batch.features)
        most = 0 if self.shape == "text" else self.score_answers
        wanted = [item for item in batch.features if not known or item.row < most]
        answers = dict(zip((item.row for item in wanted), self.write(model, batch, wanted), strict=True))
        return [
            Said(*parts, *answers.get(item.row, ()))
            for parts, item in zip(likelihoods, batch.features, strict=True)
        ]  # fmt: skip

    def likelihoods(self, model: nn.Module, batch: Batch) -> list[tuple[Any, Any, Any]]:
        """(log-probabilities, weights, hits) of each row's supervised tokens."""
        from .. import language_model

        scored = language_model.scored(model, batch.more.pack)
        logs, hits = scored.log_probabilities_and_hits()
        windows = np.cumsum([len(item.windows) for item in batch.features])[:-1]
        owners = np.searchsorted(windows, scored.owners.cpu().numpy(), side="right")
        cuts = np.searchsorted(owners, np.arange(1, len(batch.features)))
        parts = (np.split(value.float().cpu().numpy(), cuts) for value in (logs, scored.weights, hits))
        return list(zip(*parts, strict=True))

    def write(self, model: nn.Module, batch: Batch, features: Sequence[Features]) -> list[tuple[str, int, bool]]:
        """(text, tokens, whether it ended) of each."""
        return written(self, model, batch.more.tokenizer, features)


def written(task: Any, model: nn.Module, tokenizer: Any, features: Sequence[Features]) -> list[tuple[str, int, bool]]:
    """(text, tokens, whether it ended) of the answer to each row's prompt."""
    from ..decoding import Decoding, write

    if not features:
        return []
    prompts = [list(item.windows[0][: item.prompt]) for item in features]
    template = tokenizer.chat_template
    if template is None:
        return write(model, tokenizer, prompts, Decoding.of(task), None)
    end, closing = templates.end_of_turn(tokenizer, template), templates.closing(tokenizer, template)
    made = write(model, tokenizer, prompts, Decoding.of(task), end)
    return [(templates.without(closing, text), size, ended) for text, size, ended in made]


def dialogue_of(row: Row) -> Dialogue:
    assert row.dialogue is not None
    return row.dialogue


def names_of(rows: Sequence[Row]) -> list[str]:
    """What an error calls each row."""
    return [f"row {row.number}" for row in rows]


class Turns:
    """What `collate` hands on: the rows as a pack, and the tokenizer that reads what is written."""

    def __init__(self, features: Sequence[Features], tokenizer: Any, pack: Any = None) -> None:
        from ..packing import pack as packed

        self.tokenizer, self.features = tokenizer, features
        documents = [pair for item in features for pair in zip(item.windows, per_window(item), strict=True)]
        self.pack = packed(documents) if pack is None else pack

    def to(self, device: Any, non_blocking: bool = False) -> Turns:
        return Turns(self.features, self.tokenizer, self.pack.to(device, non_blocking))


def per_window(item: Features) -> list[Any]:
    """(T,) weights for each window; none of what nobody knows."""
    if item.label is None:
        return [np.zeros(len(window), dtype=np.float32) for window in item.windows]
    return item.label if isinstance(item.label, list) else [item.label]


def encode_texts(rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
    """Windows of each text; every token but the first of a text is a target, once."""
    features, counts = [], Counter[str]()
    for place, ids in enumerate(documents.documents([row.text[0] for row in rows], tokenizer)):
        windows: list[Any] = documents.windows(ids, max_length)
        weights = [np.r_[np.float32(0), np.ones(len(window) - 1, dtype=np.float32)] for window in windows]
        features.append(Features(place, windows, None, weights))
        counts.update({"supervised tokens": len(ids) - 1, "tokens": len(ids)})
    return Encoded(features, counts=counts)


def begun(rows: Sequence[Row], tokenizer: Any, most: int) -> Encoded:
    """Beginnings of texts, to be gone on with."""
    made = documents.documents([row.text[0] for row in rows], tokenizer, whole=False)
    kept = [ids.tolist()[-most:] for ids in made]
    return Encoded([Features(place, [ids], None, None, prompt=len(ids)) for place, ids in enumerate(kept)])


def asked(rows: Sequence[Row], encoder: Any, most: int) -> list[Features]:
    """Prompts without an answer; of one that is too long the end is kept, which is where the question stands."""
    found = []
    for place, ids in enumerate(encoder.encode_prompts([dialogue_of(row) for row in rows], names_of(rows))):
        kept = ids[-most:]
        found.append(Features(place, [kept], None, None, truncated=len(ids) - len(kept), prompt=len(kept)))
    return found
