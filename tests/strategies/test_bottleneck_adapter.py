"""Bottleneck adapters: a PEFT method that plain PEFT saves, loads, switches and stacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tunewright as tw
from tests.conftest import make_model, weights_of
from tunewright import models
from tunewright.bottleneck import BottleneckConfig, BottleneckLayer
from tunewright.bottleneck.targets import output_projections
from tunewright.errors import ConfigError
from tunewright.strategies.base import Scale
from tunewright.strategies.bottleneck_adapter import BottleneckAdapter
from tunewright.strategies.full import Full
from tunewright.tasks.sequence_classification import SequenceClassification

SMALL = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "pad_token_id": 0}
ENCODER = SMALL | {"intermediate_size": 64, "max_position_embeddings": 64}
MODERN = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "local_attention": 16}
T5_SIZE = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "eos_token_id": 1}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64}
CONFIGS = {
    "bert": lambda: transformers.BertConfig(**ENCODER),
    "roberta": lambda: transformers.RobertaConfig(**ENCODER),
    "distilbert": lambda: transformers.DistilBertConfig(vocab_size=40, **DISTIL),
    "modernbert": lambda: transformers.ModernBertConfig(**ENCODER, **MODERN, global_attn_every_n_layers=2),
    "deberta": lambda: transformers.DebertaV2Config(**ENCODER, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "t5": lambda: transformers.T5Config(vocab_size=40, pad_token_id=0, **T5_SIZE, decoder_start_token_id=0),
    "llama": lambda: transformers.LlamaConfig(**ENCODER, num_key_value_heads=1, bos_token_id=2, eos_token_id=3),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=40, n_embd=32, n_layer=2, n_head=2, n_positions=64, pad_token_id=0
    ),
}
ENDS = {
    "bert": ("attention.output.dense", "output.dense"),
    "roberta": ("attention.output.dense", "output.dense"),
    "distilbert": ("attention.out_lin", "ffn.lin2"),
    "modernbert": ("attn.Wo", "mlp.Wo"),
    "deberta": ("attention.output.dense", "output.dense"),
    "t5": ("SelfAttention.o", "EncDecAttention.o", "DenseReluDense.wo"),
    "llama": ("self_attn.o_proj", "mlp.down_proj"),
    "gpt2": ("attn.c_proj", "mlp.c_proj"),
}
HEADS = {"distilbert": ["pre_classifier", "classifier"], "modernbert": ["head", "classifier"]}
HEADS |= {"deberta": ["pooler", "classifier"], "t5": ["classification_head"], "llama": ["score"], "gpt2": ["score"]}
INPUTS = {"input_ids": torch.tensor([[5, 9, 21, 33, 8, 1], [7, 6, 30, 12, 25, 1]]), "attention_mask": torch.ones(2, 6)}


def base(kind: str, dtype: torch.dtype = torch.float32):
    torch.manual_seed(1)
    return transformers.AutoModelForSequenceClassification.from_config(CONFIGS[kind](), dtype=dtype).eval()


def adapted(kind: str, **settings):
    config = BottleneckConfig(task_type="SEQ_CLS", modules_to_save=HEADS.get(kind, ["classifier"]), **settings)
    return peft.get_peft_model(base(kind), config).eval()


def logits(model, **inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(**INPUTS, **inputs).logits


def scramble(model, seed: int = 3):
    """Gives the up-projections values, so that the adapters do something."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "bottleneck_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return model


def adapters(model) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if "bottleneck_" in name and ".default." in name}


