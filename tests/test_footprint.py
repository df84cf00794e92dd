"""What is said of a strategy without weights is what a real model shows with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

from tests.conftest import make_model, make_tokenizer
from tests.language_models import DECODERS, ENCODER_DECODERS, make_language_model
from tunewright import models
from tunewright.component import members
from tunewright.errors import ModelError, UnsafeError
from tunewright.footprint import Footprint, Refusal, anatomy, footprint
from tunewright.kernels import four_bit_fault
from tunewright.layers import layer_map
from tunewright.strategies.base import Rates, Strategy
from tunewright.strategies.bottleneck_adapter import BottleneckAdapter
from tunewright.strategies.freeze import Freeze
from tunewright.strategies.full import Full
from tunewright.strategies.gradual_unfreezing import GradualUnfreezing
from tunewright.strategies.lora import LoRA
from tunewright.strategies.prefix_tuning import PrefixTuning
from tunewright.strategies.prompt_tuning import PromptTuning
from tunewright.strategies.qlora import QLoRA
from tunewright.tasks.base import Task
from tunewright.tasks.causal_lm import CausalLM
from tunewright.tasks.seq2seq import Seq2Seq
from tunewright.tasks.sequence_classification import SequenceClassification

KINDS = sorted(members(Strategy))
ARCHITECTURES = ("bert", "roberta", "distilbert", "modernbert")
LANGUAGE_MODELS = (*DECODERS, *ENCODER_DECODERS)
OWN_HEAD = SequenceClassification(labels=("a", "b"), pooling="model")
MEAN = SequenceClassification(labels=("a", "b"), pooling="mean")
LONG = Rates(1e-3, 0.01, total_steps=10_000, steps_per_epoch=10)
needs_four_bits = pytest.mark.skipif(four_bit_fault() is not None, reason="no four-bit kernel on this machine")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> Path:
    """Folders of tiny models with weights, by architecture."""
    home = tmp_path_factory.mktemp("zoo")
    for kind in ARCHITECTURES:
        make_model(home / kind, kind)
    for kind in LANGUAGE_MODELS:
        make_language_model(home / kind, kind)
    return home


@pytest.fixture(scope="module")
def bert_base(tmp_path_factory) -> Path:
    """A folder with the configuration of bert-base-uncased and nothing else."""
    folder = tmp_path_factory.mktemp("bert-base")
    transformers.BertConfig().save_pretrained(folder)
    return folder


def of(folder: Path | str, strategy: Strategy, task: Task = OWN_HEAD) -> Footprint:
    found = footprint(models.locate(str(folder), weights=False), task, strategy)
    assert isinstance(found, Footprint), found
    return found


def really(folder: Path | str, strategy: Strategy, task: Task = OWN_HEAD) -> tuple[int, int]:
    """(parameters that train, bytes of all parameters) of a model with weights."""
    model = strategy.apply(task.build(models.locate(str(folder)), **strategy.load_kwargs()), task)
    groups = strategy.groups(model, layer_map(model), LONG._replace(new_head=task.new_head))
    trains = sum(value.numel() for group in groups for value in group.parameters.values())
    return trains, sum(value.numel() * value.element_size() for value in model.parameters())


# --- numbers -------------------------------------------------------------------------------------------------------


def test_query_and_value_of_bert_base_at_rank_8_have_the_known_numbers(bert_base):
    found = of(bert_base, LoRA(r=8, targets=("query", "value")))
    assert (found.encoder, found.encoder_total, found.head) == (294_912, 109_482_240, 2 * 768 + 2)
    assert f"{100 * found.share:.2f} %" == "0.27 %"
    assert found.gradients == 4 * (294_912 + 1_538)
    assert found.optimizer == 8 * (294_912 + 1_538)
    assert found.weights == 4 * (109_482_240 + 294_912 + 2 * 1_538)  # PEFT trains a copy of the head
    assert found.bytes == found.weights + found.gradients + found.optimizer


def test_the_layer_map_of_bert_base(bert_base):
    found = anatomy(models.locate(str(bert_base), weights=False), OWN_HEAD)
    assert found.embeddings == 23_837_184
    assert found.blocks == (7_087_872,) * 12
    assert found.above == {"bert.pooler.dense": 590_592, "classifier": 1_538}
    assert (found.encoder, found.head, found.total) == (109_482_240, 1_538, 109_483_778)


@pytest.mark.parametrize("task", [OWN_HEAD, MEAN], ids=["own head", "mean"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_strategy_trains_as_many_parameters_of_a_real_model(zoo, architecture, kind, task):
    strategy, source = members(Strategy)[kind](), models.locate(str(zoo / architecture))
    reason = strategy.refuses(source.config, task)
    if reason:
        assert footprint(models.locate(str(zoo / architecture), weights=False), task, strategy) == Refusal(kind, reason)
        return
    found = of(zoo / architecture, strategy, task)
    trains, size = really(zoo / architecture, strategy, task)
    assert found.trainable == trains
    assert kind == "qlora" or found.weights == size


@pytest.mark.parametrize("kind", ["full", "feature_extraction", "lora", "prompt_tuning"])
@pytest.mark.parametrize("task", sorted(name for name, member in members(Task).items() if member.new_head))
def test_every_task_has_the_head_of_a_real_model(zoo, task, kind):
    member = members(Task)[task]
    made = member(**({"labels": ("a", "b", "c")} if "labels" in member.model_fields else {}))
    made = made.settle(models.locate(str(zoo / "bert")), True)
    strategy = members(Strategy)[kind]()
    found = of(zoo / "bert", strategy, made)
    assert (found.trainable, found.weights) == really(zoo / "bert", strategy, made)
    assert found.head > 0


@pytest.mark.parametrize(
    "strategy",
    [
        LoRA(use_dora=True, targets="all-linear"),
        LoRA(bias="all", rank_pattern={"query": 4}),
        PrefixTuning(projection=True, projection_size=48),
        BottleneckAdapter(variant="pfeiffer", bottleneck_size=8),
    ],
    ids=lambda strategy: strategy.kind,
)
def test_settings_change_the_numbers_as_they_change_a_real_model(zoo, strategy):
    found = of(zoo / "bert", strategy)
    assert (found.trainable, found.weights) == really(zoo / "bert", strategy)
    assert found.trainable != of(zoo / "bert", type(strategy)()).trainable


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", LANGUAGE_MODELS)
def test_every_strategy_trains_as_many_parameters_of_a_real_language_model(zoo, architecture, kind):
    task = Seq2Seq() if architecture in ENCODER_DECODERS else CausalLM()
    strategy, source = members(Strategy)[kind](), models.locate(str(zoo / architecture))
    reason = strategy.refuses(source.config, task)
    if reason:
        assert footprint(models.locate(str(zoo / architecture), weights=False), task, strategy) == Refusal(kind, reason)
        return
    found = of(zoo / architecture, strategy, task)
    trains, size = really(zoo / architecture, strategy, task)
    assert (found.encoder, found.head) == (trains, 0)
    assert kind == "qlora" or found.weights == size


def test_the_layer_map_of_gpt2(tmp_path):
    transformers.GPT2Config().save_pretrained(tmp_path)
    found = anatomy(models.locate(str(tmp_path), weights=False), CausalLM())
    assert found.embeddings == 50_257 * 768 + 1_024 * 768
    assert found.blocks == (7_087_872,) * 12
    assert found.above == {"transformer.ln_f": 1_536}
    assert (found.encoder, found.head, found.total) == (124_439_808, 0, 124_439_808)  # as it is known for


def test_the_layer_map_of_t5_small(tmp_path):
    transformers.T5Config().save_pretrained(tmp_path)
    found = anatomy(models.locate(str(tmp_path), weights=False), Seq2Seq())
    assert found.embeddings == 32_128 * 512
    assert len(found.blocks) == 12
    assert found.blocks[6] > found.blocks[1]  # the decoder's have an attention more
    assert found.above == {"encoder.final_layer_norm": 512, "decoder.final_layer_norm": 512}
    assert found.total == 60_506_624  # as it is known for


def test_a_language_models_own_head_counts_with_the_rest(zoo):
    config = models.locate(str(zoo / "llama")).config
    found = anatomy(models.locate(str(zoo / "llama"), weights=False), CausalLM())
    assert found.above["lm_head"] == config.vocab_size * config.hidden_size
    assert found.head == 0


def test_encoder_and_head_are_told_apart(zoo):
    for architecture in ARCHITECTURES:
        model = OWN_HEAD.build(models.locate(str(zoo / architecture)))
        body = sum(value.numel() for value in model.base_model.parameters())
        total = sum(value.numel() for value in model.parameters())
        found = of(zoo / architecture, Full())
        assert (found.encoder, found.encoder_total, found.head) == (body, body, total - body)
        assert of(zoo / architecture, LoRA()).head == total - body


def test_stages_count_once_they_have_begun(zoo):
    everything = of(zoo / "bert", Full()).trainable
    assert of(zoo / "bert", GradualUnfreezing(every="epoch")).trainable == everything
    assert of(zoo / "bert", Freeze(steps=5)).trainable == everything
    map_ = anatomy(models.locate(str(zoo / "bert"), weights=False), OWN_HEAD)
    upper = map_.blocks[1] + sum(map_.above.values())
    assert of(zoo / "bert", GradualUnfreezing(at=(1.0,))).trainable == upper
    assert of(zoo / "bert", Freeze(blocks=1)).trainable == upper


@needs_four_bits
@pytest.mark.parametrize(("kind", "task"), [("bert", OWN_HEAD), ("gpt2", CausalLM()), ("t5", Seq2Seq())])
def test_four_bit_weights_take_the_bytes_that_they_really_take(zoo, kind, task):
    from bitsandbytes.nn import Params4bit

    strategy = QLoRA(double_quantisation=False)
    model = strategy.apply(task.build(models.locate(str(zoo / kind)), **strategy.load_kwargs()), task)
    scales = [value.quant_state.absmax for value in model.parameters() if isinstance(value, Params4bit)]
    size = sum(value.numel() * value.element_size() for value in [*model.parameters(), *scales])
    assert scales
    assert of(zoo / kind, strategy, task).weights == size


@needs_four_bits
def test_double_quantisation_takes_0_127_bits_a_parameter_for_scales(bert_base):  # QLoRA paper, section 3
    matrices = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    saved = of(bert_base, QLoRA(double_quantisation=False)).weights - of(bert_base, QLoRA()).weights
    assert saved == round(matrices * (0.5 - 0.127) / 8)


def test_a_pooler_that_the_checkpoint_lacks_is_trained(tmp_path):
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.BertConfig(vocab_size=21, max_position_embeddings=64, **small)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    found = of(tmp_path, LoRA())
    assert (found.trainable, found.weights) == really(tmp_path, LoRA())
    (tmp_path / "model.safetensors").unlink()
    assert of(tmp_path, LoRA()).trainable == found.trainable - (32 * 32 + 32)  # nobody knows better


def test_a_prompt_is_as_wide_as_embeddings_narrower_than_the_blocks(tmp_path):
    transformers.ElectraConfig(embedding_size=128, hidden_size=256).save_pretrained(tmp_path)
    assert of(tmp_path, PromptTuning(num_virtual_tokens=10)).encoder == 10 * 128


# --- nothing is loaded ---------------------------------------------------------------------------------------------


def forbidden(*arguments, **options):
    raise AssertionError("weights are loaded")


def test_no_strategy_loads_weights(bert_base, monkeypatch):
    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", forbidden)
    monkeypatch.setattr("safetensors.torch.load_file", forbidden)
    source = models.locate(str(bert_base), weights=False)
    model = MEAN.build(source)
    assert {value.device.type for value in model.encoder.parameters()} == {"meta"}
    for kind in KINDS:
        assert footprint(source, MEAN, members(Strategy)[kind]()).strategy == kind


@pytest.mark.parametrize(
    "strategy",
    [LoRA(init="pissa"), LoRA(init="olora"), LoRA(init="orthogonal"), PromptTuning(init_text="late parcel")],
    ids=["pissa", "olora", "orthogonal", "init_text"],
)
def test_starting_values_are_not_computed(bert_base, strategy, monkeypatch):
    for name in ("torch.linalg.svd", "torch.linalg.qr", "transformers.AutoTokenizer.from_pretrained"):
        monkeypatch.setattr(name, forbidden)
    assert of(bert_base, strategy) == of(bert_base, type(strategy)())


def test_weights_are_counted_in_fp32_whatever_the_configuration_says(tmp_path, bert_base):
    config = transformers.BertConfig()
    config.dtype = torch.bfloat16
    config.save_pretrained(tmp_path)
    model = OWN_HEAD.build(models.locate(str(tmp_path), weights=False))
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert of(tmp_path, Full()) == of(bert_base, Full())


def test_a_configuration_file_is_enough(bert_base):
    assert of(bert_base / "config.json", Full()) == of(bert_base, Full())


def test_of_the_hub_only_the_configuration_is_asked_for(bert_base, monkeypatch):
    asked = []

    def snapshot(name, allow_patterns):
        asked.extend(allow_patterns)
        return str(bert_base)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert models.locate("google-bert/bert-base-uncased", weights=False).hub_id == "google-bert/bert-base-uncased"
    assert "*.json" in asked
    assert not any(pattern.endswith(("safetensors", ".bin", ".py")) for pattern in asked)


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_strategy_that_finds_no_layer_is_refused_with_its_reason(bert_base):
    found = footprint(models.locate(str(bert_base), weights=False), OWN_HEAD, LoRA(targets=("quary",)))
    assert isinstance(found, Refusal)
    assert "did you mean 'query'" in found.reason


def test_a_folder_without_weights_is_vetted_all_the_same(tmp_path):
    transformers.BertConfig().save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    foreign = {"model_type": "mine", "auto_map": {"AutoModel": "modeling_mine.Mine"}}
    (tmp_path / "config.json").write_text(json.dumps(raw | foreign))
    for name in (tmp_path, tmp_path / "config.json"):
        with pytest.raises(UnsafeError, match="auto_map asks for code from outside"):
            models.locate(str(name), weights=False)


def test_a_configuration_of_no_known_architecture_is_a_model_error(tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 32}')
    with pytest.raises(ModelError, match="cannot be loaded"):
        of(tmp_path, Full())


def test_for_training_a_folder_must_have_weights_and_a_file_is_no_model(bert_base):
    with pytest.raises(UnsafeError, match="no safetensors"):
        models.locate(str(bert_base))
    with pytest.raises(ModelError, match="no such folder"):
        models.locate(str(bert_base / "config.json"))
