"""Facts as they are measured, and that advise and train say the same."""

from __future__ import annotations

import shlex

import pytest

import tunewright as tw
from tests.conftest import make_model
from tests.language_models import make_language_model
from tunewright import config
from tunewright.advice import advise as advising
from tunewright.advice.measure import measure, open_subject
from tunewright.component import members
from tunewright.errors import ConfigError
from tunewright.planner.machine import Machine
from tunewright.preview.prepared import prepare
from tunewright.strategies.base import Scale, Strategy
from tunewright.training.progress import Listener

GPU = Machine.parse(gpu="1x24GB")


@pytest.fixture
def rows(tmp_path):
    """40 rows of two words; half of them damage, the last one twice; one word that the tokenizer does not know."""
    lines = [f"{'broken box' if number % 2 else 'invoice money'} {'one' if number < 39 else 'zyx'},"
             f"{'damage' if number % 2 else 'billing'}" for number in range(40)]  # fmt: skip
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines, lines[-1]]))
    return str(tmp_path / "rows.csv")


@pytest.fixture
def recipe(rows, tmp_path):
    model = str(make_model(tmp_path / "bert"))
    return config.load({"data": {"train": rows}, "model": model, "task": {"kind": "sequence_classification"}})


def facts_of(recipe, given=None, **options):
    return measure(open_subject(recipe, GPU, options.pop("seconds", 60.0), Listener()), "none", given or {})


def test_rows_words_and_labels_are_counted(recipe):
    found = facts_of(recipe).values
    assert (found["rows"], found["classes"], found["rows_of_rarest"]) == (41, 2, 20)
    assert found["majority"] == pytest.approx(21 / 41)
    assert (found["model_kind"], found["gpu"], found["memory_gb"]) == ("encoder", True, 24.0)
    assert 0 < found["unknown_tokens"] < 0.1
    assert found["tokens_per_word"] == 1.0
    assert found["words_score"] > 0.9
    assert found["duplicates"] > 0.8  # but four texts all are the same


def test_what_cannot_be_measured_has_a_reason(recipe):
    found = facts_of(recipe)
    assert "no chat template" in found.unknown["instruction_tuned"]
    assert "50 are needed" in found.unknown["label_noise"]
    assert not set(found.values) & set(found.unknown)


def test_what_is_given_is_not_measured(recipe):
    assert facts_of(recipe, {"rows": 7, "words_score": 0.1}).values["words_score"] == 0.1


def test_time_that_is_over_is_a_reason_too(recipe):
    assert "were over" in facts_of(recipe, seconds=1e-9).unknown["words_score"]


def test_the_untuned_model_is_asked_for_its_perplexity(tmp_path):
    model = make_language_model(tmp_path / "llama")
    (tmp_path / "said.jsonl").write_text('{"instruction": "Say.", "output": "parcel late"}\n' * 30)
    raw = {"data": {"train": str(tmp_path / "said.jsonl")}, "model": str(model)}
    found = facts_of(config.load(raw)).values
    assert found["perplexity"] > 10
    assert found["model_kind"] == "causal"


@pytest.mark.parametrize("kind", ["full", "layerwise_decay", "lora", "prompt_tuning"])
def test_advice_has_the_numbers_that_a_run_resolves_to(recipe, kind):
    subject = open_subject(recipe, GPU, 10.0, Listener())
    run = prepare(recipe.model_copy(update={"strategy": members(Strategy)[kind](kind=kind)})).config.training
    said = subject.numbers(kind)
    for name in ("learning_rate", "batch_size", "epochs", "warmup", "weight_decay"):
        assert said[name] == getattr(run, name), name


def test_without_a_tokenizer_the_numbers_are_the_strategys_own(recipe, tmp_path):
    for file in (tmp_path / "bert").glob("token*"):
        file.unlink()
    subject = open_subject(recipe, GPU, 10.0, Listener())
    own = members(Strategy)["lora"](kind="lora").defaults(Scale(32, len(subject.train.rows)))
    assert subject.numbers("lora")["epochs"] == own.epochs
    assert not subject.encoded


def test_commands_are_ones_that_train_takes(recipe, monkeypatch):
    monkeypatch.setattr(advising, "TRACED", 0)  # the plan has tests of its own
    given = {"test_share": 0.2, "text": ("text",)}
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=given)})
    found = advising.advise(recipe, gpu="1x24GB", facts={"too_long": 0.4, "imbalance": 50.0}).told
    line = next(line for line in found["commands"] if line.startswith("tunewright train"))
    line = shlex.split(line)
    assert {"task.long_text=windows", "--strategy"} <= set(line)
    settings = [word for word in line if "=" in word]
    run = config.load({"data": {"train": line[2]}, "task": "sequence_classification"}, settings)
    assert (run.data.test_share, run.data.text) == (0.2, ("text",))


def test_python_gives_the_same_advice(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(advising, "TRACED", 0)
    found = tw.advise(rows, model=str(make_model(tmp_path / "bert")), gpu="1x24GB", need="freshness", progress=False)
    assert found.fine_tune == "retrieval"
    with pytest.raises(ConfigError, match="need"):
        tw.advise(rows, model=str(tmp_path / "bert"), gpu="1x24GB", need="speed", progress=False)
