"""Every recipe runs, on a tiny model and some of the sample's rows."""

from __future__ import annotations

from pathlib import Path

import pytest

import tunewright as tw

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs_to_a_model_that_answers(recipe, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    small = [
        f"model={tiny}",
        "data.limit=60",
        "training.max_steps=3",
        "training.precision=fp32",
        f"out={tmp_path / 'run'}",
    ]
    small += [] if "long_texts" in recipe.stem else ["data.max_length=48"]
    features = "features" in recipe.stem
    small = [setting for setting in small if not (features and setting.startswith("training."))]
    result = tw.train(recipe, overrides=small, progress=False)
    assert result.metrics["stopped"] == "completed"
    assert result.metrics["test"]["num_rows"] == count(ROOT / "examples/parcel_desk/test.csv")
    (answer,) = result.predictor("where is my parcel?")
    assert answer.probabilities
    first = recipe.read_text().splitlines()
    assert any(line.startswith("# tunewright train recipes/") for line in first)


def count(path: Path) -> int:
    import csv

    with open(path, encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def test_there_are_recipes():
    assert len(RECIPES) >= 5


def test_the_configuration_page_is_what_the_code_says(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import write_configuration

    assert write_configuration.PAGE.read_text(encoding="utf-8") == write_configuration.page()
