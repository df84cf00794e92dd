"""Predictor: text in, typed prediction out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from . import artifact
from .evaluation import outputs_of
from .models import widths
from .tasks.base import Encoded, Row
from .training.precision import use_fast_fp32


class Predictor:
    """A trained model that answers, by the very code path that evaluation used.

    Args:
        loaded: from `artifact.load`, or `Predictor.load(run)`.
    """

    def __init__(self, loaded: artifact.Artifact) -> None:
        import torch

        self.artifact = loaded
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = loaded.model.to(self.device)

    @classmethod
    def load(cls, path: str | Path, trust_remote_code: bool = False) -> Predictor:
        """From the directory of a run (or its model/). Raises ModelError where it is no whole model."""
        loaded = artifact.load(path, trust_remote_code)
        prepare_arithmetic(loaded.model)
        return cls(loaded)

    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        """Raw outputs (logits) of rows, in their order."""
        task, tokenizer = self.artifact.task, self.artifact.tokenizer
        collate = partial(task.collate, tokenizer=tokenizer)
        return outputs_of(self.model, task, self.encoded(rows), collate, self.device)

    def encoded(self, rows: Sequence[Row]) -> Encoded:
        """What the model is fed for rows."""
        return self.artifact.task.encode(rows, self.artifact.tokenizer, self.artifact.max_length)

    def __call__(self, asked: Sequence[Any] | str) -> list[Any]:
        """One typed prediction per thing asked: a text; a pair of them, or a question and its context, as a tuple."""
        listed = [asked] if isinstance(asked, str) else asked
        return self.answer([self.artifact.task.ask(number, given) for number, given in enumerate(listed, 1)])

    def answer(self, rows: Sequence[Row]) -> list[Any]:
        """One typed prediction per row."""
        task = self.artifact.task
        return [task.decode(output, row) for output, row in zip(self.outputs(rows), rows, strict=True)] if rows else []


def prepare_arithmetic(model: Any) -> None:
    """The same fp32 path as in training and evaluation, checked on this machine (N9)."""
    import torch

    width, depth = widths(getattr(model, "config", None) or model.encoder.config)
    use_fast_fp32(width, depth, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
