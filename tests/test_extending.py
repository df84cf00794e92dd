"""docs/extending.md as it stands: a distribution outside the package brings a task, a strategy and a metric."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import tunewright as tw
from tests.conftest import write_rows
from tunewright.errors import ConfigError, ModelError
from tunewright.tasks import scores
from tunewright.tasks.base import Row

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
TRAIN = "import json, sys, tunewright as tw; tw.train(json.loads(sys.argv[1]), progress=False)"
ANSWER = """
import json, sys, tunewright as tw
predictor = tw.load(sys.argv[1])
print(json.dumps([item.to_json() for item in predictor(json.loads(sys.argv[2]))]))
print(json.dumps(tw.evaluate(predictor, sys.argv[3])))
"""


def install(folder: Path) -> None:
    """What pip makes of the modules and entry points that the page shows: files beside a dist-info."""
    names = re.findall(r"`(\w+)\.py`.*?```python", PAGE.read_text(), flags=re.S)
    modules = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    points = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE.read_text(), flags=re.S))
    for name, code in zip(names, modules, strict=True):
        (folder / f"{name}.py").write_text(code)
    known = folder / "mine-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text(
        re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", points).replace('"', "")
    )


def python(code: str, folder: Path, *arguments: str) -> list[str]:
    """The lines that a new process prints, to which the distribution is installed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    return folder


@pytest.fixture(scope="module")
def run(installed, tiny, tmp_path_factory) -> Path:
    """A run of the page's task by its strategy, made in a process of its own."""
    home = tmp_path_factory.mktemp("stars")
    rows = Path(write_rows(home / "inbox.csv")).read_text()
    for star, topic in enumerate(("app", "billing", "damage"), 1):
        rows = rows.replace(f",{topic}\n", f",{star}\n")
    (home / "inbox.csv").write_text(rows)
    raw = {
        "model": tiny,
        "data": {"train": str(home / "inbox.csv"), "check_seconds": 0},
        "task": {"kind": "stars", "pooling": "mean"},
        "strategy": "norm_tuning",
        "training": {"epochs": 2, "precision": "fp32"},
        "out": str(home / "run"),
    }
    python(TRAIN, installed, json.dumps(raw))
    return home / "run"


def test_a_task_a_strategy_and_a_metric_from_outside_train_together(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["task"], metrics["strategy"]) == ("stars", "norm_tuning")
    assert metrics["best_metric"]["name"] == "mean_absolute_error"
    lines = [json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()]
    off = [abs(int(line["label"]) - int(line["predicted"])) for line in lines]
    assert metrics["test"]["mean_absolute_error"] == pytest.approx(sum(off) / len(off))
    assert metrics["test"]["near"] == pytest.approx(sum(each <= 1 for each in off) / len(off))
    assert 0 < metrics["trainable_parameters"] < metrics["total_parameters"] / 5
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert all("near" in line["validation"] for line in history if "validation" in line)
    assert "near" in (run / "report.html").read_text()


def test_a_new_process_loads_the_model_predicts_and_scores_it_alike(run, installed, tmp_path):
    lines = [json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()]
    scored = tmp_path / "again.csv"
    scored.write_text("text,topic\n" + "".join(f"{line['text']},{line['label']}\n" for line in lines))
    told = python(ANSWER, installed, str(run), json.dumps([line["text"] for line in lines]), str(scored))
    answers, found = map(json.loads, told[-2:])
    assert [item["label"] for item in answers] == [line["predicted"] for line in lines]
    expected = json.loads((run / "metrics.json").read_text())["test"]
    assert {name: found[name] for name in ("near", "mean_absolute_error")} == {
        name: expected[name] for name in ("near", "mean_absolute_error")
    }


def test_where_the_distribution_is_not_installed_the_model_is_refused(run):
    with pytest.raises(ModelError, match="stars"):
        tw.load(run)


def test_a_metric_may_not_take_the_name_of_another_score(monkeypatch):
    point = EntryPoint("accuracy", "builtins:len", scores.GROUP)
    monkeypatch.setattr(scores, "installed", lambda group: (point,))
    task = tw.SequenceClassification(labels=("a", "b"), multi_label=False)
    with pytest.raises(ConfigError, match="'accuracy' has another score's name"):
        scores.scores_of(task, [np.array([1.0, 0.0])], [Row(1, ("box",), "a")])
