"""Members from outside the package: the check of docs/extending.md, and one each of the data desk's other families."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs" / "extending.md"
GROUP = "tunewright.data."

MORE = """
from typing import ClassVar, Literal

import numpy as np

from tunewright.data.acquisition.base import Acquisition
from tunewright.data.augment.base import Edit, Editing
from tunewright.data.splits.base import Splitter


class Alternate(Splitter):
    kind: Literal["alternate"] = "alternate"

    def split(self, subject, shares, seed):
        parts = {"train": range(0, len(subject), 2), next(iter(shares)): range(1, len(subject), 2)}
        return {name: list(places) for name, places in parts.items()}

    def folds(self, subject, count, seed):
        raise NotImplementedError


class Shout(Editing):
    title: ClassVar[str] = "louder"
    kind: Literal["shout"] = "shout"

    def edits(self, passage, draw, aids):
        return [Edit(place, place + 1, "!") for place, sign in enumerate(passage.text) if sign == "."]


class First(Acquisition):
    asks_model: ClassVar[bool] = False
    says: ClassVar[str] = "{:.0f} rows before it"
    kind: Literal["first"] = "first"

    def choose(self, situation, count):
        places = np.arange(count)
        return places, places.astype(float)
"""
INSTALLED = (
    "data check inbox.csv --only shouting --out installed --json",
    "data split inbox.csv --kind alternate --test 0.5 --validation 0 --out parts",
    "data augment inbox.csv --out more.csv --technique shout --no-filter",
    "data label pool.csv --how first --next 3 --out chosen.csv",
)
IMPORTED = (
    "data split inbox.csv --kind by_turns --test 0.5 --validation 0 --out turns --import mine.py",
    "data check inbox.csv --only whispering --out imported --json --import mine.py",
)
RUN = """
import sys
from tunewright import cli
cli.add_verbs()
sys.exit(max(cli.run(line.split()) for line in sys.argv[1:]))
"""


def documented(language: str) -> str:
    """A block of the section on checks."""
    section = DOCS.read_text(encoding="utf-8").split("## A check\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[0]


def install(site: Path) -> None:
    """What pip makes of the section: modules beside a dist-info."""
    (site / "shouting.py").write_text(documented("python"), encoding="utf-8")
    (site / "more.py").write_text(MORE, encoding="utf-8")
    metadata = site / "shouting-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n", encoding="utf-8")
    header, *lines = documented("toml").split("\n")
    assert header == f'[project.entry-points."{GROUP}checks"]'
    points = [f"[{GROUP}checks]", *(line.replace('"', "") for line in lines)]
    points += [f"[{GROUP}{family}]\nmore = more" for family in ("splits", "augment", "acquisition")]
    (metadata / "entry_points.txt").write_text("\n".join(points), encoding="utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which all of this was called, in one fresh process: members stay in theirs for good."""
    folder, site = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("site")
    texts = [f"my parcel {place} is late." for place in range(19)] + ["WHERE IS MY PARCEL, AND WHERE ARE YOU"]
    lines = [f'"{text}",{"app" if place % 2 else "late"}' for place, text in enumerate(texts)]
    (folder / "inbox.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    (folder / "pool.csv").write_text("\n".join(["text", *texts[:9]]), encoding="utf-8")
    install(site)
    mine = (documented("python") + MORE.split("class Shout(")[0]).replace("shouting", "whispering")
    (folder / "mine.py").write_text(mine.replace("alternate", "by_turns"), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    command = [sys.executable, "-c", RUN, *IMPORTED, *INSTALLED]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def finding(folder: Path) -> tuple[str, str, int]:
    """Of the one finding there is."""
    (rule,) = json.loads((folder / "checks.json").read_text())["rules"]
    return rule["rule"], rule["severity"], rule["shown"][0]["row"]


def rows(folder: Path) -> list[int]:
    return [len((folder / f"{name}.csv").read_text().splitlines()) - 1 for name in ("train", "test")]


def test_an_installed_check_is_asked(home):
    assert finding(home / "installed") == ("shouting.capitals", "warning", 21)
    facts = json.loads((home / "installed" / "checks.json").read_text())["facts"]
    assert facts == {"shouting": {"train": {"rows": 1}}}


def test_a_check_of_an_imported_file_is_asked(home):
    assert finding(home / "imported") == ("whispering.capitals", "warning", 21)


def test_splitters_from_outside_split(home):
    assert rows(home / "parts") == rows(home / "turns") == [10, 10]


def test_a_technique_and_a_strategy_from_outside_are_taken(home):
    assert "my parcel 0 is late!" in (home / "more.csv").read_text()
    assert "first: 2 rows before it" in (home / "chosen.csv").read_text()
