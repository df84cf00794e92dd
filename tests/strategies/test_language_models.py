"""Every strategy on Llama-, Qwen2-, GPT-2-, T5- and BART-like models: what trains, is saved, merges; or why not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from tests.language_models import DECODERS, ENCODER_DECODERS, make_language_model
from tunewright import models
from tunewright.artifact import with_adapter
from tunewright.component import members
from tunewright.errors import ConfigError
from tunewright.heads import HEAD_FILE, sizes, with_virtual_tokens
from tunewright.kernels import four_bit_fault
from tunewright.layers import block_list, bottom_modules, depth, frozen_blocks, layer_map, stacks
from tunewright.models import checkpoint_gradients, set_dropout
from tunewright.strategies.base import Rates, Strategy
from tunewright.strategies.bitfit import BitFit
from tunewright.strategies.bottleneck_adapter import BottleneckAdapter
from tunewright.strategies.feature_extraction import FeatureExtraction
from tunewright.strategies.freeze import Freeze
from tunewright.strategies.full import Full
from tunewright.strategies.gradual_unfreezing import GradualUnfreezing
from tunewright.strategies.ia3 import IA3
from tunewright.strategies.layerwise_decay import LayerwiseDecay
from tunewright.strategies.lora import LoRA
from tunewright.strategies.peft import largest_difference, linear_modules, merged
from tunewright.strategies.prefix_tuning import PrefixTuning
from tunewright.strategies.prompt_tuning import PromptTuning
from tunewright.strategies.qlora import QLoRA
from tunewright.tasks.causal_lm import CausalLM
from tunewright.tasks.seq2seq import Seq2Seq

KINDS = [*DECODERS, *ENCODER_DECODERS]
TIED = {"qwen2", "gpt2", "t5", "bart"}
RATES = Rates(1e-3, 0.1, total_steps=100, steps_per_epoch=10, new_head=False)
STRATEGIES: dict[str, Strategy] = {
    "full": Full(),
    "freeze": Freeze(),
    "gradual_unfreezing": GradualUnfreezing(),
    "layerwise_decay": LayerwiseDecay(),
    "bitfit": BitFit(),
    "lora": LoRA(r=4),
    "lora, everything": LoRA(r=4, targets="all-linear", use_dora=True),
    "qlora": QLoRA(r=4),
    "ia3": IA3(),
    "bottleneck_adapter": BottleneckAdapter(bottleneck_size=8),
    "bottleneck_adapter, pfeiffer": BottleneckAdapter(bottleneck_size=8, variant="pfeiffer"),
    "prefix_tuning": PrefixTuning(num_virtual_tokens=5),
    "prefix_tuning, MLP": PrefixTuning(num_virtual_tokens=5, projection=True, projection_size=16),
    "prompt_tuning": PromptTuning(num_virtual_tokens=5),
    "prompt_tuning, text": PromptTuning(num_virtual_tokens=5, init_text="red label"),
}
MARKS = {"lora": "lora_", "qlora": "lora_", "ia3": "ia3_l", "bottleneck_adapter": "bottleneck_"}
MARKS |= {"prefix_tuning": "prompt_encoder", "prompt_tuning": "prompt_encoder"}
no_four_bits = four_bit_fault()
REFUSED = {(kind, "bitfit") for kind in ("llama", "t5")} | {(kind, "qlora") for kind in KINDS if no_four_bits}
PAIRS = [(kind, name) for name in STRATEGIES for kind in KINDS if (kind, name) not in REFUSED]
every_pair = pytest.mark.parametrize(("kind", "name"), PAIRS)
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    home = tmp_path_factory.mktemp("zoo")
    for kind in KINDS:
        make_language_model(home / kind, kind, spread=0.3)
    return home


def task_of(kind: str) -> Any:
    return Seq2Seq() if kind in ENCODER_DECODERS else CausalLM()


def loaded(zoo, kind: str, strategy: Strategy | None = None) -> Any:
    kwargs = strategy.load_kwargs() if strategy else {}
    return task_of(kind).build(models.locate(str(zoo / kind)), **kwargs).eval()


def applied(zoo, kind: str, strategy: Strategy) -> Any:
    """As a run does it."""
    model = loaded(zoo, kind, strategy).requires_grad_(False)
    return strategy.apply(model, task_of(kind)).eval()


def trains(model: Any, strategy: Strategy) -> dict[str, Any]:
    """What the optimizer is given, by name; nothing twice."""
    groups = strategy.groups(model, layer_map(model), RATES)
    pairs = [pair for group in groups for pair in group.parameters.items()]
    assert len({id(value) for _, value in pairs}) == len(pairs)
    return dict(pairs)


def inputs_of(kind: str) -> dict[str, torch.Tensor]:
    """Two rows, the second one padded on the right."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(10, 300, (2, 8), generator=generator)
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    inputs = {"input_ids": ids, "attention_mask": mask}
    if kind in ENCODER_DECODERS:
        inputs |= {"decoder_input_ids": ids.flip(1), "decoder_attention_mask": mask}
    return inputs


def logits(model: Any, kind: str, **more: Any) -> torch.Tensor:
    """Of the text's own positions."""
    found: torch.Tensor = model(**{**inputs_of(kind), **more}).logits
    return found[:, -8:]


def stir(model: Any, strategy: Strategy) -> Any:
    """Moves all that trains: what starts at zero hides what it is multiplied by."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in trains(model, strategy).values():
            value += 0.1 * torch.randn(value.shape, generator=generator)
    return model


def own_name(name: str) -> str:
    """A parameter's name in the plain model."""
    return name.removeprefix("base_model.model.").replace("base_layer.", "")


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
