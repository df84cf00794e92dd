"""Preference tuning: of two answers to a prompt the chosen one becomes likelier (DPO and its kin)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from ..data import preference_rows, templates
from ..data.columns import Roles
from ..data.table import Table
from ..errors import DataError
from .base import Batch, Encoded, Features, Loss, Row
from .causal_lm import CausalLM, asked, dialogue_of, names_of
from .encoded import Flat
from .generative import Generative, Written

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..models import Source
    from ..packing import Packed
    from ..preferences import Pairs
    from ..strategies.base import Defaults

UNKNOWN = np.full(2, np.nan, dtype=np.float32)  # the reference's log-probabilities before they are computed
REFERENCE_FREE = ("simpo", "orpo")
BETAS = {"simpo": 2.0}  # Meng et al. 2024, section 4; the others: DPO paper, section 6


@dataclass(frozen=True)
class Compared:
    """What a model makes of one pair.

    Args:
        log_probabilities: (2,) of the chosen and the rejected answer, summed over their tokens.
        lengths: (2,) tokens.
        reference: (2,) of the reference model; NaN where nobody asked it.
        text, num_tokens, finished: an answer of its own, as in `Said`.
    """

    log_probabilities: np.ndarray[Any, Any]
    lengths: np.ndarray[Any, Any]
    reference: np.ndarray[Any, Any]
    text: str | None = None
    num_tokens: int = 0
    finished: bool = False


class Preference(Generative):
    """Learns from pairs of a chosen and a rejected answer, without a reward model."""

    peft_type: ClassVar[str] = "CAUSAL_LM"
    embedded: ClassVar[str | None] = "pocket-lm"
    without_dropout: ClassVar[bool] = True  # else its noise is what policy and reference differ by

    kind: Literal["preference"] = "preference"
    loss: Literal["dpo", "ipo", "robust", "hinge", "simpo", "orpo"] = Field("dpo", description="see docs/generation.md")
    beta: float | None = Field(None, gt=0, description="0.1, or 2 for simpo; lower strays farther from the reference")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="the share of pairs taken to be the wrong way round (dpo: conservative; robust)"
    )
    gamma: float = Field(1.0, ge=0, description="simpo's margin (Meng et al. 2024, section 4: 0.3 to 1.6)")
    template: str = Field(
        "auto", min_length=1, description="as in causal_lm; auto: texts without a template stand as they are"
    )
    score_answers: int = Field(0, ge=0, description="rows of a split that are answered in writing for scores; 0: none")

    def unread(self) -> dict[str, str]:
        found = super().unread()
        if self.label_smoothing and self.loss not in ("dpo", "robust"):
            found["label_smoothing"] = f"{self.loss} takes all pairs to be the right way round"
        if self.loss != "simpo":
            found |= dict.fromkeys(self.changed(("gamma",)), f"{self.loss} has no such margin")
        return found

    @property
    def strength(self) -> float:
        return BETAS.get(self.loss, 0.1) if self.beta is None else self.beta

    @property
    def needs_reference(self) -> bool:  # type: ignore[override]
        return self.loss not in REFERENCE_FREE

    def temper(self, defaults: Defaults) -> Defaults:
        """A tenth of the rate (DPO paper, appendix B: 1e-6 where SFT takes 1e-5), and at most three epochs."""
        return defaults._replace(learning_rate=defaults.learning_rate / 10, epochs=min(defaults.epochs, 3.0))

    # --- data -----------------------------------------------------------------------------------------------------

    @classmethod
    def infer(cls, table: Table) -> int:
        return 3 if preference_rows.find(table) else 0

    def roles(
        self, table: Table, text: Sequence[str] | None, label: Sequence[str] | None, delimiter: str | None
    ) -> Roles:
        if delimiter is not None:
            raise DataError("answers are not joined", where="data.label_delimiter", fix="leave it out")
        return preference_rows.roles(table, text, label)

    def match(self, table: Table, roles: Roles, labelled: bool = True) -> Roles:
        return preference_rows.match(table, roles, labelled)

    def read(self, table: Table, index: int, roles: Roles, names: Sequence[str] | None, labelled: bool) -> Row | str:
        return preference_rows.read(table, index, roles, labelled)

    def ask(self, number: int, given: Any) -> Row:
        from ..data import dialogues

        return dialogues.ask(number, given, "messages")

    def summary(self) -> str:
        return f"pairs of answers; {self.loss}, beta {self.strength:g}"

    def reference(self, row: Row) -> str | None:
        return None if row.label is None else str(row.label.chosen[-1].get("content") or "")

    def settle(self, source: Source, solves: bool) -> Self:
        CausalLM(kind="causal_lm").settle(source, solves)
        return self

    def dress(self, tokenizer: Any) -> list[str]:
        plain = self.template == "auto" and templates.own_template(tokenizer) is None
        tokenizer.chat_template, note = templates.choose("plain" if plain else self.template, tokenizer, "messages")
        return [note]

    # --- tensors --------------------------------------------------------------------------------------------------

    def encode(self, rows: Sequence[Row], tokenizer: Any, max_length: int) -> Encoded:
        encoder = templates.DialogueEncoder(tokenizer, tokenizer.chat_template, max_length)
        if rows and rows[0].label is None:
            return Encoded(asked(rows, encoder, max_length - 1))
        features, faults, counts = [], Counter[str](), Counter[str]()
        answers = [(row.label.chosen, row.label.rejected) for row in rows]
        pairs = encoder.pairs([dialogue_of(row) for row in rows], answers, names_of(rows))
        for place, made in enumerate(pairs):
            windows = [[*made.prompt, *made.chosen], [*made.prompt, *made.rejected]]
            features.append(Features(place, windows, None, UNKNOWN, made.truncated, prompt=len(made.prompt)))
            faults.update(made.faults)
            size = len(made.chosen) + len(made.rejected)
            counts.update({"supervised tokens": size, "tokens": len(made.prompt) + size,
                           "answers cut": int(made.truncated > 0)})  # fmt: skip
        return Encoded(features, faults, counts)

    def examples(self, encoded: Encoded) -> Encoded:
        """Pairs of which something is left; the others are counted."""
        kept = (item for item in encoded.features if all(len(window) > item.prompt for window in item.windows))
        return Encoded(Flat.of(kept), encoded.faults, encoded.counts)

    def with_reference(self, encoded: Encoded, values: Sequence[Any]) -> Encoded:
        """The same pairs with the reference's log-probabilities, (2,) each: the reference is data."""
        known = (replace(item, label=np.asarray(value)) for item, value in zip(encoded.features, values, strict=True))
        return Encoded(Flat.of(known), encoded.faults, encoded.counts)

    def pack(self, features: Sequence[Features]) -> Packed:
        return pack_pairs(features)

    def weight(self, batch: Batch) -> Tensor:
        import torch

        return torch.tensor(float(len(batch.features)), device=batch.inputs["input_ids"].device)

    def build(self, source: Source, **load: Any) -> nn.Module:
        return CausalLM(kind="causal_lm").build(source, **load)

    def pairs(self, model: nn.Module, batch: Batch) -> Pairs:
        """Log-probabilities of the batch's answers; the prompt of a pair is computed once."""
        import torch

        from ..preferences import Pairs

        scored = self.scored(model, batch)
        each = scored.log_probabilities()
        count = 2 * len(batch.features)
        sums = torch.zeros(count, device=each.device).index_add_(0, scored.owners, each)
        lengths = torch.bincount(scored.owners, minlength=count).float()
        known = torch.from_numpy(np.array([item.label for item in batch.features])).to(each.device)
        reference = (known[:, 0], known[:, 1]) if self.needs_reference else (None, None)
        return Pairs(sums[::2], sums[1::2], lengths[::2], lengths[1::2], *reference)

    def objective(self, model: nn.Module, batch: Batch) -> Loss:
        """The preference loss summed over pairs; rewards, margins and accuracy besides."""
        pairs = self.pairs(model, batch)
        return Loss(self.value(pairs), {name: value.sum() for name, value in self.told(pairs).items()})

    def value(self, pairs: Pairs) -> Tensor:
        from ..preferences import loss

        return loss(self.loss, pairs, self.strength, self.label_smoothing, self.gamma)

    def told(self, pairs: Pairs) -> dict[str, Tensor]:
        """(B,) what is worth knowing of each pair."""
        chosen, rejected = pairs.chosen_rewards(self.strength), pairs.rejected_rewards(self.strength)
        right = (chosen > rejected).float() + (chosen == rejected).float() / 2  # a tie is a coin's toss
        return {"accuracy": right, "margin": chosen - rejected, "chosen_reward": chosen,
                "rejected_reward": rejected}  # fmt: skip

    # --- answers --------------------------------------------------------------------------------------------------

    def predict(self, model: nn.Module, batch: Batch) -> list[Any]:
        """`Compared` of each labelled row; `Said` of each prompt."""
        if batch.features[0].label is None:
            return super().predict(model, batch)
        pairs = self.pairs(model, batch)
        sums = np.stack([pairs.chosen.cpu().numpy(), pairs.rejected.cpu().numpy()], axis=1)
        lengths = np.stack([pairs.chosen_length.cpu().numpy(), pairs.rejected_length.cpu().numpy()], axis=1)
        answers = self.answers(model, batch)
        return [
            Compared(sums[place], lengths[place], np.asarray(item.label), *answers.get(item.row, ()))
            for place, item in enumerate(batch.features)
        ]

    def score(self, outputs: Sequence[Any], rows: Sequence[Row]) -> dict[str, Any]:
        """Means over pairs. Without a reference at hand, as for another file, log-probabilities alone are compared."""
        pairs = self.compared(outputs)
        likelier = float((pairs.chosen > pairs.rejected).float().mean())
        plain = {"num_rows": len(rows), "log_probability_accuracy": likelier}
        if not self.knows_reference(outputs):
            return {**plain, **self.answer_scores(outputs, rows)}
        means = {name: float(value.mean()) for name, value in self.told(pairs).items()}
        chosen = {"chosen_log_probability": float((pairs.chosen / pairs.chosen_length.clamp(min=1)).mean())}
        loss = float(self.value(pairs)) / len(outputs)
        return {"loss": loss, **means, **chosen, **plain, **self.answer_scores(outputs, rows)}

    def compared(self, outputs: Sequence[Any]) -> Pairs:
        """What `predict` says of labelled rows, as pairs."""
        import torch

        from ..preferences import Pairs

        sums, lengths, reference = (
            torch.tensor(np.stack([getattr(item, name) for item in outputs])).unbind(1)
            for name in ("log_probabilities", "lengths", "reference")
        )
        return Pairs(*sums, *lengths, *(reference if self.needs_reference else (None, None)))

    def knows_reference(self, outputs: Sequence[Any]) -> bool:
        return not self.needs_reference or not any(np.isnan(item.reference).any() for item in outputs)

    def worries(self, scores: dict[str, Any]) -> list[str]:
        """Of the chosen answers' own likelihood falling, by more than a nat an answer (Pal et al. 2024, section 3)."""
        if not self.needs_reference or scores.get("chosen_reward", 0.0) > -self.strength:
            return []
        return [
            "the chosen answers became less likely than before tuning, only less so than the rejected ones: lower the "
            "learning rate, raise beta, or tune on the chosen answers first"
        ]

    def decode(self, output: Any, row: Row) -> Written:
        known = isinstance(output, Compared) and self.knows_reference([output])
        loss = float(self.value(self.compared([output]))) if known else None
        return Written(output.text, output.finished, output.num_tokens, loss)

    def verdict(self, row: Row, said: Written) -> dict[str, Any]:
        return {
            "label": self.reference(row),
            "rejected": str(row.label.rejected[-1].get("content") or ""),
            "predicted": said.text,
            **({} if said.loss is None else {"loss": said.loss}),
        }


def pack_pairs(features: Sequence[Features]) -> Packed:
    """A pack with three segments a pair: the prompt, and both answers, which see the prompt and not each other.

    The last token of the prompt predicts the first of both answers. Owners count answers: 2 i is pair i's chosen one.
    """
    from ..packing import Segment, packed

    ids: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    segments: list[Segment] = []
    for place, item in enumerate(features):
        start = len(ids)
        prompt = list(item.windows[0][: item.prompt])
        ids += prompt
        segments.append(Segment(start, len(ids)))
        positions += range(len(prompt))
        for which, window in enumerate(item.windows):
            answer = list(window[item.prompt :])
            first = len(ids)
            if not answer:
                continue
            ids += answer
            segments.append(Segment(first, len(ids), start, start + len(prompt)))
            positions += range(len(prompt), len(prompt) + len(answer))
            unasked = 0 if prompt else 1  # where there is no prompt, nothing predicts the first token
            sources += [start + len(prompt) - 1, *range(first, len(ids) - 1)][unasked:]
            targets += answer[unasked:]
            owners += [2 * place + which] * (len(answer) - unasked)
    return packed(ids, positions, segments, sources, targets, np.ones(len(targets)), owners)
