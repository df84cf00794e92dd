"""Search: the default first, trials that resume and are pruned, and a verdict beyond noise."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import tunewright as tw
from tests.conftest import settings, write_rows
from tests.training.test_resume import Heard, KillAt, Killed
from tunewright.cli import add_verbs
from tunewright.cli import run as cli
from tunewright.config import load
from tunewright.errors import ConfigError, DivergedError, RunDirectoryError
from tunewright.tuning import final, search, study

SPACE = "learning_rate=1e-4:1e-1,strategy.r=2|4"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def raw(tiny, place) -> dict:
    made = settings(tiny, write_rows(place / "inbox.csv", 48), place / "out", epochs=2, batch_size=16)
    made["data"]["test_share"] = 0.2
    return made | {"strategy": {"kind": "lora", "r": 2}}


@pytest.fixture(scope="module")
def done(raw) -> search.Search:
    return tw.search(raw, space=SPACE, trials=3, seeds=2, progress=False)


def out(raw: dict, name: str) -> dict:
    return raw | {"out": str(Path(raw["out"]).with_name(name))}


def without_times(summary: dict) -> list[dict]:
    return [{name: value for name, value in item.items() if name != "seconds"} for item in summary["trials"]]


def test_the_default_is_the_first_trial_and_each_is_a_run(done, raw):
    summary = json.loads((done.path / "search.json").read_text())
    assert summary == json.loads(json.dumps(done.summary))
    names = [item["path"] for item in summary["trials"]]
    assert names == ["trial-000", "trial-001", "trial-002"]
    assert summary["trials"][0]["settings"] == {"training.learning_rate": 1e-3, "strategy.r": 2}
    for item in summary["trials"]:
        recipe = load(done.path / item["path"] / "run.yaml")
        assert recipe.training.learning_rate == item["settings"]["training.learning_rate"]
        assert recipe.strategy.r == item["settings"]["strategy.r"]
        if item["status"] == "finished":
            metrics = json.loads((done.path / item["path"] / "metrics.json").read_text())
            assert item["value"] == metrics["best_metric"]["value"]
        assert not (done.path / item["path"] / "checkpoints").exists()


def test_the_best_by_validation_is_compared_with_the_default_on_test_rows(done):
    comparison = json.loads((done.path / "comparison.json").read_text())
    values = {item["path"]: item["value"] for item in done.summary["trials"] if item["status"] == "finished"}
    assert values[done.summary["best"]] == max(values.values())
    assert comparison["split"] == "test"
    for item in comparison["contestants"]:
        assert [run["seed"] for run in item["runs"]] == [0, 1]
        assert all((done.path / run["path"] / "predictions" / "test.jsonl").is_file() for run in item["runs"])
    paths = {run["path"] for item in comparison["contestants"] for run in item["runs"]}
    assert paths >= {"trial-000", "default/seed-1"}
    assert done.summary["verdict"] == comparison["verdict"]
    assert (done.path / comparison["verdict"]["path"] / "model").is_dir()


def test_the_report_names_every_trial_and_fetches_nothing(done):
    page = (done.path / "report.html").read_text()
    assert all(item["path"] in page for item in done.summary["trials"])
    assert page.count("<circle") >= 2 * len(done.summary["trials"])
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert done.summary["verdict"]["sentence"] in page


def test_a_killed_search_resumes_and_ends_alike(done, raw, monkeypatch):
    cut, begun = out(raw, "cut"), []
    real = search.train

    def train(config, **options):
        begun.append(config.out)
        if len(begun) == 2:
            options["listener"] = KillAt(3)
        return real(config, **options)

    monkeypatch.setattr(search, "train", train)
    with pytest.raises(Killed):
        tw.search(cut, space=SPACE, trials=3, seeds=2, progress=False)
    resumed = tw.search(cut, space=SPACE, trials=3, seeds=2, progress=False, resume=True)
    assert without_times(resumed.summary) == without_times(done.summary)
    expected = [0, 1, 0, 1, 2]  # the finished default is looked at again
    assert [Path(path).name for path in begun] == [f"trial-{number:03d}" for number in expected]


def test_a_trial_below_the_median_is_pruned_and_leaves_no_checkpoint(raw, monkeypatch):
    monkeypatch.setattr(study, "STARTUP", 1)
    monkeypatch.setattr(study, "WARMUP", 0)
    real = study.course

    def course(evaluations, total, metric):
        """The default is the best; all others are hopeless."""
        scale = 1.0 if sys._getframe(1).f_code.co_name == "begin" else -1.0
        return [(share, scale) for share, _ in real(evaluations, total, metric)]

    monkeypatch.setattr(study, "course", course)
    monkeypatch.setattr(search, "course", course)
    found = tw.search(out(raw, "pruned"), space=SPACE, trials=3, seeds=1, progress=False)
    assert [item["status"] for item in found.summary["trials"]] == ["finished", "pruned", "pruned"]
    for item in found.summary["trials"][1:]:
        assert item["reason"] == "below the median at 50% of its steps"
        assert {path.name for path in (found.path / item["path"]).iterdir()} >= {"run.yaml", "history.jsonl"}
        assert not (found.path / item["path"] / "checkpoints").exists()
        assert not (found.path / item["path"] / "metrics.json").exists()
    assert found.summary["best"] == "trial-000"
    assert found.summary["verdict"]["winner"] == "default"
    assert "keep the default" in found.summary["verdict"]["sentence"]


def test_a_trial_that_fails_is_told_and_the_search_goes_on(raw, monkeypatch):
    real = search.train

    def train(config, **options):
        if config.out.endswith("trial-001"):
            raise DivergedError("loss is not finite")
        return real(config, **options)

    monkeypatch.setattr(search, "train", train)
    found = tw.search(out(raw, "failing"), space=SPACE, trials=3, seeds=1, progress=False)
    assert [item["status"] for item in found.summary["trials"]][:2] == ["finished", "failed"]
    assert found.summary["trials"][1]["reason"] == "loss is not finite"
    assert len(found.summary["trials"]) == 3


def test_a_space_that_is_exhausted_ends_the_search(raw):
    heard = Heard()
    found = search.search(load(out(raw, "small")), "strategy.r=2|4", trials=9, seeds=1, listener=heard)
    assert "trial-001: r 4" in heard.notes
    assert [item["settings"] for item in found.summary["trials"]] == [{"strategy.r": 2}, {"strategy.r": 4}]


def test_a_budget_that_is_spent_ends_it_and_says_so(raw):
    heard = Heard()
    found = search.search(load(out(raw, "brief")), SPACE, trials=5, budget=1e-3, seeds=1, listener=heard)
    assert [item["path"] for item in found.summary["trials"]] == ["trial-000"]
    assert any("no time for a further trial" in text for text in heard.notes)


def test_a_search_is_not_overwritten_nor_mixed_with_another(done, raw):
    with pytest.raises(RunDirectoryError, match="--resume"):
        tw.search(raw, space=SPACE, progress=False)
    with pytest.raises(RunDirectoryError, match="another space"):
        tw.search(raw, space="strategy.r=2|8", resume=True, progress=False)
    with pytest.raises(RunDirectoryError, match="another recipe"):
        tw.search(raw, overrides=(), space=SPACE, resume=True, progress=False, model="minilm")


def test_without_optuna_the_message_says_what_to_install(raw, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'tunewright\[search\]'"):
        tw.search(out(raw, "none"), progress=False)
    assert not Path(out(raw, "none")["out"]).exists()


def test_without_validation_there_is_nothing_to_search_by(raw):
    blind = raw | {"data": raw["data"] | {"validation_share": 0}}
    with pytest.raises(ConfigError, match="no validation split"):
        tw.search(blind, progress=False)


def test_the_command_line_shows_trials_and_verdict(done, raw, place, capsys):
    add_verbs()
    recipe = place / "recipe.yaml"
    recipe.write_text(json.dumps({key: value for key, value in raw.items() if key != "out"}))
    arguments = ["search", str(recipe), "--space", SPACE, "--trials", "3", "--seeds", "2"]
    arguments += ["--out", str(shutil.copytree(done.path, place / "shown"))]
    assert cli([*arguments, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == done.summary["best"]
    assert cli([*arguments, "--resume"]) == 0
    shown = capsys.readouterr().out
    assert "trial-000 (default)" in shown and "report:" in shown  # noqa: PT018
    assert cli(["search", str(recipe), "--space", "lerning_rate=1:2", "--out", str(place / "x")]) == 2
    assert "did you mean 'learning_rate'?" in capsys.readouterr().err


ITEM = {"runs": [{"status": "finished", "path": "p", "validation": {"f1": 0.5}}]}


@pytest.mark.parametrize(
    ("best", "detectable", "winner", "said"),
    [
        ("tuned", True, "tuned", "take the tuned settings"),
        ("tuned", False, "default", "no detectable difference; keep the default"),
        ("default", True, "default", "worse beyond noise; keep the default"),
        ("default", False, "default", "no detectable difference; keep the default"),
    ],
)
def test_only_a_detectable_gain_makes_the_tuned_settings_win(best, detectable, winner, said):
    worse = {"detectable": detectable}
    items = [ITEM | {"name": name, "score": {"value": 0.92}, "versus_best": None if name == best else worse}
             for name in ("default", "tuned")]  # fmt: skip
    known = {"best": best, "winner": "tuned", "advice": []}
    metric = {"name": "f1", "higher_is_better": True}
    found = final.verdict_of({"contestants": items, "verdict": known, "metric": metric, "split": "test"})
    assert found["winner"] == winner
    assert said in found["sentence"]
    assert "0.920 against 0.920" in found["sentence"]
