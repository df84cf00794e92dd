"""The report of a comparison: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from pathlib import Path

from ..files import write_text
from . import comparison_charts, comparison_rows, comparison_sections, page
from .comparison_files import Comparison, read
from .markup import Markup, element
from .words import NOTHING, date, plural, score_value, task_name

_SECTIONS = (
    comparison_sections.table,
    comparison_charts.costs,
    comparison_charts.curves,
    comparison_rows.section,
    comparison_sections.classes,
    comparison_sections.how,
)


def write(path: Path) -> Path:
    """Writes report.html into a comparison's directory, whole or not at all; gives its path.

    Raises RunDirectoryError where the directory holds no comparison."""
    write_text(path / "report.html", render(path))
    return path / "report.html"


def render(path: Path) -> str:
    comparison = read(path)
    sections = [section(comparison) for section in _SECTIONS]
    top = [_headline(comparison), _tiles(comparison), _advice(comparison), page.contents(sections)]
    made = f"the files of {comparison.where}. Each run has a report of its own."
    footer = page.footer(comparison.record.get("versions"), made)
    return page.document(f"{_source(comparison)}: comparison", [*top, *sections, footer])


def _source(comparison: Comparison) -> str:
    return str((comparison.record.get("data") or {}).get("train") or comparison.where).rsplit("/", 1)[-1]


def _headline(comparison: Comparison) -> Markup:
    """The verdict, be it a difference or none, and what it is about."""
    record = comparison.record
    parts = [
        task_name(comparison.task), _source(comparison), plural(len(comparison.contestants), "contestant"),
        plural(len(record.get("seeds") or []), "seed"), f"{plural(record.get('rows'), 'row')} of {record['split']}",
        record.get("created") and date(record["created"]),
    ]  # fmt: skip
    about = " · ".join(part for part in parts if part)
    return page.header("comparison", comparison.title, comparison.sentence, about)


def _tiles(comparison: Comparison) -> Markup:
    """The figures of the winner; nothing without one."""
    winner = next((item for item in comparison.contestants if item.name == comparison.verdict.get("winner")), None)
    if winner is None:
        return Markup("")
    metric, (low, high) = comparison.metric, winner.interval
    ends = f"{score_value(metric, low)} to {score_value(metric, high)}" if high > low else ""
    main = page.tile(comparison.metric_name, score_value(metric, winner.score.get("value")), ends, main=True)
    others = [
        page.tile(name.partition(",")[0].replace("ms ", "milliseconds ").capitalize(), told.partition(" / ")[0], "")
        for name, said in comparison_sections.COSTS.items()
        if (told := said(winner)) != NOTHING
    ]
    return page.tiles(f"Key figures of {winner.name}", [main, *others])


def _advice(comparison: Comparison) -> Markup:
    """What to do with it, and how."""
    parts = [page.items(comparison.advice)] if comparison.advice else []
    if comparison.verdict:
        told = page.note(f"{comparison.verdict.get('winner')} is a run like any other:")
        parts += [told or Markup(""), page.code(comparison.use)]
    return element("div", page.card("What to do now", *parts), class_="advice") if parts else Markup("")
