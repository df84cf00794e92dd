"""Memory: what a run takes at its peak, by cause, from the model's configuration alone."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..footprint import ENDLESS, FP32, MOMENTS, applied, counted, four_bit_modules, four_bit_savings
from ..layers import layer_map
from ..models import Source, checkpoint_gradients
from ..strategies.base import Strategy
from ..tasks.base import Task
from ..training.memory import peak_bytes, tallied
from ..training.precision import Precision
from .shape import Shape
from .traced import evaluation_batch, pretended, training_batch, without_numbers

if TYPE_CHECKING:
    from torch import nn

CUDA_CONTEXT = 600 * 2**20  # CUDA's context and libraries' workspaces: 0.4 to 0.8 GB are told of; not measured here
TOKENIZER = 25  # bytes in memory for each of its file, measured: 14 MB of BERT's 0.47
ROOM = 40 * 2**20  # that libraries take to work in, measured as the next
GAPS = {"fast": 0.3, "plain": 0.18}  # of activations: between blocks in glibc's heap; measured 0.1 to 0.6
RECOMPUTED = 1.5  # the same with checkpointing, whose blocks come and go at other sizes; measured 1.3 to 2.1
DEEP, TRACED = 8, (2, 4)  # blocks of models that are traced whole; those that are traced of deeper ones
EVEN = ("full", "lora", "qlora", "bitfit", "ia3", "bottleneck_adapter", "prefix_tuning", "prompt_tuning",
        "layerwise_decay")  # fmt: skip
CACHED = 0.1  # of activations, that CUDA's allocator holds besides; not measured here


@dataclass(frozen=True)
class Memory:
    """Bytes by cause. They are not all there at once: `peak` is that of the fullest phase.

    Args:
        process: the interpreter and its libraries; on a GPU what its context takes.
        weights: with what the strategy adds.
        optimizer: AdamW's moments.
        gradients: of what trains.
        activations: what the longest micro-batch adds to those at its fullest moment, without logits.
        logits: scores of words, and their softmax.
        evaluation: of a batch, generation's keys and values included.
        loading: a checkpoint's file that is read beside the model; at the end the saved one's beside the trained one.
            On a GPU the saved model alone, as its file is read into main memory.
        scratch: what the allocator can't use again, and what the libraries take to work in.
        disk: hidden states of frozen blocks, and checkpoints; no memory.
        measured: whether a step was measured here; False: computed from the configuration.
    """

    process: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    evaluation: int
    loading: int
    scratch: int = 0
    disk: int = 0
    device: str = "cpu"
    measured: bool = False

    @property
    def phases(self) -> dict[str, int]:
        """Bytes of each phase, `process` included."""
        kept = self.process + self.weights + self.scratch
        trained, passed = self.gradients + self.optimizer, self.activations + self.logits
        return {
            "loading": kept + self.loading,
            "training": kept + trained + passed,
            "evaluation": kept + trained + self.evaluation,
            "proving": kept + self.loading + (trained + passed if self.device == "cpu" else self.gradients),
        }  # malloc gives back little of what a pass has freed

    @property
    def peak(self) -> int:
        return max(self.phases.values())


def predict_memory(
    source: Source, task: Task, strategy: Strategy, shape: Shape, device: str = "cpu", process: int | None = None
) -> Memory:
    """What a run of this shape takes, with weights and optimizer on one device.

    Args:
        source: from `locate(..., weights=False)`.
        task: settled, with its labels.
        device: cpu, or cuda: then not measured by anybody here.
        process: bytes of the interpreter and its libraries; None: what they were measured to take here.

    Raises:
        ConfigError: the strategy can't be had for this model and task.
    """
    reason = strategy.refuses(source.config, task)
    if reason:
        raise ConfigError(reason, where="strategy.kind")
    if not is_deep(source, strategy):
        return traced(source, task, strategy, shape, device, process)
    silent = task.model_copy(update={"score_answers": 0}) if getattr(task, "score_answers", 0) else task
    less, more = (traced(shallow(source, count), silent, strategy, shape, device, process) for count in TRACED)
    found = deeper(less, more, source.config.num_hidden_layers)
    return replace(found, evaluation=max(found.evaluation, generation_bytes(task, shape, source.config)))


def traced(source: Source, task: Task, strategy: Strategy, shape: Shape, device: str, process: int | None) -> Memory:
    """What passes of the whole model take."""
    plain = packed_as_proven(task.build(source), task)
    saved, own = four_bit_savings(plain, strategy), bytes_of(plain)
    if saved and shape.precision != "fp32":
        spread_in_half(plain)
        saved -= own - bytes_of(plain)
    if shape.gradient_checkpointing:
        checkpoint_gradients(plain)
    model = applied(plain, task, strategy)
    weights = round(bytes_of(model) - saved)
    groups = strategy.groups(model, layer_map(model), ENDLESS._replace(new_head=task.new_head))
    maker = without_numbers(model)
    if shape.kernels == "fast" and device == "cpu":
        quicken(model)
    parts: dict[str, Any] = dict.fromkeys(("gradients", "optimizer", "activations", "logits"), 0)
    if not strategy.solves(task):
        names = {name for group in groups for name in group.parameters}
        trained = {name: value for name, value in model.named_parameters() if name in names}
        parts = training_bytes(model, maker, task, shape, trained, source.config)
        parts["activations"] += largest_matrix(model) if saved else 0  # which is spread out to be multiplied
    return Memory(
        process=process_bytes(model, source, device) if process is None else process, weights=weights,
        evaluation=evaluation_bytes(model, maker, task, shape, source.config),
        loading=weights if saved or device != "cpu" else file_bytes(source) or own, disk=MOMENTS * parts["optimizer"],
        scratch=scratch_bytes(shape, device, parts["activations"] + parts["logits"]), device=device, **parts,
    )  # fmt: skip


def process_bytes(model: nn.Module, source: Source, device: str) -> int:
    """The interpreter with its libraries and the tokenizer; on a GPU its context."""
    from ..heads import encoder_of
    from .process import libraries

    if device != "cpu":
        return CUDA_CONTEXT
    return libraries(hasattr(encoder_of(model), "peft_config")) + TOKENIZER * file_bytes(source, "tokenizer.json")


def spread_in_half(model: nn.Module) -> None:
    """Matrices of four bits are spread out in the precision of the pass: autocast has nothing to cast and to keep."""
    import torch

    for module in four_bit_modules(model):
        module.weight = torch.nn.Parameter(module.weight.to(torch.bfloat16), requires_grad=False)


def is_deep(source: Source, strategy: Strategy) -> bool:
    """Whether tracing a few of its blocks tells all: many like ones, of which the strategy treats each alike."""
    config = source.config
    alike = len(set(getattr(config, "layer_types", None) or "1")) == 1 and not config.is_encoder_decoder
    chosen = getattr(strategy, "rank_pattern", None)
    return alike and strategy.kind in EVEN and not chosen and getattr(config, "num_hidden_layers", 0) > DEEP


def shallow(source: Source, blocks: int) -> Source:
    """The same model with fewer blocks."""
    from copy import deepcopy

    found, config = replace(source), deepcopy(source.config)
    config.num_hidden_layers = blocks
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:blocks]
    vars(found)["config"] = config  # where cached_property keeps it
    return found


def deeper(less: Memory, more: Memory, blocks: int) -> Memory:
    """What both say of a model of so many blocks: every cause is linear in them."""
    lines = {field.name: (getattr(less, field.name), getattr(more, field.name)) for field in fields(Memory)
             if field.type == "int"}  # fmt: skip
    numbers = {name: low + (high - low) * (blocks - TRACED[0]) // (TRACED[1] - TRACED[0])
               for name, (low, high) in lines.items()}  # fmt: skip
    return replace(less, **numbers)


def quicken(model: nn.Module) -> None:
    """Puts in what `fast.speed_up` does, and leaves this process's allocator alone."""
    from ..fast.attention import speed_up_attention
    from ..fast.dropout import swap_dropout
    from ..fast.embedding import sparse_embeddings
    from ..fast.lora import speed_up_linear

    swap_dropout(model)
    sparse_embeddings(model)
    speed_up_attention(model)
    speed_up_linear(model)


