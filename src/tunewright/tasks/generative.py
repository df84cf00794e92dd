"""What tasks that write answers share: how answers are written, and what they are scored by."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from ..data import templates
from ..data.columns import Roles
from ..data.tokens import pad
from ..errors import ConfigError, DataError
from .base import Batch, Encoded, Features, Metric, Row, Task

if TYPE_CHECKING:
    from torch import nn

    from ..language_model import Scored
    from ..models import Source
    from ..packing import Packed

ScoreName = Literal[
    "rouge1", "rouge2", "rougeL", "bleu", "chrf", "bertscore", "exact_match", "json_valid", "json_schema",
    "json_fields", "regex", "distinct_1", "distinct_2",
]  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What a model makes of one row.

    Args:
        log_probabilities: (M,) of the supervised tokens; empty where no answer is known.
        weights: (M,) how much each counts.
        hits: (M,) whether each was the likeliest token.
        text: the answer that it wrote, or None where none was asked for.
        num_tokens: of that answer.
        finished: whether it ended its turn.
    """

    log_probabilities: np.ndarray[Any, Any]
    weights: np.ndarray[Any, Any]
    hits: np.ndarray[Any, Any]
    text: str | None = None
    num_tokens: int = 0
    finished: bool = False

    @property
    def loss(self) -> float:
        """Cross-entropy a token, in nats."""
        return float(-(self.log_probabilities * self.weights).sum() / max(self.weights.sum(), 1e-9))


NOTHING = np.zeros(0, dtype=np.float32)
SCORED = ("scores", "json_schema", "pattern")  # fields that only answers written for scores are read by


@dataclass(frozen=True)
class Written:
    """An answer.

    Args:
        text: without special tokens.
        finished: whether the model ended its turn; else it was cut at `max_new_tokens`.
        num_tokens: written.
        loss: of the known answer, a token (of a pair: its loss); None where none is known.
        scored_tokens: of the known answer, each by its weight in the loss.
    """

    text: str | None
    finished: bool
    num_tokens: int
    loss: float | None
    scored_tokens: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {"answer": self.text, "finished": self.finished, "num_tokens": self.num_tokens}

    def line(self, text: tuple[str, ...]) -> str:
        """The answer on one line, tab, whether it was ended or cut, tab, the prompt."""
        shown = [" ".join((part or "").split()) for part in (self.text, text[0])]
        return f"{shown[0]}\t{'ended' if self.finished else 'cut'}\t{shown[1]}"


@dataclass(frozen=True, slots=True)
class More:
    """What `collate` hands on: the tokenizer that reads what is written, and the rows as a pack."""

    tokenizer: Any
    pack: Any = None

    def to(self, device: Any, non_blocking: bool = False) -> More:
        return self if self.pack is None else More(self.tokenizer, self.pack.to(device, non_blocking))


