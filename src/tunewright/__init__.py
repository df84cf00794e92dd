"""Tunewright fine-tunes Hugging Face transformers and proves that what is served is what was trained.

import tunewright as tw
result = tw.train(data="inbox.csv", strategy=tw.LoRA(r=8))
result.predictor(["where is my parcel?"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "train": "api",
    "evaluate": "api",
    "load": "api",
    "RunConfig": "config",
    "RunResult": "run",
    "Predictor": "predict",
    "TunewrightError": "errors",
    "SequenceClassification": "tasks.sequence_classification",
    "Full": "strategies.full",
    "FeatureExtraction": "strategies.feature_extraction",
    "LoRA": "strategies.lora",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from .api import evaluate as evaluate
    from .api import load as load
    from .api import train as train
    from .config import RunConfig as RunConfig
    from .errors import TunewrightError as TunewrightError
    from .predict import Predictor as Predictor
    from .run import RunResult as RunResult
    from .strategies.feature_extraction import FeatureExtraction as FeatureExtraction
    from .strategies.full import Full as Full
    from .strategies.lora import LoRA as LoRA
    from .tasks.sequence_classification import SequenceClassification as SequenceClassification


def __getattr__(name: str) -> Any:
    """Public names load on first use: `import tunewright` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tunewright' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
