"""A comparison: normal runs on the same rows and seeds, that go on after anything; what it records of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tunewright as tw
from tests.conftest import assert_same_weights, settings, write_rows
from tunewright.config import load
from tunewright.contest import compare as story
from tunewright.errors import ConfigError, DivergedError, Interrupted, RunDirectoryError
from tunewright.files import read_json
from tunewright.training.progress import Listener


def compare(raw: dict, strategies: str, **options):
    """Without a single word."""
    return tw.compare(raw, strategies=strategies, progress=False, **{"seeds": 1, **options})


def by_name(done) -> dict:
    return {item["name"]: item for item in done.comparison["contestants"]}


@pytest.fixture
def order(monkeypatch) -> list[str]:
    """The runs in which something was computed, in their order."""
    began, train = [], story.train

    monkeypatch.setattr(story, "train", lambda config, **more: began.append(place_of(config)) or train(config, **more))
    return began


def losses(run: Path) -> list:
    return [json.loads(line).get("loss") for line in (run / "history.jsonl").read_text().splitlines()]


def test_a_contestant_is_the_run_that_train_makes(raw, tmp_path):  # C2
    """Bitwise, whatever ran before it in the same process: no seed, hook or shared rows may leak."""
    raw["training"]["dropout"] = 0.3
    done = compare(raw, "feature_extraction,lora,full.training.dropout=0.1", seeds=2)
    for name, seed in (("full.training.dropout=0.1", 0), ("lora", 1)):
        run, other = done.path / name / f"seed-{seed}", tmp_path / name
        alone = tw.train(run / "run.yaml", overrides=[f"out={other}"], progress=False)
        assert_same_weights(run, other)
        assert losses(run) == losses(other)
        metrics = read_json(run / "metrics.json")
        for key in ("validation", "test", "best_step"):
            assert metrics[key] == alone.metrics[key]


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    """A comparison; the runs in which something was computed, in their order; how often what they share was made."""
    place = tmp_path_factory.mktemp("contest")
    raw = settings(tiny, write_rows(place / "inbox.csv"), place / "contest")
    raw["data"] = {"train": raw["data"]["train"], "check_seconds": 20}
    began, counted = [], dict.fromkeys(("take_in", "look", "encode"), 0)
    with pytest.MonkeyPatch.context() as patch:

        def counting(place: str, name: str):
            real = getattr(sys.modules[place], name)

            def call(*arguments, **named):
                counted[name] += 1
                return real(*arguments, **named)

            patch.setattr(sys.modules[place], name, call)

        counting("tunewright.run", "take_in")
        counting("tunewright.contest.compare", "take_in")
        counting("tunewright.desk.before_training", "look")
        counting("tunewright.tasks.encoding", "encode")
        real = story.train
        patch.setattr(story, "train", lambda config, **more: began.append(place_of(config)) or real(config, **more))
        patch.setenv("TUNEWRIGHT_CACHE", str(place / "cache"))
        done = compare(raw, "full,feature_extraction,bitfit", seeds=2)
    return done, began, counted


def place_of(config) -> str:
    return Path(config.out).parent.name + config.out[-1]


def test_floors_then_the_first_seed_cheap_ones_first_then_the_next(finished):
    done, began, _ = finished
    assert began == ["feature_extraction0", "full0", "bitfit0", "full1", "bitfit1"]
    found = by_name(done)
    assert {"majority", "tfidf"} < set(found)
    assert {name: len(item["runs"]) for name, item in found.items()} == {
        "majority": 1, "tfidf": 1, "feature_extraction": 1, "full": 2, "bitfit": 2}  # fmt: skip
    assert done.comparison["complete"]


def test_what_is_recorded_of_a_contestant(finished):
    done = finished[0]
    assert done.comparison == read_json(done.path / "comparison.json")
    assert done.comparison["rows"] == done.comparison["data"]["rows"]["test"]
    item = by_name(done)["feature_extraction"]
    metrics = read_json(done.path / "feature_extraction" / "seed-0" / "metrics.json")
    (run,) = item["runs"]
    assert run["scores"]["accuracy"] == metrics["test"]["accuracy"]
    assert run["status"] == "finished"
    assert run["steps"] == run["planned_steps"] == metrics["steps"]
    assert item["fit_seconds"] == metrics["fit_seconds"]
    assert item["trainable_parameters"] == metrics["trainable_parameters"]
    assert item["artefact_bytes"] >= sum(
        path.stat().st_size for path in (done.path / "feature_extraction/seed-0/model").glob("*.safetensors")
    )
    assert min(item["milliseconds_per_row"].values()) > 0


def test_rows_tokens_and_findings_are_computed_once(finished):
    done, _, counted = finished
    assert counted == {"take_in": 1, "look": 1, "encode": 2 * 3}  # of three splits; feature_extraction pools otherwise
    first, last = (read_json(done.path / name / "checks.json") for name in ("full/seed-0", "bitfit/seed-1"))
    assert first == last


def test_a_failing_contestant_does_not_stop_the_others(raw, monkeypatch):
    real = story.train

    def failing(config, **more):
        if config.strategy.kind == "bitfit":
            raise DivergedError("loss is not finite at step 3", where="training rows 1", fix="lower the rate")
        return real(config, **more)

    monkeypatch.setattr(story, "train", failing)
    found = by_name(compare(raw, "bitfit,freeze.blocks=9,full"))
    assert found["bitfit"]["runs"][0]["status"] == "failed"
    assert found["bitfit"]["runs"][0]["reason"].startswith("training rows 1: loss is not finite at step 3")
    assert "not 9 to freeze" in found["freeze.blocks=9"]["runs"][0]["reason"]
    assert found["full"]["runs"][0]["status"] == "finished"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets")
def test_a_run_is_not_charged_for_the_memory_of_the_one_before():
    from tunewright.training.memory import forget_peak, peak_memory_mb

    large = bytearray(b"x" * (400 * 2**20))
    most = peak_memory_mb()
    del large
    forget_peak()
    assert peak_memory_mb() < most - 300


# --- going on ---------------------------------------------------------------------------------------------------------


def test_a_killed_comparison_goes_on_from_the_interrupted_runs_checkpoint(raw, tmp_path, order):  # R5
    """SIGKILL in the second looped run, after its first checkpoint."""
    code = (
        "import os, signal, sys, json\nimport tunewright as tw\nfrom tunewright.training import checkpoint\n"
        "real, saved = checkpoint.Checkpoints.save, []\n"
        "def save(self, *more):\n    saved.append(real(self, *more))\n"
        "    if 'full' in str(self.folder): os.kill(os.getpid(), signal.SIGKILL)\n"
        "checkpoint.Checkpoints.save = save\n"
        "tw.compare(json.loads(sys.argv[1]), strategies='lora,full', seeds=1, progress=False)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, json.dumps(raw)], cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == -signal.SIGKILL
    with pytest.raises(RunDirectoryError, match="has a comparison; continue it with --resume"):
        compare(raw, "lora,full")
    done = compare(raw, "lora,full", resume=True)
    assert order == ["full0"]
    assert done.comparison["complete"]
    steps = [json.loads(line)["step"] for line in (done.path / "full/seed-0/history.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    tw.train(done.path / "full/seed-0/run.yaml", overrides=[f"out={tmp_path / 'alone'}"], progress=False)
    assert_same_weights(done.path / "full/seed-0", tmp_path / "alone")


def test_after_a_signal_there_is_a_whole_table(raw):
    class Stops(Listener):
        def on_evaluate(self, state, log):
            os.kill(os.getpid(), signal.SIGINT)
            return False

    config = load(raw | {"strategy": "full"})
    with pytest.raises(Interrupted) as told:
        story.compare(config, "feature_extraction,full", seeds=1, listener=Stops())
    assert told.value.exit_code == 130
    found = read_json(Path(config.out) / "comparison.json")
    assert not found["complete"]
    assert found["verdict"]["path"].endswith("/seed-0")
    status = {item["name"]: item["runs"][0]["status"] for item in found["contestants"]}
    assert status == {"majority": "finished", "tfidf": "finished", "feature_extraction": "finished", "full": "waiting"}
    assert story.compare(config, "feature_extraction,full", seeds=1, resume=True).comparison["complete"]


def test_seeds_and_contestants_may_be_added_and_nothing_else_changed(raw, order, inbox):
    compare(raw, "bitfit")
    with pytest.raises(RunDirectoryError, match=r"not the same comparison: training.batch_size was 8, is 4"):
        compare(raw | {"training": raw["training"] | {"batch_size": 4}}, "bitfit", resume=True)
    with pytest.raises(RunDirectoryError, match="contestant bitfit is missing"):
        compare(raw, "full", resume=True)
    order.clear()
    done = compare(raw, "bitfit,full", seeds=2, resume=True)
    assert order == ["full0", "bitfit1", "full1"]
    with pytest.raises(RunDirectoryError, match="seed 1 is missing"):
        compare(raw, "bitfit,full", resume=True)
    with open(inbox, "a", encoding="utf-8") as file:
        file.write("one more parcel,app\n")
    with pytest.raises(RunDirectoryError, match="sha256 of train was"):
        compare(raw, "bitfit,full", seeds=2, resume=True)
    kept = done.path / "notes.txt"
    kept.write_text("mine")
    assert not (compare(raw, "bitfit", overwrite=True).path / "full" / "seed-0").exists()
    assert kept.exists()


def test_two_processes_do_not_share_a_directory(raw):
    from tunewright.directory import claimed

    with claimed(Path(raw["out"]), False, False), pytest.raises(RunDirectoryError, match="another process works in it"):
        compare(raw, "bitfit")


def test_jobs_are_processes_of_their_own(raw, monkeypatch):
    monkeypatch.setattr(story, "train", None)  # none is trained here
    done = compare(raw, "bitfit,full.training.learning_rate=1e30", jobs=2)
    found = by_name(done)
    assert found["bitfit"]["runs"][0]["status"] == "finished"
    assert "not finite" in found["full.training.learning_rate=1e30"]["runs"][0]["reason"]
    with pytest.raises(ConfigError, match="--jobs: does not go with --budget"):
        compare(raw, "bitfit", jobs=2, budget="1h")


# --- budget -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Time stands still but for a second in every step: budgets are then decided alike on any machine."""
    now = [0.0]
    real = story.Contest.pause
    monkeypatch.setattr(story, "clock", lambda: now[0])

    def pause(self, share):
        due = real(self, share)

        def ticking(state):
            now[0] += 1
            return due(state)

        return ticking if due else None

    monkeypatch.setattr(story.Contest, "pause", pause)
    return now


