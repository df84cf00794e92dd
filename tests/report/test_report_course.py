"""The curves: of many learning rates only the outer ones have names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_report_html import Page, drawings
from tunewright.report import html

Record = dict[str, Any]
Writer = Callable[[Record], Path]


def rates(files: Record, groups: list[str]) -> Record:
    """The run with these groups, each with a rate above the one before."""
    for line in files["history"]:
        if "learning_rate" in line:
            line["learning_rate"] = {name: 1e-6 * 1.7**place for place, name in enumerate(groups)}
    return files


def words_of(source: str) -> str:
    (chart,) = [item for item in drawings(source) if item.attrib["aria-labelledby"].startswith("learning-rate-")]
    return " ".join(chart.itertext())


def test_of_fourteen_groups_the_outer_four_have_names_and_the_others_are_told(
    files: Record, write_files: Writer
) -> None:
    groups = ["embeddings", *(f"block {place}" for place in range(12)), "head"]
    source = html.render(write_files(rates(files, groups)))
    said = words_of(source)
    assert all(name in said for name in ("embeddings", "block 0", "block 11", "head"))
    assert "block 5" not in said
    assert "The faint lines are the 10 groups from block 1 to block 10." in Page(source).text
    assert "Learning rates (logarithmic)" in said


@pytest.mark.parametrize("number", [2, 5])
def test_few_groups_all_have_names(number: int, files: Record, write_files: Writer) -> None:
    groups = [f"part {place}" for place in range(number)]
    said = words_of(html.render(write_files(rates(files, groups))))
    assert all(name in said for name in groups)
    assert "logarithmic" not in said


def test_a_group_that_joins_later_begins_where_it_joins(files: Record, write_files: Writer) -> None:
    for line in files["history"]:
        if "learning_rate" in line:
            late = {} if line["step"] < 100 else {"block 1": 1e-4}
            line["learning_rate"] = {"head": 1e-3, **late}
    (chart,) = [
        item
        for item in drawings(html.render(write_files(files)))
        if item.attrib["aria-labelledby"].startswith("learning-rate-")
    ]
    starts = [path.attrib["d"].split("L")[0] for path in chart.iter() if path.tag.endswith("path")]
    first, second = (float(start.removeprefix("M").split()[0]) for start in starts)
    assert second > first + 150
