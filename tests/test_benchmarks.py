"""The frame of the benchmarks: order, medians, ratios, verdicts. What the contestants do is run by hand, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import clock, contest
from benchmarks.contest import Contest, Contestant, Faster, Files, NoWorse, hold
from benchmarks.jobs import JobError
from benchmarks.table import put_into

SECONDS = {"slow": [30.0, 50.0, 40.0], "tunewright": [10.0, 30.0, 20.0]}


def two(tmp_path: Path, **settings: Any) -> Contest:
    return Contest(
        name="two",
        what="made up",
        contestants={"slow": Contestant("slow one", "slow:run"), "tunewright": Contestant("ours", "ours:run")},
        prepare=lambda work, scope: Files(tmp_path / "train.csv", model=tmp_path),
        promises=(Faster("work", "slow", 1.9), Faster("work", "slow", 2.1), NoWorse("work", "slow", "F1", 0.01)),
        bases=("slow",),
        **{"runs": 3, **settings},
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The contestants in the order in which they were run; each takes what SECONDS say."""
    order: list[str] = []

    def run(job: Any) -> dict[str, Any]:
        name = Path(job.out).name.rpartition("-")[0]
        order.append(name)
        Path(job.out).mkdir(parents=True)
        if name not in SECONDS:
            raise JobError(f"{name} failed")
        seconds = SECONDS[name][job.seed]
        return {"total_seconds": seconds, "fit_seconds": seconds / 2, "F1": 0.8 - 0.02 * (name == "tunewright")}

    monkeypatch.setattr(contest, "run", run)
    return order


def test_contestants_alternate_and_medians_decide(
    tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "told.json"
    assert hold([two(tmp_path)], ["--json", str(told), "--markdown", str(tmp_path / "page.md")]) == 0
    assert asked == ["slow", "tunewright"] * 3
    found = json.loads(told.read_text(encoding="utf-8"))
    assert found["contests"]["two"]["summary"]["tunewright"]["times_slow"] == 2.0
    assert [verdict["met"] for verdict in found["promises"]] == [True, False, False]
    printed = capsys.readouterr().out
    assert "| ours" in printed
    assert "2.00x by total s" in printed
    assert "2.00x by total s" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_a_contestant_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path, asked: list[str]) -> None:
    broken = two(tmp_path)
    broken.contestants["broken"] = Contestant("broken", "broken:run")
    assert hold([broken], ["--runs", "2", "--json", str(tmp_path / "told.json")]) == 1
    assert asked == ["slow", "tunewright", "broken", "slow", "tunewright"]


def test_data_that_are_not_there_end_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNEWRIGHT_DATA", str(tmp_path))
    for name in ("sst2", "ner", "qa", "features", "dpo"):
        assert command.main([name, "--smoke", "--json", str(tmp_path / "told.json")]) == 2
        assert "TUNEWRIGHT_DATA" in capsys.readouterr().err


def test_equal_steps_are_scaled_without_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_start = [0.0, 9.0, 18.0, 27.0, 36.0, 45.0]
    monkeypatch.setattr(clock, "ENDS", [*slow_start, *(45.0 + 2 * step for step in range(1, 6))])
    found = clock.scaled(fit_seconds=55.0, num_steps=111, done=11)
    assert found["added_seconds"] == pytest.approx(100 * 2.0)
    assert found["fit_seconds"] == pytest.approx(255.0)


def test_the_page_keeps_what_stands_around_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n", encoding="utf-8")
    put_into(page, "new")
    put_into(page, "newer")
    assert page.read_text(encoding="utf-8").split() == [
        "before", "<!--", "bench:", "begin", "-->", "newer", "<!--", "bench:", "end", "-->", "after",
    ]  # fmt: skip
