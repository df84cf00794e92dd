"""Language models that a strategy changed: saved, loaded, merged, asked with padding, recomputed."""

from __future__ import annotations

import pytest
import torch
import transformers

from tests.language_models import DECODERS, ENCODER_DECODERS
from tests.strategies.language_models import (
    KINDS,
    REFUSED,
    STRATEGIES,
    applied,
    each_kind,
    every_pair,
    inputs_of,
    loaded,
    logits,
    no_four_bits,
    own_name,
    stir,
    task_of,
    trains,
)
from tunewright import models
from tunewright.artifact import with_adapter
from tunewright.heads import HEAD_FILE, sizes, with_virtual_tokens
from tunewright.models import checkpoint_gradients, set_dropout
from tunewright.strategies.ia3 import IA3
from tunewright.strategies.lora import LoRA
from tunewright.strategies.peft import largest_difference, linear_modules, merged
from tunewright.strategies.prefix_tuning import PrefixTuning
from tunewright.strategies.qlora import QLoRA
from tunewright.tasks.causal_lm import CausalLM
from tunewright.tasks.seq2seq import Seq2Seq

pytestmark = pytest.mark.filterwarnings("ignore:Position ids are not supported")  # by PEFT: it says what it does

# --- saved, loaded, merged -----------------------------------------------------------------------------------------


@every_pair
def test_what_was_saved_answers_the_same(zoo, tmp_path, kind, name):
    strategy = STRATEGIES[name]
    model = stir(applied(zoo, kind, strategy), strategy)
    with torch.no_grad():
        before = logits(model, kind)
        assert (before - logits(loaded(zoo, kind), kind)).abs().max() > 1e-3
        form = strategy.save(model, tmp_path)
        assert not (tmp_path / HEAD_FILE).exists()
        if form == "adapter":
            again = with_adapter(loaded(zoo, kind, strategy), tmp_path).eval()
            assert not [key for key in models.saved_names(tmp_path) if "lm_head" in key]
        else:
            again = task_of(kind).build(models.locate(str(tmp_path))).eval()
        assert torch.equal(logits(again, kind), before)


MERGED = {
    "lora": LoRA(r=4),
    "lora, everything": LoRA(r=4, targets="all-linear"),
    "lora, dora": LoRA(r=4, use_dora=True),
    "lora, rslora": LoRA(r=4, use_rslora=True, bias="all"),
    "lora, pissa": LoRA(r=4, init="pissa"),
    "lora, olora": LoRA(r=4, init="olora"),
    "lora, orthogonal": LoRA(r=4, init="orthogonal"),
    "ia3": IA3(),
}


@pytest.mark.parametrize("name", MERGED)
@each_kind
def test_merged_logits_are_equal(zoo, kind, name):
    strategy = MERGED[name]
    if strategy.refuses(models.locate(str(zoo / kind)).config, task_of(kind)):
        return
    with torch.no_grad():
        model = applied(zoo, kind, strategy)
        plain = logits(loaded(zoo, kind), kind)
        near = 1e-5 * float(plain.abs().max())
        assert (logits(model, kind) - plain).abs().max() < near  # it starts from the model as it is
        whole = merged(stir(model, strategy))
        assert type(whole) is type(loaded(zoo, kind))
        assert (logits(model, kind) - plain).abs().max() > 1e-2
        assert (logits(whole, kind) - logits(model, kind)).abs().max() < near
        assert largest_difference(model, whole) < near
        assert whole.state_dict().keys() == loaded(zoo, kind).state_dict().keys()


needs_four_bits = pytest.mark.skipif(no_four_bits is not None, reason="no four-bit kernel on this machine")


