"""Children of a process that has imported everything: a run starts in milliseconds, may be killed, and is alone."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

MODELS = ("bert", "llama", "t5")  # whose modules transformers loads late


def warm_up() -> None:
    """Imports what runs import late; nothing that starts a thread, which a fork would lose."""
    import torch
    import transformers.conversion_mapping

    import tunewright

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(tunewright.__path__, "tunewright."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for late in ("peft", "accelerate", "datasets", "sklearn.linear_model", "scipy.optimize", "scipy.stats", "optuna",
                 "torch._dynamo", *(f"transformers.models.{name}.modeling_{name}" for name in MODELS)):  # fmt: skip
        importlib.import_module(late)
    transformers.conversion_mapping.get_checkpoint_conversion_mapping("bert")  # compiles a thousand expressions
    gc.collect()
    gc.freeze()  # else each child's first collection copies all of the above


class Child:
    """A forked process that calls a function and exits with what it returns.

    Args:
        function: called in the child; an exception there is exit code 1, and its traceback is in `log`.
        log: takes standard output and error of the child.
    """

    def __init__(self, function: Callable[[], int], log: Path) -> None:
        self.log = log
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(run(function, log))
        self.handle = os.pidfd_open(self.pid)

    def finished(self, seconds: float | None = None) -> bool:
        """Waits so long, or to the end."""
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return bool(poll.poll(None if seconds is None else 1000 * seconds))

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def code(self) -> int:
        """Its exit code; the signal's number below 0 where one ended it."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self.handle)
        return os.waitstatus_to_exitcode(status)


def run(function: Callable[[], int], log: Path) -> int:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    try:
        code = function()
    except BaseException:  # noqa: BLE001  (the child ends here, whatever it was)
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


@contextlib.contextmanager
def workplace(make_files: Callable[[Path], None]) -> Iterator[Path]:
    """A folder for a campaign, with the files that a child of the warmed-up parent makes in it."""
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        maker = Child(partial(make_files, work), work / "log")
        maker.finished()
        assert maker.code() == 0, maker.log.read_text()
        yield work
