"""PooledClassifier: an encoder, a pooling of its token states, and a linear head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

import torch
from torch import nn

HEAD_FILE = "head.safetensors"


class PooledClassifier(nn.Module):
    """Mean or first-token pooling, dropout, a linear layer.

    Args:
        encoder: a transformers model without head (or the PEFT model around it).
        num_labels: C.
        pooling: "mean" (over real tokens; Reimers and Gurevych 2019, section 3) or "cls" (the first token).
        dropout: before the head.
    """

    encoder: Any
    head: Any
    dropout: Any

    def __init__(self, encoder: nn.Module, num_labels: int, pooling: str, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        config: Any = encoder.config
        self.head = nn.Linear(config.hidden_size, num_labels)
        nn.init.normal_(self.head.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)

    def features(self, **inputs: Tensor) -> Tensor:
        """(B, d) fp32 features of (B, T) tokens: what the head reads."""
        hidden = last_tokens(self.encoder(**inputs).last_hidden_state, inputs)
        if self.pooling == "cls":
            return hidden[:, 0].float()
        mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return ((hidden * mask).sum(1) / mask.sum(1)).float()

    def forward(self, **inputs: Tensor) -> Tensor:
        """(B, C) logits of (B, T) tokens."""
        return self.head(self.dropout(self.features(**inputs)))


def encoder_of(model: Any) -> Any:
    """The transformers (or PEFT) model inside."""
    return model.encoder if isinstance(model, PooledClassifier) else model


def drop_pooler(encoder: Any) -> nn.Module:
    """Removes a pooler that nothing reads: it would get no gradient, which DDP takes for a fault."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


def save_full(model: Any, folder: Path) -> None:
    """HF format: with its own head as one model; pooled as encoder plus head.safetensors."""
    if isinstance(model, PooledClassifier):
        model.encoder.save_pretrained(folder)
        save_head(model, folder)
    else:
        model.save_pretrained(folder)


def writes(model: Any) -> bool:
    """Whether a model is a language model: its head is pretrained like the rest of it, and often the embeddings."""
    return not isinstance(model, PooledClassifier) and base_of(model).get_output_embeddings() is not None


def head_names(model: Any) -> set[str]:
    """Names of the parameters that are no part of the pretrained body, or that its checkpoint lacked.

    A language model has none.
    """
    if isinstance(model, PooledClassifier):
        return {f"head.{name}" for name, _ in model.head.named_parameters()}
    if writes(model):
        return set()
    body = f"{model.base_model_prefix}."
    names = {name for name, _ in model.named_parameters() if not name.startswith(body)}
    return names | (getattr(model, "new_parameters", set()) & {name for name, _ in model.named_parameters()})


def own_head(model: Any) -> dict[str, Any]:
    """The head's parameters by the names that plain transformers gives them."""
    if isinstance(model, PooledClassifier):
        return dict(model.head.named_parameters())
    base = base_of(model)
    names, copy = head_names(base), f".modules_to_save.{getattr(model, 'active_adapter', 'default')}"
    return {
        name.replace(copy, ""): parameter  # PEFT trains a copy of a part that it keeps, and never runs the original
        for name, parameter in base.named_parameters()
        if name in names and ".original_module." not in name
    }


def base_of(model: Any) -> Any:
    """The transformers model in a PEFT model, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def save_head(model: Any, folder: Path) -> None:
    """head.safetensors: what `load_state_dict(..., strict=False)` of the plain model takes."""
    from safetensors.torch import save_file

    weights = {name: value.detach().contiguous().cpu() for name, value in own_head(model).items()}
    save_file(weights, folder / HEAD_FILE)


def load_head(model: Any, folder: Path) -> None:
    """Raises KeyError or RuntimeError where the file's names or shapes are not the head's."""
    from safetensors.torch import load_file

    saved, wanted = load_file(folder / HEAD_FILE), own_head(model)
    if set(wanted) != set(saved):
        raise KeyError(f"it holds {', '.join(sorted(saved))}, not {', '.join(sorted(wanted))}")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(saved[name])


def last_tokens(values: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """(W, T, ...) of (W, V + T, ...): without the V virtual tokens that prompt tuning puts in front (FINDINGS 5)."""
    return values[:, values.shape[1] - inputs["input_ids"].shape[1] :]


def with_virtual_tokens(model: Any, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """What `model.get_base_model().generate` takes for prompts that are padded on the left, after prompt tuning.

    PEFT puts its virtual tokens before the padding and takes the position ids away, so that a padded prompt is
    answered otherwise than alone. Here they stand between padding and prompt. Only new tokens come back.

    Args:
        ids, mask: (B, T).

    Returns:
        inputs_embeds (B, V + T, d) and attention_mask (B, V + T).
    """
    words = model.word_embeddings(ids)
    virtual = model.get_prompt(batch_size=1)[0].to(words.dtype)
    padding = (mask == 0).sum(1).tolist()
    rows = [torch.cat([row[:count], virtual, row[count:]]) for row, count in zip(words, padding, strict=True)]
    wider = torch.cat([mask, mask.new_ones(len(mask), len(virtual))], 1)
    return {"inputs_embeds": torch.stack(rows), "attention_mask": wider}


def sizes(config: Any) -> dict[str, int]:
    """Layers, heads and width of keys and values under PEFT's names; an encoder-decoder's are its decoder's.

    By itself PEFT does not find DistilBERT's, takes T5's depth from the encoder, and takes its heads to be as wide
    together as its hidden states. Fewer heads of keys than of queries (GQA) it finds.
    """
    read = lambda *names: next(int(getattr(config, name)) for name in names if getattr(config, name, None))  # noqa: E731
    decoder = bool(getattr(config, "is_encoder_decoder", False))
    heads = read(*(["decoder_attention_heads"] if decoder else []), "num_attention_heads", "n_heads", "n_head")
    width = read("hidden_size", "dim", "d_model", "n_embd")
    return {
        "num_layers": read(
            *(["decoder_layers", "num_decoder_layers"] if decoder else []), "num_hidden_layers", "n_layers", "n_layer"
        ),
        "num_attention_heads": heads,
        "token_dim": heads * int(getattr(config, "d_kv", None) or 0) or width,
    }


def mean_by_owner(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """(W, C) values of windows to (B, C) means over the windows of each row."""
    sums = torch.zeros(count, values.shape[1], dtype=values.dtype, device=values.device).index_add_(0, owners, values)
    return sums / torch.bincount(owners, minlength=count).unsqueeze(1)
