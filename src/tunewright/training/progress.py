"""What a person sees while a run goes on: a bar in a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from .callbacks import Callback, Log
from .state import State

BETWEEN_LINES = 5.0  # seconds, where the output is no terminal


class Listener(Callback):
    """Hears of everything worth telling; says nothing."""

    def note(self, text: str) -> None:
        """Something was decided or noticed."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Work outside the loop went on."""

    def close(self) -> None:
        """No more will come."""


class PlainListener(Listener):
    """A line now and then."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        self.say(text)

    def progress(self, what: str, done: int, total: int) -> None:
        if self.is_time():
            self.say(f"{what}: {done}/{total}")

    def is_time(self) -> bool:
        now = time.monotonic()
        if now - self.last < BETWEEN_LINES:
            return False
        self.last = now
        return True

    def on_step(self, state: State, log: Log) -> None:
        if self.is_time():
            self.say(f"step {state.step}/{state.total_steps}  epoch {state.epoch:.2f}  {figures(log)}")

    def on_evaluate(self, state: State, log: Log) -> bool:
        self.say(
            f"step {log['step']}/{state.total_steps}  epoch {state.epoch:.2f}  validation: {brief(log['validation'])}"
        )
        return False


class BarListener(Listener):
    """A rich progress bar, with notes above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(stderr=True, highlight=False)
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            expand=True,
        )
        self.tasks: dict[str, Any] = {}
        self.bar.start()

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)

    def progress(self, what: str, done: int, total: int) -> None:
        task = self.tasks.get(what)
        if task is None or self.bar.tasks[task].finished:
            task = self.tasks[what] = self.bar.add_task(what, total=total, figures="")
        self.bar.update(task, completed=done, total=total, visible=done < total)

    def on_start(self, state: State) -> None:
        if "training" in self.tasks:  # of the run before this one
            self.bar.remove_task(self.tasks["training"])
        self.tasks["training"] = self.bar.add_task(
            "training", total=state.total_steps, completed=state.step, figures=""
        )

    def on_step(self, state: State, log: Log) -> None:
        self.bar.update(self.tasks["training"], completed=state.step, figures=figures(log))

    def on_evaluate(self, state: State, log: Log) -> bool:
        self.note(f"  epoch {log['epoch']:.2f}: {brief(log['validation'])}")
        return False

    def on_checkpoint(self, state: State, path: Path) -> None:
        if state.stopped == "interrupted":
            self.note(f"checkpoint: {path}")

    def close(self) -> None:
        self.bar.stop()


def listener() -> Listener:
    return BarListener() if sys.stderr.isatty() else PlainListener()


def figures(log: Log) -> str:
    rate = log["learning_rate"]
    rate = rate if isinstance(rate, float) else max(rate.values())
    speed = f"{log['rows_per_second']:.0f} rows/s  {log['tokens_per_second']:.0f} tokens/s"
    return f"loss {log['loss']:.3f}  lr {rate:.1e}  {speed}"


def brief(scores: dict[str, Any]) -> str:
    """The scores a person looks at first."""
    wanted = ("loss", "f1", "exact_match", "accuracy", "f1_macro", "f1_micro")
    return "  ".join(f"{name} {scores[name]:.4f}" for name in wanted if isinstance(scores.get(name), float))
