"""Fast arithmetic is used where it is exact, and never where it is not."""

from __future__ import annotations

import pytest
import torch

import tunewright as tw
from tunewright.errors import ConfigError
from tunewright.training import precision

CPU = torch.device("cpu")


def test_the_fast_path_is_kept_where_it_is_exact(monkeypatch):  # N9
    monkeypatch.setattr(precision, "product_error", lambda *a: 4e-7)
    times = iter([1.0, 1.3])  # fast, then exact
    monkeypatch.setattr(precision, "layer_seconds", lambda *a: next(times))
    assert precision.use_fast_fp32(32, 64, CPU) == ""
    assert torch.get_float32_matmul_precision() == "medium"


def test_an_exact_path_that_is_not_faster_is_not_taken(monkeypatch):
    times = iter([1.3, 1.0])
    monkeypatch.setattr(precision, "layer_seconds", lambda *a: next(times))
    assert precision.use_fast_fp32(32, 64, CPU) == ""
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_machine_is_probed_once(monkeypatch):  # R5, C2: a busy moment must not change a run's arithmetic
    answers = iter([{"mode": "medium", "note": ""}, {"mode": "highest", "note": ""}])
    monkeypatch.setattr(precision, "probe_fp32", lambda *a: next(answers))
    for _ in range(3):
        precision.use_fast_fp32(32, 64, CPU)
        assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.parametrize("content", ["", "[]", "not json"])
def test_a_damaged_memory_is_asked_anew(content):
    from tunewright.files import cache_folder

    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / "arithmetic.json").write_text(content)
    assert precision.remembered("anything", lambda: 7) == 7
    assert precision.remembered("anything", lambda: 8) == 7


def test_the_fast_path_is_dropped_where_it_is_not_exact_and_the_run_says_so(monkeypatch, small):  # N9
    monkeypatch.setattr(precision, "product_error", lambda *a: 3e-3)
    note = precision.use_fast_fp32(32, 64, CPU)
    assert "not exact on this machine" in note
    assert torch.get_float32_matmul_precision() == "highest"
    from tests.training.test_resume import Heard
    from tunewright.config import load
    from tunewright.run import train

    heard = Heard()
    train(load(small(max_steps=1)), listener=heard)
    assert any("not exact on this machine" in text for text in heard.notes)


def test_the_check_can_tell_bf16_from_fp32(monkeypatch):  # N9
    assert precision.product_error(64, 128, CPU) < precision.EXACT
    real = torch.Tensor.__matmul__

    def rounded(left, right):
        return (
            real(left.bfloat16(), right.bfloat16()).to(left.dtype) if left.dtype == torch.float32 else real(left, right)
        )

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert precision.product_error(64, 128, CPU) > precision.EXACT


@pytest.mark.parametrize(("gain", "name"), [(1.9, "bf16"), (1.1, "fp32"), (0.0, "fp32")])
def test_auto_takes_bf16_only_where_it_pays(monkeypatch, gain, name):
    monkeypatch.setattr(precision, "bf16_gain", lambda *a: gain)
    monkeypatch.setattr(precision, "probe_fp32", lambda *a: {"mode": "highest", "note": ""})
    assert precision.choose("auto", 32, 64, CPU).name == name
    assert precision.choose("fp32", 32, 64, CPU).name == "fp32"
    assert precision.choose("bf16", 32, 64, CPU).name == "bf16"


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(ConfigError, match="use bf16, fp32 or auto"):
        precision.choose("fp16", 32, 64, CPU)


def test_bf16_is_used_in_training_only(small, monkeypatch):
    from tunewright.tasks.sequence_classification import SequenceClassification

    dtypes = {"loss": set(), "predict": set()}
    real = SequenceClassification.logits

    def logits(self, model, batch):
        found = real(self, model, batch)
        dtypes["loss" if torch.is_grad_enabled() else "predict"].add(found.dtype)
        return found

    monkeypatch.setattr(SequenceClassification, "logits", logits)
    result = tw.train(small(max_steps=2, precision="bf16"), progress=False)
    assert dtypes == {"loss": {torch.bfloat16}, "predict": {torch.float32}}
    assert result.metrics["precision"] == "bf16"


def test_a_resumed_run_keeps_its_precision(small, monkeypatch):
    from tests.training.test_resume import killed

    raw = small(checkpoint_every=2, precision="auto")
    monkeypatch.setattr(precision, "bf16_gain", lambda *a: 2.0)
    killed(raw, 3)
    monkeypatch.setattr(precision, "remembered", lambda what, probe: probe())
    monkeypatch.setattr(precision, "bf16_gain", lambda *a: 0.5)
    assert tw.train(raw, progress=False, resume=True).metrics["precision"] == "bf16"