class Generative(Task):
    """Fields and scores of tasks whose predictions are texts."""

    new_head: ClassVar[bool] = False
    packs: ClassVar[bool] = True

    max_new_tokens: int = Field(256, ge=1, description="tokens an answer may have")
    temperature: float = Field(0.0, ge=0, description="of sampling; 0: the likeliest token each time")
    top_p: float = Field(
        1.0, gt=0, le=1, description="sample among the likeliest with this share (Holtzman et al. 2020)"
    )
    num_beams: int = Field(1, ge=1, description="beam search with so many hypotheses")
    repetition_penalty: float = Field(1.0, gt=0, description="above 1: repeats less (Keskar et al. 2019, section 4.1)")
    scores: tuple[ScoreName, ...] | Literal["auto"] = Field(
        "auto", description="of written answers; auto: by what the references are"
    )
    score_answers: int = Field(
        200, ge=0, description="rows of a split that are answered in writing for scores; 0: none"
    )
    json_schema: str | None = Field(None, min_length=1, description="a file; json_schema scores answers by it")
    pattern: str | None = Field(None, min_length=1, description="a regular expression; regex scores answers by it")
    max_truncated: float = Field(
        0.1, ge=0, le=1, description="share of rows whose answer may be cut before it is an error"
    )

    @property
    def samples(self) -> bool:
        return self.temperature > 0

    @property
    def metric(self) -> Metric:
        return Metric("loss", higher_is_better=False)

    def unread(self) -> dict[str, str]:
        found = {}
        if self.top_p < 1 and not self.samples:
            found["top_p"] = "temperature is 0, so nothing is sampled"
        if not self.score_answers:
            found |= dict.fromkeys(self.changed(SCORED), "no answers are written for scores (task.score_answers is 0)")
        return found

    def changed(self, names: Sequence[str]) -> list[str]:
        """Those of these fields that differ from their defaults."""
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]

    def check(self, rows: Sequence[Row], source: str, roles: Roles) -> None:
        """Any text can be scored. Raises ConfigError where what it is scored by is not whole."""
        from ..metrics import generation as metrics

        schema = self.read_schema()
        if self.scores != "auto":
            metrics.check(self.scores, schema, self.pattern)
        metrics.score(self.asked_for(), [], [], schema=schema, pattern=self.pattern)

    def learn(self, rows: Sequence[Row], source: str, roles: Roles, names: Sequence[str] | None) -> Self:
        return self

    def counted(self, row: Row) -> Sequence[str]:
        return []

    def during_training(self) -> Self:
        """By likelihood alone: writing takes a forward pass a token."""
        return self.model_copy(update={"score_answers": 0})

    def max_length(self, source: Source) -> int:
        """1,024, or what the model has positions for."""
        return min(1024, source.positions or 1024)

    def accept(self, encoded: Encoded, where: str) -> None:
        """Raises DataError where nothing is supervised (D1), or too many answers are cut (D2)."""
        counts, total = encoded.counts, len(encoded.features)
        if not counts["supervised tokens"]:
            what = f"0 of {counts['tokens']} tokens in {total} rows are supervised: there is nothing to learn"
            fix = "raise data.max_length, or look at `tunewright preview`"
            raise DataError(what, where=where, fix=fix)
        cut = counts["answers cut"]
        if cut > self.max_truncated * total:
            what = f"{cut} of {total} answers do not fit and would be cut ({cut / total:.0%})"
            fix = "raise data.max_length, shorten the rows, or allow it with task.max_truncated"
            raise DataError(what, where=where, fix=fix)

    # --- tensors --------------------------------------------------------------------------------------------------

    def pack(self, features: Sequence[Features]) -> Packed | None:
        """The rows for one forward pass, where this task packs them."""
        return None

    def collate(self, features: Sequence[Features], tokenizer: Any) -> Batch:
        inputs, owners = pad(features, tokenizer)
        return Batch(features, inputs, None, owners, More(tokenizer, self.pack(features)))

    def scored(self, model: nn.Module, batch: Batch) -> Scored:
        """What the head is given at every target; what is no target costs no logits."""
        from .. import language_model

        return language_model.scored(model, batch.more.pack)

    # --- answers --------------------------------------------------------------------------------------------------

    @property
    def num_written(self) -> int:
        """Rows of a split that are answered in writing although their answer is known."""
        return self.score_answers

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """`Said` of each row: log-probabilities where the answer is known, an answer where one is wanted."""
        known = batch.features[0].label is not None
        likelihoods = self.likelihoods(model, batch) if known else [(NOTHING, NOTHING, NOTHING)] * len(batch.features)
        answers = self.answers(model, batch)
        return [
            Said(*parts, *answers.get(item.row, ())) for parts, item in zip(likelihoods, batch.features, strict=True)
        ]

    def likelihoods(self, model: nn.Module, batch: Batch) -> list[tuple[Any, Any, Any]]:
        """(log-probabilities, weights, hits) of each row's supervised tokens."""
        scored = self.scored(model, batch)
        logs, hits = scored.log_probabilities_and_hits()
        windows = np.cumsum([len(item.windows) for item in batch.features])[:-1]
        owners = np.searchsorted(windows, scored.owners.cpu().numpy(), side="right")
        cuts = np.searchsorted(owners, np.arange(1, len(batch.features)))
        parts = (np.split(value.float().cpu().numpy(), cuts) for value in (logs, scored.weights, hits))
        return list(zip(*parts, strict=True))

    def answers(self, model: nn.Module, batch: Batch) -> dict[int, tuple[str, int, bool]]:
        """(text, tokens, whether it ended) by row: of rows without an answer, and of those written for scores."""
        wanted = [item for item in batch.features if item.label is None or item.row < self.num_written]
        return dict(zip((item.row for item in wanted), self.write(model, batch, wanted), strict=True))

    def write(self, model: nn.Module, batch: Batch, features: Sequence[Features]) -> list[tuple[str, int, bool]]:
        """(text, tokens, whether it ended) of the answer to each row's prompt."""
        from ..decoding import Decoding, write

        if not features:
            return []
        tokenizer = batch.more.tokenizer
        prompts = [item.windows[0][: item.prompt] for item in features]
        template = tokenizer.chat_template
        if template is None:
            return write(model, tokenizer, prompts, Decoding.of(self), None)
        end, closing = templates.end_of_turn(tokenizer, template), templates.closing(tokenizer, template)
        made = write(model, tokenizer, prompts, Decoding.of(self), end)
        return [(templates.without(closing, text), size, ended) for text, size, ended in made]

    # --- scores ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def reference(self, row: Row) -> str | None:
        """The answer that a written one is compared with."""

    def score(self, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
        """loss (nats a supervised token), perplexity, token_accuracy, and scores of the written answers."""
        return {**likelihood_scores(outputs), **self.answer_scores(outputs, rows), "num_rows": len(rows)}

    def answer_scores(self, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
        from ..metrics import generation as metrics

        told = [
            (output.text, reference, output)
            for output, row in zip(outputs, rows, strict=True)
            for reference in [self.reference(row)]
            if output.text is not None and reference is not None
        ]
        if not told:
            return {}
        texts, references = [text for text, _, _ in told], [reference for _, reference, _ in told]
        chosen: tuple[str, ...] = metrics.choose(references) if self.scores == "auto" else self.scores
        chosen = (*chosen, *(name for name in self.asked_for() if name not in chosen))
        finished = float(np.mean([output.finished for _, _, output in told]))
        found = metrics.score(chosen, texts, references, schema=self.read_schema(), pattern=self.pattern)
        return {**self.json_scores(chosen, texts, references), **found, "finished": finished, "answers": len(told)}

    def json_scores(self, chosen: Sequence[str], texts: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
        """Where only some references are JSON objects: how the answers to those rows fare."""
        from ..metrics import form, generation

        part = [pair for pair in zip(texts, references, strict=True) if form.is_object(pair[1])]
        if self.scores != "auto" or "json_valid" in chosen or not part:
            return {}
        said, wanted = [text for text, _ in part], [reference for _, reference in part]
        return {**generation.score(("json_valid", "json_fields"), said, wanted), "json_answers": len(part)}

    def asked_for(self) -> list[str]:
        """Scores that another field asks for."""
        return [*(["json_schema"] if self.json_schema else []), *(["regex"] if self.pattern else [])]

    def read_schema(self) -> dict[str, Any] | None:
        if self.json_schema is None:
            return None
        where, fix = f"task.json_schema: {self.json_schema}", "give a JSON schema file"
        try:
            found = json.loads(Path(self.json_schema).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"cannot be read: {error}", where=where, fix=fix) from None
        if not isinstance(found, dict):
            raise ConfigError("is no JSON schema, which is an object", where=where, fix=fix)
        return found

    def decode(self, output: Any, row: Row) -> Written:
        known = output.loss if len(output.weights) else None
        return Written(output.text, output.finished, output.num_tokens, known, float(output.weights.sum()))

    def verdict(self, row: Row, said: Written) -> dict[str, Any]:
        return {"label": self.reference(row), "predicted": said.text, "finished": said.finished,
                "loss": said.loss, "scored_tokens": said.scored_tokens}  # fmt: skip

    def distance(self, first: Any, second: Any) -> float:
        """Of the log-probabilities: what is written may differ where two tokens are as likely."""
        return super().distance(first.log_probabilities, second.log_probabilities)


def likelihood_scores(outputs: Sequence[Any]) -> dict[str, Any]:
    """Over all supervised tokens of all rows, each by its weight."""
    weights = np.concatenate([output.weights for output in outputs]).astype(np.float64)
    if not len(weights):
        return {}
    logs = np.concatenate([output.log_probabilities for output in outputs]).astype(np.float64)
    hits = np.concatenate([output.hits for output in outputs])
    loss = float(-(logs * weights).sum() / weights.sum())
    accuracy = float((hits * weights).sum() / weights.sum())
    return {"loss": loss, "perplexity": float(np.exp(min(loss, 700.0))), "token_accuracy": accuracy}
