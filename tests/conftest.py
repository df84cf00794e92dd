"""Tiny random models and small made-up data: mechanics need no real weights."""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores; bitwise tests fix their own

# The same examples in every run: a failure is of the change that was made. TUNEWRIGHT_FRESH=1 draws new ones.
hypothesis_settings.register_profile("seeded", derandomize="TUNEWRIGHT_FRESH" not in os.environ, deadline=None)
hypothesis_settings.load_profile("seeded")

WORDS = ["parcel", "invoice", "late", "broken", "app", "login", "driver", "door", "money", "label", "box", "red"]
WORDS += ["green", "blue", "one", "two", "three", "four"]
TOPICS = {"billing": ["invoice", "money"], "damage": ["broken", "box"], "app": ["app", "login"]}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """No test reads or fills the user's feature cache."""
    monkeypatch.setenv("TUNEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def arithmetic():
    """Every test starts from torch's defaults."""
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(0)


def make_tokenizer(kind: str = "bert"):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = ["input_ids", *(["token_type_ids"] if kind == "bert" else []), "attention_mask"]
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=names, **special)


def make_model(folder: Path, kind: str = "bert", dtype: str = "float32", spread: float = 0.02) -> Path:
    """A tiny random encoder with its tokenizer, as `from_pretrained` wants it. `spread`: of its weights."""
    import torch
    import transformers

    size = {"vocab_size": 4 + len(WORDS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    size |= {"intermediate_size": 64, "max_position_embeddings": 64, "pad_token_id": 0}
    if kind == "distilbert":
        small = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64}
        config = transformers.DistilBertConfig(vocab_size=size["vocab_size"], **small)
    elif kind == "modernbert":
        special = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
        config = transformers.ModernBertConfig(**size, **special, global_attn_every_n_layers=2, local_attention=16)
    else:
        config = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig}[kind](**size)
    config.initializer_range = spread
    torch.manual_seed(1)
    model = transformers.AutoModel.from_config(config).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    make_tokenizer(kind).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> str:
    """The folder of a tiny random BERT."""
    return str(make_model(tmp_path_factory.mktemp("tiny-bert")))


def sentence(generator: random.Random, topic: str) -> str:
    words = generator.choices(WORDS, k=generator.randint(2, 12))
    return " ".join([*words, generator.choice(TOPICS[topic])])


def write_rows(path: Path, count: int = 48, seed: int = 0) -> str:
    """A csv of made-up messages that can be learned; lengths are uneven."""
    generator = random.Random(seed)
    topics = sorted(TOPICS)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "topic"])
        for row in range(count):
            writer.writerow([sentence(generator, topics[row % 3]), topics[row % 3]])
    return str(path)


@pytest.fixture
def inbox(tmp_path) -> str:
    return write_rows(tmp_path / "inbox.csv")


def settings(tiny: str, inbox: str, out: Path, **training) -> dict:
    """A small fp32 run without surprises."""
    return {
        "model": tiny,
        "data": {"train": inbox, "test_share": 0, "check_seconds": 0},
        "out": str(out),
        "training": {
            **{"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "warmup": 0},
            **training,
        },
    }


@pytest.fixture
def small(tiny, inbox, tmp_path):
    """`small(strategy="lora", batch_size=4)` is a raw configuration in a run directory of its own."""

    def make(name: str = "run", strategy: object = "full", task: object = None, **training) -> dict:
        raw = settings(tiny, inbox, tmp_path / name, **training) | {"strategy": strategy}
        if "feature_extraction" in str(strategy):
            raw["training"] = {}
        return raw | ({"task": task} if task else {})

    return make


@pytest.fixture
def call(capsys, home, monkeypatch):
    """`call("show", "run")` runs a command line in the test file's `home`; exit code, standard output and error."""
    from tunewright import cli

    monkeypatch.chdir(home)
    cli.add_verbs()
    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        return code, *capsys.readouterr()

    return run


def weights_of(run: str | Path) -> dict:
    """The tensors of a run's saved model, by file and name."""
    from safetensors.torch import load_file

    folder = Path(run) / "model"
    return {f"{f.name}/{k}": v for f in sorted(folder.glob("*.safetensors")) for k, v in load_file(f).items()}


def assert_same_weights(first: str | Path, second: str | Path) -> None:
    """Bitwise."""
    import torch

    left, right = weights_of(first), weights_of(second)
    assert left.keys() == right.keys()
    assert left
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different


REAL_DATA = Path(os.environ.get("TUNEWRIGHT_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))


@pytest.fixture
def real_data() -> Path:
    if not REAL_DATA.is_dir():
        pytest.skip("the real data sets are not beside this checkout")
    return REAL_DATA
