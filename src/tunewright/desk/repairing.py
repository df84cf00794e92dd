"""Repairing a data file: corrections by a person, repairs by rule, into a new file; the original stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..config import RunConfig
from ..data import sources, writing
from ..data.repairs import read_corrections, repair
from ..data.table import Fault
from ..errors import ConfigError
from ..intake import understand
from ..training.progress import Listener


def repair_first(
    config: RunConfig, corrections: Path | None, repairs: Sequence[str], repaired: Path | None, listener: Listener
) -> RunConfig:
    """Writes the repaired training file, and gives the configuration that reads it.

    Args:
        corrections: suspects.csv with its column `correction` filled in.
        repairs: of data.repairs.FIXES.
        repaired: the new file.

    Raises:
        ConfigError: nowhere to write, or onto a file that is there.
        DataError: a correction that does not fit the file.
    """
    if repaired is None or not (corrections or repairs):
        what = "nothing to repair" if repaired else "nowhere to write the repaired data"
        raise ConfigError(what, where="--write, --apply, --fix", fix="give --write NEW with --apply FILE or --fix NAME")
    if repaired.exists():
        raise ConfigError("is there already", where=f"--write {repaired}", fix="name a new file")
    data, faults = config.data, list[Fault]()
    table = sources.read(data.train, data.header, faults=faults)
    task, roles, names, _ = understand(config, table)
    known = read_corrections(corrections) if corrections else None
    made = repair(table, roles, task.kind, repairs, known, names)
    count = writing.write(repaired, table.columns, made.records, table)
    for note in made.notes:
        listener.note(note)
    changes = ", ".join(f"{number:,} {what}" for what, number in made.changed.items() if number) or "nothing to change"
    stepped_over = f"; {len(faults):,} faults of reading stepped over" if faults else ""
    listener.note(f"{repaired}: {count:,} of {len(table.rows):,} rows; {changes}{stepped_over}")
    # What had no header has one now; the columns keep the names that they were given in reading.
    changes_of_data = {"train": str(repaired), "header": None if data.header is None else True, "text": roles.text}
    if roles.label:
        changes_of_data |= {"label": roles.label, "label_delimiter": roles.delimiter}
    return config.model_copy(update={"data": data.model_copy(update=changes_of_data)})
