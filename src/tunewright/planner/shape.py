"""Shape: what one forward and backward pass of a run is, as far as memory and time depend on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The largest micro-batch of a run.

    Args:
        micro_batch_size: rows (of a preference task: pairs) per forward pass; of packed tasks at most so many.
        length: tokens of the longest row's longest window, special tokens and the answer of a decoder-only included.
        windows: of the longest row; more than 1 where a long text is read in windows.
        answer: tokens of the longest answer, for tasks that write.
        pack_tokens: of a forward pass where rows are packed without padding; None where they are padded.
        accumulates: whether a step has several micro-batches, so that gradients are there from the second on.
        evaluation_length: tokens of all windows of the longest row that is evaluated; 0: nothing is evaluated.
        evaluation_rows: that are evaluated in all; they fill no more than a batch.
        words: different tokens of all training rows; None: half of those that there are.
    """

    micro_batch_size: int
    length: int
    windows: int = 1
    answer: int = 0
    pack_tokens: int | None = None
    gradient_checkpointing: bool = False
    precision: str = "fp32"  # "bf16" and "fp16" change activations; weights stay in fp32
    kernels: str = "fast"
    accumulates: bool = False
    evaluation_length: int = 0
    evaluation_rows: int = 10**9
    words: int | None = None

    @property
    def packed(self) -> bool:
        return self.pack_tokens is not None

    @property
    def tokens(self) -> int:
        """Of one forward pass at most, padding included."""
        padded = self.micro_batch_size * self.windows * self.length
        return padded if self.pack_tokens is None else max(self.length, min(self.pack_tokens, padded))
