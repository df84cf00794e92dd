"""LoftQ starts nearer to the unquantised model than QLoRA does."""

from __future__ import annotations

import pytest

from tests.conftest import make_model
from tunewright import models
from tunewright.strategies.qlora import QLoRA
from tunewright.tasks.sequence_classification import SequenceClassification

if reason := QLoRA().refuses(None, None):  # type: ignore[arg-type]
    pytest.skip(reason, allow_module_level=True)


def error_of(folder, pooling, **settings) -> float:
    """The largest difference between a layer's matrix and what stands for it before the first step."""
    from bitsandbytes.functional import dequantize_4bit

    strategy = QLoRA(**settings)
    task = SequenceClassification(labels=("a", "b"), pooling=pooling)
    whole = dict(task.build(models.locate(str(folder))).named_parameters())
    changed = strategy.apply(task.build(models.locate(str(folder)), **strategy.load_kwargs()), task)
    worst = []
    for name, module in changed.named_modules():
        if hasattr(module, "lora_A"):
            base = dequantize_4bit(module.weight.data, module.weight.quant_state)
            stands = base + module.get_delta_weight("default")
            original = whole[f"{name.replace('base_model.model.', '')}.weight"].detach()
            worst.append(float((original - stands.detach()).abs().max()))
    assert worst
    return max(worst)


@pytest.mark.parametrize("kind", ["bert", "roberta", "modernbert"])
@pytest.mark.parametrize("pooling", ["mean", "model"])
@pytest.mark.parametrize("scale", [{}, {"alpha": 5.0}, {"use_rslora": True}])
def test_a_start_from_the_error_of_quantisation_undoes_it(tmp_path, kind, pooling, scale):
    model = make_model(tmp_path / kind, kind)
    plain = error_of(model, pooling, r=32)
    assert plain > 1e-3
    assert error_of(model, pooling, r=32, loftq=True, **scale) < 1e-6  # the rank of the matrices: nothing is left
    assert error_of(model, pooling, r=12, loftq=True, **scale) < plain
