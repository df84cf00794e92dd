"""Opening the desk: files read tolerantly, or the splits of a run; with an encoder and a tokenizer where there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from .reading import usable_rows

ENCODER = "minilm"
TOKENS_A_SECOND = 8_000  # of the embedded encoder on a slow core; bounds the sample where time is short
CHARACTERS_A_TOKEN = 4

Show = Callable[[str, int, int], None]


def open_files(config: RunConfig, show: Show, production: str | None = None, **options: Any) -> tuple[Desk, list[str]]:
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
    data, faults = config.data, list[Fault]()
    table = sources.read(data.train, data.header, "train", faults=faults, progress=show)
    task, roles, names, notes = understand(config, table)

    def other(name: str, source: str, labelled: bool) -> Part:
        faults = list[Fault]()
        table = sources.read(source, data.header, name, faults=faults, progress=show)
        own = task.match(table, roles, labelled=labelled)
        notes.extend(own.notes)
        return part_of(name, table, task, own, names if labelled else None, faults, labelled)

    parts = {"train": part_of("train", table, task, roles, names, faults)}
    parts |= {name: other(name, source, True) for name, source in hub_siblings(data, notes).items()}
    later = other("production", production, False) if production else None
    task = task.learn(parts["train"].rows, table.source, roles, names)
    desk = Desk(task, parts, embedded_encoder(), later, seed=data.split_seed, show=show,
                group_column=group_column(config), **options)  # fmt: skip
    return with_tokenizer(desk, config, notes), notes


def part_of(
    name: str, table: Table, task: Task, roles: Roles, names: Any, faults: Sequence[Fault], labelled: bool = True
) -> Part:
    rows, unusable = usable_rows(table, task, roles, names, labelled)
    return Part(name, table, rows, roles, faults, unusable)


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


def open_run(config: RunConfig, intake: Intake, task: Task, tokenizer: Any, max_length: int, seconds: float,
             show: Show) -> Desk:  # fmt: skip
    """The splits of a run, before its first step, for checks that are bounded in time."""
    parts = {name: Part(name, split.table, split.rows, split.roles) for name, split in intake.splits.items()}
    texts = [" ".join(row.text) for row in parts["train"].rows[:1000]]
    tokens = 2 + sum(map(len, texts)) / len(texts) / CHARACTERS_A_TOKEN
    sample = int(min(SAMPLE, max(seconds * TOKENS_A_SECOND / min(tokens, 256), 1)))
    return Desk(task, parts, embedded_encoder(), None, tokenizer, max_length, group_column(config),
                config.data.split_seed, seconds, sample, show)  # fmt: skip


def group_column(config: RunConfig) -> str | None:
    split = config.data.split
    return getattr(split, "column", None) if split.column_holds == "groups" else None
