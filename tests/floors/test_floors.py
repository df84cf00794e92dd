"""Floors are simple, yet beat chance; their runs are runs like any other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

import tunewright as tw
from tests.floors.conftest import DESK
from tunewright.artifact import MANIFEST, startable
from tunewright.chat import Chat
from tunewright.cli import evaluate, show
from tunewright.component import members
from tunewright.config import load
from tunewright.contest.floor_runs import train_floor
from tunewright.errors import ConfigError, ModelError, RunDirectoryError, UnsafeError
from tunewright.files import read_json, sha256, write_json
from tunewright.floors.base import Floor
from tunewright.tasks.preference import Preference

TASKS = ["sequence_classification", "multi_label", "token_classification", "question_answering", "causal_lm",
         "seq2seq", "preference"]  # fmt: skip
LEAST = {  # (majority, tfidf), about what each reaches; of tasks that write the loss
    "sequence_classification": (0.16, 0.6), "multi_label": (0.1, 0.3), "token_classification": (0.1, 0.6),
    "question_answering": (0.0, 0.8), "causal_lm": (5.9, 3.4), "seq2seq": (3.4, 0.3), "preference": (0.66, 0.3),
}  # fmt: skip


def lines(run, split="test"):
    return [json.loads(line) for line in (run / "predictions" / f"{split}.jsonl").read_text().splitlines()]


def floor(kind):
    return members(Floor)[kind](kind=kind)


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_two_floors_and_the_linear_one_is_the_better(floor_run, task):
    runs = [floor_run(task, kind) for kind in ("majority", "tfidf")]
    metric = tw.load(runs[0].path).artifact.task.metric
    for run, least in zip(runs, LEAST[task], strict=True):
        score = run.metrics["test"][metric.name]
        assert score >= least if metric.higher_is_better else score <= least
    first, second = (run.metrics["test"][metric.name] for run in runs)
    assert (second > first) == metric.higher_is_better


def test_the_majority_says_the_most_frequent_label_and_its_share(floor_run):
    run = floor_run("sequence_classification", "majority").path
    counts = read_json(run / "data.json")["splits"]["train"]["label_counts"]
    most = max(counts.values())
    for line in lines(run):
        assert counts[line["predicted"]] == most
        assert line["probability"] == pytest.approx((most + 0.5) / (sum(counts.values()) + 3), abs=1e-5)


def test_thresholds_of_several_labels_are_tuned_on_validation(floor_run):
    task = tw.load(floor_run("multi_label", "tfidf").path).artifact.task
    assert task.thresholds is not None
    assert all(0 < limit < 0.5 for limit in task.thresholds)  # rare labels, scored by F1


def test_pairs_are_compared_by_the_words_they_share(tmp_path):
    words = ["van", "box", "app", "door", "label", "money", "red", "green", "blue", "late"]
    rows = [f"{a},{a if n % 2 else b} {b},{'same' if n % 2 else 'other'}"
            for n, (a, b) in enumerate((a, b) for a in words for b in words if a != b)]  # fmt: skip
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,label", *rows]))
    section = {"train": str(tmp_path / "pairs.csv"), "text": ["first", "second"], "label": "label"}
    run = train_floor(load({"data": section, "out": str(tmp_path / "run")}), floor("tfidf"))
    assert run.metrics["test"]["accuracy"] == 1
    assert tw.load(run.path)([("van", "van door")])[0].label == "same"


@pytest.mark.parametrize("kind", ["majority", "tfidf"])
def test_metrics_and_predictions_have_the_keys_of_a_models_run(small, tmp_path, kind):
    raw = small(max_steps=1)
    model = tw.train(raw, progress=False)
    run = train_floor(load(raw | {"out": str(tmp_path / kind)}), floor(kind))
    assert {key for key in model.metrics if key not in ("clean", "before")} == set(run.metrics)
    assert set(lines(model.path, "validation")[0]) == set(lines(run.path, "validation")[0])
    assert [line["row"] for line in lines(model.path, "validation")] == [
        line["row"] for line in lines(run.path, "validation")
    ]
    ledgers = [read_json(path / "data.json")["splits"]["train"] for path in (model.path, run.path)]
    assert [ledger["label_counts"] for ledger in ledgers] == [ledgers[0]["label_counts"]] * 2


IN_A_NEW_PROCESS = """
import json, sys
import tunewright as tw
from tunewright.config import load
from tunewright.contest.floor_runs import train_floor
from tunewright.data import sources
from tunewright.floors.tfidf import Tfidf
for run, file in json.loads(sys.argv[1]):
    predictor = tw.load(run)
    task, table = predictor.artifact.task, sources.read(file)
    roles = task.match(table, predictor.artifact.columns.roles)
    rows = [task.read(table, index, roles, None, True) for index in range(len(table.rows))]
    print(json.dumps([task.verdict(row, said) for row, said in zip(rows, predictor.answer(rows))]))
