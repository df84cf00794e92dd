"""What all strategies that go through PEFT share: wrapping, keeping heads, merging, saving."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, suggest

if TYPE_CHECKING:
    from torch import nn

    from ..tasks.base import Task

ATTENTION = ("attention", "attn", "self_attn", "SelfAttention")


def wrap(model: Any, task: Task, config_class: Any, **settings: Any) -> nn.Module:
    """The model with a PEFT method in it that changes layers: in the encoder of a pooled model, or in the whole.

    A model's own head is kept trainable, saved and loaded by PEFT itself (`modules_to_save`).
    """
    from ..heads import encoder_of

    inner = encoder_of(model)
    kept = head_modules(inner) if inner is model else None
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
    (FINDINGS 7).
    """
    head = [
        name for name, child in model.named_children() if name != model.base_model_prefix and list(child.parameters())
    ]
    return [*head, "pooler"] if any("pooler" in name for name in model.new_parameters) else head


def linear_modules(model: nn.Module) -> list[str]:
    """Full names of the linear layers inside the blocks, so that no head is among them."""
    from torch import nn

    from ..layers import block_list

    prefix, _ = block_list(model)
    return [
        name
        for name, module in model.named_modules()
        if name.startswith(f"{prefix}.") and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    ]


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


def save_adapter(model: Any, folder: Path) -> str:
    """The adapter as PEFT writes it; a head that PEFT does not keep goes beside it."""
    from ..heads import encoder_of, save_head

    inner = encoder_of(model)
    inner.save_pretrained(folder, safe_serialization=True)
    if inner is not model or inner.active_peft_config.is_prompt_learning:
        save_head(model, folder)
    return "adapter"


def merged(model: Any) -> nn.Module:
    """A copy of the model whose matrices contain their updates; the logits are equal up to rounding."""
    from ..heads import encoder_of

    model = copy.deepcopy(model)
    inner = encoder_of(model)
    whole: nn.Module = inner.merge_and_unload()
    if inner is model:
        return whole
    model.encoder = whole
    return model
