"""The classical scenarios, as golden tests: from facts alone, and through the command line on files."""

from __future__ import annotations

import csv
import json
import random

import pytest

from tunewright import cli
from tunewright.advice.advise import Cost, considered
from tunewright.advice.facts import Facts

ENCODER = {"need": "none", "task": "sequence_classification", "model_kind": "encoder", "parameters": 110e6,
           "rows": 5000, "classes": 4, "gpu": False, "memory_gb": 16.0}  # fmt: skip
WRITER = {"need": "none", "task": "causal_lm", "model_kind": "causal", "parameters": 7e9, "rows": 5000, "gpu": True,
          "memory_gb": 80.0}  # fmt: skip


def told(base, costs=None, **facts):
    return considered(Facts({**base, **facts}), costs or {})


def answer(base, **facts):
    found = told(base, **facts)
    return found["fine_tune"]["answer"], found["strategy"]["kind"]


def said(found, target):
    return [item["what"] for item in found[target]]


def test_a_hundred_thousand_reviews_and_four_a100_are_fully_fine_tuned():
    found = told(ENCODER, rows=100_000, classes=2, gpu=True, devices=4, memory_gb=80.0)
    assert (found["fine_tune"]["answer"], found["strategy"]["kind"]) == ("yes", "full")
    assert "100,000" in found["strategy"]["because"]
    assert "Devlin" in found["strategy"]["source"]


def test_seven_billion_parameters_on_a_laptop_of_16_gb_are_trained_with_qlora():
    found = told(WRITER, gpu=False, memory_gb=16.0)
    assert (found["fine_tune"]["answer"], found["strategy"]["kind"]) == ("yes", "qlora")
    assert "16.0 GB" in found["strategy"]["because"]
    assert any(flip["fact"] == "memory_gb" and flip["targets"] == {"strategy": "lora"} for flip in found["flips"])


def test_fifty_medical_texts_go_into_the_prompt_or_into_prompt_tuning():
    found = told(WRITER, task="sequence_classification", rows=50, classes=3, tokens_per_word=1.5)
    assert (found["fine_tune"]["answer"], found["strategy"]["kind"]) == ("few_shot", "prompt_tuning")
    assert any(flip["fact"] == "rows" and flip["targets"]["fine_tune"] == "yes" for flip in found["flips"])


def test_instructions_with_preferences_are_sft_and_then_dpo():
    assert told(WRITER, pairs=800)["stages"]["answer"] == ["sft", "dpo"]
    assert told(WRITER)["stages"] is None
    assert told(WRITER, task="preference", instruction_tuned=False)["stages"]["answer"] == ["sft", "dpo"]
    assert told(WRITER, task="preference", instruction_tuned=True)["stages"]["answer"] == ["dpo"]


@pytest.mark.parametrize("base", [ENCODER, {**WRITER, "parameters": 1e9}])
def test_abundant_data_and_a_gpu_mean_full_fine_tuning(base):
    assert answer(base, rows=50_000, gpu=True, memory_gb=80.0) == ("yes", "full")
    assert answer(base, rows=5_000, gpu=True, memory_gb=80.0)[1] != "full"


def test_knowledge_that_must_be_fresh_is_retrieved():
    assert told(WRITER, need="freshness")["fine_tune"]["answer"] == "retrieval"


def test_a_format_is_a_matter_of_the_prompt_but_for_a_small_base():
    assert told(WRITER, need="format")["fine_tune"]["answer"] == "prompting"
    assert told(WRITER, need="format", parameters=5e6)["fine_tune"]["answer"] == "yes"


@pytest.mark.parametrize("base", [ENCODER, WRITER])
def test_many_tasks_of_one_base_are_adapters(base):
    found = told(base, need="many-tasks")
    assert found["ordering"][:2] == ["lora", "bottleneck_adapter"]


def test_a_linear_model_that_is_as_good_is_enough():
    found = told(ENCODER, words_score=0.945, probe_score=0.948)
    assert found["fine_tune"]["answer"] == "linear_model"
    assert "0.945" in found["fine_tune"]["because"]
    assert told(ENCODER, words_score=0.945, probe_score=0.949, need="freshness")["fine_tune"]["answer"] == "retrieval"
    assert told(ENCODER, words_score=0.80, probe_score=0.86)["fine_tune"]["answer"] == "yes"
    assert answer(ENCODER, words_score=0.90, probe_score=0.97) == ("linear_model", "feature_extraction")


def test_tiny_data_with_an_encoder_solve_the_head_on_frozen_features():
    found = told(ENCODER, rows=60)
    assert (found["fine_tune"]["answer"], found["strategy"]["kind"]) == ("linear_model", "feature_extraction")
    assert "many_steps" in said(found, "guards")
    assert any(flip["fact"] == "rows" and flip["value"] == 120 for flip in found["flips"])  # 30 a class


def test_long_documents_are_read_in_windows():
    assert told(ENCODER, too_long=0.4, limit=512)["strategy"]["settings"] == {"task.long_text": "windows"}
    assert told(ENCODER, too_long=0.05, limit=512)["strategy"]["settings"] == {"task.long_text": "head_tail"}


