"""Charts: well-formed, described, and true to their data."""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.report import charts, svg
from tunewright.report.charts import Dot, Series

NAMESPACE = "{http://www.w3.org/2000/svg}"


def parse(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{NAMESPACE}text")]


def coordinates(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(" ") for pair in path.removeprefix("M").split("L"))]


def line_paths(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [coordinates(path.attrib["d"]) for path in root.iter(f"{NAMESPACE}path")]


def test_a_falling_loss_falls_in_the_picture_and_stays_inside_it() -> None:
    points = [(float(x), 2.0 / (1 + x)) for x in range(50)]
    root = parse(charts.line_chart("loss", "Loss", "falls", [Series("training", points)]))
    (drawn,) = line_paths(root)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert [y for _, y in drawn] == sorted(y for _, y in drawn)  # downwards in a picture is a larger y
    width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
    assert all(0 <= x <= width and 0 <= y <= height for x, y in drawn)


def test_the_best_step_is_marked() -> None:
    series = [Series("accuracy", [(1, 0.5), (2, 0.9), (3, 0.8)])]
    assert "kept: step 2" in texts(
        parse(charts.line_chart("s", "t", "d", series, marker=2, marker_text="kept: step 2"))
    )
    assert "kept" not in charts.line_chart("s", "t", "d", series, marker=9, marker_text="kept: step 9")


def test_a_logarithmic_axis_spaces_decades_evenly_and_leaves_out_zero() -> None:
    points = [(0.0, 1.0), (0.001, 0.5), (0.01, 0.6), (0.1, 0.7)]
    (drawn,) = line_paths(parse(charts.line_chart("s", "t", "d", [Series("x", points)], log_x=True)))
    first, second, third = (x for x, _ in drawn)
    assert second - first == pytest.approx(third - second, abs=0.02)
    assert 0 < first < third < charts.WIDTH


def test_every_series_but_the_faint_is_in_the_legend() -> None:
    series = [Series("raw", [(1, 1), (2, 2)], faint=True), Series("smooth", [(1, 1), (2, 2)])]
    shown = texts(parse(charts.line_chart("s", "t", "d", series)))
    assert "smooth" in shown
    assert "raw" not in shown


@pytest.mark.parametrize("points", [[(5.0, 0.3)], [(1.0, 0.5), (2.0, 0.5)], [(1.0, -1.0), (2.0, 1e9)]])
def test_degenerate_curves_are_drawn(points: list[tuple[float, float]]) -> None:
    assert "nan" not in charts.line_chart("s", "t", "d", [Series("x", points)]).lower()


def test_without_points_nothing_is_drawn() -> None:
    assert charts.line_chart("s", "t", "d", [Series("x", [])]) == ""
    assert charts.calibration("c", "t", "d", []) == ""
    assert charts.bars("b", "t", "d", []) == ""


@pytest.mark.parametrize("num_classes", [2, 14])
def test_a_small_heat_map_has_labels_and_numbers(num_classes: int) -> None:
    labels = [f"class {index}" for index in range(num_classes)]
    matrix = [[40 + i if i == j else 0 for j in range(num_classes)] for i in range(num_classes)]
    shown = texts(parse(charts.heat_map("h", "t", "d", labels, matrix)))
    assert shown.count("class 0") == 2
    assert str(40 + num_classes - 1) in shown


@pytest.mark.parametrize("num_classes", [15, 77])
def test_a_large_heat_map_has_no_labels_and_draws_only_what_happened(num_classes: int) -> None:
    labels = [f"class {index}" for index in range(num_classes)]
    matrix = [[int(i == j) * 9 for j in range(num_classes)] for i in range(num_classes)]
    matrix[3][5] = 4
    root = parse(charts.heat_map("h", "t", "d", labels, matrix))
    assert not any(text.startswith("class ") for text in texts(root))
    assert len(list(root.iter(f"{NAMESPACE}rect"))) == num_classes + 2  # the diagonal, one confusion, the border
    hints = [element.text for element in root.iter(f"{NAMESPACE}title")]
    assert "class 3 taken for class 5: 4 of 13" in hints


def test_confusions_are_shaded_by_their_share_of_the_true_class() -> None:
    root = parse(charts.heat_map("h", "t", "d", ["a", "b"], [[5, 5], [1, 99]]))
    strength = {
        (rect.find(f"{NAMESPACE}title").text or ""): float(rect.attrib["fill-opacity"])  # type: ignore[union-attr]
        for rect in root.iter(f"{NAMESPACE}rect")
        if rect.find(f"{NAMESPACE}title") is not None
    }
    assert strength["a taken for b: 5 of 10"] > strength["b taken for a: 1 of 100"] > 0
    assert strength["b: 99 of 100"] == pytest.approx(0.99)


def test_calibration_bars_are_as_high_as_the_accuracy() -> None:
    bins = [{"lower": 0.5, "upper": 1.0, "confidence": 0.9, "accuracy": 0.5, "count": 30},
            {"lower": 0.0, "upper": 0.5, "confidence": None, "accuracy": None, "count": 0}]  # fmt: skip
    root = parse(charts.calibration("c", "t", "d", bins))
    (group,) = root.iter(f"{NAMESPACE}g")
    bar, gap = group.iter(f"{NAMESPACE}rect")
    assert float(bar.attrib["height"]) == pytest.approx(115)  # half of the 230 units from 0 to 100 %
    assert float(gap.attrib["height"]) == pytest.approx(0.4 * 230)


def test_bars_are_as_long_as_their_counts() -> None:
    root = parse(charts.bars("b", "t", "d", [("a", 100), ("b", 25), ("c", None)]))
    widths = [float(rect.attrib["width"]) for rect in root.iter(f"{NAMESPACE}rect")]
    assert widths[1] == pytest.approx(widths[0] / 4, abs=0.01)
    assert "–" in texts(root)


def test_bars_of_mistakes_have_another_colour_than_right_answers() -> None:
    root = parse(charts.bars("b", "t", "d", [("right", 9), ("wrong", 3), ("missed", 2)], good=1))
    fills = [rect.attrib["fill"] for rect in root.iter(f"{NAMESPACE}rect")]
    assert fills == [svg.GOOD, svg.BAD, svg.BAD]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(0, 1)), min_size=1, max_size=30))
