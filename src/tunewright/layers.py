"""The layer map: embeddings, ordered blocks and head of any architecture, by the names of their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


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
        if count and name.startswith(f"{prefix}."):
            blocks[int(name[len(prefix) + 1 :].split(".", 1)[0])].append(name)
        else:
            (embeddings if place < first else head).append(name)
    return Layers(embeddings, blocks, head)


def block_list(model: nn.Module) -> tuple[str, int]:
    """(module path, length) of the longest ModuleList."""
    from torch import nn

    found = [(name, len(module)) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    return max(found, key=lambda item: item[1], default=("", 0))
