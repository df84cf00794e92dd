"""`data split`: one file becomes several, in its own form, and a manifest that says which rows went where and why."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..config import RunConfig
from ..data import sources, writing
from ..data.splits.base import Subject, subset
from ..data.table import Table
from ..errors import ConfigError, DataError, RunDirectoryError
from ..files import read_json, sha256, write_json
from ..intake import amount, how_drawn, places_in, subject_of
from ..resolve import now
from ..tasks.base import Row
from ..training.progress import Listener
from .reading import Opened, open_file

MANIFEST = "manifest.json"


def split_file(
    config: RunConfig, out: Path, *, folds: int | None = None, repeats: int = 1, overwrite: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Writes the parts of a file, or the training and test rows of each fold, to a new folder: whole or not at all.

    Args:
        config: of a run; `data` and `task` are read: file, columns, shares, seed, `split`, `limit`, `on_bad_row`.
        folds: so many instead of parts, each in a folder fold-1, fold-2, ...
        repeats: of all folds, each drawn by the next seed (fold-1-2: the first fold of the second time).
        overwrite: replace the split that is in the folder.

    Returns:
        The content of manifest.json.

    Raises:
        TunewrightError: the file, the settings or the folder can't be used.
    """
    listener, data = listener or Listener(), config.data
    refuse_folder(out, overwrite)
    if repeats > 1 and data.split.column_holds == "times":
        raise ConfigError("time is not drawn, so it can't be drawn again", where="repeats", fix="leave it out")
    opened = open_file(config, listener)
    if opened.unusable and data.on_bad_row == "error":
        number, reason = opened.unusable[0]
        fix = "fill it, or leave such rows out (--drop-bad-rows, data.on_bad_row=drop)"
        raise DataError(reason, where=f"{opened.table.source}, row {number}", fix=fix)
    rows = opened.rows
    if data.limit is not None and data.limit < len(rows):
        rows = [rows[place] for place in subset(len(rows), data.limit, data.split_seed)]
    subject = subject_of(data.split, opened.task, rows, opened.table)
    parts = parts_of(config, subject, folds, repeats)
    manifest = described(config, opened, subject)
    manifest |= {"folds": folds, "repeats": repeats} if folds else {"shares": shares_of(config)}
    for note in [*opened.notes, *(f"left out: {count} x {reason}" for reason, count in manifest["left_out"].items())]:
        listener.note(note)
    with fresh_folder(out, overwrite) as folder:
        manifest["parts"] = write_parts(folder, opened.table, rows, subject, parts, listener)
        write_json(folder / MANIFEST, manifest)
    return manifest


def described(config: RunConfig, opened: Opened, subject: Subject) -> dict[str, Any]:
    """What the manifest says of the file, its columns and the drawing."""
    data, table, roles = config.data, opened.table, opened.roles
    return {
        "source": table.source,
        "sha256": table.sha256,
        "task": opened.task.kind,
        "text": list(roles.text),
        "label": list(roles.label),
        "label_delimiter": roles.delimiter,
        "header": True if has_header(table) else None,
        "split": data.split.model_dump(),
        "seed": data.split_seed,
        "how": how_drawn(data.split, subject, data.split_seed),
        "rows": len(subject),
        "left_out": dict(Counter(reason for _, reason in opened.unusable)),
        "notes": opened.notes,
        "created": now(),
    }


def shares_of(config: RunConfig) -> dict[str, float]:
    shares = {"validation": config.data.validation_share, "test": config.data.test_share}
    if not 0 < sum(shares.values()) < 1:
        fix = "choose shares above 0 and together below 1 (--validation, --test)"
        what = f"{shares['validation']:g} and {shares['test']:g} leave nothing to part"
        raise ConfigError(what, where="data.validation_share + data.test_share", fix=fix)
    return {name: share for name, share in shares.items() if share}


