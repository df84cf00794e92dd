"""Strategies on Llama-, Qwen2-, GPT-2-, T5- and BART-like models: what trains of them, at which rate, or why not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from tests.language_models import DECODERS, ENCODER_DECODERS
from tests.strategies.language_models import (
    KINDS,
    MARKS,
    RATES,
    REFUSED,
    STRATEGIES,
    TIED,
    applied,
    each_kind,
    every_pair,
    loaded,
    logits,
    own_name,
    stir,
    task_of,
    trains,
)
from tunewright import models
from tunewright.component import members
from tunewright.errors import ConfigError
from tunewright.layers import block_list, bottom_modules, depth, frozen_blocks, layer_map, stacks
from tunewright.models import checkpoint_gradients
from tunewright.strategies.base import Strategy
from tunewright.strategies.bitfit import BitFit
from tunewright.strategies.feature_extraction import FeatureExtraction
from tunewright.strategies.freeze import Freeze
from tunewright.strategies.full import Full
from tunewright.strategies.gradual_unfreezing import GradualUnfreezing
from tunewright.strategies.layerwise_decay import LayerwiseDecay
from tunewright.strategies.lora import LoRA
from tunewright.strategies.prefix_tuning import PrefixTuning
from tunewright.tasks.causal_lm import CausalLM

# --- the layer map -------------------------------------------------------------------------------------------------


@each_kind
def test_every_parameter_has_one_place(zoo, kind):
    model = loaded(zoo, kind)
    layers = layer_map(model)
    placed = [*layers.embeddings, *(name for block in layers.blocks for name in block), *layers.head]
    assert sorted(placed) == sorted(name for name, _ in model.named_parameters())
    assert len(layers.blocks) == depth(model.config) == (4 if kind in ENCODER_DECODERS else 2)
    expected = {
        "llama": {"model.norm.weight", "lm_head.weight"},
        "qwen2": {"model.norm.weight"},
        "gpt2": {"transformer.ln_f.weight", "transformer.ln_f.bias"},
        "t5": {"encoder.final_layer_norm.weight", "decoder.final_layer_norm.weight"},
        "bart": set(),
    }
    assert set(layers.head) == expected[kind]


def test_both_halves_of_an_encoder_decoder_are_one_ladder(zoo):
    model = loaded(zoo, "bart")
    layers = layer_map(model)
    assert [block[0].rpartition(".self_attn")[0] for block in layers.blocks] == [
        "model.encoder.layers.0", "model.encoder.layers.1", "model.decoder.layers.0", "model.decoder.layers.1",
    ]  # fmt: skip
    parts = {name.removeprefix("model.").rpartition(".")[0] for name in layers.embeddings}
    early = ("embed_positions", "layernorm_embedding")
    assert parts == {"shared"} | {f"{half}.{part}" for half in ("encoder", "decoder") for part in early}
    assert stacks(loaded(zoo, "t5")) == [("encoder.block", 2), ("decoder.block", 2)]  # sub-layers are lists too
    assert stacks(model) == [("model.encoder.layers", 2), ("model.decoder.layers", 2)]
    assert block_list(model) == ("model.encoder.layers", 2)
    assert stacks(loaded(zoo, "gpt2")) == [("transformer.h", 2)]


def test_halves_of_unequal_depth_keep_their_order():
    config = transformers.T5Config(num_layers=1, num_decoder_layers=3, d_model=8, d_kv=4, num_heads=2, d_ff=8)
    with torch.device("meta"):
        model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    assert stacks(model) == [("encoder.block", 1), ("decoder.block", 3)]
    assert layer_map(model).blocks[1][0].startswith("decoder.block.0.")
    assert depth(config) == 4


def test_the_bottom_of_an_encoder_decoder_runs_through_its_encoder(zoo):
    model = loaded(zoo, "t5")
    everything = [*model.encoder.block, *model.decoder.block]
    for count in range(5):
        found = bottom_modules(model, count)
        assert [module in found for module in everything] == [place < count for place in range(4)]
        assert (model.encoder in found) == (count >= 2)
        assert (model.lm_head in found) is False


# --- what trains ---------------------------------------------------------------------------------------------------


@every_pair
def test_only_what_the_strategy_names_trains(zoo, kind, name):
    strategy = STRATEGIES[name]
    model = applied(zoo, kind, strategy)
    found, layers = trains(model, strategy), layer_map(model)
    everything = {name for name, _ in model.named_parameters()}
    upper = {name for block in layers.blocks[len(layers.blocks) // 2 :] for name in block}
    if strategy.kind in MARKS:
        assert found
        assert all(MARKS[strategy.kind] in name for name in found)
    elif strategy.kind == "bitfit":
        assert set(found) == {name for name in everything if name.endswith("bias")}
    else:
        assert set(found) == (upper | set(layers.head) if strategy.kind == "freeze" else everything)
    if strategy.kind in (*MARKS, "bitfit"):  # these choose by requires_grad; the loop sets the others' by their starts
        assert set(found) == {name for name, value in model.named_parameters() if value.requires_grad}
    if strategy.kind in MARKS:
        assert not [name for name in found if "lm_head" in name or "shared" in name or "embed_tokens" in name]


PER_BLOCK = {  # (of a decoder's or encoder's block, of a block with cross attention), d = 32
    "lora": {
        "llama": 4 * (2 * (32 + 32) + 2 * (32 + 16)),
        "qwen2": 4 * (2 * (32 + 32) + 2 * (32 + 16)),
        "gpt2": 4 * (32 + 96 + 32 + 32),
        "t5": (4 * 4 * 64, 4 * 8 * 64),
        "bart": (4 * 4 * 64, 4 * 8 * 64),
    },
    "ia3": {"llama": 16 + 16 + 64, "qwen2": 16 + 16 + 64, "gpt2": 96 + 128, "t5": (128, 192), "bart": (128, 192)},
    "bottleneck_adapter": dict.fromkeys(DECODERS, 2 * 552) | dict.fromkeys(ENCODER_DECODERS, (2 * 552, 3 * 552)),
    "bottleneck_adapter, pfeiffer": dict.fromkeys(DECODERS, 552) | dict.fromkeys(ENCODER_DECODERS, (552, 552)),
    "prefix_tuning": dict.fromkeys(("llama", "qwen2"), 2 * 5 * 16)
    | {"gpt2": 2 * 5 * 32} | dict.fromkeys(ENCODER_DECODERS, (0, 2 * 5 * 32)),
}  # fmt: skip


@pytest.mark.parametrize("name", PER_BLOCK)
@each_kind
def test_as_many_parameters_train_as_the_papers_formulas_say(zoo, kind, name):
    expected = PER_BLOCK[name][kind]
    strategy = STRATEGIES[name]
    found = trains(applied(zoo, kind, strategy), strategy)
    total = 2 * sum(expected) if isinstance(expected, tuple) else 2 * expected
    assert sum(value.numel() for value in found.values()) == total


@each_kind
def test_virtual_tokens_are_made_once(zoo, kind):
    """By itself PEFT makes an encoder-decoder twice as many as it reads."""
    strategy = STRATEGIES["prompt_tuning"]
    assert [value.shape for value in trains(applied(zoo, kind, strategy), strategy).values()] == [(5, 32)]


@every_pair
def test_a_gradient_reaches_everything_that_trains(zoo, kind, name):
    strategy = STRATEGIES[name]
    model = stir(applied(zoo, kind, strategy), strategy)
    found = trains(model, strategy)
    for key, value in model.named_parameters():
        value.requires_grad_(key in found)
    logits(model, kind, use_cache=False).log_softmax(-1)[..., 7].sum().backward()
    # a bias of all keys shifts a query's scores by one number, which the softmax takes away again
    unreached = [key for key, value in found.items() if value.grad is None or not value.grad.any()]
    assert not [key for key in unreached if not key.endswith("k_proj.bias")]
    assert all(value.grad is None for key, value in model.named_parameters() if key not in found)


def rate_of(groups: list[Any], end: str) -> set[float]:
    return {group.learning_rate for group in groups for name in group.parameters if own_name(name).endswith(end)}


@each_kind
@pytest.mark.parametrize("strategy", [Full(), Freeze(), GradualUnfreezing(), BitFit()], ids=lambda item: item.kind)
def test_a_pretrained_head_has_no_rate_of_its_own(zoo, kind, strategy):
    if (kind, strategy.kind) in REFUSED:
        return
    model = applied(zoo, kind, strategy)
    assert {group.learning_rate for group in strategy.groups(model, layer_map(model), RATES)} == {1e-3}
    if kind == "llama":
        new = strategy.groups(model, layer_map(model), RATES._replace(new_head=True))
        assert rate_of(new, "lm_head.weight") == {1e-3 * strategy.head_learning_rate}


@each_kind
def test_rates_fall_from_the_top_of_the_decoder_to_the_bottom_of_the_encoder(zoo, kind):
    model, strategy = loaded(zoo, kind), LayerwiseDecay(decay=0.5)
    groups = strategy.groups(model, layer_map(model), RATES)
    rates = {group.name: group.learning_rate for group in groups}
    count = depth(model.config)
    assert rates["embeddings"] == pytest.approx(1e-3 * 0.5**count)
    for place in range(count):
        assert rates[f"block {place}"] == pytest.approx(1e-3 * 0.5 ** (count - 1 - place))
    assert rates.get("head", 1e-3) == 1e-3
    if kind == "t5":
        assert rate_of(groups, "decoder.block.1.layer.0.SelfAttention.q.weight") == {1e-3}
        assert rate_of(groups, "encoder.block.1.layer.0.SelfAttention.q.weight") == {1e-3 * 0.5**2}
    assert rate_of(groups, "lm_head.weight") == (set() if kind in TIED else {1e-3})


def test_a_tied_head_is_frozen_with_the_embeddings_and_a_free_one_trains(zoo):
    for kind in KINDS:
        model, strategy = applied(zoo, kind, Freeze()), Freeze()
        head = model.get_output_embeddings().weight
        found = {id(value) for value in trains(model, strategy).values()}
        assert (id(head) in found) == (kind not in TIED), kind
        assert (head is model.get_input_embeddings().weight) == (kind in TIED)


def test_freezing_half_of_an_encoder_decoder_freezes_its_encoder(zoo):
    model = applied(zoo, "bart", Freeze())
    found = trains(model, Freeze())
    for name, value in model.named_parameters():
        value.requires_grad_(name in found)
    assert frozen_blocks(model) == 2
    assert all(name.startswith("model.decoder.layers.") for name in found)


@each_kind
def test_unfreezing_begins_with_the_head_or_where_there_is_none_with_the_top_block(zoo, kind):
    model = loaded(zoo, kind)
    count = depth(model.config)
    groups = GradualUnfreezing(every=10).groups(model, layer_map(model), RATES)
    starts = {group.name: group.start for group in groups}
    first = 0 if kind == "bart" else 10  # which has no norm at the top, and its head is its embeddings
    expected = {f"block {place}": first + 10 * (count - 1 - place) for place in range(count)}
    assert starts == expected | {"embeddings": first + 10 * count} | ({} if kind == "bart" else {"head": 0})
    auto = GradualUnfreezing().groups(model, layer_map(model), RATES)
    assert (min(group.start for group in auto), max(group.start for group in auto)) == (0, 50)


# --- refusals ------------------------------------------------------------------------------------------------------


@each_kind
def test_features_are_refused_because_there_is_no_new_head(zoo, kind):
    config = models.locate(str(zoo / kind)).config
    assert FeatureExtraction().refuses(config, task_of(kind)) == (
        "there is no new head to train on frozen features; use freeze or lora"
    )


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_blocks_without_biases_can_not_be_trained_by_them(zoo, kind):
    config = models.locate(str(zoo / kind)).config
    assert "has no biases in its blocks" in (BitFit().refuses(config, task_of(kind)) or "")
    assert "has no biases in its blocks" in (LoRA(bias="all").refuses(config, task_of(kind)) or "")


@each_kind
def test_olora_is_refused_for_matrices_that_stand_on_end(zoo, kind):
    """PEFT factors GPT-2's (in, out) matrices as if they were (out, in): square ones silently."""
    reason = LoRA(init="olora").refuses(models.locate(str(zoo / kind)).config, task_of(kind))
    assert (reason is not None) == (kind == "gpt2")
    assert reason is None or "use pissa" in reason


