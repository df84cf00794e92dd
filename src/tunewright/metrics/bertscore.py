"""BERTScore: the words of two texts matched by the likeness of their embeddings (Zhang et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .overlap import Overlap, mean

if TYPE_CHECKING:
    import torch

Ids = list[int]
BATCH_TOKENS = 4096  # padded, of each side: a long text is not joined by many short ones


@dataclass(frozen=True)
class Embedder:
    """An encoder up to a layer.

    Args:
        tokenizer: of the model.
        model: in fp32, not training.
        layer: whose output is taken; 0 is the embeddings.
        max_length: tokens that a text is cut to.
    """

    tokenizer: Any
    model: Any
    layer: int
    max_length: int

    def encode(self, text: str) -> Ids:
        """Token ids with the special ones; blanks at the ends are nothing, as in bert-score."""
        found: Ids = self.tokenizer(text.strip(), truncation=True, max_length=self.max_length)["input_ids"]
        return found

    def embed(self, texts: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Unit embeddings (B, T, D), which are tokens (B, T), and which of those are not [CLS] or [SEP] (B, T)."""
        import torch

        device, longest = next(self.model.parameters()).device, max(map(len, texts))
        padded = [[*ids, *[self.tokenizer.pad_token_id or 0] * (longest - len(ids))] for ids in texts]
        ids = torch.tensor(padded, device=device)
        mask = torch.tensor([[place < len(text) for place in range(longest)] for text in texts], device=device)
        states = self.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        counted = mask & (ids != self.tokenizer.cls_token_id) & (ids != self.tokenizer.sep_token_id)
        return torch.nn.functional.normalize(states[self.layer], dim=-1), mask, counted


def load(model: str = "minilm", num_layers: int | None = None) -> Embedder:
    """An encoder for BERTScore, on the GPU where there is one.

    Args:
        model: an embedded alias, a local folder or a hub id of a BERT-like encoder.
        num_layers: the layer whose output is taken, counted from 1; None: the last.

    Raises:
        ModelError: there is no such model.
        ConfigError: it has no such layer.
    """
    import torch

    from ..models import load_model, load_tokenizer, locate

    source = locate(model)
    last = source.config.num_hidden_layers
    layer = last if num_layers is None else num_layers
    if not 0 <= layer <= last:
        raise ConfigError(f"{model} has no layer {layer}", where="num_layers", fix=f"give one from 0 to {last}")
    tokenizer = load_tokenizer(source, by_words=True)  # bert-score too gives byte-level ones a first blank
    encoder = load_model(source, "AutoModel").eval().to("cuda" if torch.cuda.is_available() else "cpu")
    longest = min(tokenizer.model_max_length, source.positions or tokenizer.model_max_length)
    return Embedder(tokenizer, encoder, layer, longest)


def bertscore(
    predictions: Sequence[str],
    references: Sequence[str],
    model: str = "minilm",
    num_layers: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> Overlap:
    """Means of BERTScore's precision, recall and F1 over the pairs: no idf weights, not rescaled.

    Args:
        model, num_layers: as in `load`; scores of different models or layers can't be compared.
        batch_tokens: padded tokens a forward pass, at least one text.

    Raises:
        ValueError: different numbers of predictions and references.
    """
    found = pair_scores(load(model, num_layers), predictions, references, batch_tokens)
    return Overlap(*(mean(values) for values in zip(*found, strict=True))) if found else Overlap(0.0, 0.0, 0.0)


def pair_scores(
    embedder: Embedder, predictions: Sequence[str], references: Sequence[str], batch_tokens: int = BATCH_TOKENS
) -> list[Overlap]:
    """One for each pair, in their order; 0 where one of the two is empty.

    Pairs are sorted by length and then by their tokens, so that batches do not depend on the order of the rows (D9).

    Raises:
        ValueError: different numbers of predictions and references.
    """
    import torch

    encoded = [tuple(map(embedder.encode, pair)) for pair in zip(predictions, references, strict=True)]
    found: dict[int, Overlap] = {}
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # a score does not depend on how the run was trained
    try:
        for rows in batches(encoded, batch_tokens):
            found |= zip(rows, match(embedder, [encoded[row] for row in rows]), strict=True)
    finally:
        torch.set_float32_matmul_precision(precision)
    return [found[row] for row in range(len(encoded))]


def batches(encoded: Sequence[tuple[Ids, ...]], batch_tokens: int) -> Iterator[list[int]]:
    """Places of the pairs, by length and then by tokens, together as long as the longer side fits when padded."""
    lengths = [max(map(len, pair)) for pair in encoded]
    rows: list[int] = []
    for row in sorted(range(len(encoded)), key=lambda row: (lengths[row], encoded[row])):
        if rows and (len(rows) + 1) * lengths[row] > batch_tokens:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def match(embedder: Embedder, pairs: Sequence[tuple[Ids, ...]]) -> list[Overlap]:
    """Each token with the likest of the other text (section 3); [CLS] and [SEP] can be that, but do not count."""
    import torch

    with torch.inference_mode():
        said, said_mask, said_counted = embedder.embed([pair[0] for pair in pairs])
        there, there_mask, there_counted = embedder.embed([pair[1] for pair in pairs])
        likeness = said @ there.transpose(1, 2)  # (B, P, R) cosines
        precision = counted_mean(likeness.masked_fill(~there_mask[:, None], -1).amax(2), said_counted)
        recall = counted_mean(likeness.masked_fill(~said_mask[:, :, None], -1).amax(1), there_counted)
    empty = ~(said_counted.any(1) & there_counted.any(1))
    shares = torch.stack([precision, recall], 1).masked_fill(empty[:, None], 0).tolist()
    return [Overlap(p, r, 2 * p * r / (p + r) if p + r else 0.0) for p, r in shares]


def counted_mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """(B, T) values to (B,) means over those that count."""
    return (values * counted).sum(1) / counted.sum(1).clamp(min=1)
