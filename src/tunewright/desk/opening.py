"""Opening the desk: files read tolerantly, or the splits of a run; with an encoder and a tokenizer where there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .. import models
from ..config import RunConfig
from ..data import sources
from ..data.columns import Roles
from ..data.desk import SAMPLE, Desk, Part
from ..data.table import Fault, Table
from ..embedded import ALIASES, installed
from ..errors import ModelError
from ..intake import Intake, hub_siblings, understand
from ..tasks.base import Task
from .encoder import PooledEncoder
from .lazy import usable_rows

ENCODER = "minilm"
TOKENS_A_SECOND = 8_000  # of the embedded encoder on a slow core; bounds the sample where time is short
CHARACTERS_A_TOKEN = 4

Show = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Shows nothing."""


def open_files(
    config: RunConfig, show: Show = silent, production: str | None = None, **options: Any
) -> tuple[Desk, list[str]]:
    """The files of a configuration as they are: what strict reading would refuse becomes a fault of its part.

    Args:
        show: hears of progress.
        production: a file of texts without labels, to be compared with train.
        options: of Desk (seconds, sample_size).

    Returns:
        The desk, and notes on what was inferred.

    Raises:
        DataError: a file that is none, or whose columns serve no task.
    """
    data, seen = config.data, Reader(config.data.header, show)
    table = seen.read("train", data.train)
    task, roles, names, notes = understand(config, table)
    parts = {"train": seen.part("train", table, task, roles, names)}
    for name, source in hub_siblings(data, notes).items():
        other = seen.read(name, source)
        own = task.match(other, roles)
        notes += own.notes
        parts[name] = seen.part(name, other, task, own, names)
    task = task.learn(parts["train"].rows, table.source, roles, names)
    later = None
    if production:
        other = seen.read("production", production)
        own = task.match(other, roles, labelled=False)
        notes += own.notes
        later = seen.part("production", other, task, own, None, labelled=False)
    desk = Desk(task, parts, embedded_encoder(), later, seed=data.split_seed, show=show, **options)
    return with_tokenizer(desk, config, notes), notes


class Reader:
    """Reads files tolerantly, and remembers what was wrong with each."""

    def __init__(self, header: bool | None, show: Show) -> None:
        self.header, self.show = header, show
        self.faults: dict[str, list[Fault]] = {}

    def read(self, name: str, source: str) -> Table:
        faults = self.faults[name] = []
        return sources.read(source, self.header, name, faults=faults, progress=self.show)

    def part(self, name: str, table: Table, task: Task, roles: Roles, names: Any, labelled: bool = True) -> Part:
        rows, unusable = usable_rows(table, task, roles, names, labelled)
        return Part(name, table, rows, roles, self.faults[name], unusable)


def embedded_encoder() -> PooledEncoder | None:
    """minilm where its weights are on this machine: checks download nothing."""
    return PooledEncoder(ENCODER) if installed(ALIASES[ENCODER]) else None


def with_tokenizer(desk: Desk, config: RunConfig, notes: list[str]) -> Desk:
    """The desk with the tokenizer of the model that will be trained; without, where there is none at hand."""
    name = (desk.task.embedded or ENCODER) if config.model == "auto" else config.model
    try:
        source = models.locate(name, config.trust_remote_code, weights=False)
        tokenizer = models.load_tokenizer(source, desk.task.by_words)
    except ModelError as error:
        notes.append(f"no tokenizer of {name}, so no lengths in tokens: {error.what}")
        return desk
    notes.extend(desk.task.dress(tokenizer))
    wanted = config.data.max_length
    limit = desk.task.max_length(source) if wanted == "auto" else int(wanted)
    return replace(desk, tokenizer=tokenizer, max_length=limit)


def open_run(
    intake: Intake, task: Task, tokenizer: Any, max_length: int, seed: int, seconds: float, show: Show
) -> Desk:
    """The splits of a run, before its first step, for checks that are bounded in time."""
    parts = {
        name: Part(name, split.table, split.rows, split.roles) for name, split in intake.splits.items()
    }  # fmt: skip
    texts = [" ".join(row.text) for row in parts["train"].rows[:1000]]
    tokens = 2 + sum(map(len, texts)) / len(texts) / CHARACTERS_A_TOKEN
    sample = int(min(SAMPLE, max(seconds * TOKENS_A_SECOND / min(tokens, 256), 1)))
    return Desk(task, parts, embedded_encoder(), None, tokenizer, max_length, seed, seconds, sample, show)