@needs_four_bits
@pytest.mark.parametrize("settings", [{}, {"use_dora": True}, {"loftq": True}], ids=str)
@each_kind
def test_from_four_bits_merges_into_a_plain_model_of_equal_logits(zoo, tmp_path, kind, settings):
    strategy = QLoRA(r=4, **settings)
    with torch.no_grad():
        model = stir(applied(zoo, kind, strategy), strategy)
        whole = merged(model)
        assert largest_difference(model, whole) < 1e-5 * float(logits(model, kind).abs().max())
        assert {value.dtype for value in whole.parameters()} == {torch.float32}
        plain = loaded(zoo, kind)
        assert {k: v.shape for k, v in whole.named_parameters()} == {k: v.shape for k, v in plain.named_parameters()}
        whole.save_pretrained(tmp_path)
        again = task_of(kind).build(models.locate(str(tmp_path))).eval()
        assert torch.equal(logits(again, kind), logits(whole, kind))
        assert [name for name, _ in model.named_parameters() if "lora_" in name]  # it was a copy


@needs_four_bits
@each_kind
def test_the_head_and_what_a_model_keeps_in_fp32_are_not_put_into_four_bits(zoo, kind):
    model = applied(zoo, kind, QLoRA())
    fours = {own_name(name) for name, value in model.named_parameters() if type(value).__name__ == "Params4bit"}
    expected = {f"{name}.weight" for name in linear_modules(loaded(zoo, kind))}
    assert fours == {name for name in expected if not name.endswith(".wo.weight")}
    assert not any("lm_head" in name for name in fours)


@needs_four_bits
@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5"])
def test_a_start_from_the_error_of_quantisation_brings_the_logits_back(zoo, kind):
    with torch.no_grad():
        plain = logits(loaded(zoo, kind), kind)
        rounded, loftq = (
            (logits(applied(zoo, kind, QLoRA(r=32, loftq=loftq)), kind) - plain).abs().max() for loftq in (False, True)
        )
    assert rounded > 1e-2
    assert loftq < 1e-4  # the rank of most of the matrices


def test_linear_layers_of_both_halves_are_found(zoo):
    assert len(linear_modules(loaded(zoo, "t5"))) == 2 * (4 + 2) + 2 * (8 + 2)
    assert len(linear_modules(loaded(zoo, "bart"))) == 2 * (4 + 2) + 2 * (8 + 2)
    assert not [name for kind in KINDS for name in linear_modules(loaded(zoo, kind)) if "lm_head" in name]


# --- virtual tokens ------------------------------------------------------------------------------------------------

PROMPTS = [name for name in STRATEGIES if name.startswith(("prefix", "prompt"))]


@pytest.mark.parametrize("name", PROMPTS)
@each_kind
def test_padding_changes_nothing(zoo, kind, name):
    model = stir(applied(zoo, kind, STRATEGIES[name]), STRATEGIES[name])
    with torch.no_grad():
        together = logits(model, kind)[1, :5]
        alone = model(**{key: value[1:, :5] for key, value in inputs_of(kind).items()}).logits[0, -5:]
    assert torch.allclose(together, alone, atol=1e-4)


WRITING = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}