def scratch_bytes(shape: Shape, device: str, passed: int) -> int:
    """What a pass takes besides its tensors, by the bytes of those that come and go."""
    if not passed:
        return 0
    if device != "cpu":
        return round(CACHED * passed)
    share = RECOMPUTED if shape.gradient_checkpointing else GAPS[shape.kernels]
    return round(ROOM + share * passed)


def packed_as_proven(model: Any, task: Task) -> Any:
    """Lets a model take packs: with weights it is proven on them, and those whose attention is replaceable pass."""
    from ..packing import allow_packing

    if task.packs and not model.config.is_encoder_decoder and model._can_set_attn_implementation():
        allow_packing(model)
        model.takes_packs = True
    return model


def training_bytes(
    model: nn.Module, maker: Any, task: Task, shape: Shape, trained: dict[str, Any], config: Any
) -> dict[str, int]:
    """Gradients, moments, activations and logits of one forward and backward pass."""
    import torch

    batch = training_batch(task, shape, config)
    model.train().requires_grad_(False)
    for value in trained.values():
        value.requires_grad_(True)
    autocast = partial(Precision(shape.precision).autocast, torch.device("cpu"))
    with pretended(maker):
        held, peak = peak_bytes(model, task, batch, autocast)
    tables = sparse_tables(model, trained)
    gradients = FP32 * (counted(list(trained.values())) - counted(tables))
    fullest = max(peak, gradients + held) if shape.accumulates else peak
    rows_of_tables = sum(min(shape.words or len(table) // 2, len(table)) * table.shape[1] for table in tables)
    optimizer = MOMENTS * gradients + 2 * MOMENTS * FP32 * rows_of_tables  # and as much to step in
    gradients = min(gradients, fullest)
    logits = min(0 if task.new_head else logits_bytes(batch, config), fullest - gradients)
    return {"gradients": gradients, "optimizer": optimizer, "activations": fullest - gradients - logits,
            "logits": logits}  # fmt: skip


def sparse_tables(model: nn.Module, trained: dict[str, Any]) -> list[Any]:
    """The embeddings that are stepped on by rows."""
    known = {id(value) for value in trained.values()}
    modules: list[Any] = list(model.modules())
    return [module.weight for module in modules if getattr(module, "sparse", False) and id(module.weight) in known]


def logits_bytes(batch: Any, config: Any) -> int:
    """One chunk of scores and of their softmax."""
    from ..chunked import CHUNK_ELEMENTS, CHUNK_ROWS

    width = int(getattr(config, "hidden_size", 0) or getattr(config, "d_model", 0) or 0)
    targets = batch.more.pack.targets.numel() if batch.labels is None else batch.labels.numel()
    chunk = max(CHUNK_ELEMENTS // config.vocab_size, CHUNK_ROWS, width // 4)
    return int(2 * FP32 * min(targets, chunk) * config.vocab_size)


def evaluation_bytes(model: nn.Module, maker: Any, task: Task, shape: Shape, config: Any) -> int:
    """Of a batch's forward pass; or of answers, whose keys and values are kept."""
    import torch

    if not shape.evaluation_length:
        return 0
    batch = evaluation_batch(task, shape, config)
    model.eval()
    with pretended(maker), torch.no_grad(), tallied(model) as tally:
        task.during_training().predict(model, batch)
    return max(tally.peak, generation_bytes(task, shape, config))


def generation_bytes(task: Task, shape: Shape, config: Any) -> int:
    """Keys and values of the answers that are written at a time, fp32, and the scores of their next words."""
    from ..decoding import cache_bytes, rows_together

    if not getattr(task, "score_answers", 0):
        return 0
    own: Any = task
    tokens = max(shape.length - shape.answer, 1) + own.max_new_tokens
    rows = min(rows_together(config, tokens, own.num_beams), own.score_answers) * own.num_beams
    return int(rows * (tokens * cache_bytes(config) + FP32 * config.vocab_size))


def file_bytes(source: Source, pattern: str = "*.safetensors") -> int:
    """Of the checkpoint's files; 0 where there are none."""
    return sum(path.stat().st_size for path in source.folder.glob(pattern))


def largest_matrix(model: nn.Module) -> int:
    return FP32 * max(value.numel() for value in model.parameters() if value.ndim == 2)


def bytes_of(model: nn.Module) -> int:
    """Of parameters and buffers."""
    kept = {id(value): value for value in (*model.parameters(), *model.buffers())}
    return sum(value.numel() * value.element_size() for value in kept.values())
