"""The frozen bottom of a model, run once: hidden states below the lowest trainable block, kept on disk (N7)."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.sampler import by_length
from ..files import cache_folder, digest, make_room, replacing
from ..layers import block_list, bottom_modules, frozen_blocks
from ..tasks.base import Batch, Encoded
from .features import BATCH_TOKENS, Collate, Progress, keys_of

if TYPE_CHECKING:
    from torch import Tensor, nn

TOLERANCE = 1e-3  # relative; a model whose blocks can't be skipped is off by far more


class _Enough(Exception):
    """Ends a forward pass once the hidden states are known."""


class Bottom:
    """The lowest `count` blocks of a model, and how to skip them.

    Args:
        model: whose embeddings and lowest blocks do not train.
        count: at least 1.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        name, _ = block_list(model)
        self.model, self.count = model, count
        listed: Any = model.get_submodule(name)
        self.blocks: Sequence[Any] = list(listed)[:count]
        self.in_tuple = False

    def hidden(self, inputs: dict[str, Tensor]) -> Tensor:
        """(W, T, d) what the lowest blocks make of (W, T) tokens."""
        found: list[Tensor] = []

        def stop(module: Any, arguments: Any, output: Any) -> None:
            self.in_tuple = isinstance(output, tuple)
            found.append(output[0] if self.in_tuple else output)
            raise _Enough

        handle = self.blocks[-1].register_forward_hook(stop)
        try:
            self.model(**inputs)
        except _Enough:
            pass
        finally:
            handle.remove()
        return found[0]

    @contextlib.contextmanager
    def skipped(self, hidden: Tensor) -> Iterator[None]:
        """Within it the model's forward passes go on from these hidden states."""

        def through(hidden_states: Any, *arguments: Any, **named: Any) -> Any:
            return (hidden_states,) if self.in_tuple else hidden_states

        def known(hidden_states: Any, *arguments: Any, **named: Any) -> Any:
            return (hidden,) if self.in_tuple else hidden

        try:
            for block in self.blocks:
                block.forward = known if block is self.blocks[-1] else through
            yield
        finally:
            for block in self.blocks:
                del block.forward


@dataclass
class Cached:
    """Hidden states of a split, all windows of all rows one after another.

    Args:
        values: (tokens, d) fp32, on disk.
        starts: (N + 1,) where each row's begin.
    """

    bottom: Bottom
    values: NDArray[np.float32]
    starts: NDArray[np.int64]

    def serving(self, batch: Batch) -> contextlib.AbstractContextManager[None]:
        return self.bottom.skipped(self.padded(batch))

    def padded(self, batch: Batch) -> Tensor:
        """(W, T, d) for a batch; zeros where it is padded: nothing attends to them."""
        import torch

        ids = batch.inputs["input_ids"]
        made = torch.zeros((*ids.shape, self.values.shape[1]))
        window = 0
        for item in batch.features:
            start = int(self.starts[item.row])
            for tokens in item.windows:
                made[window, : len(tokens)] = torch.from_numpy(np.array(self.values[start : start + len(tokens)]))
                start, window = start + len(tokens), window + 1
        return made.to(ids.device, non_blocking=True)


