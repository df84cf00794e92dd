"""The report of `tunewright data check`: one HTML file that needs no network and no other file."""

from __future__ import annotations

from pathlib import Path

from ..files import read_json, write_text
from . import html, page, privacy
from .check_sections import checks
from .files import Record
from .markup import Markup, element
from .words import plural


def write_check(folder: Path, data: str, rows: dict[str, int]) -> Path:
    """Writes report.html beside checks.json.

    Args:
        data: the file's name, for the title.
        rows: usable ones, by split.
    """
    found = privacy.scrub_values(read_json(folder / "checks.json"))
    path = folder / "report.html"
    write_text(path, render(found, data, rows))
    return path


def render(found: Record, data: str, rows: dict[str, int]) -> str:
    sizes = ", ".join(f"{plural(number, 'row')} of {name}" for name, number in rows.items())
    about = element("p", "Tunewright data check", class_="about")
    head = element("header", about, element("h1", data), element("p", sizes, class_="lead"))
    leaked = {name: len(numbers) for name, numbers in (found.get("leaked") or {}).items() if numbers}
    told = [f"{plural(number, 'row')} of {name} can be known from train" for name, number in leaked.items()]
    top: list[Markup] = [head, page.notice("Scores on these files would be too good", told)]
    return html.document(f"{data}: data check", [*top, checks(found)])
