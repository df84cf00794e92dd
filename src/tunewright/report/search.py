"""The report of a search: what was tried, what came of it, and whether it beat the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import read_json, write_text
from . import comparison_files, comparison_sections, html, page, svg
from .markup import Markup, clean, element
from .words import NOTHING, duration, finite, plural, score_name, score_value

WIDTH, HEIGHT = 420, 190
WORDS = {"finished": "finished", "pruned": "stopped early", "failed": "failed"}


def write(out: Path) -> Path:
    """Writes report.html into a search's directory; gives its path."""
    write_text(out / "report.html", render(read_json(out / "search.json"), comparison_files.read(out)))
    return out / "report.html"


def render(found: dict[str, Any], compared: comparison_files.Comparison) -> str:
    """The page of search.json and of the comparison that ended it."""
    sections = [charts(found), trials(found), comparison_sections.table(compared)]
    top = element(
        "header",
        element("p", "Tunewright search", class_="about"),
        element("h1", title(found), dir="auto"),
        element("p", str((found.get("verdict") or {}).get("sentence", "")), class_="lead"),
        element("p", f"{plural(len(found['trials']), 'trial')} in {duration(found['seconds'])} · {found['strategy']} · "
                     f"{', '.join(found['space'])}", class_="about"),
    )  # fmt: skip
    use = page.code(f'tunewright predict {compared.where} --text "..."')
    footer = element("footer", f"Made by Tunewright {clean(found['versions'].get('tunewright', ''))} from search.json.")
    return html.document("Search", [top, use, *sections, footer])


def title(found: dict[str, Any]) -> str:
    winner = (found.get("verdict") or {}).get("winner")
    return {"tuned": "Tuning beat the default", "default": "Keep the default"}.get(str(winner), "No verdict")


def charts(found: dict[str, Any]) -> Markup:
    """Scores in the order of the trials, and by each setting."""
    name = score_name(found["metric"]["name"])
    cards = [
        page.chart("Trials in their order", scatter("order", "trial", name, list(enumerate(found["trials"])), found))
    ]
    for path in dict.fromkeys(path for item in found["trials"] for path in item["settings"]):
        points = [(item["settings"].get(path), item) for item in found["trials"]]
        known = [(value, item) for value, item in points if finite(value) is not None]
        if len(known) == len([value for value, _ in points if value is not None]) and len({x for x, _ in known}) > 1:
            cards.append(page.chart(path, scatter(path, path.split(".")[-1], name, known, found)))
    lead = f"{name} on validation; the default is orange, the best large, what was stopped early hollow."
    return page.section("trials-drawn", "What was tried", lead, page.grid(*cards))


def scatter(name: str, label: str, score: str, points: list[tuple[Any, Any]], found: dict[str, Any]) -> Markup:
    """A dot for each trial that has a score."""
    points = [(float(x), item) for x, item in points if finite(item["value"]) is not None]
    if not points:
        return Markup("")
    across, up = [x for x, _ in points], [item["value"] for _, item in points]
    log = min(across) > 0 and max(across) / min(across) >= 10
    room = (max(up) - min(up)) * 0.08 or 0.01
    beside = 1.0 if log else (max(across) - min(across)) * 0.04 or 0.5
    x_range = (min(across) / 1.15, max(across) * 1.15) if log else (min(across) - beside, max(across) + beside)
    frame = svg.Frame(46, 12, WIDTH - 12, 12 + HEIGHT, x_range, (min(up) - room, max(up) + room), log_x=log)
    dots = [dot(frame, x, item, found) for x, item in reversed(points)]  # the default above all others
    described = f"{score} of {plural(len(points), 'trial')} by {label}."
    drawn = [frame.axes(label, svg.tick_text, svg.tick_text), *dots]
    return svg.drawing(f"search-{name}", f"{score} by {label}", described, WIDTH, frame.bottom + 44, *drawn)


def dot(frame: svg.Frame, x: float, item: dict[str, Any], found: dict[str, Any]) -> Markup:
    default, best = item is found["trials"][0], item["path"] == found["best"]
    colour = svg.BAD if default else svg.GOOD
    said = f"{item['path']}: {score_value(found['metric']['name'], item['value'])}, {WORDS[item['status']]}"
    place = {"cx": svg.number(frame.x(x)), "cy": svg.number(frame.y(item["value"])), "r": "6.5" if best else "4.5"}
    filled = colour if item["status"] == "finished" else "none"
    return element("circle", svg.hint(said), **place, fill=filled, stroke=colour, stroke_width="1.5")


def trials(found: dict[str, Any]) -> Markup:
    """A line for each trial, in their order."""
    paths = list(dict.fromkeys(path for item in found["trials"] for path in item["settings"]))
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


def named(item: dict[str, Any], found: dict[str, Any]) -> str:
    said = [
        word
        for word, holds in (("default", item is found["trials"][0]), ("best", item["path"] == found["best"]))
        if holds
    ]
    return f"{item['path']} ({', '.join(said)})" if said else str(item["path"])


def value_text(value: Any) -> str:
    return NOTHING if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