def test_freezing_every_block_of_a_model_with_a_tied_head_leaves_nothing(zoo):
    for kind in KINDS:
        config = models.locate(str(zoo / kind)).config
        reason = Freeze(blocks=depth(config)).refuses(config, task_of(kind))
        assert (reason is None) == (kind not in TIED)
        assert "not 9 to freeze" in (Freeze(blocks=9).refuses(config, task_of(kind)) or "")
        assert Freeze(blocks=depth(config) - 1).refuses(config, task_of(kind)) is None


def test_no_other_strategy_is_refused(zoo):
    refused = {
        (kind, name)
        for kind in KINDS
        for name, member in members(Strategy).items()
        if member().refuses(models.locate(str(zoo / kind)).config, task_of(kind))
    }
    assert refused == REFUSED | {(kind, "feature_extraction") for kind in KINDS}


def test_prefixes_and_recomputed_activations_exclude_each_other(zoo):
    model = loaded(zoo, "llama")
    checkpoint_gradients(model)
    with pytest.raises(ConfigError, match="past keys and values, which a block that is run twice does not get"):
        PrefixTuning().apply(model, CausalLM())


@pytest.mark.parametrize("name", ["full", "freeze", "gradual_unfreezing", "layerwise_decay", "bitfit", "prompt_tuning"])
def test_a_rate_for_a_new_head_has_no_effect_where_there_is_none(name):
    changed: Any = type(STRATEGIES[name])(head_learning_rate=3.0)
    assert changed.unread(CausalLM()) == {"head_learning_rate": "causal_lm has no new head"}
    assert type(changed)().unread(CausalLM()) == {}
