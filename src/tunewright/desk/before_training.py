"""The checks at the start of a run: bounded in time, once a run, by one process for all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import RunConfig
from ..errors import DataError
from ..intake import Intake
from ..tasks.base import Task
from ..training.progress import Listener
from .checking import CHECKS, Checked, read_checked, refuse_severe, run_checks
from .opening import open_run

if TYPE_CHECKING:
    from accelerate import Accelerator


def check_first(
    config: RunConfig, run: Path, intake: Intake, task: Task, tokenizer: Any, accelerator: Accelerator, resume: bool,
    listener: Listener,
) -> Checked | None:  # fmt: skip
    """What was found in the data of a run; None where nobody looked, or on processes other than the first.

    Raises:
        DataError: something severe that `data.allow` does not name; on every process.
    """
    if not config.data.check_seconds:
        return None
    checked, fault = None, None
    if accelerator.is_main_process:
        checked = known_checks(run) if resume else None
        if checked is None:
            checked = look(config, run, intake, task, tokenizer, listener)
        try:
            refuse_severe(checked, config.data.allow, config.data.train)
        except DataError as error:
            fault = error
            (run / CHECKS).unlink(missing_ok=True)  # the next try, with --resume too, looks again
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        fault = broadcast_object_list([fault])[0]
    if fault is not None:
        raise fault
    return checked


def known_checks(run: Path) -> Checked | None:
    """What an earlier look found; None where there was none, or its file is damaged."""
    try:
        return read_checked(run)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def look(
    config: RunConfig, run: Path, intake: Intake, task: Task, tokenizer: Any, listener: Listener
) -> Checked:  # fmt: skip
    seconds, max_length = config.data.check_seconds, int(config.data.max_length)
    desk = open_run(config, intake, task, tokenizer, max_length, seconds, listener.progress)
    checked = run_checks(desk, run)
    tell(checked, listener)
    return checked


def tell(checked: Checked, listener: Listener) -> None:
    """One line for every rule that a person should act on; the rest is in the report."""
    for rule, tally in checked.tallies.items():
        if tally.severity != "note":
            first = tally.shown[0]
            more = f" ({tally.count:,} findings of {rule})" if tally.count > 1 else f" ({rule})"
            listener.note(f"data: {first.placed}{more}")
    late = [item.kind for item in checked.outcomes if item.status == "stopped"]
    if late:
        listener.note(
            f"data: no time to check {', '.join(late)}: raise data.check_seconds, or run tunewright data check"
        )