def parts_of(config: RunConfig, subject: Subject, folds: int | None, repeats: int) -> dict[str, list[int]]:
    """Places of rows by the name of their file, without suffix."""
    splitter, seed = config.data.split, config.data.split_seed
    if folds is None:
        parts = splitter.split(subject, shares_of(config), seed)
        for name, places in parts.items():
            if not places:
                what = f"{amount(subject)} are too few for a part {name!r}"
                raise ConfigError(what, where=config.data.train, fix="give more rows, or another share")
        return parts
    if folds < 2:
        raise ConfigError(f"{folds} folds", where="folds", fix="take two or more")
    found: dict[str, list[int]] = {}
    for again in range(repeats):
        for number, (train, held_out) in enumerate(splitter.folds(subject, folds, seed + again), 1):
            name = f"fold-{number}" if repeats == 1 else f"fold-{number}-{again + 1}"
            found |= {f"{name}/train": train, f"{name}/test": held_out}
    return found


def write_parts(
    folder: Path, table: Table, rows: Sequence[Row], subject: Subject, parts: dict[str, list[int]], listener: Listener
) -> dict[str, Any]:
    """What the manifest says of each part: its file, rows and labels, and how far those are from its share of them."""
    at = places_in(table, [row.number for row in rows])
    everywhere = Counter(name for names in subject.labels for name in names)
    described = {}
    for done, (name, places) in enumerate(parts.items()):
        listener.progress("writing parts", done, len(parts))
        path = folder / f"{name}{suffix_of(table.source)}"
        writing.write(path, table.columns, (table.rows[at[place]] for place in places), table)
        labels = Counter(label for place in places for label in subject.labels[place])
        share = len(places) / len(subject)
        described[name] = {
            "file": str(path.relative_to(folder)),
            "rows": len(places),
            "share": share,
            "labels": {str(label): labels[label] for label in sorted(everywhere, key=str)},
            "largest_deviation": max((abs(labels[name] - share * n) for name, n in everywhere.items()), default=0.0),
            "sha256": sha256(path),
        }
    return described


def has_header(table: Table) -> bool:
    """Whether what is written starts with the columns' names."""
    conll = any(note.startswith("read as CoNLL") for note in table.notes)
    return suffix_of(table.source).startswith((".csv", ".tsv")) and not conll


def suffix_of(source: str) -> str:
    """The form of the input, gzipped as it was; jsonl where it is no file."""
    path = Path(source)
    zipped = ".gz" if path.name.lower().endswith(".gz") else ""
    if sources.is_plain_text(path):
        return f".txt{zipped}"
    form = sources.format_of(path) if path.is_file() else None
    return f"{form}{zipped}" if form else ".jsonl"


def refuse_folder(out: Path, overwrite: bool) -> None:
    """Raises RunDirectoryError where the folder holds something; with `overwrite`, where that is more than a split."""
    if not os.path.lexists(out):
        return
    if not out.is_dir() or out.is_symlink():
        raise RunDirectoryError("is no folder", where=str(out), fix="choose another --out")
    there = {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir()}
    if not there:
        return
    if not overwrite:
        raise RunDirectoryError("is not empty", where=str(out), fix="choose another --out, or say --overwrite")
    try:
        parts = read_json(out / MANIFEST)["parts"]
        ours = {MANIFEST, *(part["file"] for part in parts.values())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ours = set()
    if there - ours:
        what = f"holds {min(there - ours)!r}, which is no part of a split"
        raise RunDirectoryError(what, where=str(out), fix="choose another --out")


@contextmanager
def fresh_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """A hidden folder beside `out`, which takes its place when the block ends well, and is gone when it does not."""
    beside = out.parent / f".split.{os.getpid()}.tmp"  # without the name, which may fill its 255 bytes
    old = out.parent / f".split.{os.getpid()}.old"
    try:
        beside.mkdir(parents=True)
        yield beside
        refuse_folder(out, overwrite)
        if out.exists():
            os.replace(out, old)
        try:
            os.replace(beside, out)
        except OSError:
            if old.exists():
                os.replace(old, out)
            raise
    except OSError as error:
        fix = "choose a writable place with --out"
        raise RunDirectoryError(f"cannot be used: {error.strerror}", where=str(out), fix=fix) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
