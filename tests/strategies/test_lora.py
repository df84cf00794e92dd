"""LoRA changes what it says it changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tunewright as tw
from tests.conftest import make_model, weights_of
from tunewright import models
from tunewright.errors import ConfigError
from tunewright.strategies.lora import LoRA
from tunewright.strategies.peft import merged
from tunewright.tasks.sequence_classification import SequenceClassification

ATTENTION = {
    "bert": {"query", "key", "value", "dense"},
    "roberta": {"query", "key", "value", "dense"},
    "distilbert": {"q_lin", "k_lin", "v_lin", "out_lin"},
    "modernbert": {"Wqkv", "Wo"},
}


def applied(folder, pooling="mean", **settings):
    source = models.locate(str(folder))
    task = SequenceClassification(labels=("a", "b"), pooling=pooling)
    return LoRA(**settings).apply(task.build(source), task)


def changed(model) -> list[str]:
    return [name.split(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name]


@pytest.mark.parametrize("kind", ATTENTION)
def test_attention_is_the_default_target(tmp_path, kind):
    names = changed(applied(make_model(tmp_path / kind, kind)))
    assert {name.rsplit(".", 1)[-1] for name in names} == ATTENTION[kind]
    assert all("att" in name for name in names)
    assert not any("intermediate" in name or "ffn" in name or "mlp" in name for name in names)


@pytest.mark.parametrize("pooling", ["mean", "model"])
@pytest.mark.parametrize("kind", ATTENTION)
def test_all_linear_keeps_off_the_head(tmp_path, kind, pooling):
    names = changed(applied(make_model(tmp_path / kind, kind), pooling, targets="all-linear"))
    assert any("intermediate" in name or "ffn" in name or "mlp" in name for name in names)
    parts = {part for name in names for part in name.split(".")}
    assert not parts & {"classifier", "pre_classifier", "pooler", "head"}


def test_named_targets_and_rank_give_the_papers_number_of_parameters(tiny):
    model = applied(tiny, targets=("query", "value"), r=8)
    factors = sum(p.numel() for name, p in model.named_parameters() if "lora_" in name)
    assert factors == 2 * 2 * 8 * (32 + 32)  # layers * matrices * r * (in + out)


def test_an_unknown_target_is_refused_with_a_suggestion(tiny):
    with pytest.raises(ConfigError, match="did you mean 'query'"):
        applied(tiny, targets=("quary",))


@pytest.mark.parametrize("kind", ATTENTION)
def test_the_whole_of_a_models_own_head_trains(tmp_path, kind):
    """FINDINGS 7: PEFT alone leaves DistilBERT's pre_classifier and ModernBERT's head random and unsaved."""
    model = applied(make_model(tmp_path / kind, kind), "model")
    new = set(model.base_model.model.new_parameters)
    names = [name.replace(".modules_to_save.default", "") for name, p in model.named_parameters() if p.requires_grad]
    assert new
    assert new <= {name.removeprefix("base_model.model.") for name in names}


def test_merged_weights_have_equal_logits(tiny):
    model = applied(tiny)
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.eval()
    inputs = {"input_ids": torch.randint(4, 20, (3, 9)), "attention_mask": torch.ones(3, 9, dtype=torch.long)}
    with torch.no_grad():
        plain, joined = model(**inputs), merged(model)(**inputs)
        untouched = model.encoder.get_base_model()
    assert torch.allclose(plain, joined, atol=1e-5)
    assert untouched is not None
    assert changed(model)  # merging worked on a copy


def test_options_reach_peft(tiny):
    model = applied(tiny, r=4, alpha=12, dropout=0.3, bias="all", use_rslora=True, use_dora=True)
    config = model.encoder.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout, config.bias) == (4, 12, 0.3, "all")
    assert config.use_rslora
    assert config.use_dora
    assert applied(tiny, r=4).encoder.peft_config["default"].lora_alpha == 8


def test_frozen_weights_stay_and_factors_move(small, tiny):
    from safetensors.torch import load_file

    raw = small("run", {"kind": "lora", "merge": True, "targets": ["query"]}, max_steps=3)
    tw.train(raw, progress=False)
    before, after = load_file(f"{tiny}/model.safetensors"), weights_of(raw["out"])
    moved = [
        name for name, value in before.items() if not np.array_equal(value, after[f"model.safetensors/bert.{name}"])
    ]
    assert moved
    assert all("query.weight" in name or name.startswith("pooler") for name in moved)
