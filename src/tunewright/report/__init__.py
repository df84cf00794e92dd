"""What a person looks at: report.html and the model card, both made from the files of a run's directory alone."""

from __future__ import annotations

from pathlib import Path

from ..files import write_text
from . import card, files, html

__all__ = ["write"]


def write(run: Path) -> Path:
    """Writes report.html and README.md into a run's directory, each whole or not at all; gives the path of the report.

    Raises RunDirectoryError where the directory holds no run."""
    found = files.read(run)
    page, description = html.whole(found), card.card(found)
    write_text(run / "README.md", description)
    write_text(run / "report.html", page)
    return run / "report.html"
