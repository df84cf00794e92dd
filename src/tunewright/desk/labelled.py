"""The labelled file: what was filled in goes into it, and beside it stands which round brought which rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import writing
from ..data.table import shown
from ..errors import DataError, suggest
from ..files import read_json, write_json
from .labelling import ADDED, Source, fingerprint

Fresh = dict[str, tuple[str, int]]  # by fingerprint: a label, and the place of its row in the filled-in table


@dataclass(frozen=True)
class Merged:
    """What came of a file that was filled in: rows added, rows whose text had that label already, rows left empty."""

    added: int
    known: int
    empty: int
    total: int
    notes: list[str]


def merge(filled: Source, path: Path, labelled: Source | None) -> Merged:
    """Adds the rows of `filled` that have a label to the labelled file, which is replaced in one move.

    Args:
        path: of the labelled file.
        labelled: all its rows, those without a label too; None where there is no such file yet.

    A row that is there without a label gets it; one that is there with it is left alone.

    Raises:
        DataError: a text has two labels; names both rows. Nothing is written.
    """
    order = sorted(range(len(labelled.texts)), key=lambda at: labelled.labels[at] is not None) if labelled else []
    there = {fingerprint(labelled.texts[at]): at for at in order} if labelled else {}  # of twins the labelled one
    fresh = answers(filled, labelled, there)
    named = filled.named
    before = len(labelled.named.texts) if labelled else 0
    if fresh:
        rounds = read_rounds(path)
        write_merged(path, filled, labelled, fresh, there)
        write_json(rounds_path(path), [*rounds, {"how": strategy_of(filled, fresh), "texts": list(fresh)}])
    known, empty = len(named.texts) - len(fresh), len(filled.texts) - len(named.texts)
    return Merged(len(fresh), known, empty, before + len(fresh), new_labels(fresh, labelled))


def answers(filled: Source, labelled: Source | None, there: dict[str, int]) -> Fresh:
    """By fingerprint, the label of each text that had none so far. Raises DataError where a text has two."""
    fresh: Fresh = {}
    named = filled.named
    for index, text, label in zip(named.indices, named.texts, named.labels, strict=True):
        key, where = fingerprint(text), filled.table.where(index)
        other, source = None, ""
        if key in fresh:
            other, source = fresh[key][0], filled.table.where(fresh[key][1])
        elif labelled and key in there:
            other, source = labelled.labels[there[key]], labelled.table.where(labelled.indices[there[key]])
        if other not in (None, label):
            what = f"{shown(' | '.join(text))} is labelled {label!r}, but {other!r} in {source}"
            raise DataError(what, where=where, fix="decide on one and correct the other; nothing was written")
        if other is None:
            fresh[key] = (str(label), index)
    return fresh


def write_merged(path: Path, filled: Source, labelled: Source | None, fresh: Fresh, there: dict[str, int]) -> None:
    table, label = (labelled.table, labelled.label) if labelled else (None, filled.label)
    records = list(table.rows) if table else []
    kept = list(table.columns) if table else [name for name in filled.table.columns if name not in ADDED]
    for key, (answer, index) in fresh.items():
        if labelled and key in there:
            place = labelled.indices[there[key]]
            records[place] = {**records[place], label: answer}
            continue
        row = filled.table.rows[index]
        own = zip(labelled.text if labelled else (), (row[name] for name in filled.text), strict=False)
        records.append({**row, **dict(own), label: answer})
    writing.write(path, kept if label in kept else [*kept, label], records, table)


def new_labels(fresh: Fresh, labelled: Source | None) -> list[str]:
    """A note for each label that the labelled file does not know: a new class, or a slip of the pen."""
    known = {str(label) for label in labelled.named.labels} if labelled else set()
    counts = Counter(label for label, _ in fresh.values() if known and label not in known)
    return [
        f"new label {label!r} ({count} row{'s' * (count > 1)})" + f": {hint}" * hint.startswith("did")
        for label, count in counts.items()
        for hint in [suggest(label, known)]
    ]


def strategy_of(filled: Source, fresh: Fresh) -> str:
    """What most of the new rows were chosen by."""
    found = Counter(str(filled.table.rows[index].get("why") or "").partition(":")[0] for _, index in fresh.values())
    return found.most_common(1)[0][0] or "by hand"


def rounds_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.rounds.json")


def read_rounds(path: Path) -> list[dict[str, Any]]:
    """Each round's strategy and the fingerprints of its texts; none where nothing was added yet.

    Raises:
        DataError: the file beside the labelled one is not ours.
    """
    beside = rounds_path(path)
    if not beside.is_file():
        return []
    try:
        found = read_json(beside)
        assert all(isinstance(item["how"], str) and isinstance(item["texts"], list) for item in found)
    except (ValueError, TypeError, KeyError, AssertionError):
        raise DataError("is no record of rounds", where=str(beside), fix="delete it: only --history reads it") from None
    return list(found)