def test_names_in_a_scatter_never_overlap(places: list[tuple[float, float]]) -> None:
    dots = [Dot(x, y, "tip", f"contestant_{rank}") for rank, (x, y) in enumerate(places)]
    root = parse(charts.scatter("s", "t", "d", dots, x_label="cost", log_x=True))
    named = [found for found in root.iter(f"{NAMESPACE}text") if (found.text or "").startswith("contestant_")]
    boxes = [(float(found.attrib["x"]), svg.text_width(found.text or ""), float(found.attrib["y"])) for found in named]
    for at, (left, width, y) in enumerate(boxes):
        for other_left, other_width, other_y in boxes[:at]:
            apart = left >= other_left + other_width - 0.02 or left + width <= other_left + 0.02
            assert apart or abs(y - other_y) >= 14.9


def test_dots_of_a_scatter_lie_by_their_values_and_say_what_they_are() -> None:
    dots = [Dot(1, 0.5, "low", hollow=True), Dot(10, 0.9, "high", large=True, interval=(0.8, 1.0))]
    root = parse(charts.scatter("s", "t", "d", dots, x_label="cost", log_x=True))
    found = {circle[0].text: circle.attrib for circle in root.iter(f"{NAMESPACE}circle")}
    assert float(found["low"]["cx"]) < float(found["high"]["cx"])
    assert float(found["low"]["cy"]) > float(found["high"]["cy"])
    assert found["low"]["fill"] != found["low"]["stroke"]


def test_every_chart_has_a_title_and_a_description_that_are_its_name() -> None:
    root = parse(charts.bars("labels", "Labels in train", "a has 1 row", [("a", 1)]))
    named = {element.attrib.get("id"): element.text for element in root}
    title, description = root.attrib["aria-labelledby"].split()
    assert (named[title], named[description]) == ("Labels in train", "a has 1 row")
    assert root.attrib["role"] == "img"


def test_names_from_data_are_escaped() -> None:
    evil = "</svg><script>alert(1)</script>\x00\ud800"
    for drawing in (
        charts.bars("b", evil, evil, [(evil, 1)]),
        charts.heat_map("h", evil, evil, [evil, "b"], [[1, 2], [3, 4]]),
        charts.line_chart("l", evil, evil, [Series(evil, [(1, 1), (2, 2)])], marker=1, marker_text=evil),
    ):
        assert "<script" not in drawing
        parse(drawing)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.913, 0.927), (3.0, 190.0), (0.0, 1e-4), (-2.0, 5e6)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = svg.ticks((low, high))
    assert 2 <= len(found) <= 11
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)
    steps = {round(b - a, 12) for a, b in itertools.pairwise(found)}
    power = 10 ** math.floor(math.log10(min(steps)))
    assert len(steps) == 1
    assert round(min(steps) / power) in (1, 2, 5, 10)


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0"), (1e-4, "1e-4"), (2.5e-5, "2.5e-5"), (12000, "12k"), (0.25, "0.25")]
)
def test_tick_texts_are_short(value: float, said: str) -> None:
    assert svg.tick_text(value) == said
