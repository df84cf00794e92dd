"""Checks are asked one by one; what became of each is told, and what they find is written down."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from tests.desks import make_desk
from tunewright.component import members
from tunewright.data.checks import base
from tunewright.data.checks.base import Check
from tunewright.desk import checking
from tunewright.desk.checking import chosen, known_rules, read_checked, refuse_severe, run_checks
from tunewright.errors import ConfigError, DataError, RunDirectoryError
from tunewright.tasks.base import Task

ROWS = [{"text": f"parcel {number}", "label": "ab"[number % 2]} for number in range(20)]


class Finds(Check):
    """Says something of every row."""

    title: ClassVar[str] = "a stand-in"
    severity: ClassVar[Any] = "warning"

    def run(self, desk, notebook):
        for row in desk.each(desk.train, "looking"):
            notebook.add(f"{self.kind}.all", self.severity, f"row {row.text[0]}", "leave it", desk.train, row.number)
        notebook.facts[self.kind] = {"rows": len(desk.train.rows)}
        notebook.leaked["train"] |= {0, 3}


class Cannot(Finds):
    def cannot(self, desk):
        return "there is no moon"


class Severe(Finds):
    severity: ClassVar[Any] = "severe"


def ask(monkeypatch, folder, *checks, desk=None):
    monkeypatch.setattr(checking, "chosen", lambda task, only=(): list(checks))
    said: list[str] = []
    return run_checks(desk or make_desk(ROWS), folder, note=said.append), said


def test_every_finding_is_a_line_and_every_check_has_its_outcome(monkeypatch, tmp_path):
    checked, said = ask(monkeypatch, tmp_path, Finds(kind="finds"), Cannot(kind="cannot"))
    lines = [json.loads(line) for line in (tmp_path / "findings.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(2, 22))
    assert {"row", "column", "rule", "severity", "remedy", "split", "message"} <= set(lines[0])
    assert [(item.kind, item.status, item.reason) for item in checked.outcomes] == [
        ("finds", "done", ""),
        ("cannot", "skipped", "there is no moon"),
    ]
    assert said == ["check cannot: skipped: there is no moon"]
    assert checked.leaked == {"train": [2, 5]}  # places of rows have become the file's numbers


def test_what_is_written_is_what_was_found(monkeypatch, tmp_path):
    checked, _ = ask(monkeypatch, tmp_path, Finds(kind="finds"), Cannot(kind="cannot"))
    assert read_checked(tmp_path) == checked


def test_a_check_whose_time_is_up_keeps_what_it_found_and_says_so(monkeypatch, tmp_path):
    desk = make_desk(ROWS, seconds=60)
    clock = iter([60.0] * 2 + [-1.0] * 9)
    monkeypatch.setattr(type(desk), "seconds_left", lambda self: next(clock))

    class Slow(Finds):
        def run(self, desk, notebook):
            super().run(desk, notebook)
            desk.progress("more", 1, 2)

    checked, said = ask(monkeypatch, tmp_path, Slow(kind="slow"), Finds(kind="finds"), desk=desk)
    assert [item.status for item in checked.outcomes] == ["stopped", "stopped"]
    assert checked.tallies["slow.all"].count == 20
    assert "60 s" in said[0]


def test_a_million_findings_of_one_rule_are_counted_not_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(base, "LISTED", 7)
    checked, _ = ask(monkeypatch, tmp_path, Finds(kind="finds"))
    assert len((tmp_path / "findings.jsonl").read_text().splitlines()) == 7
    assert checked.tallies["finds.all"].count == 20
    assert len(checked.tallies["finds.all"].shown) == base.SHOWN


@pytest.mark.parametrize("allowed", ["severe", "severe.all"])
def test_severe_findings_are_refused_unless_allowed_by_name(monkeypatch, tmp_path, allowed):
    checked, _ = ask(monkeypatch, tmp_path, Severe(kind="severe"), Finds(kind="finds"))
    with pytest.raises(
        DataError, match=r"(?s)severe\.all: train, row 2: row parcel 0 \(20 in all\).*data\.allow=\[severe\.all\]"
    ):
        refuse_severe(checked, ["finds.all"], "inbox.csv")
    refuse_severe(checked, [allowed], "inbox.csv")


def test_a_file_that_cannot_be_written_leaves_no_half_of_it(monkeypatch, tmp_path):
    class Fails(Finds):
        def run(self, desk, notebook):
            super().run(desk, notebook)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(monkeypatch, tmp_path, Fails(kind="fails"))
    assert list(tmp_path.iterdir()) == []


def test_suspects_of_an_earlier_look_do_not_stay(monkeypatch, tmp_path):
    (tmp_path / "suspects.csv").write_text("row,split,text,given,expected,probability,correction\n")
    ask(monkeypatch, tmp_path, Finds(kind="finds"))
    assert not (tmp_path / "suspects.csv").exists()


def test_a_folder_that_cannot_be_made_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="file: cannot be made"):
        ask(monkeypatch, tmp_path / "file", Finds(kind="finds"))


@pytest.mark.parametrize("task", members(Task))
def test_cheap_checks_come_first_and_each_is_for_the_task(task):
    found = chosen(task)
    assert [check.cost for check in found] == sorted(check.cost for check in found)
    assert all(not check.tasks or task in check.tasks for check in found)
    assert found


def test_an_unknown_check_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'leakage'"):
        known_rules(["leekage.exact"], "--allow")
