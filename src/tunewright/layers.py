"""The layer map: embeddings, ordered blocks and head of any architecture, by the names of their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


# DeBERTa registers what its attention reads in every block behind the blocks
BELOW = ("encoder.rel_embeddings.", "encoder.LayerNorm.")


@dataclass(frozen=True)
class Layers:
    """Names of parameters, bottom to top.

    Args:
        embeddings: before the first block.
        blocks: one list per transformer block, lowest first.
        head: after the last block: final norms, pooler, classifier.
    """

    embeddings: list[str]
    blocks: list[list[str]]
    head: list[str]


def layer_map(model: nn.Module) -> Layers:
    """Finds the blocks as the longest list of modules; what is registered before it is embeddings, after it head.

    Holds for BERT, RoBERTa, DistilBERT, ModernBERT, DeBERTa, Llama and GPT-2, also inside a wrapper or PEFT model.
    """
    prefix, count = block_list(model)
    names = [name for name, _ in model.named_parameters()]
    blocks: list[list[str]] = [[] for _ in range(count)]
    first = next((place for place, name in enumerate(names) if name.startswith(f"{prefix}.")), len(names))
    embeddings: list[str] = []
    head: list[str] = []
    for place, name in enumerate(names):
        if any(part in name for part in BELOW):
            embeddings.append(name)
        elif count and name.startswith(f"{prefix}."):
            blocks[int(name[len(prefix) + 1 :].split(".", 1)[0])].append(name)
        else:
            (embeddings if place < first else head).append(name)
    return Layers(embeddings, blocks, head)


def block_list(model: nn.Module) -> tuple[str, int]:
    """(module path, length) of the longest ModuleList."""
    from torch import nn

    found = [(name, len(module)) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    return max(found, key=lambda item: item[1], default=("", 0))


def frozen_blocks(model: nn.Module) -> int:
    """How many blocks lie below everything that trains; 0 where the embeddings train."""
    layers, trains = layer_map(model), {name for name, value in model.named_parameters() if value.requires_grad}
    if trains & set(layers.embeddings):
        return 0
    return next((place for place, names in enumerate(layers.blocks) if trains & set(names)), len(layers.blocks))


def bottom_modules(model: nn.Module, count: int) -> list[nn.Module]:
    """The modules that run before the block list, and its lowest `count` blocks; none where `count` is 0."""
    path, _ = block_list(model)
    found: list[nn.Module] = []
    here: nn.Module = model
    for part in path.split(".") if count else ():
        children = dict(here.named_children())
        before = list(children)[: list(children).index(part)]
        found += [children[name] for name in before]
        here = children[part]
    return [*found, *list(here.children())[:count]] if count else []


def has_biases(config: Any) -> bool:
    """Whether an architecture's blocks have biases; found on a model without weights."""
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        model = AutoModel.from_config(config)
    return any(name.endswith("bias") for block in layer_map(model).blocks for name in block)


def takes_past(config: Any) -> bool:
    """Whether an architecture's attention takes keys and values from outside."""
    import inspect

    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    known: Any = MODEL_MAPPING.get(type(config), None)
    known = known[0] if isinstance(known, tuple) else known
    return known is not None and "past_key_values" in inspect.signature(known.forward).parameters
