"""Extractive question answering: the stretch of a context that answers a question, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from .. import losses
from ..data import questions
from ..data.columns import Roles
from ..data.pairs import ContextEncoder
from ..data.spans import NULL, best_spans, reach, target_span
from ..data.table import Table
from ..data.tokens import pad
from ..errors import DataError
from ..metrics import classification, squad
from .base import Batch, Encoded, Features, Loss, Metric, Row, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..models import Source

CUT = "answers that fit into no window"
ALTERED = "answers that tokens can only give back altered"


@dataclass(frozen=True)
class Candidate:
    """A stretch of the context. confidence: among all candidates and, where allowed, no answer."""

    text: str
    start: int
    end: int
    confidence: float


@dataclass(frozen=True)
class Answer:
    """What is answered to one question.

    Args:
        text: None where the context holds no answer.
        start, end: characters of the context: the first, and one past the last.
        confidence: of this answer, or of there being none.
        best: the n best candidates, best first.
    """

    text: str | None
    start: int | None
    end: int | None
    confidence: float
    best: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Any]:
        return {"answer": self.text, "start": self.start, "end": self.end, "confidence": self.confidence,
                "best": [asdict(item) for item in self.best]}  # fmt: skip

    def line(self, text: tuple[str, ...]) -> str:
        return f"{self.text if self.text is not None else '-'}\t{self.confidence:.3f}\t{text[0]}"


class QuestionAnswering(Task):
    """The first and the last token of the answer, each a softmax over the window (Devlin et al. 2019, section 4.2)."""

    peft_type: ClassVar[str] = "QUESTION_ANS"

    kind: Literal["question_answering"] = "question_answering"
    no_answer: bool | None = Field(None, description="whether a context may hold no answer; learned from train")
    null_threshold: float | None = Field(
        None, description="no answer where its score beats the best answer's by more; tuned on validation"
    )
    window_overlap: int = Field(
        128, ge=0, description="context tokens that neighbouring windows share (the BERT authors' doc_stride)"
    )
    max_answer_length: int = Field(30, ge=1, description="tokens (the BERT authors' code)")
    n_best: int = Field(20, ge=1, description="candidates kept for each question (the BERT authors' code)")

    # --- data -----------------------------------------------------------------------------------------------------

    @classmethod
    def infer(cls, table: Table) -> int:
        found = questions.find(table)
        return 2 if found and found.label else 0

    def roles(
        self, table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None
    ) -> Roles:
        return questions.assign(table, text, label, delimiter)

    def match(self, table: Table, roles: Roles, labelled: bool = True) -> Roles:
        return questions.match(table, roles, labelled)

    def read(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
        return questions.read(table, index, roles, labelled)

    def ask(self, number: int, given: Any) -> Row:
        if isinstance(given, dict):
            given = (given.get("question", ""), given.get("context", ""))
        if isinstance(given, str) or len(given) != 2:
            fix = "give (question, context); on the command line --text QUESTION --context TEXT, or a data file"
            raise DataError("a question needs the context that it is asked about", where="predict", fix=fix)
        return Row(number, (str(given[0]).strip(), str(given[1])))

    def unread(self) -> dict[str, str]:
        if self.null_threshold is not None and not self.no_answer:
            return {"null_threshold": "every question of the training data has an answer"}
        return {}

    def counted(self, row: Row) -> list[str]:
        return ["has answer" if row.label else "no answer"]

    def learn(self, rows: Sequence[Row], source: str, roles: Roles, names: Sequence[str] | None) -> Self:
        if not any(row.label for row in rows):
            what = f"0 of {len(rows)} questions have an answer: nothing is supervised"
            raise DataError(what, where=source, fix="fill the column of answers (data.label)")
        unanswerable = any(not row.label for row in rows)
        return self.model_copy(update={"no_answer": unanswerable if self.no_answer is None else self.no_answer})

    def check(self, rows: Sequence[Row], source: str, roles: Roles) -> None:
        for row in rows:
            if not row.label and not self.no_answer:
                fix = "drop it, fill it, or set task.no_answer: true"
                what = "has no answer, which training did not know of"
                raise DataError(what, where=f"{source}, row {row.number}", fix=fix)

    def summary(self) -> str:
        return f"answers are stretches of the context{', or none' if self.no_answer else ''}"

    def max_length(self, source: Source) -> int:
        """384 (the BERT authors' code), whatever length a sentence encoder was made for."""
        return min(384, source.positions or 384)

    # --- tensors --------------------------------------------------------------------------------------------------

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
        encoder = ContextEncoder(tokenizer, max_length, self.window_overlap)
        features, faults = [], Counter[str]()
        for place, (row, text) in enumerate(zip(rows, encoder([row.text for row in rows]), strict=True)):
            label = None if row.label is None else self.targets(row, text.places, faults)
            made = Features(place, text.windows, text.types, label, text.truncated, text.places)
            features.append(made)
        return Encoded(features, faults)

    def targets(self, row: Row, places: Sequence[Any], faults: Counter[str]) -> Any:
        """(W, 2) first and last token of the first gold answer that each window holds; (0, 0) where it holds none."""
        found = [NULL] * len(places)
        first, last = reach(places)  # an answer may begin or end with signs that the tokenizer drops
        told = []
        for window, offsets in enumerate(places):
            for start, text in row.label:
                span = target_span(offsets, max(start, first), min(start + len(text), last))
                if span != NULL:
                    found[window] = span
                    told.append(row.text[1][offsets[span[0], 0] : offsets[span[1], 1]].strip() == text)
                    break
        if row.label and not told:
            faults[CUT] += 1
        elif told and not any(told):
            faults[ALTERED] += 1
        return np.array(found, dtype=np.int64)

    def collate(self, features: Sequence[Features], tokenizer: Any) -> Batch:
        import torch

        inputs, owners = pad(features, tokenizer)
        known = features[0].label is not None
        labels = torch.from_numpy(np.concatenate([item.label for item in features])) if known else None
        return Batch(features, inputs, labels, owners)

    def weight(self, batch: Batch) -> Tensor:
        import torch

        assert batch.labels is not None
        return torch.tensor(float(len(batch.labels)), device=batch.labels.device)

    def build(self, source: Source, **load: Any) -> nn.Module:
        from ..models import load_model

        return load_model(source, "AutoModelForQuestionAnswering", num_labels=2, **load)

    def logits(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """(W, T) of the first and (W, T) of the last token; -inf where there is padding."""
        from ..heads import last_tokens

        output, padding = model(**batch.inputs), batch.inputs["attention_mask"] == 0
        first, last = (last_tokens(value, batch.inputs).float() for value in (output.start_logits, output.end_logits))
        return first.masked_fill(padding, -float("inf")), last.masked_fill(padding, -float("inf"))

    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        """The mean of both cross-entropies, summed over windows."""
        assert batch.labels is not None
        first, last = self.logits(model, batch)
        return Loss(
            (losses.cross_entropy(first, batch.labels[:, 0])[0] + losses.cross_entropy(last, batch.labels[:, 1])[0]) / 2
        )

    # --- answers --------------------------------------------------------------------------------------------------

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """(1 + n, 3) a row: first character, one past the last, and score of no answer (-1, -1) and of the n best."""
        first, last = (value.cpu().numpy() for value in self.logits(model, batch))
        found, window = [], 0
        for item in batch.features:
            part = slice(window, window + len(item.windows))
            found.append(best_spans(first[part], last[part], item.places or [], self.max_answer_length, self.n_best))
            window += len(item.windows)
        return found

    def says_nothing(self, output: Any) -> bool:
        if len(output) < 2:
            return True
        return bool(self.no_answer and output[0, 2] - output[1, 2] > (self.null_threshold or 0.0))

    def tune(self, outputs: Sequence[Any], rows: Sequence[Row]) -> Self:
        if not self.no_answer or self.null_threshold is not None:
            return self
        texts = [best_text(output, row) for output, row in zip(outputs, rows, strict=True)]
        odds = [float(output[0, 2] - output[1, 2]) if len(output) > 1 else np.inf for output in outputs]
        found = squad.best_null_threshold(texts, odds, [golds(row) for row in rows])
        return self.model_copy(update={"null_threshold": found})

    def score(self, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
        said = [
            "" if self.says_nothing(output) else best_text(output, row)
            for output, row in zip(outputs, rows, strict=True)
        ]
        return squad.answer_scores(said, [golds(row) for row in rows])

    def decode(self, output: Any, row: Row) -> Answer:
        scores = output[:, 2].astype(np.float64)
        shares = classification.softmax(scores if self.no_answer else scores[1:]) if len(output) > 1 else np.ones(1)
        listed = shares[1:] if self.no_answer else shares
        best = tuple(
            Candidate(row.text[1][int(start) : int(end)], int(start), int(end), float(share))
            for (start, end, _), share in zip(output[1:], listed, strict=False)
        )
        if self.says_nothing(output):
            return Answer(None, None, None, float(shares[0]), best)
        top = best[0]
        return Answer(top.text, top.start, top.end, top.confidence, best)

    def verdict(self, row: Row, said: Answer) -> dict[str, Any]:
        gold = [text for _, text in row.label]
        return {"label": gold, "predicted": said.text, "start": said.start, "confidence": said.confidence}

    def distance(self, first: Any, second: Any) -> float:
        """Of the scores: equal ones may change places."""
        if len(first) != len(second):
            return float("inf")
        return super().distance(first[:, 2], second[:, 2])

    @property
    def metric(self) -> Metric:
        return Metric("f1")


def golds(row: Row) -> list[str]:
    return [text for _, text in row.label]


def best_text(output: Any, row: Row) -> str:
    """The best answer's text, whether or not there being none is likelier."""
    return row.text[1][int(output[1, 0]) : int(output[1, 1])] if len(output) > 1 else ""
