"""A run of which everything is decided and nothing is loaded but its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import artifact
from ..config import RunConfig
from ..errors import DataError
from ..intake import Intake, take_in
from ..launch import with_model
from ..models import Source, load_tokenizer, locate
from ..resolve import effective_task, refuse_unread, resolve
from ..tasks.base import Encoded, Task
from ..tasks.generative import Generative
from . import written
from .rows import Described, describe
from .summary import Summary, summary
from .written import WrittenRow


@dataclass(frozen=True)
class Preview:
    """A run of which everything is decided and nothing is loaded but its tokenizer.

    Args:
        refusal: why the run would not begin, where its data can be shown nevertheless (too many answers are cut).
    """

    config: RunConfig
    intake: Intake
    task: Task
    source: Source
    tokenizer: Any
    encoded: dict[str, Encoded] = field(repr=False)
    refusal: str = ""

    @property
    def max_length(self) -> int:
        return int(self.config.data.max_length)

    @cached_property
    def owned(self) -> dict[int, tuple[str, int]]:
        """(split, place in it) of every row of the training file by its number."""
        splits = self.intake.splits
        return {
            row.number: (name, place)
            for name, split in splits.items()
            if split.source == splits["train"].source
            for place, row in enumerate(split.rows)
        }

    def numbers(self, count: int) -> list[int]:
        """The first rows of the file that are trained on."""
        return sorted(row.number for row in self.intake.splits["train"].rows)[:count]

    def describe(self, number: int) -> Described | WrittenRow:
        """One row of the training file as it is fed. Raises DataError where there is none of that number."""
        if number not in self.owned:
            raise self.no_row(number)
        name, place = self.owned[number]
        row, item = self.intake.splits[name].rows[place], self.encoded[name].features[place]
        return (written.describe if isinstance(self.task, Generative) else describe)(self, name, row, item)

    def no_row(self, number: int) -> DataError:
        known, split = sorted(self.owned), self.intake.splits["train"]
        dropped = f", and {split.dropped.total()} are dropped" if split.dropped else ""
        near = min(known, key=lambda other: abs(other - number))
        fix = f"the rows are numbered {known[0]} to {known[-1]}{dropped}; the nearest is {near}"
        return DataError("there is no such row to feed", where=f"{split.source}, row {number}", fix=fix)

    def summaries(self) -> list[Summary]:
        return [summary(self, name, split) for name, split in self.intake.splits.items()]


def prepare(config: RunConfig) -> Preview:
    """Takes in data, task and tokenizer as `run.train` does, up to where the model would be loaded.

    Raises:
        TunewrightError: whatever the run would refuse, but for answers that are cut: they are there to be seen.
    """
    intake = take_in(config)
    config = with_model(config, intake.task)
    source, words = origin(config)
    task = effective_task(intake.task, config.strategy, source)
    refuse_unread(config, task, {name for name in ("validation", "test") if getattr(config.data, name)})
    tokenizer = load_tokenizer(words, task.by_words)
    intake.notes.extend(task.dress(tokenizer))
    shown = task.model_copy(update={"max_truncated": 1.0}) if isinstance(task, Generative) else task
    config, encoded = resolve(config, Path(config.out or "run"), intake, shown, source, tokenizer)
    config = config.model_copy(update={"task": task})
    return Preview(config, intake, task, source, tokenizer, encoded, refusal(intake, task, encoded))


def refusal(intake: Intake, task: Task, encoded: dict[str, Encoded]) -> str:
    """What the task has against the encoded splits."""
    try:
        for name, split in intake.splits.items():
            task.accept(encoded[name], split.source)
    except DataError as error:
        return str(error)
    return ""


def origin(config: RunConfig) -> tuple[Source, Source]:
    """Where the model's configuration is, and where its tokenizer: of a run with an adapter in two places."""
    name, trust = config.model, config.trust_remote_code
    run = artifact.meant(name)
    if not any((folder / artifact.MANIFEST).is_file() for folder in (run, run / "model")):
        source = locate(name, trust, weights=False)
        return source, source
    folder = artifact.model_folder(run)
    manifest = artifact.read_manifest(folder)
    artifact.refuse_floor(manifest, name)
    source = locate(str(folder if manifest["form"] == "full" else manifest["base"]), trust, weights=False)
    return source, replace(source, folder=folder)
