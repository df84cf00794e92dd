"""Where adapters go: the projections whose output is about to be added to the residual."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError

if TYPE_CHECKING:
    from torch import nn


class Outputs(NamedTuple):
    """Output projections of a block's sub-layers, by their names inside the block."""

    attention: tuple[str, ...]
    feed_forward: tuple[str, ...]


FAMILIES = (
    Outputs(("attention.output.dense",), ("output.dense",)),  # BERT, RoBERTa, ELECTRA, DeBERTa
    Outputs(("attention.out_lin",), ("ffn.lin2",)),  # DistilBERT
    Outputs(("attn.Wo",), ("mlp.Wo",)),  # ModernBERT
    Outputs(("self_attn.o_proj",), ("mlp.down_proj",)),  # Llama, Mistral, Qwen, Gemma
    Outputs(("attn.c_proj",), ("mlp.c_proj",)),  # GPT-2
    Outputs(("SelfAttention.o", "EncDecAttention.o"), ("DenseReluDense.wo",)),  # T5
    Outputs(("self_attn.out_proj", "encoder_attn.out_proj"), ("fc2",)),  # BART, Pegasus, Marian, OPT
)

# encoder.block.0.layer.1.DenseReluDense.wo: the block is encoder.block.0; T5 numbers its sub-layers too
PLACE = re.compile(r"(?P<block>.*?\.\d+)\.(?:.*\.\d+\.)?(?P<inside>.+)")


def output_projections(model: nn.Module, variant: str) -> list[str]:
    """Full names of the modules to adapt: the attention's and the feed-forward's, or only the latter ("pfeiffer").

    Raises:
        ConfigError: the architecture's names are not known, or not every block has both sub-layers.
    """
    names = [name for name, _ in model.named_modules()]
    for family in FAMILIES:
        attention, feed_forward = (named(names, ends) for ends in family)
        if feed_forward and attention.values() and set(attention.values()) == set(feed_forward.values()):
            return [*(attention if variant == "houlsby" else ()), *feed_forward]
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    raise ConfigError(
        f"the output projections of a model of type {kind!r} are not known",
        where="strategy.targets",
        fix="name them, as in targets: [o_proj, down_proj] (in BottleneckConfig: target_modules)",
    )


def named(names: list[str], insides: tuple[str, ...]) -> dict[str, str]:
    """Modules that have one of these names inside a block, each with its block."""
    places = {name: PLACE.fullmatch(name) for name in names}
    return {name: place["block"] for name, place in places.items() if place and place["inside"] in insides}
