"""`data check`: repairs first where they are asked for, then every check, then the report."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from .config import RunConfig
from .data.desk import SAMPLE
from .desk.checking import SUSPECTS, Checked, known_rules, run_checks
from .desk.opening import open_files
from .desk.repairing import repair_first
from .errors import ConfigError
from .report.checks import write_check
from .training.progress import Listener


def check(
    config: RunConfig, out: Path | None = None, *, only: Sequence[str] = (), sample_size: int = SAMPLE,
    seconds: float | None = None, allow: Sequence[str] = (), overwrite: bool = False, corrections: Path | None = None,
    repairs: Sequence[str] = (), repaired: Path | None = None, production: str | None = None,
    listener: Listener | None = None,
) -> tuple[Path, Checked]:  # fmt: skip
    """Checks the files of a configuration.

    Args:
        config: as for a run; `data`, `task` and `model` (for its tokenizer) are read.
        out: the report's folder; checks/<data> when left out.
        only: kinds of checks; all where empty.
        sample_size: rows of each file that expensive checks look at.
        seconds: for all checks together; None: as long as it takes.
        allow: rules or checks whose severe findings do not count.
        overwrite: replace a suspects.csv that a person has worked on.
        corrections: suspects.csv with its column `correction` filled in.
        repairs: names of repairs; see data/repairs.py.
        production: a file of texts without labels, to be compared with train.
        repaired: where the repaired training file goes; it is then checked in place of the original.

    Returns:
        The folder, and what was found. Severe findings do not raise here.

    Raises:
        TunewrightError: the files or the settings can't be used.
    """
    listener = listener or Listener()
    known_rules([*only, *allow], "--only, --allow")
    if corrections or repairs or repaired:
        config = repair_first(config, corrections, repairs, repaired, listener)
    folder = out or Path("checks") / Path(config.data.train).name.split(".")[0]
    refuse_to_lose(folder / SUSPECTS, overwrite)
    desk, notes = open_files(config, listener.progress, production, sample_size=sample_size, seconds=seconds)
    for note in notes:
        listener.note(note)
    checked = run_checks(desk, folder, only, listener.note)
    write_check(folder, Path(config.data.train).name, {name: len(part.rows) for name, part in desk.parts.items()})
    return folder, checked


def refuse_to_lose(path: Path, overwrite: bool) -> None:
    """Raises ConfigError where suspects.csv holds corrections that nobody gave back yet."""
    if overwrite or not path.is_file():
        return
    with open(path, newline="", encoding="utf-8") as file:
        filled = sum(bool((row.get("correction") or "").strip()) for row in csv.DictReader(file))
    if filled:
        fix = "apply them (--apply), choose another --out, or say --overwrite"
        raise ConfigError(f"holds {filled} corrections", where=str(path), fix=fix)
