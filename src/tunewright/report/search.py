"""The report of a search: what was tried, what came of it, and whether it beat the default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import read_json, write_text
from . import charts, comparison_files, comparison_sections, page, svg
from .files import Record
from .markup import Markup
from .words import NOTHING, duration, finite, plural, score_name, score_value

WORDS = {"finished": "finished", "pruned": "stopped early", "failed": "failed"}


def write(out: Path) -> Path:
    """Writes report.html into a search's directory; gives its path."""
    write_text(out / "report.html", render(read_json(out / "search.json"), comparison_files.read(out)))
    return out / "report.html"


def render(found: Record, compared: comparison_files.Comparison) -> str:
    """The page of search.json and of the comparison that ended it."""
    sections = [drawn(found), trials(found), comparison_sections.table(compared)]
    trials_said = f"{plural(len(found['trials']), 'trial')} in {duration(found['seconds'])}"
    about = f"{trials_said} · {found['strategy']} · {', '.join(found['space'])}"
    top = page.header("search", title(found), str((found.get("verdict") or {}).get("sentence", "")), about)
    use = page.code(f'tunewright predict {compared.where} --text "..."')
    return page.document("Search", [top, use, *sections, page.footer(found["versions"], "search.json.")])


def title(found: Record) -> str:
    winner = (found.get("verdict") or {}).get("winner")
    return {"tuned": "Tuning beat the default", "default": "Keep the default"}.get(str(winner), "No verdict")


def drawn(found: Record) -> Markup:
    """Scores in the order of the trials, and by each setting whose values are numbers."""
    cards = [scatter("Trials in their order", "trial", found, list(enumerate(found["trials"])))]
    for path in paths_of(found):
        points = [(value, item) for item in found["trials"] if (value := item["settings"].get(path)) is not None]
        if all(finite(value) is not None for value, _ in points) and len({value for value, _ in points}) > 1:
            cards.append(scatter(path, path.split(".")[-1], found, points))
    lead = f"{score_name(found['metric']['name'])} on validation; the default is orange, the best large, what was "
    return page.section("trials-drawn", "What was tried", f"{lead}stopped early hollow.", page.grid(*cards))


def paths_of(found: Record) -> list[str]:
    """The settings that were tried."""
    return list(dict.fromkeys(path for item in found["trials"] for path in item["settings"]))


def scatter(name: str, label: str, found: Record, points: Sequence[tuple[Any, Record]]) -> Markup:
    """A dot for each trial that has a score, the default above all others."""
    known = [(float(x), item) for x, item in points if finite(item["value"]) is not None]
    if not known:
        return Markup("")
    across, metric = [x for x, _ in known], found["metric"]["name"]
    described = f"{score_name(metric)} of {plural(len(known), 'trial')} by {label}."
    dots = [
        charts.Dot(x, item["value"], f"{item['path']}: {score_value(metric, item['value'])}, {WORDS[item['status']]}",
                   colour=svg.BAD if item is found["trials"][0] else svg.GOOD, hollow=item["status"] != "finished",
                   large=item["path"] == found["best"])
        for x, item in known
    ]  # fmt: skip
    log = min(across) > 0 and max(across) / min(across) >= 10
    title = f"{score_name(metric)} by {label}"
    return page.chart(name, charts.scatter(f"search-{name}", title, described, dots, x_label=label, log_x=log))


def trials(found: Record) -> Markup:
    """A line for each trial, in their order."""
    paths = paths_of(found)
    head = ["trial", score_name(found["metric"]["name"]), *(path.split(".")[-1] for path in paths), "time", "ended"]
    rows = [
        [named(item, found), score_value(found["metric"]["name"], item["value"]),
         *(value_text(item["settings"].get(path)) for path in paths), duration(item["seconds"]),
         item["reason"] or WORDS[item["status"]]]
        for item in found["trials"]
    ]  # fmt: skip
    return page.section(
        "trials", "Trials", "On validation; the test rows judge only the end.", page.table("Trials", head, rows)
    )


def named(item: Record, found: Record) -> str:
    marks = {"default": item is found["trials"][0], "best": item["path"] == found["best"]}
    said = [mark for mark, holds in marks.items() if holds]
    return f"{item['path']} ({', '.join(said)})" if said else str(item["path"])


def value_text(value: Any) -> str:
    return NOTHING if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
