"""What the checks of the data found: rules with their first rows, what was not asked, and what they measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import check_charts, page
from .files import Record
from .markup import Markup, element
from .words import count, plural

RANKS = {"severe": "Severe", "warning": "Warnings", "note": "Notes"}
ROWS_SHOWN = 3


def checks(found: Record) -> Markup:
    """The section of a run's report; nothing where nobody looked. found: checks.json."""
    if not found.get("checks"):
        return Markup("")
    asked = [check for check in found["checks"] if check["status"] == "done"]
    counts = {rank: sum(rule["count"] for rule in rules_of(found, rank)) for rank in RANKS}
    said = ", ".join(f"{count(number)} {RANKS[rank].lower()}" for rank, number in counts.items() if number)
    lead = f"{plural(len(asked), 'check')} of the data: {said or 'nothing found'}."
    return page.section("checks", "Data checks", lead, *tables(found), not_asked(found), *measured(found))


def rules_of(found: Record, rank: str) -> list[Record]:
    return [rule for rule in found.get("rules") or [] if rule["severity"] == rank]


def tables(found: Record) -> list[Markup]:
    """A table for each severity; notes are folded away."""
    shown = []
    for rank, title in RANKS.items():
        rules = rules_of(found, rank)
        if rules:
            sheet = page.table(title, ["rule", "what was found, and what to do", "found"], map(rule_row, rules), text=2)
            shown.append(page.card(title, sheet) if rank != "note" else page.card(None, page.details(title, sheet)))
    return shown


def rule_row(rule: Record) -> list[object]:
    """A rule with its first findings."""
    said = [f"{place(item)}{item['message']}" for item in rule["shown"][:ROWS_SHOWN]]
    rest = rule["count"] - len(said)
    said += [f"and {count(rest)} more"] if rest > 0 else []
    lines = [element("div", text) for text in said]
    remedy = element("div", rule["shown"][0]["remedy"], class_="small")
    return [page.breakable(rule["rule"]), element("div", *lines, remedy), count(rule["count"])]


def place(item: Record) -> str:
    return f"{item['split']}, row {item['row']}: " if item.get("row") is not None else f"{item['split']}: "


def not_asked(found: Record) -> Markup:
    """Checks that were skipped or stopped, each with its reason."""
    said = [
        f"{check['title']}: {check['status']}: {check['reason']}" for check in found["checks"] if check.get("reason")
    ]
    if not said:
        return Markup("")
    entries = element("ul", *(element("li", text) for text in said), class_="plain")
    return page.card(None, page.details(f"{plural(len(said), 'check')} not finished", entries))


def measured(found: Record) -> list[Markup]:
    """Charts of what checks measured, two in a row; below them the likely wrong labels."""
    facts: dict[str, Any] = found.get("facts") or {}
    cards = [card for kind, draw in DRAWN.items() if facts.get(kind) and (card := draw(facts[kind]))]
    return [page.grid(*cards), check_charts.suspects(facts.get("label_noise") or {})]


DRAWN: dict[str, Callable[[Record], Markup]] = {
    "labels": check_charts.labels,
    "length": check_charts.lengths,
    "enough_data": check_charts.learning_curve,
    "shift": check_charts.shift,
}
