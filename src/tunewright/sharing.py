"""What several runs of one process have in common is computed once: rows, tokens, what was found in the data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .config import RunConfig
from .desk.checking import CHECKS, FINDINGS, SUSPECTS
from .files import digest
from .intake import Intake
from .models import Source

UNREAD = {"max_length", "check_seconds", "allow"}  # fields of `data` that change no row


class Shared:
    """Results by what they depend on. None of them may be changed by a run."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}

    def once(self, what: str, depends: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, or gave when it was asked with equal (JSON) `depends`."""
        key = f"{what} {digest(depends)}"
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def rows(self, config: RunConfig, take_in: Callable[[RunConfig], Intake]) -> Intake:
        """The splits; with notes of its own, to which each run adds."""
        data = config.data.model_dump(mode="json", exclude=UNREAD)
        task = config.task and config.task.model_dump(mode="json")
        found: Intake = self.once("rows", [data, task], lambda: take_in(config))
        return replace(found, notes=list(found.notes))

    def findings(self, config: RunConfig, run: Path, intake: Intake, source: Source) -> bool:
        """Copies what the data checks of an earlier run found to this one; False where there was none."""
        parts = [(name, split.source, split.content) for name, split in intake.splits.items()]
        data = [config.data.max_length, config.data.split_seed, config.data.check_seconds]
        first: Path = self.once("findings", [parts, data, source.tokenizer_fingerprint], lambda: run)
        if first == run or not (first / CHECKS).is_file():
            return False
        for name in (CHECKS, FINDINGS, SUSPECTS):
            if (first / name).is_file():
                shutil.copyfile(first / name, run / name)
        return True