def test_noisy_labels_are_cleaned_first():
    assert said(told(ENCODER, label_noise=0.12, label_agreement=0.9), "prepare") == ["clean_labels"]
    assert said(told(ENCODER, label_noise=0.12, label_agreement=0.5), "prepare") == []  # a probe nobody should believe


def test_strong_imbalance_is_weighed_and_judged_by_the_macro_score():
    found = told(ENCODER, imbalance=40.0, majority=0.9, rows_of_rarest=8)
    assert found["strategy"]["settings"] == {"training.balance": "class_weights"}
    assert "macro_score" in said(found, "guards")
    assert said(found, "prepare") == ["label_more"]


def test_latency_takes_the_linear_model_if_little_is_lost_and_no_adapter_else():
    assert told(ENCODER, need="latency", words_score=0.80, probe_score=0.82)["fine_tune"]["answer"] == "linear_model"
    found = told(ENCODER, need="latency", words_score=0.70, probe_score=0.82)
    assert found["fine_tune"]["answer"] == "yes"
    assert not {"bottleneck_adapter", "prompt_tuning", "prefix_tuning"} & set(found["ordering"])
    large = told({**WRITER, "task": "sequence_classification"}, need="latency")
    assert said(large, "prepare") == ["smaller_model"]


def test_a_model_that_fits_nowhere_leaves_no_strategy():
    found = told(WRITER, memory_gb=4.0)
    assert found["strategy"] is None
    assert said(found, "prepare") == ["smaller_model"]


def test_refused_strategies_are_passed_over_and_measured_peaks_count():
    costs = {"layerwise_decay": Cost("layerwise_decay", refused="no layers")}
    assert told(ENCODER, costs)["ordering"] == ["full", "lora"]
    assert told(ENCODER, costs, peak_full_gb=20.0)["ordering"][0] == "lora"


def test_what_could_not_be_asked_is_said_with_the_reason():
    facts = Facts(dict(ENCODER), {"label_noise": "there is no encoder"})
    found = considered(facts, {})
    assert found["unknown"]["label_noise"] == "there is no encoder"
    assert {"rule": "clean-labels", "lacks": ["label_noise", "label_agreement"]} in found["not_asked"]


# --- through the command line -----------------------------------------------------------------------------------------

GOOD, BAD = ["fine", "quick", "lovely"], ["broken", "late", "awful"]


def reviews(path, count):
    """Short reviews; a fifth of them is of the other opinion than its words."""
    draw = random.Random(0)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(count):
            good = draw.random() < 0.5
            words = [draw.choice(GOOD if good else BAD), draw.choice(["parcel", "driver", "box"]), f"n{number}"]
            writer.writerow([" ".join(words), "good" if good == (draw.random() < 0.8) else "bad"])
    return str(path)


def instructions(path, count):
    rows = [{"instruction": f"Say {number}.", "output": f"It is {number}."} for number in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Runs `tunewright advise ... --json` as a shell would; returns the object that it prints."""
    monkeypatch.chdir(tmp_path)
    cli.add_verbs()

    def run(*arguments):
        assert cli.run(["advise", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def seven_billion(folder):
    import transformers

    transformers.LlamaConfig(
        vocab_size=32000, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, intermediate_size=11008,
        architectures=["LlamaForCausalLM"], max_position_embeddings=4096,
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


@pytest.fixture
def bert(tmp_path):
    from tests.conftest import make_model

    return str(make_model(tmp_path / "bert"))


@pytest.fixture
def untraced(monkeypatch):
    monkeypatch.setattr("tunewright.advice.advise.TRACED", 0)  # as of a large model: nothing else depends on it here


def test_reviews_and_four_gpus_on_the_command_line(call, tmp_path, bert, untraced):
    data = reviews(tmp_path / "reviews.csv", 100_000)
    found = call(data, "--model", bert, "--gpu", "4x80GB", "--seconds", "0")
    assert (found["fine_tune"]["answer"], found["strategy"]["kind"]) == ("yes", "full")
    assert found["strategy"]["rule"] == "a-hundred-thousand-rows"
    assert found["facts"]["rows"] == 100_000
    assert found["facts"]["devices"] == 4
    assert found["commands"][0].startswith(f"tunewright train {data} --model {bert} --strategy full")


def test_seven_billion_parameters_on_the_command_line(call, tmp_path):
    data, model = instructions(tmp_path / "said.jsonl", 500), seven_billion(tmp_path / "seven")
    found = call(data, "--model", model, "--memory", "16GB")
    assert (found["fine_tune"]["answer"], found["strategy"]["kind"]) == ("yes", "qlora")
    assert found["facts"]["parameters"] == pytest.approx(6.74e9, rel=0.01)
    fits = {cost["strategy"]: cost["fits"] for cost in found["costs"]}
    assert fits["qlora"]
    assert not fits["lora"]
    assert not fits["full"]
    assert "no tokens" in " ".join(found["notes"])
    assert "tokens_per_word" in found["unknown"]


def test_abundant_rows_and_a_gpu_on_the_command_line(call, tmp_path, bert):
    """Every strategy's pass is traced."""
    found = call(reviews(tmp_path / "reviews.csv", 20_000), "--model", bert, "--gpu", "1x24GB", "--seconds", "0")
    assert found["strategy"]["kind"] == "full"
    assert found["strategy"]["rule"] == "abundant-rows"
