"""Sequence to sequence: summarisation, translation, rewriting, with encoder-decoders such as T5 and BART."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from ..data import sequences
from ..data.columns import Roles
from ..data.table import Table
from ..data.tokens import QUIET, TextEncoder, padded
from ..errors import ConfigError, DataError
from .base import IGNORED, Batch, Encoded, Features, Loss, Row
from .generative import Generative

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..language_model import Scored
    from ..models import Source


class Seq2Seq(Generative):
    """Reads one text and writes another (Sutskever et al. 2014; Raffel et al. 2020)."""

    peft_type: ClassVar[str] = "SEQ_2_SEQ_LM"
    packs: ClassVar[bool] = False
    embedded: ClassVar[str | None] = None

    kind: Literal["seq2seq"] = "seq2seq"
    prefix: str = Field("", description="put before every text, as T5 was taught: `summarize: `")
    max_target_length: int = Field(
        128, ge=2, description="tokens of a target in training; longer ones are cut, and counted"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Szegedy et al. 2016, section 7; 0.1 is usual for translation"
    )

    # --- data -----------------------------------------------------------------------------------------------------

    @classmethod
    def infer(cls, table: Table) -> int:
        return 2 if sequences.find(table) else 0

    def roles(
        self, table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None
    ) -> Roles:
        return sequences.assign(table, text, label, delimiter)

    def match(self, table: Table, roles: Roles, labelled: bool = True) -> Roles:
        return sequences.match(table, roles, labelled)

    def read(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
        return sequences.read(table, index, roles, labelled)

    def ask(self, number: int, given: Any) -> Row:
        if not isinstance(given, str):
            raise DataError("one text is read", where="predict", fix="give a text")
        return Row(number, (given.strip(),))

    def summary(self) -> str:
        return f"texts become texts{f', after {self.prefix!r}' if self.prefix else ''}"

    def reference(self, row: Row) -> str | None:
        return row.label

    def max_length(self, source: Source) -> int:
        """512 (Raffel et al. 2020, section 3.1.2), or what the model has positions for."""
        return min(512, source.positions or 512)

    def settle(self, source: Source, solves: bool) -> Self:
        from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

        if source.config.model_type not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
            what = f"a model of type {source.config.model_type} has no encoder and decoder"
            fix = "give one such as T5 or BART, or make instructions of the rows (--task causal_lm)"
            raise ConfigError(what, where=f"model: {source.name}", fix=fix)
        return self

    # --- tensors --------------------------------------------------------------------------------------------------

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
        texts = TextEncoder(tokenizer, max_length)([(self.prefix + row.text[0],) for row in rows])
        known = bool(rows) and rows[0].label is not None
        targets = self.targets([row.label for row in rows], tokenizer) if known else [None] * len(rows)
        features, counts = [], Counter[str]()
        for place, (text, target) in enumerate(zip(texts, targets, strict=True)):
            cut = target is not None and len(target) > self.max_target_length
            kept = None if target is None else np.array(target[: self.max_target_length], dtype=np.int64)
            features.append(Features(place, text.windows, None, kept, text.truncated))
            size = 0 if kept is None else len(kept)
            counts.update(
                {"supervised tokens": size, "tokens": features[-1].num_tokens + size, "answers cut": int(cut)}
            )
        return Encoded(features, counts=counts)

    def targets(self, texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
        """Ids of each target as its model was pretrained to write it (BART: after a BOS), with one end of sequence."""
        end = tokenizer.eos_token_id
        made = tokenizer(text_target=list(texts), **QUIET)["input_ids"]
        return [ids if end is None or end in ids else [*ids, end] for ids in made]

    def collate(self, features: Sequence[Features], tokenizer: Any) -> Batch:
        batch = super().collate(features, tokenizer)
        if features[0].label is not None:
            batch.labels = padded([item.label for item in features], IGNORED)
        return batch

    def build(self, source: Source, **load: Any) -> nn.Module:
        from ..models import load_model

        return load_model(source, "AutoModelForSeq2SeqLM", **load)

    def scored(self, model: nn.Module, batch: Batch) -> Scored:
        import torch

        from .. import language_model

        assert batch.labels is not None
        real = batch.labels != IGNORED
        hidden = language_model.hidden_states(
            model, **batch.inputs, decoder_input_ids=shifted(batch.labels, language_model.inner(model)), use_cache=False
        )
        hidden = hidden[:, hidden.shape[1] - real.shape[1] :][real]
        targets, owners = batch.labels[real], real.nonzero()[:, 0]
        weights = torch.ones(len(targets), device=targets.device)
        return language_model.Scored(hidden, targets, weights, owners, language_model.head_of(model))

    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        """Cross-entropy of the target's tokens, its end among them."""
        return Loss(self.scored(model, batch).cross_entropy(self.label_smoothing))

    # --- answers --------------------------------------------------------------------------------------------------

    def write(self, model: nn.Module, batch: Batch, features: Sequence[Features]) -> list[tuple[str, int, bool]]:
        from ..decoding import Decoding, write

        return write(model, batch.more.tokenizer, [item.windows[0] for item in features], Decoding.of(self), None)


def shifted(labels: Tensor, model: Any) -> Tensor:
    """(B, T) what the decoder reads: its start token, then the target without its last token."""
    start = model.config.decoder_start_token_id
    if start is None:
        start = model.generation_config.decoder_start_token_id
    inputs = labels.roll(1, dims=1)
    inputs[:, 0] = start
    return inputs.masked_fill(inputs == IGNORED, model.config.pad_token_id or 0)
