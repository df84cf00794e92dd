"""Check: one question asked of the data; Finding: what is told of a row or a file; Notebook: where it is written."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal

from ...component import Component
from ...files import finite

if TYPE_CHECKING:
    from ..desk import Desk, Part

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


class Check(Component):
    """One question asked of the data. The fields are its thresholds; the defaults are what everybody gets."""

    home: ClassVar[str] = "data.checks"
    title: ClassVar[str]  # a few words for tables
    tasks: ClassVar[tuple[str, ...]] = ()  # kinds of tasks that it is for; empty: all
    cost: ClassVar[int] = 1  # 0: one quick pass; 1: several passes; 2: features; 3: slow. Asked in this order

    def cannot(self, desk: Desk) -> str | None:
        """Why this can't be asked here (no test split, too few rows, no encoder), in words; None where it can.

        Checks that are not for `desk.task.kind` are never asked.
        """
        return None

    @abstractmethod
    def run(self, desk: Desk, notebook: Notebook) -> None:
        """Looks, and writes down what it finds. Goes through rows with `desk.each`, so that it can be stopped."""
