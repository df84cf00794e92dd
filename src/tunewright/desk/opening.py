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
from ..data.labels import read_names
from ..data.table import Fault
from ..embedded import ALIASES, installed
from ..errors import ModelError
from ..intake import Intake, hub_siblings, infer_task
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
    data = config.data
    names = read_names(data.label_names) if data.label_names else None
    faults: list[Fault] = []
    table = sources.read(data.train, data.header, faults=faults, progress=show)
    task = config.task or infer_task(table)
    roles = task.roles(table, data.text, data.label, data.label_delimiter)
    task = task.learn_form(table, roles, names)
    notes = [*table.notes, *([] if config.task else [f"task: {task.kind}"]), *roles.notes]
    rows, unusable = usable_rows(table, task, roles, names)
    parts = {"train": Part("train", table, rows, roles, faults, unusable)}
    for name, source in hub_siblings(data, notes).items():
        more: list[Fault] = []
        other = sources.read(source, data.header, name, faults=more, progress=show)
        own = task.match(other, roles)
        notes += own.notes
        rows, unusable = usable_rows(other, task, own, names)
        parts[name] = Part(name, other, rows, own, more, unusable)
    task = task.learn(parts["train"].rows, table.source, roles, names)
    later = unlabelled(production, data.header, task, roles, notes) if production else None
    desk = Desk(task, parts, embedded_encoder(), later, seed=data.split_seed, show=show, **options)
    return with_tokenizer(desk, config, notes), notes


def unlabelled(source: str, header: bool | None, task: Task, roles: Roles, notes: list[str]) -> Part:
    """A file of texts without labels, or whose labels are of no interest."""
    faults: list[Fault] = []
    table = sources.read(source, header, "production", faults=faults, progress=show)
    own = task.match(table, roles, labelled=False)
    notes += own.notes
    rows, unusable = usable_rows(table, task, own, None, labelled=False)
    return Part("production", table, rows, own, faults, unusable)


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