@dataclass
class PrefixCache:
    """Makes `Cached` for the phases of a run in which it pays.

    Args:
        origin: what the hidden states depend on besides the tokens: model, tokenizer, arithmetic.
        autocast: the run's precision, as the uncached blocks would have it.
        wanted: False computes the frozen blocks in each pass.
        folder: in the cache folder.
    """

    encoded: Encoded
    collate: Collate
    device: Any
    origin: dict[str, Any]
    autocast: Callable[[Any], Any]
    progress: Progress | None = None
    note: Callable[[str], None] = print
    wanted: bool = True
    folder: str = "prefix"

    def get(self, model: nn.Module, passes: float, main: bool, wait: Callable[[], None]) -> Cached | None:
        """The hidden states for the coming passes over the data; None where there is nothing to gain or no room."""
        count = frozen_blocks(model)
        if not self.wanted or count == 0 or passes < 2:
            return None
        bottom = Bottom(model, count)
        sizes = np.array([item.num_tokens for item in self.encoded.features])
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        model.eval()
        if not self.can_skip(bottom):
            return None
        tokens = hashlib.sha256(b"".join(keys_of(self.encoded))).hexdigest()

        def path_of(blocks: int) -> Path:
            return cache_folder() / self.folder / f"{digest({**self.origin, 'blocks': blocks, 'tokens': tokens})}.npy"

        path = path_of(count)
        if main:
            known = ((blocks, opened(path_of(blocks), int(starts[-1]))) for blocks in range(count - 1, 0, -1))
            below = (Cached(Bottom(model, blocks), found, starts) for blocks, found in known if found is not None)
            self.fill(bottom, path, starts, below)
        wait()
        values = opened(path, int(starts[-1]))
        return Cached(bottom, values, starts) if values is not None else None

    def can_skip(self, bottom: Bottom) -> bool:
        """Proves on the first rows that going on from the hidden states gives what the whole model gives."""
        import torch

        batch = self.collate(self.encoded.features[:2]).to(self.device)
        with torch.no_grad():
            try:
                whole = first_tensor(bottom.model(**batch.inputs))
            except ValueError:  # T5 says nothing without an answer to go on from
                return False
            hidden = bottom.hidden(batch.inputs)
            with bottom.skipped(hidden):
                skipped = first_tensor(bottom.model(**batch.inputs))
        return bool((whole - skipped).abs().max() <= TOLERANCE * whole.abs().max())

    def fill(self, bottom: Bottom, path: Path, starts: NDArray[np.int64], below: Iterator[Cached] = iter(())) -> None:
        """Computes the file unless it is there; without room for it the run goes on uncached.

        Args:
            below: what is known of fewer blocks, to go on from.
        """
        states = f"hidden states of the {bottom.count} frozen blocks"
        if opened(path, int(starts[-1])) is not None:
            self.note(f"{states}: cached")
            return
        try:
            with replacing(path) as beside:
                values = self.made(bottom, beside, int(starts[-1]))
                start = next((states for states in below if self.can_skip(states.bottom)), None)
                self.compute(bottom, values, starts, start)
                values.flush()
            self.note(f"{states}: computed once")
        except OSError as error:
            self.note(f"{states}: computed in each pass, because they can't be kept ({error.strerror})")

    def made(self, bottom: Bottom, path: Path, tokens: int) -> np.memmap[Any, np.dtype[np.float32]]:
        """(tokens, d) in a new file. Raises OSError without room: a map that meets a full disk ends the process."""
        width = int(bottom.hidden(self.collate(self.encoded.features[:1]).to(self.device).inputs).shape[-1])
        make_room(tokens * width * 4)
        values: Any = np.lib.format.open_memmap(path, "w+", np.float32, (tokens, width))
        if hasattr(os, "posix_fallocate"):  # takes the disk's blocks now
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return values

    def compute(
        self, bottom: Bottom, values: NDArray[np.float32], starts: NDArray[np.int64], below: Cached | None = None
    ) -> None:
        import torch

        features, done = self.encoded.features, 0
        for rows in by_length([item.num_tokens for item in features], BATCH_TOKENS):
            batch = self.collate([features[row] for row in rows]).to(self.device)
            known = below.serving(batch) if below else contextlib.nullcontext()
            with torch.no_grad(), self.autocast(self.device), known:
                hidden = bottom.hidden(batch.inputs).float().cpu().numpy()
            window = 0
            for item in batch.features:
                start = starts[item.row]
                for tokens in item.windows:
                    values[start : start + len(tokens)] = hidden[window, : len(tokens)]
                    start, window = start + len(tokens), window + 1
            done += len(rows)
            if self.progress:
                self.progress(done, len(features))


def first_tensor(output: Any) -> Any:
    """The logits, whatever the model's output is."""
    return output if hasattr(output, "abs") else output[0]


def opened(path: Path, tokens: int) -> NDArray[np.float32] | None:
    try:
        values: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
        os.utime(path)  # what is used stays
    except (OSError, ValueError, EOFError):
        return None
    return values if values.ndim == 2 and len(values) == tokens and values.dtype == np.float32 else None


def rest(model: nn.Module) -> None:
    """Puts the frozen bottom into evaluation mode: what does not learn needs no dropout."""
    for module in bottom_modules(model, frozen_blocks(model)):
        module.eval()
