"""Running the checks: every one that is for the task is asked, and what became of it is told."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..component import members
from ..data.checks.base import Check, Finding, Notebook, Tally
from ..data.desk import Desk, TimeIsUp
from ..errors import ConfigError, DataError, RunDirectoryError, suggest
from ..files import finite, read_json, write_json, write_text

FINDINGS, CHECKS, SUSPECTS = "findings.jsonl", "checks.json", "suspects.csv"
SUSPECT_COLUMNS = ("row", "split", "text", "given", "expected", "probability", "correction")


@dataclass(frozen=True)
class Outcome:
    """What became of one check. `reason`: why it was skipped or stopped."""

    kind: str
    title: str
    status: Literal["done", "skipped", "stopped"]
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Checked:
    """All that was asked and found.

    Args:
        tallies: by rule; see Notebook.
        facts: by check; see Notebook.
        leaked: by split, the numbers of rows that training knows already.
    """

    outcomes: list[Outcome]
    tallies: dict[str, Tally]
    facts: dict[str, dict[str, Any]]
    leaked: dict[str, list[int]] = field(default_factory=dict)

    def severe(self, allowed: Iterable[str] = ()) -> list[tuple[str, Tally]]:
        """Rules with severe findings that nobody allowed; a check's kind allows all its rules."""
        known = set(allowed)
        return [
            (rule, tally)
            for rule, tally in self.tallies.items()
            if tally.severity == "severe" and not {rule, rule.partition(".")[0]} & known
        ]

    def to_json(self) -> dict[str, Any]:
        """checks.json."""
        rules = [{"rule": rule, **asdict(tally)} for rule, tally in by_severity(self.tallies)]
        outcomes = [asdict(outcome) for outcome in self.outcomes]
        return {"checks": outcomes, "rules": rules, "facts": self.facts, "leaked": self.leaked}


def by_severity(tallies: dict[str, Tally]) -> list[tuple[str, Tally]]:
    """The worst first, then the most frequent."""
    order = ("severe", "warning", "note")
    return sorted(tallies.items(), key=lambda item: (order.index(item[1].severity), -item[1].count, item[0]))


def known_rules(names: Sequence[str], where: str) -> None:
    """Raises ConfigError for a name that is no check, nor a rule of one."""
    kinds = members(Check)
    for name in names:
        if name.partition(".")[0] not in kinds:
            raise ConfigError(f"there is no check {name!r}", where=where, fix=suggest(name, kinds))


def chosen(task: str, only: Sequence[str] = ()) -> list[Check]:
    """The checks for a task, the cheap ones first."""
    found = [member(kind=kind) for kind, member in members(Check).items()]
    fitting = [check for check in found if not check.tasks or task in check.tasks]
    return sorted((check for check in fitting if not only or check.kind in only), key=lambda check: check.cost)


def run_checks(
    desk: Desk, folder: Path, only: Sequence[str] = (), note: Callable[[str], None] = lambda text: None
) -> Checked:
    """Asks every check and writes findings.jsonl, checks.json and suspects.csv into a folder.

    Args:
        only: kinds of checks; all where empty.
        note: hears of every check that could not be asked or not be finished.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "choose another --out"
        raise RunDirectoryError(f"cannot be made: {error.strerror}", where=str(folder), fix=fix) from None
    outcomes = []
    beside = folder / f".{FINDINGS}.{os.getpid()}.tmp"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            notebook = Notebook(file)
            for check in chosen(desk.task.kind, only):
                outcomes.append(ask(check, desk, notebook))
                if outcomes[-1].reason:
                    note(f"check {check.kind}: {outcomes[-1].status}: {outcomes[-1].reason}")
        beside.replace(folder / FINDINGS)
    finally:
        beside.unlink(missing_ok=True)
    leaked = {
        name: sorted(desk.parts[name].rows[at].number for at in places)
        for name, places in notebook.leaked.items()
        if places
    }
    checked = Checked(outcomes, dict(notebook.tallies), notebook.facts, leaked)
    write_json(folder / CHECKS, checked.to_json())
    write_suspects(desk, folder)
    return checked


def ask(check: Check, desk: Desk, notebook: Notebook) -> Outcome:
    began = time.perf_counter()
    reason = check.cannot(desk)
    if reason:
        return Outcome(check.kind, check.title, "skipped", 0.0, reason)
    try:
        desk.progress(check.kind, 0, 1)
        check.run(desk, notebook)
    except TimeIsUp:
        reason = f"the {desk.seconds:g} s for all checks were over; `tunewright data check` takes its time"
        return Outcome(check.kind, check.title, "stopped", time.perf_counter() - began, reason)
    return Outcome(check.kind, check.title, "done", time.perf_counter() - began)


def read_checked(folder: Path) -> Checked:
    """What run_checks left in a folder."""
    raw = read_json(folder / CHECKS)
    tallies = {
        item["rule"]: Tally(item["count"], item["severity"], [Finding(**found) for found in item["shown"]])
        for item in raw["rules"]
    }  # fmt: skip
    return Checked([Outcome(**item) for item in raw["checks"]], tallies, raw["facts"], raw["leaked"])


def read_findings(folder: Path) -> Iterable[Finding]:
    """The findings that run_checks wrote."""
    with open(folder / FINDINGS, encoding="utf-8") as file:
        for line in file:
            yield Finding(**json.loads(line))


def write_suspects(desk: Desk, folder: Path) -> None:
    """suspects.csv: likely wrong labels of train, the likeliest first, with an empty column for the right one."""
    found = [item for item in read_findings(folder) if item.rule == "label_noise.suspect"]
    if not found:
        (folder / SUSPECTS).unlink(missing_ok=True)  # of an earlier look, perhaps at another file
        return
    wanted = {item.row for item in found}
    texts = {row.number: " | ".join(row.text) for row in desk.train.rows if row.number in wanted}
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(SUSPECT_COLUMNS)
    for item in sorted(found, key=lambda item: item.details["rank"]):
        details, text = item.details, texts.pop(item.row or 0, None)
        if text is not None:  # a row of several labels may have several suspects; it is corrected as a whole
            said = [joined(details["given"]), joined(details["expected"]), f"{details['probability']:.3f}", ""]
            writer.writerow([item.row, item.split, text, *said])
    write_text(folder / SUSPECTS, buffer.getvalue())


def joined(label: Any) -> str:
    """A label, or several as the file of corrections joins them."""
    return "|".join(label) if isinstance(label, list) else str(label)


def refuse_severe(checked: Checked, allowed: Sequence[str], where: str) -> None:
    """Raises DataError where something severe was found that is not allowed by name."""
    severe = checked.severe(allowed)
    if not severe:
        return
    lines = [
        f"{rule}: {tally.shown[0].placed} ({tally.count} in all); {tally.shown[0].remedy}" for rule, tally in severe
    ]
    allow = ",".join(rule for rule, _ in severe)
    raise DataError("\n  ".join(["severe findings in the data", *lines]), where=where,
                    fix=f"mend the data, or allow it by name: data.allow=[{allow}]")  # fmt: skip


def for_ledger(checked: Checked) -> dict[str, Any]:
    """What data.json keeps of it: counts by rule, and what was not asked."""
    return finite({
        "findings": {
            rule: {"count": tally.count, "severity": tally.severity} for rule, tally in by_severity(checked.tallies)
        },
        "not_checked": {item.kind: item.reason for item in checked.outcomes if item.reason},
        "leaked": {name: len(rows) for name, rows in checked.leaked.items()},
    })  # fmt: skip
