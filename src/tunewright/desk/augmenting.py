"""`data augment`: a file with new rows behind the originals, each with how and of which row it was made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import RunConfig
from ..data import conll, sources, writing
from ..data.augment.base import Aids, Augmenter, Rewriting
from ..data.columns import Roles
from ..data.desk import Encoder
from ..data.table import Table
from ..errors import ConfigError, DataError, TunewrightError
from ..intake import infer_task
from ..training.progress import Listener
from .encoder import PooledEncoder
from .making import Tally
from .reading import Opened, open_file
from .workshop import ORIGINAL, Workshop


@dataclass
class Augmented:
    """What was written.

    Args:
        wanted: new rows that the ratio asked for.
        tallies: by technique.
        notes: what a person should know before training on it.
    """

    path: Path
    num_rows: int
    num_new: int
    wanted: int
    tallies: dict[str, Tally]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        told = {kind: tally.to_json() for kind, tally in self.tallies.items()}
        return {"path": str(self.path), "num_rows": self.num_rows, "num_new": self.num_new, "wanted": self.wanted,
                "techniques": told, "notes": self.notes}  # fmt: skip


def augment(
    config: RunConfig, out: Path, techniques: Sequence[Augmenter], aids: Aids, *, ratio: float = 2.0,
    balance: bool = False, seed: int = 0, filtered: bool = True, overwrite: bool = False,
    listener: Listener | None = None, encoder: Encoder | None = None,
) -> Augmented:  # fmt: skip
    """Writes a file's rows and new ones made of them; two more columns say how, and of which row.

    Args:
        config: `data.train` is the file; `data` and `task` say how it is read.
        aids: what the techniques need.
        ratio: rows in the end, in multiples of those of the file.
        balance: more new rows for classes that have fewer.
        filtered: whether near-copies, texts of another sense and flipped labels are dropped.
        encoder: minilm where left out.

    Raises:
        TunewrightError: a file or a setting that can't be used; nothing is written then.
    """
    listener = listener or Listener()
    refuse_to_lose(Path(config.data.train), out, overwrite)
    if not 1 < ratio < float("inf"):
        raise ConfigError(f"{ratio:g} leaves no room for new rows", where="--ratio", fix="give more than 1, such as 2")
    opened = open_file(config, listener)
    refuse_unfit(opened, techniques, balance)
    task = opened.task.learn(opened.rows, opened.table.source, opened.roles, opened.names)
    opened = replace(opened, task=task)
    for note in opened.notes:
        listener.note(note)
    if opened.unusable:
        number, reason = opened.unusable[0]
        listener.note(f"rows copied but not augmented: {len(opened.unusable)}, such as row {number} ({reason})")
    columns = source_columns(opened.table, is_conll(out, opened.table))
    wanted = round((ratio - 1) * len(opened.table.rows))
    workshop = Workshop(opened, techniques, aids, seed, filtered, encoder or PooledEncoder(), listener)
    records = workshop.records(wanted, balance, columns)
    total = writing.write(out, [*opened.table.columns, *columns], records, opened.table)
    num_new = total - len(opened.table.rows)
    notes = closing_notes(opened, out, columns, num_new, wanted)
    return Augmented(out, total, num_new, wanted, workshop.tallies, notes)


def refuse_to_lose(file: Path, out: Path, overwrite: bool) -> None:
    """Raises ConfigError where writing would replace a file that nobody gave away, or one of no known form."""
    if out.exists() and file.exists() and out.samefile(file):
        raise ConfigError("is the file that is read", where=f"--out {out}", fix="name a new file")
    if out.is_dir() or (out.exists() and not overwrite):
        raise ConfigError("is there already", where=f"--out {out}", fix="name a new file, or say --overwrite")
    if sources.format_of(out) is None and not sources.is_plain_text(out):
        raise sources.unknown_format(out)


def refuse_unfit(opened: Opened, techniques: Sequence[Augmenter], balance: bool) -> None:
    """Raises ConfigError where something needs rows of one label each, and these have none or several."""
    if opened.classified:
        return
    kind = opened.task.kind
    if balance:
        what = f"evens out classes, and rows of this {kind} have no one class each"
        raise ConfigError(what, where="--balance", fix="leave it out")
    for item in techniques:
        if isinstance(item, Rewriting) and item.labelled:
            what = f"writes new texts of a label, and rows of this {kind} have no one label each"
            raise ConfigError(what, where=f"--technique {item.kind}", fix="take paraphrase")


def is_conll(out: Path, table: Table) -> bool:
    """Whether a file is written as CoNLL; see data/writing.py."""
    suffix, told = sources.format_of(out), next(iter(table.notes), "")
    return suffix in conll.SUFFIXES or (suffix in (".tsv", None) and told.startswith("read as CoNLL"))


def is_squad(out: Path, table: Table) -> bool:
    """Whether a file is written as SQuAD, which keeps further columns where nobody reads them again."""
    return sources.format_of(out) == ".json" and next(iter(table.notes), "").startswith("read as SQuAD")


def source_columns(table: Table, tokens: bool) -> tuple[str, str]:
    """Names for the two new columns; others where the file has one called `source`, as files of translations do.

    Args:
        tokens: whether cells are of tokens: CoNLL's columns are numbered.

    Raises:
        DataError: the file is an augmented one: a row made of a made row is twice as far from the truth.
    """
    for how, which in (("source", "source_row"), ("augmentation", "augmentation_row")):
        if {how, which} <= set(table.columns) and any(row[how] == ORIGINAL for row in table.rows[:100]):
            fix = "augment the file that it was made of, with all techniques at once"
            raise DataError(f"is augmented already (column {how!r})", where=table.source, fix=fix)
    if tokens:
        used = [int(name[7:]) for name in table.columns if re.fullmatch(r"column_\d+", name)]
        return f"column_{max(used, default=1) + 1}", f"column_{max(used, default=1) + 2}"
    taken = {"source", "source_row"} & set(table.columns)
    return ("augmentation", "augmentation_row") if taken else ("source", "source_row")


def closing_notes(opened: Opened, out: Path, columns: tuple[str, str], num_new: int, wanted: int) -> list[str]:
    """What a person should know before training on the new file."""
    notes = []
    if num_new < wanted:
        notes.append(f"{num_new:,} of {wanted:,} new rows were made: the rest found nothing to change or was dropped")
    tokens, squad = is_conll(out, opened.table), is_squad(out, opened.table)
    together = "rows made of one row must stay in one split: split before augmenting, or train "
    if tokens or squad:
        together = together.replace("or train", "or write .jsonl and train")
    together += f"with data.split.kind=grouped data.split.column={'source_row' if tokens else columns[1]}"
    if squad:
        together += "; from SQuAD's form, training keeps the questions of one title together"
    notes.append(together)
    return notes + otherwise_read(opened, columns)


def otherwise_read(opened: Opened, columns: tuple[str, str]) -> list[str]:
    """What to say in training where the new columns would be taken for the text or the label."""
    table, task, roles = opened.table, opened.task, opened.roles
    names = [*table.columns, *columns]
    seen = [
        {**row, columns[0]: "new" if place % 2 else ORIGINAL, columns[1]: place // 2}
        for place, row in enumerate(table.rows[:2000])
    ]
    new = Table(table.source, names, seen, list(table.numbers[: len(seen)]), "")
    try:
        found = infer_task(new)
        same = found.kind == task.kind and same_columns(found.roles(new, None, None, roles.delimiter), roles)
    except TunewrightError:
        same = False
    if same:
        return []
    flags = [f"--task {task.kind}", *(f"--text {name}" for name in roles.text), *(f"--label {n}" for n in roles.label)]
    return [f"say what the columns are when you train on it: {' '.join(flags)}"]


def same_columns(one: Roles, other: Roles) -> bool:
    return (one.text, one.label) == (other.text, other.label)