LINE = "full,bitfit,lora,full.training.learning_rate=1e-6"


def test_a_short_budget_halves_the_contestants_and_a_resume_repeats_it(raw, clock, order, tmp_path):
    raw["training"]["epochs"] = 4  # of 5 steps; one more question in each
    done = compare(raw, LINE, budget=45)
    found = by_name(done)
    status = {name: item["runs"][0]["status"] for name, item in found.items() if item["kind"] == "run"}
    assert sorted(status.values()) == ["finished", "stopped", "stopped", "stopped"]
    (best,) = (name for name, state in status.items() if state == "finished")
    assert [len(decision["kept"]) for decision in done.comparison["decisions"]] == [2, 1]
    for name, state in status.items():
        run = found[name]["runs"][0]
        if state == "stopped":
            assert run["reason"].endswith("on validation, budget")
            assert run["validation"]["accuracy"] <= found[best]["runs"][0]["validation"]["accuracy"]
            assert run["steps"] < run["planned_steps"]
            assert found[name]["score"] is None
    run = done.path / best / "seed-0"  # paused twice, and the same as if it never had been
    tw.train(run / "run.yaml", overrides=[f"out={tmp_path / 'alone'}"], progress=False)
    assert_same_weights(run, tmp_path / "alone")
    order.clear()
    again = compare(raw, LINE, budget=45, resume=True)
    assert order == []
    for name in ("decisions", "seconds"):
        assert again.comparison[name] == done.comparison[name]
    all_of_them = compare(raw, LINE, budget="1h", resume=True)  # another budget forgets the decisions
    assert all(item["runs"][0]["status"] == "finished" for item in all_of_them.comparison["contestants"])