train_floor(load({"data": {"train": sys.argv[2]}, "out": sys.argv[3]}), Tfidf())
"""


def test_a_new_process_gives_the_very_predictions_of_the_run_and_learns_the_very_floor(floor_run, tmp_path):
    runs = [(floor_run("sequence_classification", "tfidf").path, DESK / "test.csv")]
    runs += [(floor_run("token_classification", kind).path, DESK / "entities_test.jsonl") for kind in
             ("majority", "tfidf")]  # fmt: skip
    runs += [(floor_run("causal_lm", "tfidf").path, DESK / "instructions_test.jsonl")]
    runs += [(floor_run("preference", "tfidf").path, DESK / "preferences_test.jsonl")]
    asked = json.dumps([(str(run), str(file)) for run, file in runs])
    questions = floor_run("question_answering", "tfidf").path
    file = str(questions.parents[1] / "question_answering.jsonl")
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, asked, file, str(tmp_path / "again")]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    for (run, _), told in zip(runs, process.stdout.splitlines(), strict=True):
        known = [{key: value for key, value in line.items() if key not in ("row", "id", "text")} for line in lines(run)]
        assert json.loads(told) == known
    manifests = [read_json(run / "model" / MANIFEST) for run in (questions, tmp_path / "again")]
    assert manifests[0] == manifests[1]  # whatever the seed of Python's hashes


def test_a_damaged_floor_is_refused(floor_run, tmp_path):
    source = floor_run("sequence_classification", "tfidf").path
    for name in ("floor.safetensors", "floor.json"):
        run = tmp_path / name
        shutil.copytree(source, run)
        content = (run / "model" / name).read_bytes()
        (run / "model" / name).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        with pytest.raises(ModelError, match="missing or damaged"):
            tw.load(run)
        (run / "model" / name).write_bytes(content[: len(content) // 2])
        manifest = read_json(run / "model" / MANIFEST)
        manifest["sha256"][name] = sha256(run / "model" / name)
        write_json(run / "model" / MANIFEST, manifest)
        with pytest.raises(ModelError, match="the floor cannot be loaded"):
            tw.load(run)


def test_a_floors_folder_holds_no_pickle(floor_run):
    for task in TASKS:
        model = floor_run(task, "tfidf").path / "model"
        assert {path.suffix for path in model.iterdir()} <= {".json", ".safetensors", ".jinja"}


def test_a_floors_run_is_shown(floor_run, capsys):
    show.command(floor_run("sequence_classification", "tfidf").path)
    shown = capsys.readouterr().out
    assert "no model, sequence_classification, tfidf" in shown
    assert "floor:\n  kind: tfidf" in shown
    assert "report:" not in shown


def test_what_a_floor_cannot_is_refused_with_the_reason(floor_run):
    run = floor_run("causal_lm", "majority").path
    with pytest.raises(ConfigError, match="a floor has no layers that could be lowered"):
        tw.load(run).lower("bf16")
    with pytest.raises(ModelError, match="a floor has no weights to go on from; start from a model"):
        startable(str(run))
    with pytest.raises(ConfigError, match="a floor holds no dialogues"):
        Chat(tw.load(run))
    for kind in ("majority", "tfidf"):
        assert floor(kind).refuses(Preference(kind="preference")) is None
        assert "simpo is a loss of likelihoods" in str(floor(kind).refuses(Preference(kind="preference", loss="simpo")))


def test_scores_of_pairs_are_not_taken_for_likelihoods(floor_run):
    scores = read_json(floor_run("preference", "tfidf").path / "metrics.json")["test"]
    assert scores["chosen_log_probability"] is None
    assert scores["accuracy"] > 0.8


def test_a_finished_floor_is_not_overwritten_unasked(floor_run):
    run = floor_run("question_answering", "majority")
    config = load({"data": {"train": str(run.path.parents[1] / "question_answering.jsonl")}, "out": str(run.path)})
    with pytest.raises(RunDirectoryError, match="has a finished run"):
        train_floor(config, floor("majority"))


# --- a comparison is served by the run that its verdict names -------------------------------------------------------


@pytest.fixture
def comparison(floor_run, tmp_path):
    """A comparison's directory with two finished runs."""
    for kind in ("majority", "tfidf"):
        shutil.copytree(floor_run("sequence_classification", kind).path, tmp_path / "made" / kind / "seed-0")

    def make(verdict):
        write_json(tmp_path / "made" / "comparison.json", {"format": 1, "verdict": verdict})
        return tmp_path / "made"

    return make


