"""Check: one question asked of the data; Finding: what is told of a row or a file; Notebook and Page: where."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal

from ...component import Component
from ...files import finite

if TYPE_CHECKING:
    from ..desk import Desk, Part
    from ..row import Row

Severity = Literal["note", "warning", "severe"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "severe")
LISTED = 10_000  # findings of one rule that are written one by one; the others are counted
SHOWN = 5  # of them, shown to a person


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        rule: check and rule, as in `duplicates.exact`; what `--allow` names.
        severity: note: good to know; warning: costs quality; severe: the scores or the model would be wrong.
        message: one line for a person, starting with what is wrong.
        remedy: what to do, one line.
        split: train, validation or test.
        row: its number in the file as a person counts; None where the finding is of the file as a whole.
        column: where one is to blame.
        details: plain values for programs (the other row, the expected label, a share).
    """

    rule: str
    severity: Severity
    message: str
    remedy: str
    split: str
    row: int | None = None
    column: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def placed(self) -> str:
        """The message behind the place that it speaks of."""
        return f"{self.split}{'' if self.row is None else f', row {self.row}'}: {self.message}"


@dataclass
class Tally:
    """All findings of one rule: how many, the worst severity, the first few."""

    count: int = 0
    severity: Severity = "note"
    shown: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.count += 1
        self.severity = max(self.severity, finding.severity, key=SEVERITIES.index)
        if len(self.shown) < SHOWN:
            self.shown.append(finding)


@dataclass
class Notebook:
    """Where checks write. However much is found, it stays small in memory.

    Args:
        file: findings.jsonl, open for writing; None keeps tallies only.
        tallies: by rule, in the order in which they were first found.
        facts: by check, plain values for the report (a histogram, a curve, the suspects' ranking).
        leaked: by split, places of rows (in `Part.rows`) that training knows already; clean scores leave them out.
    """

    file: IO[str] | None = None
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    leaked: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(
        self, rule: str, severity: Severity, message: str, remedy: str, part: Part, row: int | None = None,
        column: str | None = None, **details: Any,
    ) -> None:  # fmt: skip
        """Writes down one finding; see Finding."""
        finding = Finding(rule, severity, message, remedy, part.name, row, column, details)
        tally = self.tallies[rule]
        tally.add(finding)
        if self.file is not None and tally.count <= LISTED:
            self.file.write(json.dumps(finite(asdict(finding)), ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Page:
    """What one check writes on one part of the data."""

    notebook: Notebook
    kind: str
    part: Part

    def add(
        self, rule: str, severity: Severity, message: str, remedy: str, row: int | None = None,
        column: str | None = None, **details: Any,
    ) -> None:  # fmt: skip
        """Writes down one finding of the check's rule; see Finding."""
        self.notebook.add(f"{self.kind}.{rule}", severity, message, remedy, self.part, row, column, **details)

    def note(self, rule: str, message: str, remedy: str, row: int | None = None, column: str | None = None,
             **details: Any) -> None:  # fmt: skip
        self.add(rule, "note", message, remedy, row, column, **details)

    def warn(self, rule: str, message: str, remedy: str, row: int | None = None, column: str | None = None,
             **details: Any) -> None:  # fmt: skip
        self.add(rule, "warning", message, remedy, row, column, **details)


class Check(Component):
    """One question asked of the data. The fields are its thresholds; the defaults are what everybody gets.

    A check that looks at each part by itself has `look`, one that compares parts has a `run` of its own.
    """

    home: ClassVar[str] = "data.checks"
    title: ClassVar[str]  # a few words for tables
    tasks: ClassVar[tuple[str, ...]] = ()  # kinds of tasks that it is for; empty: all
    cost: ClassVar[int] = 1  # 0: one quick pass; 1: several passes; 2: features; 3: slow. Asked in this order
    unusable: ClassVar[Mapping[str, tuple[str, str]]] = {}  # words of why a row can't be read: rule, remedy

    def cannot(self, desk: Desk) -> str | None:
        """Why this can't be asked here (no test split, too few rows, no encoder), in words; None where it can.

        Checks that are not for `desk.task.kind` are never asked.
        """
        return None

    def run(self, desk: Desk, notebook: Notebook) -> None:
        """Looks, and writes down what it finds."""
        facts = notebook.facts[self.kind] = {}
        for part in desk.parts.values():
            page = Page(notebook, self.kind, part)
            self.tell_unusable(page)
            facts[part.name] = self.look(desk, page)

    def look(self, desk: Desk, page: Page) -> dict[str, Any]:
        """Looks at one part, with `desk.each` or `desk.chunks` so that it can be stopped; gives plain values."""
        raise NotImplementedError(f"{type(self).__name__} has neither `look` nor a `run` of its own")

    def tell_unusable(self, page: Page) -> None:
        """Of the rows that the task could not read, those whose reason this check knows."""
        for number, reason in page.part.unusable:
            known = next((told for words, told in self.unusable.items() if words in reason), None)
            if known:
                page.warn(known[0], reason, known[1], number)


def too_few(desk: Desk, least: int) -> str | None:
    """Why train can't be judged by itself, in words; None where it can."""
    count = len(desk.train.rows)
    return f"train has {count} rows; {least} are needed" if count < least else None


def texts_of(row: Row) -> tuple[str, ...]:
    """All that is read or answered in a row: its texts, or every turn, of a preference both answers."""
    if row.dialogue is None:
        return row.text
    answers = [*getattr(row.label, "chosen", ()), *getattr(row.label, "rejected", ())]
    return tuple(str(message.get("content") or "") for message in (*row.dialogue.messages, *answers))
