"""Predictor: text in, typed prediction out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from . import artifact
from .errors import ConfigError, ModelError
from .evaluation import largest_distance, outputs_of
from .models import widths
from .startup import settled
from .tasks.base import Encoded, Features, Row
from .training.precision import use_fast_fp32, use_fast_products

PRECISIONS = ("fp32", "bf16", "int8")
PARITY = 1e-3  # that a logit of the saved model may differ by
SAMPLE = 64  # rows that are answered twice, to tell what a lower precision changes


class Predictor:
    """A trained model that answers, by the very code path that evaluation used.

    Args:
        loaded: from `artifact.load`, or `Predictor.load(run)`.

    Attributes:
        precision: of the linear layers' weights and products: fp32, until `lower` was called.
    """

    def __init__(self, loaded: artifact.Artifact) -> None:
        self.artifact, self.precision = loaded, "fp32"
        self.model = loaded.model
        if loaded.is_floor:
            return
        import torch

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = self.model.to(self.device)
        settled()

    @classmethod
    def load(cls, path: str | Path, trust_remote_code: bool = False) -> Predictor:
        """From the directory of a run (or its model/), or of a comparison: the run that its verdict names.

        Raises:
            ModelError: it is no whole model, or the comparison has no verdict.
        """
        loaded = artifact.load(path, trust_remote_code)
        if not loaded.is_floor:
            prepare_arithmetic(loaded.model)
        return cls(loaded)

    def outputs(self, rows: Sequence[Row]) -> list[Any]:
        """Raw outputs (logits) of rows, in their order."""
        if self.artifact.is_floor:
            return list(self.model.outputs(rows)) if rows else []
        task, tokenizer = self.artifact.task, self.artifact.tokenizer
        collate = partial(task.collate, tokenizer=tokenizer)
        return outputs_of(self.model, task, self.encoded(rows), collate, self.device) if rows else []

    def lower(self, precision: str, rows: Sequence[Row] = ()) -> float:
        """Goes over to bf16 or int8 for good; returns the largest difference that makes to a logit of these rows.

        Only linear layers change, and of those not the narrow ones, such as a classifier's head.

        Raises:
            ConfigError: there is no such precision, this device does not have it, the model is lowered already, or it
                is a floor.
        """
        refuse(precision, self)
        exact = self.outputs(rows)
        if precision != "fp32":
            from .fast.products import lower

            lower(self.model, precision)
            self.precision = precision
        return largest_distance(self.artifact.task, exact, self.outputs(rows))

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
        return [task.decode(output, row) for output, row in zip(self.outputs(rows), rows, strict=True)]


def prepare_arithmetic(model: Any) -> None:
    """The same fp32 path as in training and evaluation, checked on this machine (N9)."""
    import torch

    width, depth = widths(getattr(model, "config", None) or model.encoder.config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    use_fast_fp32(width, depth, device)
    use_fast_products(model, width, depth, device)


def refuse(precision: str, predictor: Predictor) -> None:
    """Raises ConfigError where a predictor can't go over to a precision."""
    fix = ""
    if precision not in PRECISIONS:
        what, fix = f"there is no {precision!r}", f"choose one of {', '.join(PRECISIONS)}"
    elif predictor.artifact.is_floor and precision != "fp32":
        what, fix = "a floor has no layers that could be lowered", "leave it out"
    elif predictor.precision not in ("fp32", precision):
        what, fix = f"the weights are in {predictor.precision} already", "load the run again"
    elif precision == "int8" and predictor.device.type != "cpu":
        what, fix = "int8 is for predictions on a CPU", "choose bf16"
    if fix:
        raise ConfigError(what, where="precision", fix=fix)


def prove_parity(
    run: Path, trust_remote_code: bool, rows: Sequence[Row], features: Sequence[Features], outputs: Sequence[Any]
) -> None:
    """Loads what was saved and asks it again: what is served must be what was trained.

    Args:
        rows, features, outputs: some rows, what the model in memory was fed for them, and what it said.

    Raises:
        ModelError: a token id differs, or a logit by more than rounding.
    """
    where, fix = str(run / "model"), "report this with run.yaml"
    predictor = Predictor.load(run, trust_remote_code)
    for served, trained, row in zip(predictor.encoded(rows).features, features, rows, strict=True):
        if [list(window) for window in served.windows] != [list(window) for window in trained.windows]:
            raise ModelError(f"the saved tokenizer reads row {row.number} differently", where=where, fix=fix)
    gap = largest_distance(predictor.artifact.task, predictor.outputs(rows), outputs)
    if gap > PARITY:
        what = f"the saved model answers differently (largest difference of a logit: {gap:.2g})"
        raise ModelError(what, where=where, fix=fix)
