"""Predictor: text in, typed prediction out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from . import artifact
from .evaluation import outputs_of
from .models import widths
from .tasks.base import Row
from .training.precision import use_fast_fp32

Text = str | tuple[str, str]


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
        encoded = task.encode(rows, tokenizer, self.artifact.max_length)
        return outputs_of(self.model, task, encoded, partial(task.collate, tokenizer=tokenizer), self.device)

    def __call__(self, texts: Sequence[Text] | str) -> list[Any]:
        """One typed prediction per text; a text pair is a tuple of two."""
        listed: Sequence[Text] = [texts] if isinstance(texts, str) else texts
        rows = [Row(number, (text,) if isinstance(text, str) else tuple(text)) for number, text in enumerate(listed, 1)]
        return [self.artifact.task.decode(output) for output in self.outputs(rows)] if rows else []


def prepare_arithmetic(model: Any) -> None:
    """The same fp32 path as in training and evaluation, checked on this machine (N9)."""
    import torch

    width, depth = widths(getattr(model, "config", None) or model.encoder.config)
    use_fast_fp32(width, depth, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
