"""What all strategies that go through PEFT share: wrapping, keeping heads, merging, saving."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ..errors import ConfigError, suggest
from .base import ParameterGroup, Rates, Strategy, split_by_decay, trainable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..layers import Layers
    from ..tasks.base import Task

ATTENTION = ("attention", "attn", "self_attn", "SelfAttention", "crossattention", "encoder_attn", "EncDecAttention")


class Adapter(Strategy):
    """A strategy whose parts PEFT puts beside the frozen model."""

    def save(self, model: Any, folder: Path) -> str:
        """The adapter as PEFT writes it; a head that PEFT does not keep goes beside it."""
        from ..heads import encoder_of, save_head, writes

        inner = encoder_of(model)
        inner.save_pretrained(folder, safe_serialization=True)
        if inner is not model or (inner.active_peft_config.is_prompt_learning and not writes(model)):
            save_head(model, folder)
        return "adapter"


class VirtualTokens(Adapter):
    """An adapter of trained vectors that stand in front of the text."""

    merges: ClassVar[bool] = False
    num_virtual_tokens: int = Field(
        20, ge=1, description="their number (Lester et al. 2021, 3.2: 20 are nearly as good as 150)"
    )
    head_learning_rate: float = Field(0.2, gt=0, description="times the learning rate, for the head")

    @property
    def virtual_tokens(self) -> int:
        return self.num_virtual_tokens

    def groups(self, model: nn.Module, layers: Layers, rates: Rates) -> list[ParameterGroup]:
        """Virtual tokens without decay (they are no matrix of a layer), and the head."""
        parameters = trainable(model)
        prompt = {name: value for name, value in parameters.items() if "prompt_encoder" in name}
        head = {name: value for name, value in parameters.items() if name not in prompt}
        return [
            ParameterGroup("prompt", prompt, rates.learning_rate, 0.0),
            *split_by_decay("head", head, rates.learning_rate * self.head_learning_rate, rates.weight_decay),
        ]


def wrap(model: Any, task: Task, config_class: Any, **settings: Any) -> nn.Module:
    """The model with a PEFT method in it that changes layers: in the encoder of a pooled model, or in the whole.

    A model's own head is kept trainable, saved and loaded by PEFT itself (`modules_to_save`).
    """
    from ..heads import encoder_of

    inner = encoder_of(model)
    kept = head_modules(inner) or None if inner is model else None
    # PEFT's own class for answering questions keeps token types from the model without a word; the general one does not
    kind = None if task.peft_type == "QUESTION_ANS" else task.peft_type
    return rewrapped(model, inner, kind, config_class, {**settings, "modules_to_save": kept})


def wrap_prompt(model: Any, task: Task, config_class: Any, **settings: Any) -> nn.Module:
    """The model behind virtual tokens. PEFT forgets the heads of such models: they train here and are saved beside.

    It also keeps token types from such models where they answer questions or give features, here as wherever the
    adapter is loaded.
    """
    from ..heads import encoder_of, head_names, sizes

    inner, names = encoder_of(model), head_names(model)
    head = {id(parameter) for name, parameter in model.named_parameters() if name in names}
    changed = rewrapped(model, inner, task.peft_type, config_class, {**sizes(inner.config), **settings})
    for name, parameter in changed.named_parameters():
        if id(parameter) in head and "original_module" not in name:  # of those PEFT trains a copy, and never runs them
            parameter.requires_grad_(True)
    return changed


def rewrapped(model: Any, inner: Any, kind: str | None, config_class: Any, settings: dict[str, Any]) -> nn.Module:
    import peft

    kind = kind if inner is model else "FEATURE_EXTRACTION"
    wrapped = peft.get_peft_model(inner, config_class(task_type=kind, **settings))
    if inner is model:
        return wrapped
    model.encoder = wrapped
    changed: nn.Module = model
    return changed


def head_modules(model: Any) -> list[str]:
    """What a model's own head consists of, and any part that its checkpoint lacked.

    PEFT by itself trains and saves only `classifier`, `score` or `qa_outputs`: the rest of the head (DistilBERT's
    pre_classifier, ModernBERT's head, a new pooler) would stay random, and be another random one after reloading
    (FINDINGS 7). A language model has no head to keep: PEFT would train a copy of a matrix that is tied.
    """
    from ..heads import writes

    if writes(model):
        return []
    head = [
        name for name, child in model.named_children() if name != model.base_model_prefix and list(child.parameters())
    ]
    return [*head, "pooler"] if any("pooler" in name for name in model.new_parameters) else head


def linear_modules(model: nn.Module) -> list[str]:
    """Full names of the linear layers inside the blocks, of both halves of a model, so that no head is among them."""
    from torch import nn

    from ..layers import stacks

    inside = tuple(f"{path}." for path, _ in stacks(model))
    return [
        name
        for name, module in model.named_modules()
        if name.startswith(inside) and (isinstance(module, nn.Linear) or is_transposed(module))
    ]


def is_transposed(module: Any) -> bool:
    """Whether a layer is GPT-2's kind of linear layer, whose matrix is (in, out)."""
    return type(module).__name__ == "Conv1D"


def all_transposed(model: nn.Module, names: list[str]) -> bool:
    """PEFT's `fan_in_fan_out`; it finds it by itself, with a warning to the user."""
    return bool(names) and all(is_transposed(model.get_submodule(name)) for name in names)


def choose_modules(model: nn.Module, wanted: tuple[str, ...]) -> list[str]:
    """The linear layers of the blocks whose path has one of these names.

    Raises:
        ConfigError: none has.
    """
    linear = linear_modules(model)
    chosen = [name for name in linear if any(part in wanted for part in name.split("."))]
    if not chosen:
        ends = {name.rsplit(".", 1)[-1] for name in linear}
        fix = suggest(wanted[0], ends | {"attention", "all-linear"})
        what = f"no layer is called {', '.join(map(repr, wanted))}"
        raise ConfigError(what, where="strategy.targets", fix=fix)
    return chosen


def require_matches(patterns: Iterable[str], names: list[str], where: str) -> None:
    """Raises ConfigError for a pattern that none of the changed layers has: PEFT would not say so."""
    for pattern in patterns:
        try:
            found = any(re.match(rf"(.*\.)?({pattern})$", name) for name in names)  # as PEFT matches
        except re.error as error:
            raise ConfigError(f"{pattern!r} is no regex: {error}", where=where, fix="write a layer's name") from None
        if not found:
            ends = {name.rsplit(".", 1)[-1] for name in names}
            raise ConfigError(f"no changed layer is called {pattern!r}", where=where, fix=suggest(pattern, ends))


def merged(model: Any) -> nn.Module:
    """A copy of the model in fp32 whose matrices contain their updates; the logits are equal up to rounding.

    A base in four bits is multiplied out first: what was trained is the update of those rounded matrices, and PEFT's
    own merge would round the sum again.
    """
    from ..heads import encoder_of

    model = copy.deepcopy(model)
    inner = encoder_of(model)
    pooled = inner is not model
    if any(type(parameter).__name__ == "Params4bit" for parameter in inner.parameters()):
        inner = in_full_precision(inner)
    whole: nn.Module = inner.merge_and_unload()
    if not pooled:
        return whole
    model.encoder = whole
    return model


def in_full_precision(inner: Any) -> Any:
    """A PEFT model as it is, on its base in fp32. Takes the given one apart."""
    import peft

    config, state = inner.active_peft_config, peft.get_peft_model_state_dict(inner)
    base = multiplied_out(inner.unload())
    config.fan_in_fan_out = any(map(is_transposed, base.modules()))
    again = peft.get_peft_model(base, config)
    left = peft.set_peft_model_state_dict(again, state).unexpected_keys
    if left:
        raise ValueError(f"the adapter has parts that the model in fp32 lacks, such as {left[0]}")
    return again


def multiplied_out(model: Any) -> nn.Module:
    """A model whose matrices in four bits are plain ones again; transformers' own way makes GPT-2's stand on end."""
    import torch
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    for name, module in list(model.named_modules()):
        if type(module).__name__ != "Linear4bit":
            continue
        upright = module.source_cls is not Conv1D
        weight = unrounded(module.weight)
        with torch.device("meta"):
            layer: Any = nn.Linear(*weight.shape[::-1]) if upright else Conv1D(*weight.shape)
        layer.weight = nn.Parameter(weight if upright else weight.T.contiguous(), requires_grad=False)
        layer.bias = module.bias
        model.set_submodule(name, layer)
    model.hf_quantizer.remove_quantization_config(model)
    model.is_loaded_in_4bit = False
    changed: nn.Module = model
    return changed


def unrounded(weight: Any) -> Tensor:
    """(out, in) fp32 numbers of a matrix in four bits."""
    from bitsandbytes.functional import dequantize_4bit

    found: Tensor = dequantize_4bit(weight.data, weight.quant_state).float()
    return found


def largest_difference(first: Any, second: Any) -> float:
    """Of a logit of two language models, on made-up tokens; how near a merged model is to the one it was made of."""
    import torch

    config = first.config
    ids = torch.randint(config.vocab_size, (2, 16), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids.to(first.device), "attention_mask": torch.ones_like(ids).to(first.device)}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    modes = [(model, model.training) for model in (first, second)]
    with torch.no_grad():
        logits = [model.eval()(**inputs).logits.float() for model, _ in modes]
    for model, training in modes:
        model.train(training)
    return float((logits[0] - logits[1]).abs().max())
