"""Writing both files: whole or not at all, and without loading torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunewright import report
from tunewright.errors import RunDirectoryError
from tunewright.report import card


def test_both_files_are_written_and_the_path_of_the_page_is_given(run: Path) -> None:
    path = report.write(run)
    assert path == run / "report.html"
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (run / "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_beside(run: Path) -> None:
    first = report.write(run).read_bytes()
    names = sorted(path.name for path in run.iterdir())
    assert report.write(run).read_bytes() == first
    assert sorted(path.name for path in run.iterdir()) == names
    assert names == [
        "README.md",
        "data.json",
        "history.jsonl",
        "metrics.json",
        "predictions",
        "report.html",
        "run.yaml",
    ]


def test_a_failure_leaves_the_old_files_as_they_were(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = report.write(run).read_bytes()

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    (run / "metrics.json").unlink()
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        report.write(run)
    assert (run / "report.html").read_bytes() == before
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_a_card_that_cannot_be_made_leaves_no_page_behind(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(files: object) -> str:
        raise RunDirectoryError("broken")

    monkeypatch.setattr(card, "card", broken)
    with pytest.raises(RunDirectoryError):
        report.write(run)
    assert not (run / "report.html").exists()


def test_the_report_does_not_import_torch() -> None:
    code = "import sys, tunewright.report; print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
