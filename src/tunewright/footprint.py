"""What a strategy would train of a model, and the memory that takes; from the configuration alone, without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .layers import layer_map
from .models import Source
from .strategies.base import Rates, Strategy
from .tasks.base import Task

if TYPE_CHECKING:
    from torch import nn

FP32 = 4  # bytes; weights and gradients are kept in fp32
MOMENTS = 2  # that AdamW keeps of every parameter, each in fp32
NF4_BITS = 4
SCALE_BITS = {False: 32 / 64, True: 0.127}  # bits a parameter, without and with double quantisation (QLoRA paper, 3)
ENDLESS = Rates(learning_rate=1.0, weight_decay=0.0, total_steps=10**9)  # a run in which every stage begins
STARTING_VALUES = ("init", "init_text", "loftq")  # settings that read weights and change no shape


@dataclass(frozen=True)
class Anatomy:
    """Numbers of parameters of a model as its makers built it, bottom to top.

    Args:
        blocks: of each, the lowest first.
        above: what lies above the blocks, by name: final norms, pooler, and the task's head.
        encoder: of the pretrained model, its pooler included; a language model's head too.
        head: of the task's new head.
    """

    embeddings: int
    blocks: tuple[int, ...]
    above: dict[str, int]
    encoder: int
    head: int

    @property
    def total(self) -> int:
        return self.encoder + self.head


@dataclass(frozen=True)
class Footprint:
    """What trains, and what it takes; activations come on top.

    Args:
        encoder: parameters that train in the encoder or are added to it.
        head: parameters that train in the task's head.
        encoder_total: of the encoder without what the strategy adds.
        weights: bytes; with what the strategy adds.
    """

    strategy: str
    encoder: int
    head: int
    encoder_total: int
    weights: int

    @property
    def trainable(self) -> int:
        return self.encoder + self.head

    @property
    def share(self) -> float:
        """Of the encoder."""
        return self.encoder / self.encoder_total

    @property
    def gradients(self) -> int:
        """Bytes."""
        return FP32 * self.trainable

    @property
    def optimizer(self) -> int:
        """Bytes of AdamW's state."""
        return MOMENTS * FP32 * self.trainable

    @property
    def bytes(self) -> int:
        return self.weights + self.gradients + self.optimizer


@dataclass(frozen=True)
class Refusal:
    """Why a strategy can't be had for this model and task."""

    strategy: str
    reason: str


def anatomy(source: Source, task: Task) -> Anatomy:
    """The layer map of the task's model.

    Args:
        source: from `locate(..., weights=False)`.
    """
    model = task.build(source)
    parameters, layers = dict(model.named_parameters()), layer_map(model)
    head = counted(head_parameters(model))
    return Anatomy(
        embeddings=count(parameters, layers.embeddings),
        blocks=tuple(count(parameters, names) for names in layers.blocks),
        above=by_module(parameters, layers.head),
        encoder=counted(list(parameters.values())) - head,
        head=head,
    )


def footprint(source: Source, task: Task, strategy: Strategy) -> Footprint | Refusal:
    """What a strategy trains of the task's model, once every stage of it has begun.

    Args:
        source: from `locate(..., weights=False)`.
        task: settled, with its labels.
    """
    reason = strategy.refuses(source.config, task)
    if reason:
        return Refusal(strategy.kind, reason)
    plain = task.build(source)
    saved = four_bit_savings(plain, strategy)
    head = counted(head_parameters(plain))
    encoder_total = counted(list(plain.parameters())) - head
    try:
        model = applied(plain, task, strategy)
    except ConfigError as error:
        return Refusal(strategy.kind, str(error))
    groups = strategy.groups(model, layer_map(model), ENDLESS._replace(new_head=task.new_head))
    trains = {id(value): value for group in groups for value in group.parameters.values()}
    trained_head = counted([value for value in head_parameters(model) if id(value) in trains])
    weights = round(FP32 * counted(list(model.parameters())) - saved)
    return Footprint(strategy.kind, counted(list(trains.values())) - trained_head, trained_head, encoder_total, weights)


def applied(model: nn.Module, task: Task, strategy: Strategy) -> nn.Module:
    """The changed model; what a strategy adds to it has no numbers either."""
    fields = type(strategy).model_fields
    defaults = {name: fields[name].default for name in STARTING_VALUES if name in fields}
    return strategy.model_copy(update=defaults).apply(model, task)


def four_bit_savings(model: nn.Module, strategy: Strategy) -> float:
    """Bytes that a strategy saves by storing the blocks' matrices in NF4; 0 where it does not."""
    quantisation: Any = strategy.load_kwargs().get("quantization_config")
    if quantisation is None:
        return 0.0
    bits = NF4_BITS + SCALE_BITS[bool(quantisation.bnb_4bit_use_double_quant)]
    return counted([module.weight for module in four_bit_modules(model)]) * (FP32 - bits / 8)


def four_bit_modules(model: nn.Module) -> list[Any]:
    """Those whose matrices are stored in NF4."""
    from .heads import encoder_of
    from .strategies.peft import linear_modules

    inner = encoder_of(model)
    kept = tuple(inner._keep_in_fp32_modules or ())  # T5's wo
    return [inner.get_submodule(name) for name in linear_modules(inner) if not name.endswith(kept)]


def head_parameters(model: Any) -> list[Any]:
    """Of the task's head: everything that neither is in the pretrained model nor was added to it."""
    from .heads import PooledClassifier, base_of, writes

    if isinstance(model, PooledClassifier):
        return list(model.head.parameters())
    if writes(model):
        return []
    base = base_of(model)
    body = {id(parameter) for parameter in base.base_model.parameters()}
    return [parameter for parameter in base.parameters() if id(parameter) not in body]


def by_module(parameters: Mapping[str, Any], names: Sequence[str]) -> dict[str, int]:
    """Numbers of parameters of the modules that own them: `bert.pooler.dense.weight` belongs to `pooler`."""
    found: dict[str, int] = {}
    for name in names:
        *path, _ = name.split(".")
        found[".".join(path)] = found.get(".".join(path), 0) + parameters[name].numel()
    return found


def count(parameters: Mapping[str, Any], names: Sequence[str]) -> int:
    return counted([parameters[name] for name in names])


def counted(parameters: Sequence[Any]) -> int:
    return sum(parameter.numel() for parameter in parameters)
