"""Traced: what a pass allocates, without doing it: the real code runs on tensors that have shapes and no numbers.

Only numbers that decide on shapes are real: token ids, masks and labels. Byte for byte what `memory.peak_bytes` counts
of the same pass with weights (MiniLM, 48 combinations of strategy, shape, kernels, precision and checkpointing).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from ..tasks.base import Batch, Features, Task
from ..training.features import BATCH_TOKENS
from .shape import Shape

if TYPE_CHECKING:
    from torch import nn


class Padding:
    """What collating needs of a tokenizer."""

    pad_token_id = 0
    chat_template = None


def training_batch(task: Task, shape: Shape, config: Any) -> Batch:
    """The largest micro-batch: so many rows like the longest one."""
    return batch_of(task, shape, shape.micro_batch_size if not shape.packed else shape.tokens // shape.length, config)


def evaluation_batch(task: Task, shape: Shape, config: Any) -> Batch:
    """As `evaluation.outputs_of` makes them."""
    rows = min(BATCH_TOKENS // shape.evaluation_length, shape.evaluation_rows)
    return batch_of(task, replace(shape, length=-(-shape.evaluation_length // shape.windows)), rows, config)


def batch_of(task: Task, shape: Shape, rows: int, config: Any) -> Batch:
    vocabulary = int(config.vocab_size)
    return task.collate([row_of(task, shape, place, vocabulary) for place in range(max(rows, 1))], Padding())


def row_of(task: Any, shape: Shape, place: int, vocabulary: int) -> Features:
    """The longest row, as the task would encode it; its ids go through the vocabulary."""
    length, windows = shape.length, max(shape.windows, 2 if task.kind == "preference" else 1)
    answer = min(shape.answer or length - 1, length - 1)
    ids = [((np.arange(length) + 7 * length * place) % vocabulary).tolist() for _ in range(windows)]
    labels: dict[str, Any] = {
        "sequence_classification": np.zeros(len(task.labels), np.float32) if getattr(task, "multi_label", False) else 0,
        "token_classification": np.zeros(length, np.int64),
        "question_answering": np.zeros((windows, 2), np.int64),
        "causal_lm": np.r_[np.zeros(length - answer), np.ones(answer)].astype(np.float32),
        "seq2seq": np.zeros(shape.answer or length, np.int64),
        "preference": np.zeros(2, np.float32),
    }
    places = [np.arange(length)] * windows if task.kind == "token_classification" else None
    return Features(
        place, ids, None, labels[task.kind], places=places, num_words=length, prompt=length - answer
    )  # fmt: skip


def without_numbers(model: nn.Module) -> Any:
    """Gives a model on the meta device tensors that claim to be on the processor; returns what makes more of them."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    maker: Any = FakeTensorMode(allow_non_fake_inputs=True)
    made: dict[int, Any] = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, value in tensors.items():
                if value is not None and id(value) not in made:
                    with maker:
                        fake = torch.empty(value.shape, dtype=value.dtype, device="cpu")
                    parameter = isinstance(value, torch.nn.Parameter)
                    made[id(value)] = torch.nn.Parameter(fake, value.requires_grad) if parameter else fake
                if value is not None:
                    tensors[name] = made[id(value)]
    return maker


@contextlib.contextmanager
def pretended(maker: Any) -> Iterator[None]:
    """Within it passes over such a model run: masks are counted, whatever is asked of a number is answered with 1."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.utils._python_dispatch import TorchDispatchMode

    from ..fast import attention, dropout

    aten = torch.ops.aten
    indexing = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor)

    class Pretend(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            if function is aten._local_scalar_dense.default and isinstance(arguments[0], FakeTensor):
                return arguments[0].dtype == torch.bool or 1
            if function in indexing:
                arguments = (arguments[0], places(arguments[1]), *arguments[2:])
            return function(*arguments, **(named or {}))

    def places(indices: Sequence[Any]) -> list[Any]:
        """Masks as the places that they choose, whose number is known."""
        real = [one is not None and one.dtype == torch.bool and not isinstance(one, FakeTensor) for one in indices]
        pairs = zip(indices, real, strict=True)
        return [part for one, known in pairs for part in (one.nonzero().unbind(1) if known else [one])]

    def bits(count: int, rate: float) -> Any:
        with maker:
            return torch.empty(count, dtype=torch.int16)

    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
        stack.enter_context(patch.object(dropout, "keep_bits", bits))
        stack.enter_context(patch.object(attention, "drop", lambda *unused: None))
        stack.enter_context(patch.object(FakeTensor, "numpy", lambda self: np.zeros(self.shape, np.float32)))
        stack.enter_context(Pretend())
        yield