def test_seeds_are_cut_before_contestants(raw, clock):
    found = by_name(compare(raw, "full,bitfit", budget=60, seeds=3))
    for name in ("full", "bitfit"):
        assert [run["status"] for run in found[name]["runs"]] == ["finished", "finished", "stopped"]
        assert found[name]["runs"][2]["reason"] == "no time for seed 2, budget"


def test_a_budget_too_short_for_anything_says_so(raw, clock):
    found = by_name(compare(raw, "full,bitfit", budget=3))
    assert found["full"]["runs"][0]["reason"] == "stopped after 0.6 of 2 epochs: the budget ended"
    assert found["bitfit"]["runs"][0]["reason"] == "not begun: the budget ended before"


# --- data, and the command --------------------------------------------------------------------------------------------


def test_variants_differ_in_their_training_rows_alone(raw):
    raw["data"]["test_share"] = 0.2
    done = compare(raw, "full", variants=["augmented", "cleaned"])
    found = by_name(done)
    assert {"full", "full@augmented", "full@cleaned"} < set(found)
    ledgers = {name: read_json(done.path / name / "seed-0" / "data.json")["splits"] for name in found if "full" in name}
    assert len({ledger["train"]["rows_in"] for ledger in ledgers.values()}) > 1
    lines = [(done.path / name / "seed-0/predictions/test.jsonl").read_text().splitlines() for name in ledgers]
    texts = [[json.loads(line)["text"] for line in each] for each in lines]
    assert len(texts[0]) == done.comparison["rows"]
    assert texts[0] == texts[1] == texts[2]
    with pytest.raises(ConfigError, match="--data: there is no variant 'argumented'; did you mean 'augmented'"):
        compare(raw | {"out": raw["out"] + "2"}, "full", variants=["argumented"])


def test_the_command_prints_one_object(raw, tmp_path, capsys):
    from tunewright.cli import add_verbs, run

    add_verbs()
    (tmp_path / "recipe.yaml").write_text(json.dumps(raw))
    line = ["compare", str(tmp_path / "recipe.yaml"), "--strategies", "bitfit", "--seeds", "1", "training.epochs=1"]
    assert run([*line, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["path"] == raw["out"]
    assert shown["contestants"] == read_json(Path(raw["out"]) / "comparison.json")["contestants"]
    assert run([*line[:3], "lorra", "--seeds", "1", "--resume"]) == 2
    assert "unknown strategy 'lorra'; did you mean 'lora'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "said"), [({"seeds": 0}, "--seeds: 0 seeds"), ({"budget": "5m"}, "--budget: needs validation scores")]
)
def test_settings_without_a_meaning_are_refused(raw, option, said):
    raw["data"] |= {"validation_share": 0}
    with pytest.raises(ConfigError, match=said):
        compare(raw, "full", **option)
    assert not (Path(raw["out"]) / "compare.yaml").exists()
