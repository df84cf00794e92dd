"""Stages: runs of one recipe, each of which starts from the one before it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import tunewright as tw
from tests.conftest import make_model, weights_of, write_rows
from tests.language_models import make_language_model
from tests.tasks.test_causal_lm import write as write_completions
from tests.tasks.test_preference import history
from tests.tasks.test_preference import write as write_pairs
from tunewright import artifact
from tunewright.cli import add_verbs, run
from tunewright.errors import ConfigError, ModelError
from tunewright.stages import expand, has_stages

QUICK = {"max_steps": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "warmup": 0, "dropout": 0}


def recipe(tmp_path: Path, common: object = "full", **second) -> dict:
    """SFT, then DPO, on a tiny Llama."""
    model = tmp_path / "llama"
    if not model.exists():
        make_language_model(model, "llama")
    shares = {"validation_share": 0.15, "test_share": 0, "max_length": 64}
    sft = {"name": "sft", "data": {"train": write_completions(tmp_path / "completions.jsonl"), **shares},
           "task": {"kind": "causal_lm", "max_new_tokens": 5, "score_answers": 2}}  # fmt: skip
    dpo = {"name": "dpo", "data": {"train": write_pairs(tmp_path / "pairs.jsonl"), **shares},
           "task": "preference"} | second  # fmt: skip
    return {"model": str(model), "strategy": common, "training": QUICK, "out": str(tmp_path / "out"),
            "stages": [sft, dpo]}  # fmt: skip


def one(raw: dict, number: int = 0) -> dict:
    """One stage of a recipe as a run of its own."""
    common = {key: value for key, value in raw.items() if key != "stages"}
    stage = {key: value for key, value in raw["stages"][number].items() if key != "name"}
    return common | stage | {"out": f"{raw['out']}-{number}"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict:
    """A recipe of which both stages are done."""
    raw = recipe(tmp_path_factory.mktemp("stages"))
    assert tw.train(raw, progress=False).path == Path(raw["out"]) / "dpo"
    return raw


def test_the_second_stage_starts_from_the_first(trained, tmp_path):
    raw = trained
    sft, dpo = (Path(raw["out"]) / name for name in ("sft", "dpo"))
    assert yaml.safe_load((dpo / "run.yaml").read_text())["model"] == str(sft)
    first = history(dpo)[0]
    assert first["loss"] == pytest.approx(np.log(2), abs=1e-5)  # the reference is the tuned model
    apart = tw.train(one(raw, 1) | {"model": str(sft)}, progress=False)
    assert all(torch.equal(value, weights_of(apart.path)[name]) for name, value in weights_of(dpo).items())
    without = tw.train(one(raw, 1) | {"out": str(tmp_path / "without")}, progress=False)
    moved = [name for name, value in weights_of(dpo).items() if not torch.equal(value, weights_of(without.path)[name])]
    assert moved  # from the untuned model another comes of it


def test_the_second_stage_speaks_the_firsts_template(tmp_path):
    raw = recipe(tmp_path)
    raw["stages"][0]["task"]["template"] = "alpaca"
    raw["stages"][0]["data"]["max_length"] = raw["stages"][1]["data"]["max_length"] = 200
    result = tw.train(raw, progress=False)
    tokenizers = [artifact.load(tmp_path / "out" / name).tokenizer for name in ("sft", "dpo")]
    assert tokenizers[0].chat_template == tokenizers[1].chat_template
    assert "### Response" in tokenizers[1].chat_template
    assert result.predictor(["red box"])[0].text is not None


def test_a_lora_stage_is_merged_into_equal_logits(tmp_path):
    raw = recipe(tmp_path, "lora")
    raw["training"] = QUICK | {"learning_rate": 1e-2, "max_steps": 4}
    tw.train(one(raw) | {"out": str(tmp_path / "sft")}, progress=False)
    merged = Path(artifact.startable(str(tmp_path / "sft")))
    assert merged == tmp_path / "sft" / "merged"
    from transformers import AutoModelForCausalLM

    adapted, whole = artifact.load(tmp_path / "sft").model, AutoModelForCausalLM.from_pretrained(merged).eval()
    base = AutoModelForCausalLM.from_pretrained(raw["model"]).eval()
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        expected, found, untuned = (model(input_ids=ids).logits for model in (adapted, whole, base))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (untuned - expected).abs().max() > 1e-2
    stamp = (merged / "model.safetensors").stat().st_mtime_ns
    assert artifact.startable(str(tmp_path / "sft")) == str(merged)
    assert (merged / "model.safetensors").stat().st_mtime_ns == stamp  # made once
    result = tw.train(raw, progress=False)
    assert history(result.path)[0]["margin"] == pytest.approx(0, abs=1e-4)
    assert result.predictor(["red box"])[0].text is not None


def test_an_adapter_that_changed_is_merged_anew(tmp_path):
    raw = one(recipe(tmp_path, "lora"))
    tw.train(raw, progress=False)
    before = artifact.startable(raw["out"])
    first = (Path(before) / "model.safetensors").read_bytes()
    raw["training"] = QUICK | {"seed": 5, "learning_rate": 1e-2}
    tw.train(raw, progress=False, overwrite=True)
    assert (Path(artifact.startable(raw["out"])) / "model.safetensors").read_bytes() != first


def test_a_run_that_leaves_nothing_to_merge_is_refused_with_the_reason(tmp_path):
    raw = recipe(tmp_path, "prefix_tuning")
    tw.train(one(raw), progress=False)
    with pytest.raises(ModelError, match=r"a run of prefix_tuning cannot be merged.*start from a run of lora"):
        tw.train(one(raw, 1) | {"model": f"{raw['out']}-0", "strategy": "full"}, progress=False)


@pytest.mark.parametrize("strategy", ["prompt_tuning", "bottleneck_adapter"])
def test_a_stage_that_can_not_be_gone_on_from_is_told_before_it_trains(tmp_path, strategy):
    raw = recipe(tmp_path, strategy)
    with pytest.raises((ConfigError, ModelError), match="merged"):
        tw.train(raw, progress=False)
    assert not (tmp_path / "out" / "sft").exists()


def test_a_pooled_classifier_is_merged_too(tmp_path):
    inbox = {"train": write_rows(tmp_path / "inbox.csv"), "test_share": 0}
    raw = {"model": str(make_model(tmp_path / "bert")), "data": inbox,
           "task": {"kind": "sequence_classification", "pooling": "mean"}, "strategy": "lora", "training": QUICK,
           "out": str(tmp_path / "first")}  # fmt: skip
    tw.train(raw, progress=False)
    result = tw.train(raw | {"model": str(tmp_path / "first"), "strategy": "full", "out": str(tmp_path / "second")},
                      progress=False)  # fmt: skip
    assert result.metrics["steps"] == 2


def test_an_unfinished_run_is_no_start(tmp_path):
    from tests.training.test_resume import killed

    raw = one(recipe(tmp_path)) | {"training": QUICK | {"checkpoint_every": 1}}
    killed(raw, 2)
    with pytest.raises(ModelError, match="no finished model"):
        tw.train(one(recipe(tmp_path), 1) | {"model": raw["out"]}, progress=False)


# --- what is wrong is told before anything trains ---------------------------------------------------------------------


MISTAKES = {
    "a mistyped field": ({"training": QUICK | {"learning_rat": 1}}, "learning_rate"),
    "a wrong value": ({"task": {"kind": "preference", "loss": "dpoo"}}, "dpo"),
    "an unknown strategy": ({"strategy": "lorra"}, "lora"),
    "a missing file": ({"data": {"train": "nowhere.jsonl"}}, "nowhere.jsonl"),
    "a field without effect": ({"task": {"kind": "preference", "loss": "dpo", "gamma": 0.5}}, "gamma"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_the_second_stage_is_told_before_the_first_trains(tmp_path, what):  # C3
    change, named = MISTAKES[what]
    with pytest.raises(tw.TunewrightError, match=named):
        tw.train(recipe(tmp_path, **change), progress=False)
    assert not (tmp_path / "out").exists()


def test_an_error_names_file_and_stage(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(tmp_path, strategy="lorra")))
    with pytest.raises(ConfigError, match=r"recipe.yaml, stage dpo"):
        tw.train(path, progress=False)


@pytest.mark.parametrize("stages", [[], "sft", {"name": "sft"}, ["sft"]])
def test_stages_are_a_list_of_sections(stages):
    with pytest.raises(ConfigError, match="must be a list of sections"):
        expand({"stages": stages})


@pytest.mark.parametrize("name", [None, "", "../up", "a b", 3, "sft"])
def test_a_stage_has_a_name_of_its_own(tmp_path, name):  # S3
    raw = recipe(tmp_path)
    raw["stages"][1]["name"] = name
    with pytest.raises(ConfigError, match=r"stages\[1\].name"):
        expand(raw)


def test_what_stages_share_stands_beside_them(tmp_path):
    raw = recipe(tmp_path, training={"max_steps": 9})
    assert has_stages(raw)
    assert not has_stages(one(raw))
    first, second = expand(raw)
    assert (first.training.max_steps, second.training.max_steps) == (2, 9)
    assert second.model == str(tmp_path / "out" / "sft")
    raw["stages"][1]["model"] = "pocket-lm"
    assert expand(raw)[1].model == "pocket-lm"


def test_a_recipe_that_was_stopped_goes_on_with_the_stage_that_lacks(trained, tmp_path):
    raw, whole = trained | {"out": str(tmp_path / "out")}, Path(trained["out"])
    shutil.copytree(whole / "sft", tmp_path / "out" / "sft")
    written = (tmp_path / "out" / "sft" / "metrics.json").read_bytes()
    result = tw.train(raw, progress=False, resume=True)
    assert (tmp_path / "out" / "sft" / "metrics.json").read_bytes() == written
    expected = weights_of(whole / "dpo")
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(result.path).items())


# --- the command line -------------------------------------------------------------------------------------------------


def test_from_starts_from_a_run(trained, tmp_path, capsys):
    raw, sft = trained, str(Path(trained["out"]) / "sft")
    add_verbs()
    flags = ["--from", sft, "--out", str(tmp_path / "next"), "--task", "preference", "--strategy", "full"]
    settings = [f"training.{name}={value}" for name, value in QUICK.items()] + ["data.max_length=64"]
    assert run(["train", raw["stages"][1]["data"]["train"], *settings, *flags, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["model"] == sft
    assert history(tmp_path / "next")[0]["loss"] == pytest.approx(np.log(2), abs=1e-5)
