"""What is printed of a comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report import comparisons as made_up
from tunewright.cli import compared
from tunewright.files import read_json

Printed = Callable[..., str]


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Printed:
    """What `show` prints of a small comparison in a terminal of so many columns."""

    def show(columns: int, *given: Any, **changed: Any) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        path = made_up.write_comparison(tmp_path / "duel", *given, **{"num_rows": 400, "seeds": (0, 1), **changed})
        compared.show(read_json(path / "comparison.json"), Path("runs/duel"))
        return str(capsys.readouterr().out)

    return show


def heads(text: str) -> list[str]:
    return text.splitlines()[1].split()


def test_the_table_says_what_the_record_says(printed: Printed) -> None:
    text = printed(160)
    assert "full (as good)" in text
    assert "majority (floor)" in text
    for said in ("to best", "ms a row", "9.6 / 2.4", "330 kB", "1 min 35 s", "1.9 GB", "100 %", "<0.001"):
        assert said in text, said


@pytest.mark.parametrize("columns", [60, 100])
def test_no_line_of_the_table_is_wider_than_the_terminal(columns: int, printed: Printed) -> None:
    table = printed(columns).split("No detectable")[0]
    assert max(map(len, table.splitlines())) <= columns
    assert "…" not in table
    assert {"contestant", "accuracy", "fit"} <= set(heads(table))


def test_what_matters_least_is_left_out_first(printed: Printed) -> None:
    assert "memory" in heads(printed(100))
    assert "trained" not in heads(printed(100))
    assert "memory" not in heads(printed(80))
    assert "interval" in heads(printed(80))


def test_forty_contestants_with_long_names_keep_them_whole(printed: Printed) -> None:
    text = printed(100, contestants=made_up.many(38), seeds=(0,), num_rows=20)
    table = text.split(" wins")[0] if "No detectable" not in text else text.split("No detectable")[0]
    assert (
        "".join(line.split("  ")[0].strip() for line in table.splitlines()).count("target_modules=all@augmented") == 38
    )


def test_verdict_advice_report_winner_and_use_are_told(printed: Printed) -> None:
    text = printed(100)
    assert "is the cheapest." in text
    assert "- About 5,200 test rows would tell them apart." in text
    assert f"report:  {Path('runs/duel/report.html')}" in text
    assert "winner:  runs/duel/lora.r=4/seed-0" in text
    assert 'use it:  tunewright predict runs/duel --text "..."\n' in text
    assert 'runs/duel --text "..." --context "..."\n' in printed(100, "question_answering")


def test_an_unfinished_comparison_says_what_is_missing_and_names_no_winner(printed: Printed) -> None:
    text = printed(100, unfinished={"full": ("stopped", "[red]behind"), "lora.r=4": ("waiting", "")}, complete=False)
    assert "full (stopped)" in text
    assert "- full: stopped after 30 of 90 steps: [red]behind (seeds 0 and 1)" in text
    assert "It is not complete: 2 runs to go" in text
    assert "use it" not in text


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a comparison."""
    made_up.write_comparison(tmp_path / "duel", num_rows=20, seeds=(0,))
    return tmp_path


def test_show_prints_a_comparison_or_gives_it_as_json(home: Path, call: Any) -> None:
    code, out, _ = call("show", "duel")
    assert code == 0
    assert "contestant" in out
    code, out, _ = call("show", "duel", "--json")
    assert code == 0
    assert json.loads(out) == read_json(home / "duel/comparison.json")
    (home / "duel/comparison.json").write_text("{half", encoding="utf-8")
    code, _, error = call("show", "duel")
    assert code != 0
    assert "comparison.json is unreadable" in error
