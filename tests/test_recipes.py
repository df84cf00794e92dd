"""Every recipe runs, on a tiny model and some of the sample's rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import tunewright as tw
from tests.language_models import make_language_model
from tunewright.component import members
from tunewright.data import sources, words
from tunewright.intake import read_rows
from tunewright.strategies.base import Strategy
from tunewright.tasks.base import Task
from tunewright.tasks.question_answering import QuestionAnswering
from tunewright.tasks.token_classification import TokenClassification

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
WRITTEN = [recipe for recipe in RECIPES if recipe.stem.split("_")[0] in ("sft", "dpo", "seq2seq")]
NUM_TEST_ROWS = {"classify": 240, "multi": 240, "long": 240, "ner": 60, "qa": 30, "sft": 60, "seq2seq": 60, "dpo": 40}


@pytest.fixture(scope="module")
def writers(tmp_path_factory) -> dict[str, str]:
    """Tiny models that write, by the beginning of the recipes' names."""
    home = tmp_path_factory.mktemp("writers")
    llama, t5 = (str(make_language_model(home / kind, kind)) for kind in ("llama", "t5"))
    return {"sft": llama, "dpo": llama, "seq2seq": t5}


def stages_of(recipe: Path) -> list[dict]:
    """The sections of each of its runs."""
    raw = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    return [{**raw, **stage} for stage in raw.get("stages", [{}])]


@pytest.mark.parametrize("recipe", WRITTEN, ids=lambda path: path.stem)
def test_a_recipe_runs_to_a_model_that_writes(recipe, writers, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    kind, out = recipe.stem.split("_")[0], tmp_path / "run"
    small = [
        f"model={writers[kind]}",
        "data.limit=24",
        "data.max_length=200",
        "task.max_truncated=1",
        "data.check_seconds=0",
    ]
    small += ["task.max_new_tokens=4", "training.max_steps=3", "training.precision=fp32", f"out={out}"]
    result = tw.train(recipe, overrides=small, progress=False)
    stages = stages_of(recipe)
    for stage in stages:
        ended = json.loads(((out / stage["name"] if "stages" in stage else out) / "metrics.json").read_text())
        assert (ended["stopped"], ended["steps"]) == (
            "completed",
            3,
        )  # what is set besides a recipe holds in each stage
    last = "dpo" if stages[-1]["task"]["kind"] == "preference" else kind
    assert result.metrics["test"]["num_rows"] == NUM_TEST_ROWS[last]
    (answer,) = result.predictor(["where is my parcel?"])
    assert 0 <= answer.num_tokens <= 4
    assert json.dumps(answer.to_json())
    assert any("tunewright train recipes/" in line for line in recipe.read_text().splitlines()[:3])


@pytest.mark.parametrize("recipe", sorted({*RECIPES} - {*WRITTEN}), ids=lambda path: path.stem)
def test_a_recipe_runs_to_a_model_that_answers(recipe, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    small = [
        f"model={tiny}",
        "data.limit=60",
        "data.check_seconds=0",
        "training.max_steps=3",
        "training.precision=fp32",
        f"out={tmp_path / 'run'}",
    ]
    small += [] if "long_texts" in recipe.stem else ["data.max_length=40"]  # twenty virtual tokens must fit too
    features = "features" in recipe.stem
    small = [setting for setting in small if not (features and setting.startswith("training."))]
    result = tw.train(recipe, overrides=small, progress=False)
    assert result.metrics["stopped"] == "completed"
    assert result.metrics["test"]["num_rows"] == NUM_TEST_ROWS[recipe.stem.split("_")[0]]
    asked = ("where is my parcel?", "Your parcel is in the box.") if recipe.stem.startswith("qa") else "a red box"
    (answer,) = result.predictor([asked])
    assert json.dumps(answer.to_json())
    first = recipe.read_text().splitlines()
    assert any("tunewright train recipes/" in line for line in first[:3])


def test_every_strategy_and_task_has_a_recipe():
    told = [stage for recipe in RECIPES for stage in stages_of(recipe)]
    tasks, strategies = ({recipe[part]["kind"] for recipe in told} for part in ("task", "strategy"))
    assert tasks == set(members(Task))
    assert set(members(Strategy)) - strategies == {"bitfit", "ia3"}  # one line each: nothing to set


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_forms_of_the_sample_entities_say_the_same(split):
    task = TokenClassification()
    read = []
    for suffix in ("conll", "jsonl"):
        table = sources.read(str(ROOT / f"examples/parcel_desk/entities_{split}.{suffix}"))
        rows = read_rows(table, task, task.roles(table, None, None, None)).rows
        read.append([(words.pieces(row), row.label, row.mended) for row in rows])
    assert read[0] == read[1]
    assert not any(mended for _, _, mended in read[0])


def test_every_sample_answer_is_a_stretch_of_its_policy():
    for split, count in (("train", 120), ("test", 30)):
        table = sources.read(str(ROOT / f"examples/parcel_desk/policies_{split}.json"))
        task = QuestionAnswering()
        rows = read_rows(table, task, task.roles(table, None, None, None)).rows
        assert len(rows) == count
        assert sum(not row.label for row in rows) == count / 5
        assert all(row.text[1][start : start + len(text)] == text for row in rows for start, text in row.label)
        assert not any(row.mended for row in rows)


def test_the_configuration_page_is_what_the_code_says(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import write_configuration

    assert write_configuration.PAGE.read_text(encoding="utf-8") == write_configuration.page()