@pytest.mark.parametrize("variant", ["houlsby", "pfeiffer"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_new_adapter_changes_nothing(kind, variant):
    assert torch.equal(logits(adapted(kind, variant=variant)), logits(base(kind)))


@pytest.mark.parametrize("kind", CONFIGS)
def test_adapters_stand_after_the_sublayers_output_projections(kind):
    places = [name for name, module in adapted(kind).named_modules() if isinstance(module, BottleneckLayer)]
    assert {end for end in ENDS[kind] for place in places if place.endswith(f".{end}")} == set(ENDS[kind])
    assert len(places) == (2 * 2 + 2 * 3 if kind == "t5" else 2 * 2)


@pytest.mark.parametrize("kind", CONFIGS)
def test_only_adapters_and_head_train(kind):
    model = adapted(kind)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    head = {name for name, _ in model.named_parameters() if ".modules_to_save.default." in name}
    assert head
    assert names == head | set(adapters(model))


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_number_of_parameters_is_the_formulas(kind):
    d, m = 32, 5
    count = {variant: adapted(kind, variant=variant, bottleneck_size=m) for variant in ("houlsby", "pfeiffer")}
    size = {variant: sum(p.numel() for p in adapters(model).values()) for variant, model in count.items()}
    blocks = 4 if kind == "t5" else 2
    sublayers = 2 * 2 + 2 * 3 if kind == "t5" else 2 * 2
    assert size == {"houlsby": sublayers * (2 * d * m + m + d), "pfeiffer": blocks * (2 * d * m + m + d)}
    if kind != "t5":  # whose decoder has two attentions
        assert size["houlsby"] == 2 * size["pfeiffer"]


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu", "tanh"])
def test_the_output_is_the_papers_formula(activation):
    linear = torch.nn.Sequential(torch.nn.Linear(6, 4))
    before = linear[0]
    config = BottleneckConfig(target_modules=["0"], bottleneck_size=3, activation=activation, scaling=0.5)
    model = scramble(peft.get_peft_model(linear, config))
    layer = model.base_model.model[0]
    down, up = layer.bottleneck_down["default"], layer.bottleneck_up["default"]
    x = torch.randn(2, 6)
    y = before(x)
    function = torch.tanh if activation == "tanh" else getattr(torch.nn.functional, activation)
    expected = y + 0.5 * (function(y @ down.weight.T + down.bias) @ up.weight.T + up.bias)
    assert torch.allclose(model(x), expected, atol=1e-6)


def test_dropout_acts_in_training_only():
    model = scramble(adapted("llama", dropout=0.5))
    assert torch.equal(logits(model), logits(model))
    model.train()
    assert not torch.equal(logits(model), logits(model))


LOAD = """
import sys
from safetensors.torch import load_file
import IMPORTS
import torch, transformers
from pathlib import Path
inputs = {"input_ids": torch.tensor(INPUT_IDS), "attention_mask": torch.ones(2, 6)}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    assert type(peft.PeftConfig.from_pretrained(str(folder / "adapter"))).__name__ == "BottleneckConfig"
    base = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "base").eval()
    model = peft.PeftModel.from_pretrained(base, folder / "adapter", low_cpu_mem_usage=LOW).eval()
    with torch.no_grad():
        found = model(**inputs).logits
    assert torch.equal(found, load_file(folder / "logits.safetensors")["logits"]), folder.name
    print(folder.name)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """For each kind: the base, an adapter that does something, and the logits of both together."""
    folder = tmp_path_factory.mktemp("saved")
    for kind in CONFIGS:
        base(kind).save_pretrained(folder / kind / "base")
        model = scramble(adapted(kind, bottleneck_size=8, activation="silu", scaling=0.7))
        model.save_pretrained(folder / kind / "adapter")
        save_file({"logits": logits(model)}, folder / kind / "logits.safetensors")
        assert not torch.allclose(logits(model), logits(base(kind)), atol=1e-3)
    return folder


@pytest.mark.parametrize(("imports", "low"), [("tunewright, peft", False), ("peft, tunewright", True)])
def test_plain_peft_loads_it_in_a_new_process(saved, imports, low):
    code = LOAD.replace("IMPORTS", imports).replace("LOW", str(low))
    code = code.replace("INPUT_IDS", str(INPUTS["input_ids"].tolist()))
    result = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == sorted(CONFIGS)


def test_the_saved_configuration_names_its_targets(saved):
    config = json.loads((saved / "t5" / "adapter" / "adapter_config.json").read_text())
    assert config["peft_type"] == "TUNEWRIGHT_BOTTLENECK"
    assert len(config["target_modules"]) == 10
    assert all(name.endswith(ENDS["t5"]) for name in config["target_modules"])


def test_many_targets_are_saved_in_order(tmp_path):
    """PEFT shortens 20 names and more to a set, whose order would change the file from run to run."""
    config = transformers.LlamaConfig(**ENCODER | {"num_hidden_layers": 12}, num_key_value_heads=1)
    model = peft.get_peft_model(transformers.AutoModel.from_config(config), BottleneckConfig())
    model.save_pretrained(tmp_path)
    names = json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"]
    assert names == sorted(names)
    layers = [module for module in model.modules() if isinstance(module, BottleneckLayer)]
    assert len(layers) == 24


def test_adapters_can_be_switched_added_and_deleted():
    model = scramble(adapted("bert"), seed=3)
    first, plain = logits(model), logits(base("bert"))
    model.add_adapter("second", BottleneckConfig(bottleneck_size=4, variant="pfeiffer", activation="relu"))
    assert torch.equal(logits(model), first)
    model.set_adapter("second")
    assert torch.equal(logits(model), logits(base("bert")))
    assert all(p.requires_grad == (".second." in n) for n, p in model.named_parameters() if "bottleneck_" in n)
    with model.disable_adapter():
        assert torch.equal(logits(model), plain)
    model.set_adapter("default")
    assert torch.equal(logits(model), first)
    model.delete_adapter("second")
    assert not [name for name, _ in model.named_parameters() if "second" in name]
    assert torch.equal(logits(model), first)


def test_two_active_adapters_read_the_same_output_and_add_up():
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(6, 4)), BottleneckConfig(target_modules=["0"]))
    model.add_adapter("second", BottleneckConfig(target_modules=["0"], bottleneck_size=3, activation="relu"))
    scramble(model)
    x, outputs = torch.randn(2, 6), {}
    for names in (["default"], ["second"], ["default", "second"]):
        model.base_model.set_adapter(names)
        outputs[len(outputs)] = model(x)
    with model.disable_adapter():
        plain = model(x)
    assert torch.allclose(outputs[2] - plain, (outputs[0] - plain) + (outputs[1] - plain), atol=1e-6)
    assert not torch.allclose(outputs[2], outputs[0])


def test_disabling_gives_the_base_model_back():
    model = scramble(adapted("t5"))
    changed = logits(model)
    with model.disable_adapter():
        assert torch.equal(logits(model), logits(base("t5")))
    assert torch.equal(logits(model), changed)
    assert all(p.requires_grad for p in adapters(model).values())


def test_merging_is_refused_and_leaves_the_model_whole():
    model = scramble(adapted("distilbert"))
    before = logits(model)
    for merge in (model.merge_and_unload, model.merge_adapter):
        with pytest.raises(ConfigError, match="not linear, so they can't be merged"):
            merge()
    assert torch.equal(logits(model), before)
    assert torch.equal(logits(model.unload()), logits(base("distilbert")))


@pytest.mark.parametrize("autocast", [True, False])
def test_adapters_of_a_bfloat16_model_are_fp32(autocast):
    plain = base("llama", torch.bfloat16)
    before = logits(plain)
    config = BottleneckConfig(task_type="SEQ_CLS")
    model = peft.get_peft_model(plain, config, autocast_adapter_dtype=autocast)
    assert {p.dtype for p in adapters(model).values()} == {torch.float32}
    assert torch.equal(logits(model), before)
    assert scramble(model)(**INPUTS).logits.dtype == torch.bfloat16


def test_gradient_checkpointing_gives_the_same_gradients():
    model = scramble(adapted("bert"))
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train().zero_grad()
        torch.manual_seed(0)
        model(**INPUTS).logits.square().sum().backward()
        gradients.append([p.grad.clone() for p in adapters(model).values()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))
    assert all(g.abs().sum() > 0 for g in gradients[0])


def test_an_unknown_architecture_asks_for_targets():
    config = transformers.AlbertConfig(**ENCODER, embedding_size=16)  # one block, shared by all layers
    model = transformers.AutoModel.from_config(config)
    with pytest.raises(ConfigError, match=r"strategy.targets: .* of type 'albert' are not known; name them"):
        peft.get_peft_model(model, BottleneckConfig())
    changed = peft.get_peft_model(model, BottleneckConfig(target_modules=["ffn_output"]))
    assert len([module for module in changed.modules() if isinstance(module, BottleneckLayer)]) == 1


def test_blocks_without_a_known_feed_forward_are_not_adapted_by_half():
    """Mixtral's attention has Llama's names, its feed-forward is a choice of experts."""
    model = transformers.AutoModel.from_config(transformers.MixtralConfig(**ENCODER, num_local_experts=2))
    with pytest.raises(ConfigError, match="'mixtral'"):
        output_projections(model, "houlsby")


def test_a_layer_that_is_not_linear_is_refused():
    with pytest.raises(ConfigError, match="can't follow a Embedding; name linear layers"):
        adapted("bert", target_modules=["word_embeddings"])


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("variant", "pfeifer", "did you mean 'pfeiffer'"),
        ("activation", "swish", "known: gelu"),
        ("bottleneck_size", 0, "give 1 or more"),
        ("dropout", 1.0, "less than 1"),
    ],
)
def test_a_value_that_can_not_be_meant_is_refused(field, value, told):
    with pytest.raises(ConfigError, match=f"^{field}: .*{told}"):
        BottleneckConfig(**{field: value})


def applied(folder, pooling="mean", **settings):
    task = SequenceClassification(labels=("a", "b"), pooling=pooling)
    return BottleneckAdapter(**settings).apply(task.build(models.locate(str(folder))), task)


def test_options_reach_the_adapters(tiny):
    options = {"bottleneck_size": 7, "variant": "pfeiffer", "activation": "tanh", "dropout": 0.2, "scaling": 2.0}
    config = applied(tiny, **options).encoder.peft_config["default"]
    assert {name: getattr(config, name) for name in options} == options
    model = applied(tiny, targets=("intermediate",))
    places = [name for name, module in model.named_modules() if isinstance(module, BottleneckLayer)]
    assert len(places) == 2
    assert all(name.endswith("intermediate.dense") for name in places)


def test_named_targets_and_a_variant_contradict_each_other():
    with pytest.raises(ValueError, match="variant: pfeiffer has no effect where targets are named"):
        BottleneckAdapter(variant="pfeiffer", targets=("o_proj",))
    named = BottleneckAdapter(targets=("o_proj",))
    assert BottleneckAdapter(**named.model_dump()) == named  # a resolved configuration names both


@pytest.mark.parametrize("pooling", ["mean", "model"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "modernbert"])
def test_the_whole_head_trains(tmp_path, kind, pooling):
    model = applied(make_model(tmp_path / kind, kind), pooling)
    trains = {n.replace(".modules_to_save.default", "") for n, p in model.named_parameters() if p.requires_grad}
    inner = model.base_model.model if pooling == "model" else model
    new = inner.new_parameters if pooling == "model" else {"head.weight", "head.bias"}
    assert new
    assert new <= {name.removeprefix("base_model.model.") for name in trains}


def test_thirty_steps_of_the_adapters_alone_lower_the_loss(tiny):
    model = applied(tiny).eval()
    rows = {"input_ids": torch.randint(4, 20, (8, 9)), "attention_mask": torch.ones(8, 9, dtype=torch.long)}
    labels = torch.tensor([0, 1] * 4)
    optimizer = torch.optim.AdamW(adapters(model).values(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(**rows), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("pooling", ["mean", "model"])
def test_a_run_moves_adapters_and_head_only_and_loads_again(small, tiny, pooling):
    raw = small("run", "bottleneck_adapter", {"kind": "sequence_classification", "pooling": pooling}, max_steps=3)
    result = tw.train(raw, progress=False)
    base_weights = load_file(f"{tiny}/model.safetensors")
    saved = weights_of(raw["out"])
    assert [name for name in saved if "bottleneck_up" in name]
    assert not [name for name in saved for weight in base_weights if name.endswith(weight) and "pooler" not in name]
    texts = ["the parcel is late", "invoice money"]
    loaded = tw.load(raw["out"])
    assert [p.label for p in loaded(texts)] == [p.label for p in result.predictor(texts)]


def test_defaults_are_ten_times_those_of_full_fine_tuning():
    scale = Scale(hidden_size=768, num_rows=5000)
    assert BottleneckAdapter().defaults(scale).learning_rate == pytest.approx(10 * Full().defaults(scale).learning_rate)
