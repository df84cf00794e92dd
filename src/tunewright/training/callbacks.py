"""Callbacks: read the state, may ask to stop. The events are the documented loop."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import ConfigError, suggest
from ..files import finite, write_text
from ..tasks.base import Metric
from .state import State, best_evaluation

Log = dict[str, Any]


class Callback:
    """What can happen, in order. `log` is a line of history.jsonl."""

    def on_start(self, state: State) -> None:
        """Before the first step (or the first after a resume)."""

    def on_step(self, state: State, log: Log) -> None:
        """After an optimizer step."""

    def on_evaluate(self, state: State, log: Log) -> bool:
        """After an evaluation; True asks the run to stop early."""
        return False

    def on_checkpoint(self, state: State, path: Path) -> None:
        """After a checkpoint is on the disk."""

    def on_end(self, state: State) -> None:
        """After the last step, however the run ended."""


class EarlyStopping(Callback):
    """Stops when the last `patience` evaluations brought no improvement over `min_delta`.

    Nothing is counted: the answer follows from the evaluations in the state, so a resumed run decides alike.
    """

    def __init__(self, metric: Metric, patience: int, min_delta: float) -> None:
        self.metric, self.patience, self.min_delta = metric, patience, min_delta

    def on_evaluate(self, state: State, log: Log) -> bool:
        known = state.evaluations[-1]["validation"]
        if self.metric.name not in known:
            fix = suggest(self.metric.name, known)
            raise ConfigError(
                f"there is no score {self.metric.name!r}", where="training.early_stopping.metric", fix=fix
            )
        best = best_evaluation(state.evaluations, self.metric, self.min_delta)
        since = len(state.evaluations) if best is None else len(state.evaluations) - 1 - state.evaluations.index(best)
        return since >= self.patience


OVERFITS = "validation loss rises while training loss falls"


class OverfittingWarning(Callback):
    """Says so when validation loss rises while training loss falls, over three evaluations."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.means: list[float] = []

    def on_step(self, state: State, log: Log) -> None:
        self.losses.append(log["loss"])

    def on_evaluate(self, state: State, log: Log) -> bool:
        if self.losses:
            self.means.append(sum(self.losses) / len(self.losses))
            self.losses = []
        held_out = [item["validation"].get("loss") for item in state.evaluations[-3:]]
        if len(held_out) == 3 and len(self.means) >= 3 and None not in held_out:
            rising = held_out[0] < held_out[1] < held_out[2]
            if rising and self.means[-3] > self.means[-2] > self.means[-1]:
                self.tell(state, state.evaluations[-3]["step"])
        return False

    def tell(self, state: State, since: int) -> None:
        """Once a run: it goes on for as long as the losses do."""
        if not any(text.startswith(OVERFITS) for text in state.warnings):
            state.warn(f"{OVERFITS} since step {since}: the model overfits")


class History(Callback):
    """Writes history.jsonl: a line per log step and evaluation. A resume first drops the lines after its step."""

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every

    def on_start(self, state: State) -> None:
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.exists() else []
        kept = [line for line in lines if step_of(line) <= state.step]
        kept = [line for line in kept if "validation" not in line or step_of(line) <= (state.evaluated_step or 0)]
        write_text(self.path, "".join(line + "\n" for line in kept))

    def on_step(self, state: State, log: Log) -> None:
        if state.step % self.every == 0 or state.step == 1 or state.finished:
            self.write(log)

    def on_evaluate(self, state: State, log: Log) -> bool:
        self.write(log)
        return False

    def write(self, log: Log) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(finite(log)) + os.linesep)


def step_of(line: str) -> float:
    """The step of a history line; a torn one, cut off by a kill, counts as never."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
