"""Tunewright fine-tunes Hugging Face transformers and proves that what is served is what was trained.

import tunewright as tw
result = tw.train(data="inbox.csv", strategy=tw.LoRA(r=8))
result.predictor(["where is my parcel?"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._peft_hook import install as _register_with_peft

__version__ = "0.1.0"

_HOMES = {
    "train": "api",
    "advise": "api",
    "check": "api",
    "compare": "api",
    "cross_validate": "api",
    "evaluate": "api",
    "load": "api",
    "plan": "api",
    "search": "api",
    "RunConfig": "config",
    "RunResult": "run",
    "Predictor": "predict",
    "TunewrightError": "errors",
    "CausalLM": "tasks.causal_lm",
    "Preference": "tasks.preference",
    "QuestionAnswering": "tasks.question_answering",
    "Seq2Seq": "tasks.seq2seq",
    "SequenceClassification": "tasks.sequence_classification",
    "TokenClassification": "tasks.token_classification",
    "BitFit": "strategies.bitfit",
    "BottleneckAdapter": "strategies.bottleneck_adapter",
    "FeatureExtraction": "strategies.feature_extraction",
    "Freeze": "strategies.freeze",
    "Full": "strategies.full",
    "GradualUnfreezing": "strategies.gradual_unfreezing",
    "IA3": "strategies.ia3",
    "LayerwiseDecay": "strategies.layerwise_decay",
    "LoRA": "strategies.lora",
    "PrefixTuning": "strategies.prefix_tuning",
    "PromptTuning": "strategies.prompt_tuning",
    "QLoRA": "strategies.qlora",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from .api import advise as advise
    from .api import check as check
    from .api import compare as compare
    from .api import cross_validate as cross_validate
    from .api import evaluate as evaluate
    from .api import load as load
    from .api import plan as plan
    from .api import search as search
    from .api import train as train
    from .config import RunConfig as RunConfig
    from .errors import TunewrightError as TunewrightError
    from .predict import Predictor as Predictor
    from .run import RunResult as RunResult
    from .strategies.bitfit import BitFit as BitFit
    from .strategies.bottleneck_adapter import BottleneckAdapter as BottleneckAdapter
    from .strategies.feature_extraction import FeatureExtraction as FeatureExtraction
    from .strategies.freeze import Freeze as Freeze
    from .strategies.full import Full as Full
    from .strategies.gradual_unfreezing import GradualUnfreezing as GradualUnfreezing
    from .strategies.ia3 import IA3 as IA3
    from .strategies.layerwise_decay import LayerwiseDecay as LayerwiseDecay
    from .strategies.lora import LoRA as LoRA
    from .strategies.prefix_tuning import PrefixTuning as PrefixTuning
    from .strategies.prompt_tuning import PromptTuning as PromptTuning
    from .strategies.qlora import QLoRA as QLoRA
    from .tasks.causal_lm import CausalLM as CausalLM
    from .tasks.preference import Preference as Preference
    from .tasks.question_answering import QuestionAnswering as QuestionAnswering
    from .tasks.seq2seq import Seq2Seq as Seq2Seq
    from .tasks.sequence_classification import SequenceClassification as SequenceClassification
    from .tasks.token_classification import TokenClassification as TokenClassification


def __getattr__(name: str) -> Any:
    """Public names load on first use: `import tunewright` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tunewright' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)


_register_with_peft()  # plain PEFT then reads our bottleneck adapters; imports nothing
