"""Fixtures: a complete run, and a way to write a changed one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report import made_up_runs

Record = dict[str, Any]


@pytest.fixture
def files() -> Record:
    """The content of a complete single-label run."""
    return made_up_runs.run_files(list(made_up_runs.TOPICS), [list(row) for row in made_up_runs.MATRIX])


@pytest.fixture
def write_files(tmp_path: Path) -> Callable[[Record], Path]:
    """Writes a run's files into a fresh directory."""
    return lambda content: made_up_runs.write_run(tmp_path / "train-lora", content)


@pytest.fixture
def run(files: Record, write_files: Callable[[Record], Path]) -> Path:
    """The directory of a complete single-label run."""
    return write_files(files)
