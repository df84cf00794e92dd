"""The report of a comparison: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from pathlib import Path

from ..files import write_text
from . import comparison_answers, comparison_charts, comparison_sections, html, page
from .comparison_files import Comparison, read
from .markup import Markup, clean, element
from .outcome import tile
from .words import NOTHING, date, plural, score_value, task_name

_SECTIONS = (
    comparison_sections.table,
    comparison_charts.costs,
    comparison_charts.curves,
    comparison_answers.disagreements,
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
    top = [_headline(comparison), _tiles(comparison), _advice(comparison), html.contents(sections)]
    return html.document(f"{_source(comparison)}: comparison", [*top, *sections, _footer(comparison)])


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
    return element(
        "header",
        element("p", "Tunewright comparison", class_="about"),
        element("h1", comparison.title, dir="auto"),
        element("p", comparison.sentence, class_="lead"),
        element("p", " · ".join(part for part in parts if part), class_="about"),
    )


def _tiles(comparison: Comparison) -> Markup:
    """The figures of the winner; nothing without one."""
    winner = next((item for item in comparison.contestants if item.name == comparison.verdict.get("winner")), None)
    if winner is None:
        return Markup("")
    metric, (low, high) = comparison.metric, winner.interval
    ends = f"{score_value(metric, low)} to {score_value(metric, high)}" if high > low else ""
    main = tile(comparison.metric_name, score_value(metric, winner.score.get("value")), ends, main=True)
    others = [
        tile(name.partition(",")[0].replace("ms ", "milliseconds ").capitalize(), told.partition(" / ")[0], "")
        for name, said in comparison_sections.COSTS.items()
        if (told := said(winner)) != NOTHING
    ]
    return element("dl", main, *others, class_="tiles", aria_label=f"Key figures of {winner.name}")


def _advice(comparison: Comparison) -> Markup:
    """What to do with it, and how."""
    items = element("ul", *(element("li", said) for said in comparison.advice), class_="plain")
    told = element("p", f"{comparison.verdict.get('winner')} is a run like any other:", class_="note")
    use = (told, page.code(comparison.use)) if comparison.verdict else ()
    if not comparison.advice and not use:
        return Markup("")
    return element("div", page.card("What to do now", items if comparison.advice else None, *use), class_="advice")


def _footer(comparison: Comparison) -> Markup:
    version = (comparison.record.get("versions") or {}).get("tunewright")
    made = f"Made by Tunewright {clean(version)}" if version else "Made by Tunewright"
    return element("footer", f"{made} from the files of {comparison.where}. Each run has a report of its own.")
