"""Every error that Tunewright raises on purpose.

    TunewrightError              exit 2: the user can fix it; what, where, how to fix; printed without a traceback
    ├── ConfigError              a key, a value or a combination of them
    ├── DataError                a file, a row, a column
    ├── ModelError               weights, tokenizer or architecture
    │   └── UnsafeError          it would run foreign code or leave its folder
    ├── CheckpointError          a checkpoint that can't be written, read or continued
    ├── RunDirectoryError        taken by another process, or holds a finished run
    ├── OutOfMemoryError         one row alone is too much
    └── DivergedError            loss or gradient is no longer finite
    Interrupted                  exit 130 or 143: stopped by a signal, after a checkpoint
    Paused                       never seen by people: the caller wanted the loop to stop here, after a checkpoint

Anything else that escapes is a defect of ours and exits with 1 and a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class TunewrightError(Exception):
    """What is wrong, where it is and how to fix it.

    Args:
        what: the fault, with the offending value.
        where: a path of the configuration or of a file (with row and column), or "".
        fix: the remedy as an instruction, or "".
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}; {self.fix}" if self.fix else head


class ConfigError(TunewrightError):
    """A key, a value or a combination of them that can't be meant."""


class DataError(TunewrightError):
    """A data file, row or column that can't be used as it is."""


class ModelError(TunewrightError):
    """Weights, tokenizer or architecture that can't be used."""


class UnsafeError(ModelError):
    """Loading would run code that came with the data, or would leave its folder."""


class CheckpointError(TunewrightError):
    """A checkpoint that can't be written, read or continued."""


class RunDirectoryError(TunewrightError):
    """The run directory belongs to somebody else, or holds a finished run."""


class OutOfMemoryError(TunewrightError):
    """A single row does not fit into memory; more of them are cut into smaller batches."""


class DivergedError(TunewrightError):
    """The loss or the gradient is no longer finite; no step was taken with it."""


class Interrupted(Exception):
    """Stopped by a signal, after a checkpoint was written.

    Args:
        signal_number: the signal; the process exits with 128 plus it.
        step: the step of the checkpoint, or None where there was nothing to save.
    """

    def __init__(self, signal_number: int, step: int | None = None) -> None:
        self.signal_number, self.step = signal_number, step
        super().__init__(f"stopped by signal {signal_number}")

    @property
    def exit_code(self) -> int:
        return 128 + self.signal_number


class Paused(Exception):
    """The loop stopped where its caller wanted it to, after a checkpoint.

    Args:
        state: training.state.State.
    """

    def __init__(self, state: Any) -> None:
        self.state = state
        super().__init__(f"paused after step {state.step}")


def suggest(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'lora'?`, or the known names where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(wrong.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