@pytest.mark.parametrize("name", [*PROMPTS, "lora"])
@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("beams", [1, 3])
def test_a_prompt_padded_on_the_left_is_answered_as_alone(zoo, kind, name, beams):
    model = stir(applied(zoo, kind, STRATEGIES[name]), STRATEGIES[name])
    inputs = inputs_of(kind)
    inputs = {key: torch.stack([value[0], value[1].roll(3)]) for key, value in inputs.items()}
    alone = {"input_ids": inputs["input_ids"][1:, 3:]}
    alone["attention_mask"] = torch.ones_like(alone["input_ids"])
    expected = model.generate(**alone, num_beams=beams, **WRITING)[0, 5:]
    if name.startswith("prompt"):
        given = with_virtual_tokens(model, inputs["input_ids"], inputs["attention_mask"])
        found = model.get_base_model().generate(**given, num_beams=beams, **WRITING)[1]
    else:
        found = model.generate(**inputs, num_beams=beams, **WRITING)[1, 8:]
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("name", [*PROMPTS, "lora"])
@each_kind
def test_the_cache_of_keys_and_values_changes_no_answer(zoo, kind, name):
    model = stir(applied(zoo, kind, STRATEGIES[name]), STRATEGIES[name])
    ids = inputs_of(kind)["input_ids"][:1]
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    grows = "decoder_input_ids" if kind in ENCODER_DECODERS else "input_ids"
    so_far = torch.tensor([[model.config.decoder_start_token_id]]) if kind in ENCODER_DECODERS else ids
    start = so_far.shape[1]
    with torch.no_grad():
        for _ in range(6):
            step = {**given, grows: so_far}
            step["attention_mask"] = torch.ones_like(step["input_ids"])
            so_far = torch.cat([so_far, model(**step, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    assert model.generate(**given, **WRITING)[0, start:].tolist() == so_far[0, start:].tolist()


def test_prefixes_have_the_shape_of_keys_and_values_not_of_hidden_states():
    t5 = transformers.T5Config(d_model=32, d_kv=8, num_heads=6, num_layers=2, num_decoder_layers=3)  # flan-t5-small
    assert sizes(t5) == {"num_layers": 3, "num_attention_heads": 6, "token_dim": 48}
    bart = transformers.BartConfig(d_model=32, encoder_layers=4, decoder_layers=1, encoder_attention_heads=2,
                                   decoder_attention_heads=4)  # fmt: skip
    assert sizes(bart) == {"num_layers": 1, "num_attention_heads": 4, "token_dim": 32}
    gpt2 = transformers.GPT2Config(n_embd=32, n_layer=3, n_head=2)
    assert sizes(gpt2) == {"num_layers": 3, "num_attention_heads": 2, "token_dim": 32}
    for config in (t5, bart):
        size = {"vocab_size": 50, "pad_token_id": 0, "decoder_start_token_id": 0, "d_ff": 16}
        size |= {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
        for name, value in size.items():
            setattr(config, name, value)
        model = transformers.AutoModelForSeq2SeqLM.from_config(config)
        changed = PrefixTuning(num_virtual_tokens=3).apply(model.requires_grad_(False), Seq2Seq())
        ids = torch.tensor([[4, 5, 6]])
        assert changed(input_ids=ids, decoder_input_ids=ids).logits.shape == (1, 3, 50)


def test_prefixes_fit_heads_wider_than_their_share_of_the_hidden_states():
    config = transformers.Qwen3Config(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        intermediate_size=16,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config).requires_grad_(False)
    changed = PrefixTuning(num_virtual_tokens=3).apply(model, CausalLM())
    assert changed(input_ids=torch.tensor([[4, 5, 6]])).logits.shape == (1, 3, 50)
    assert [value.shape for value in changed.parameters() if value.requires_grad] == [(3, 2 * 2 * 2 * 16)]


# --- gradient checkpointing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lora", "ia3", "bottleneck_adapter", "prompt_tuning", "bitfit", "freeze"])
@each_kind
def test_recomputed_activations_give_the_same_gradients(zoo, kind, name):
    if (kind, name) in REFUSED:
        return
    strategy, gradients = STRATEGIES[name], []
    for recomputes in (False, True):
        torch.manual_seed(0)
        source = models.locate(str(zoo / kind))
        set_dropout(source.config, 0.0)
        model = task_of(kind).build(source).requires_grad_(False)
        if recomputes:
            checkpoint_gradients(model)
        model = stir(strategy.apply(model, task_of(kind)), strategy)
        found = trains(model, strategy)
        for key, value in model.named_parameters():
            value.requires_grad_(key in found)
        for module in model.train().modules():
            if isinstance(module, torch.nn.Dropout):  # LoRA's own
                module.p = 0.0
        logits(model, kind, use_cache=False).log_softmax(-1)[..., 7].sum().backward()
        gradients.append({key: value.grad for key, value in found.items()})
    assert gradients[0].keys() == gradients[1].keys()
    for key, value in gradients[0].items():
        assert torch.allclose(value, gradients[1][key], atol=1e-5), key
