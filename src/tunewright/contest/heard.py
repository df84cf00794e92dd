"""What is passed on of a run within a comparison: its notes once, its progress always."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..sharing import Shared
from ..training.callbacks import Log
from ..training.progress import Listener
from ..training.state import State


class Heard(Listener):
    """Passes on what a run tells; what an earlier one told in the same words is not said again.

    Args:
        saved: called after every checkpoint.

    Attributes:
        cached: what the run did not have to compute, because it was known: features, hidden states.
        total_steps: of the run, once it began.
    """

    def __init__(self, listener: Listener, shared: Shared, saved: Callable[[], None]) -> None:
        self.listener, self.shared, self.saved = listener, shared, saved
        self.cached: list[str] = []
        self.total_steps: int | None = None

    def note(self, text: str) -> None:
        if text.endswith("cached") and ":" in text:
            self.cached.append(text.partition(":")[0])
        self.shared.once("note", text, lambda: self.listener.note(text))

    def progress(self, what: str, done: int, total: int) -> None:
        self.listener.progress(what, done, total)

    def on_start(self, state: State) -> None:
        self.total_steps = state.total_steps
        self.listener.on_start(state)

    def on_step(self, state: State, log: Log) -> None:
        self.listener.on_step(state, log)

    def on_evaluate(self, state: State, log: Log) -> bool:
        return self.listener.on_evaluate(state, log)

    def on_checkpoint(self, state: State, path: Path) -> None:
        self.saved()
        self.listener.on_checkpoint(state, path)

    def on_end(self, state: State) -> None:
        self.listener.on_end(state)
