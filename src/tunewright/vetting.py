"""Vetting: files that would make a loader run code or fetch kernels are refused before a loader sees them (S1, S2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ModelError, UnsafeError
from .files import read_json

if TYPE_CHECKING:
    from .models import Source

UNSAFE_KEYS = ("trust_remote_code", "use_kernels", "kernel_config", "hub_kernels")
CODE_KEYS = ("auto_map", "custom_pipelines")
ATTENTION = ("eager", "sdpa", "flex_attention")  # what torch can do; any other name may be fetched from the hub
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def sidecar(path: Path) -> dict[str, Any]:
    """A small JSON file that may be absent."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def vet(source: Source) -> None:
    """Refuses files that would make the loader run code or fetch kernels (S1, S2), before any loader sees them."""
    config_file = source.folder / "config.json"
    if not config_file.is_file():
        raise ModelError(
            "the folder has no config.json", where=str(source.folder), fix="give a model in Hugging Face format"
        )
    try:
        config = read_json(config_file)
    except ValueError as error:
        raise ModelError(
            f"config.json is no JSON: {error}", where=str(source.folder), fix="fetch the model again"
        ) from None
    if not isinstance(config, dict):
        raise ModelError("config.json is no JSON object", where=str(source.folder), fix="fetch the model again")
    if (source.folder / "adapter_config.json").is_file():
        fix = "give the model that it was trained on"
        raise ModelError("is an adapter, which names a model and is none", where=str(source.folder), fix=fix)
    if not source.trust_remote_code:
        refuse_code(config, "config.json", source)
        refuse_code(sidecar(source.folder / "tokenizer_config.json"), "tokenizer_config.json", source)
    if source.weights:
        refuse_pickles(source.folder)


def refuse_pickles(folder: Path) -> None:
    """Weights are read from safetensors in this folder, or not at all (S1, S3)."""
    if not list(folder.glob("*.safetensors")):
        pickles = [item.name for pattern in PICKLES for item in sorted(folder.glob(pattern))]
        found = f" but {pickles[0]}, a pickle, which can run code when it is read" if pickles else ""
        fix = "convert it with transformers' save_pretrained in a place you trust"
        raise UnsafeError(f"there are no safetensors{found}", where=str(folder), fix=fix)
    for index in folder.glob("*.safetensors.index.json"):
        shards = sidecar(index).get("weight_map")
        for name in set(shards.values()) if isinstance(shards, dict) else {None}:
            if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
                what = f"{index.name} names {name!r}, which is no safetensors file of this folder"
                raise UnsafeError(what, where=str(folder), fix="fetch the model again")


def refuse_code(value: Any, file: str, source: Source, path: str = "") -> None:
    """Walks a configuration for keys that name code, at any depth: nested ones have been used (CVE-2026-4372)."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            refuse_code(item, file, source, f"{path}[{place}]")
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        named_kernel = "attn_implementation" in key and not plain_attention(item)
        foreign_code = key in CODE_KEYS and not (key == "auto_map" and natively_known(value))
        if named_kernel or foreign_code or (key in UNSAFE_KEYS and item):
            fix = "remove the key, or give --trust-remote-code if you trust its authors"
            raise UnsafeError(f"{file}: {here} asks for code from outside", where=str(source.folder), fix=fix)
        refuse_code(item, file, source, here)


def plain_attention(value: Any) -> bool:
    """Whether this attention (or one for each part of the model) is torch's own."""
    chosen = value.values() if isinstance(value, dict) else [value]
    return all(item is None or item in ATTENTION for item in chosen)


def natively_known(config: dict[str, Any]) -> bool:
    """Whether transformers itself has this architecture, so that `auto_map` is never followed."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return config.get("model_type") in CONFIG_MAPPING_NAMES or "tokenizer_class" in config