def test_predict_and_evaluate_take_the_run_that_the_verdict_names(comparison, floor_run, capsys):
    folder = comparison({"winner": "tfidf", "path": "tfidf/seed-0"})
    run = floor_run("sequence_classification", "tfidf")
    texts = [line["text"] for line in lines(run.path)[:5]]
    assert tw.load(folder)(texts) == tw.load(run.path)(texts)
    evaluate.command(str(folder), str(DESK / "test.csv"), as_json=True)
    assert json.loads(capsys.readouterr().out)["accuracy"] == run.metrics["test"]["accuracy"]
    with pytest.raises(ModelError, match="no weights to go on from"):
        startable(str(folder))


def test_a_comparison_without_a_verdict_names_the_remedy(comparison):
    folder = comparison(None)
    with pytest.raises(ModelError, match="has no verdict yet; finish it with the same compare command"):
        tw.load(folder)
    (folder / "comparison.json").write_text("[]")
    with pytest.raises(ModelError, match=r"comparison\.json is unreadable"):
        tw.load(folder)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "tfidf/../../elsewhere", "link"])
def test_a_verdict_that_leads_out_of_the_comparison_is_refused(comparison, floor_run, path):
    folder = comparison({"winner": "tfidf", "path": path})
    shutil.copytree(floor_run("sequence_classification", "tfidf").path, folder.parent / "elsewhere")
    (folder / "link").symlink_to(folder.parent / "elsewhere")
    with pytest.raises(UnsafeError, match="leads out of the folder"):
        tw.load(folder)


@pytest.mark.real_data
def test_floors_of_real_data_are_strong(real_data, tmp_path):
    banking, entities = real_data / "banking77", real_data / "bio_ner" / "NCBI-disease-IOB"
    known = {
        "accuracy": (0.6, {"train": str(banking / "train.csv"), "test": str(banking / "test.csv"), "limit": 1000}),
        "f1": (0.5, {"train": str(entities / "train.tsv"), "test": str(entities / "test.tsv"), "limit": 600}),
    }
    for name, (least, section) in known.items():
        run = train_floor(load({"data": section, "out": str(tmp_path / name)}), floor("tfidf"))
        assert run.metrics["test"][name] > least
