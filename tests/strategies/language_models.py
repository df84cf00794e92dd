"""What the tests of strategies on language models share: tiny models, changed as a run changes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.language_models import DECODERS, ENCODER_DECODERS
from tunewright import models
from tunewright.kernels import four_bit_fault
from tunewright.layers import layer_map
from tunewright.strategies.base import Rates, Strategy
from tunewright.strategies.bitfit import BitFit
from tunewright.strategies.bottleneck_adapter import BottleneckAdapter
from tunewright.strategies.freeze import Freeze
from tunewright.strategies.full import Full
from tunewright.strategies.gradual_unfreezing import GradualUnfreezing
from tunewright.strategies.ia3 import IA3
from tunewright.strategies.layerwise_decay import LayerwiseDecay
from tunewright.strategies.lora import LoRA
from tunewright.strategies.prefix_tuning import PrefixTuning
from tunewright.strategies.prompt_tuning import PromptTuning
from tunewright.strategies.qlora import QLoRA
from tunewright.tasks.causal_lm import CausalLM
from tunewright.tasks.seq2seq import Seq2Seq

KINDS = [*DECODERS, *ENCODER_DECODERS]
TIED = {"qwen2", "gpt2", "t5", "bart"}
RATES = Rates(1e-3, 0.1, total_steps=100, steps_per_epoch=10, new_head=False)
STRATEGIES: dict[str, Strategy] = {
    "full": Full(),
    "freeze": Freeze(),
    "gradual_unfreezing": GradualUnfreezing(),
    "layerwise_decay": LayerwiseDecay(),
    "bitfit": BitFit(),
    "lora": LoRA(r=4),
    "lora, everything": LoRA(r=4, targets="all-linear", use_dora=True),
    "qlora": QLoRA(r=4),
    "ia3": IA3(),
    "bottleneck_adapter": BottleneckAdapter(bottleneck_size=8),
    "bottleneck_adapter, pfeiffer": BottleneckAdapter(bottleneck_size=8, variant="pfeiffer"),
    "prefix_tuning": PrefixTuning(num_virtual_tokens=5),
    "prefix_tuning, MLP": PrefixTuning(num_virtual_tokens=5, projection=True, projection_size=16),
    "prompt_tuning": PromptTuning(num_virtual_tokens=5),
    "prompt_tuning, text": PromptTuning(num_virtual_tokens=5, init_text="red label"),
}
MARKS = {"lora": "lora_", "qlora": "lora_", "ia3": "ia3_l", "bottleneck_adapter": "bottleneck_"}
MARKS |= {"prefix_tuning": "prompt_encoder", "prompt_tuning": "prompt_encoder"}
no_four_bits = four_bit_fault()
REFUSED = {(kind, "bitfit") for kind in ("llama", "t5")} | {(kind, "qlora") for kind in KINDS if no_four_bits}
PAIRS = [(kind, name) for name in STRATEGIES for kind in KINDS if (kind, name) not in REFUSED]
every_pair = pytest.mark.parametrize(("kind", "name"), PAIRS)
each_kind = pytest.mark.parametrize("kind", KINDS)


def task_of(kind: str) -> Any:
    return Seq2Seq() if kind in ENCODER_DECODERS else CausalLM()


def loaded(zoo, kind: str, strategy: Strategy | None = None) -> Any:
    kwargs = strategy.load_kwargs() if strategy else {}
    return task_of(kind).build(models.locate(str(zoo / kind)), **kwargs).eval()


def applied(zoo, kind: str, strategy: Strategy) -> Any:
    """As a run does it."""
    model = loaded(zoo, kind, strategy).requires_grad_(False)
    return strategy.apply(model, task_of(kind)).eval()


def trains(model: Any, strategy: Strategy) -> dict[str, Any]:
    """What the optimizer is given, by name; nothing twice."""
    groups = strategy.groups(model, layer_map(model), RATES)
    pairs = [pair for group in groups for pair in group.parameters.items()]
    assert len({id(value) for _, value in pairs}) == len(pairs)
    return dict(pairs)


def inputs_of(kind: str) -> dict[str, torch.Tensor]:
    """Two rows, the second one padded on the right."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(10, 300, (2, 8), generator=generator)
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    inputs = {"input_ids": ids, "attention_mask": mask}
    if kind in ENCODER_DECODERS:
        inputs |= {"decoder_input_ids": ids.flip(1), "decoder_attention_mask": mask}
    return inputs


def logits(model: Any, kind: str, **more: Any) -> torch.Tensor:
    """Of the text's own positions."""
    found: torch.Tensor = model(**{**inputs_of(kind), **more}).logits
    return found[:, -8:]


def stir(model: Any, strategy: Strategy) -> Any:
    """Moves all that trains: what starts at zero hides what it is multiplied by."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in trains(model, strategy).values():
            value += 0.1 * torch.randn(value.shape, generator=generator)
    return model


def own_name(name: str) -> str:
    """A parameter's name in the plain model."""
    return name.removeprefix("base_model.model.").replace("base_layer.", "")
