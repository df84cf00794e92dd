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

    Of an encoder-decoder the blocks are the encoder's, then the decoder's; embeddings and last norms are those of both.
    A head that is tied to the embeddings is one parameter with them, and named with them. Holds for BERT, RoBERTa,
    DistilBERT, ModernBERT, DeBERTa, Llama, Qwen2, GPT-2, T5 and BART, also inside a wrapper or PEFT model.
    """
    found = stacks(model)
    blocks: list[list[list[str]]] = [[[] for _ in range(count)] for _, count in found]
    embeddings: list[str] = []
    head: list[str] = []
    above = False
    for name, _ in model.named_parameters():
        stack = next((place for place, (path, _) in enumerate(found) if name.startswith(f"{path}.")), None)
        if any(part in name for part in BELOW):
            embeddings.append(name)
        elif stack is not None:
            blocks[stack][int(name[len(found[stack][0]) + 1 :].split(".", 1)[0])].append(name)
            above = True
        else:
            late = len(found) == 2 and "embed" in name.rpartition(".")[0].rpartition(".")[2]
            (head if above and not late else embeddings).append(name)
    return Layers(embeddings, [names for stack in blocks for names in stack], head)


def stacks(model: nn.Module) -> list[tuple[str, int]]:
    """(module path, length) of each list of blocks, in the order they run: two for an encoder-decoder, else one."""
    from torch import nn

    lists = {name: len(module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    outer = {path: count for path, count in lists.items() if not any(path.startswith(f"{other}.") for other in lists)}
    longest = max(outer, key=lambda path: outer[path], default=None)
    if longest is None:
        return []
    halves = [half_of(longest, name) for name in ("encoder", "decoder")]
    paths = halves if halves[0] != halves[1] and set(halves) <= set(outer) else [longest]
    return [(path, outer[path]) for path in paths]


def half_of(path: str, half: str) -> str:
    """model.decoder.layers for model.encoder.layers, or the other way round."""
    parts = path.split(".")
    place = max((place for place, part in enumerate(parts) if part in ("encoder", "decoder")), default=len(parts))
    return ".".join([*parts[:place], half, *parts[place + 1 :]]) if place < len(parts) else path


def block_list(model: nn.Module) -> tuple[str, int]:
    """(module path, length) of the blocks that run first: all of them but for an encoder-decoder; see `stacks`."""
    return next(iter(stacks(model)), ("", 0))


def depth(config: Any) -> int:
    """Transformer blocks of an architecture; those of both halves of an encoder-decoder."""
    from .models import num_blocks

    if not getattr(config, "is_encoder_decoder", False):
        return num_blocks(config)
    halves = (("encoder_layers", "num_layers"), ("decoder_layers", "num_decoder_layers"))
    return sum(next((int(getattr(config, name)) for name in half if getattr(config, name, None)), 0) for half in halves)


def frozen_blocks(model: nn.Module) -> int:
    """How many blocks lie below everything that trains; 0 where the embeddings train."""
    layers, trains = layer_map(model), {name for name, value in model.named_parameters() if value.requires_grad}
    if trains & set(layers.embeddings):
        return 0
    return next((place for place, names in enumerate(layers.blocks) if trains & set(names)), len(layers.blocks))


def bottom_modules(model: nn.Module, count: int) -> list[nn.Module]:
    """The modules that run before the lowest `count` blocks, and these; none where `count` is 0."""
    found: list[nn.Module] = []
    for place, (path, length) in enumerate(stacks(model)):
        if count > 0:
            found += lowest_of(model, path, count)
        if place == 0 and count >= length and len(stacks(model)) == 2:  # the encoder, with the dropout behind its norm
            found.append(model.get_submodule(path.rpartition(".")[0]))
        count -= length
    return found


def lowest_of(model: nn.Module, path: str, count: int) -> list[nn.Module]:
    """What is registered before a list of blocks, on each level, and its lowest `count` blocks."""
    found: list[nn.Module] = []
    here: nn.Module = model
    for part in path.split("."):
        children = dict(here.named_children())
        before = list(children)[: list(children).index(part)]
        found += [children[name] for name in before]
        here = children[part]
    return [*found, *list(here.children())[:count]]


def has_biases(config: Any) -> bool:
    """Whether an architecture's blocks have biases."""
    return any(name.endswith("bias") for block in layer_map(shapes(config)).blocks for name in block)


def stands_on_end(config: Any) -> bool:
    """Whether an architecture keeps matrices as (in, out): GPT-2 does."""
    return any(type(module).__name__ == "Conv1D" for module in shapes(config).modules())


def shapes(config: Any) -> nn.Module:
    """The model without weights."""
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        model: nn.Module = AutoModel.from_config(config)
    return model


def takes_past(config: Any) -> bool:
    """Whether an architecture's attention takes keys and values from outside."""
    import inspect

    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    known: Any = MODEL_MAPPING.get(type(config), None)
    known = known[0] if isinstance(known, tuple) else known
    return known is not None and "past_key_values" in inspect.signature(known.forward).parameters
