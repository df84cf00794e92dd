"""Memory that a run is predicted to take: parts, directions, every architecture, and a real run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_model, write_rows
from tests.language_models import make_language_model
from tunewright import decoding, models
from tunewright.config import load
from tunewright.errors import ConfigError
from tunewright.planner import memory, process
from tunewright.planner.memory import CUDA_CONTEXT, Memory, predict_memory
from tunewright.planner.probe import Probe, corrected, probe
from tunewright.planner.shape import Shape

CLASSES = {"kind": "sequence_classification", "labels": ["a", "b", "c"]}
SHAPE = Shape(8, 48, evaluation_length=48)
ENCODERS = ["bert", "roberta", "distilbert", "modernbert"]
ENCODER_TASKS: list[dict[str, Any]] = [CLASSES, {"kind": "token_classification", "labels": ["x"], "scheme": "IOB2"},
                                       {"kind": "question_answering"}]  # fmt: skip
WRITERS = [("llama", "causal_lm"), ("qwen2", "causal_lm"), ("gpt2", "causal_lm"), ("llama", "preference"),
           ("t5", "seq2seq"), ("bart", "seq2seq")]  # fmt: skip


def predicted(model: Any, strategy: Any = "full", task: Any = CLASSES, shape: Shape = SHAPE, **more: Any) -> Memory:
    config = load({"data": {"train": "none"}, "task": task, "strategy": strategy}, [])
    source = models.locate(str(model), weights=False)
    settled = config.task.settle(source, config.strategy.solves(config.task))
    return predict_memory(source, settled, config.strategy, shape, **{"process": 10**8, **more})


@pytest.fixture(scope="module")
def config_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a BERT that is large enough for activations to matter."""
    import transformers

    folder = tmp_path_factory.mktemp("config")
    transformers.BertConfig(vocab_size=4000, hidden_size=256, num_attention_heads=4, num_hidden_layers=4,
                            intermediate_size=512).save_pretrained(folder)  # fmt: skip
    return folder / "config.json"


def test_phases_are_made_of_the_parts_and_the_peak_is_the_fullest(config_alone: Path) -> None:
    found = predicted(config_alone)
    parts = (found.process, found.weights, found.gradients, found.optimizer, found.activations, found.scratch)
    assert found.phases["training"] == sum(parts) + found.logits
    assert found.peak == max(found.phases.values()) < sum(parts) + found.evaluation + 2 * found.loading + 1
    assert found.optimizer >= 2 * found.gradients > 0
    assert not found.measured


def test_more_rows_and_longer_rows_take_more(config_alone: Path) -> None:
    shapes = SHAPE, replace(SHAPE, micro_batch_size=32), replace(SHAPE, micro_batch_size=32, length=128)
    sizes = [predicted(config_alone, shape=shape).activations for shape in shapes]
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[2] - sizes[1] > (128 - 48) / 48 * (sizes[1] - sizes[0]) / 2


def test_checkpointing_and_bf16_lower_activations(config_alone: Path) -> None:
    shape = Shape(16, 128)
    full = predicted(config_alone, shape=shape).activations
    assert predicted(config_alone, shape=replace(shape, gradient_checkpointing=True)).activations < full / 2
    assert predicted(config_alone, shape=replace(shape, precision="bf16")).activations < full


def test_lora_lowers_gradients_and_moments_and_adds_to_weights(config_alone: Path) -> None:
    full, lora = predicted(config_alone), predicted(config_alone, "lora")
    assert lora.gradients < full.gradients / 10
    assert lora.optimizer < full.optimizer / 10
    assert lora.weights > full.weights


def test_qlora_stores_the_blocks_in_four_bits(config_alone: Path) -> None:
    pytest.importorskip("bitsandbytes")
    assert predicted(config_alone, "qlora").weights < 0.75 * predicted(config_alone, "lora").weights


def test_gradients_of_one_micro_batch_wait_for_the_next(config_alone: Path) -> None:
    shape = Shape(16, 128)
    once, again = (predicted(config_alone, shape=replace(shape, accumulates=value)) for value in (False, True))
    assert again.phases["training"] > once.phases["training"]


def test_a_solved_head_has_neither_gradients_nor_moments(config_alone: Path) -> None:
    found = predicted(config_alone, "feature_extraction")
    assert (found.gradients, found.optimizer, found.activations) == (0, 0, 0)
    assert found.evaluation > 0


def test_a_gpu_has_its_context_in_place_of_the_process(config_alone: Path) -> None:
    found = predicted(config_alone, device="cuda", process=None)
    assert found.process == CUDA_CONTEXT
    assert not found.measured


@pytest.mark.parametrize(("strategy", "checkpointing"), [("full", False), ("qlora", True)])
def test_a_deep_model_is_told_by_a_few_of_its_blocks(strategy, checkpointing, tmp_path, monkeypatch) -> None:
    model = make_language_model(tmp_path / "deep", "llama")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6}))
    shape = Shape(4, 24, answer=12, pack_tokens=96, evaluation_length=24, gradient_checkpointing=checkpointing)
    task = {"kind": "causal_lm", "score_answers": 50}
    monkeypatch.setattr(memory, "DEEP", 5)
    monkeypatch.setattr(decoding, "CACHE_BYTES", 2**16)  # so that it says how many are written at a time
    found = predicted(model, strategy, task, shape)
    monkeypatch.setattr(memory, "DEEP", 99)
    whole = predicted(model, strategy, task, shape)
    for name in ("weights", "gradients", "optimizer", "activations", "logits", "evaluation", "scratch"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=0.01, abs=64), name


def test_answers_are_written_so_few_at_a_time_that_their_keys_and_values_fit(tmp_path) -> None:
    from transformers import LlamaConfig

    large = LlamaConfig(num_hidden_layers=32, hidden_size=4096, num_attention_heads=32)
    assert decoding.cache_bytes(large) == 2 * 4 * 32 * 4096
    assert decoding.rows_together(large, 512) == 4
    assert decoding.rows_together(large, 10**6) == 1
    assert decoding.rows_together(LlamaConfig(num_hidden_layers=1, hidden_size=64), 512) == 32


def test_a_strategy_that_the_model_can_not_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prompt_tuning"):
        predicted(make_model(tmp_path, "modernbert"), "prefix_tuning")


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_is_known_from_its_configuration(kind: str, tmp_path: Path) -> None:
    make_model(tmp_path, kind)
    (tmp_path / "model.safetensors").unlink()
    for task in ENCODER_TASKS:
        found = predicted(tmp_path / "config.json", task=task)
        assert min(found.weights, found.gradients, found.optimizer, found.activations, found.evaluation) > 0


@pytest.mark.parametrize(("kind", "task"), WRITERS)
def test_every_language_model_is_known_from_its_configuration(kind: str, task: str, tmp_path: Path) -> None:
    make_language_model(tmp_path, kind)
    (tmp_path / "model.safetensors").unlink()
    packed = task != "seq2seq"
    shape = Shape(4, 32, answer=16, pack_tokens=128 if packed else None, evaluation_length=32)
    found = predicted(tmp_path / "config.json", task={"kind": task}, shape=shape)
    assert min(found.weights, found.gradients, found.activations, found.logits, found.evaluation) > 0


@pytest.mark.parametrize(("strategy", "precision"), [("full", "fp32"), ("lora", "bf16")])
def test_what_is_traced_is_what_real_tensors_take(strategy: str, precision: str, tmp_path: Path) -> None:
    from functools import partial

    import torch

    from tunewright.footprint import ENDLESS
    from tunewright.layers import layer_map
    from tunewright.planner.memory import quicken
    from tunewright.planner.traced import training_batch
    from tunewright.training.memory import peak_bytes
    from tunewright.training.precision import Precision

    folder, shape = str(make_model(tmp_path)), Shape(16, 64, precision=precision)
    source = models.locate(folder)
    config = load({"data": {"train": "none"}, "task": CLASSES, "strategy": strategy}, [])
    task = config.task.settle(source, False)
    model = config.strategy.apply(task.build(source).requires_grad_(False), task)
    groups = config.strategy.groups(model, layer_map(model), ENDLESS)
    model.requires_grad_(False)
    for group in groups:
        for value in group.parameters.values():
            value.requires_grad_(True)
    quicken(model.train())
    autocast = partial(Precision(precision).autocast, torch.device("cpu"))
    peak = peak_bytes(model, task, training_batch(task, shape, source.config), autocast)[1]
    found = predicted(folder, strategy, shape=shape)
    assert found.gradients + found.activations + found.logits == peak


def test_a_prediction_is_corrected_half_the_way_to_what_was_measured(config_alone: Path) -> None:
    memory = predicted(config_alone)
    grown = round(1.2 * (memory.peak - memory.process))
    found = corrected(memory, Probe(SHAPE, grown, 0.1, SHAPE.tokens))
    assert found.measured
    assert found.peak == pytest.approx((memory.peak + memory.process + grown) / 2, abs=2)


def test_a_real_run_takes_about_what_was_predicted_and_a_probe_sees_it(tmp_path: Path) -> None:
    settings = {
        "model": "minilm", "task": {"kind": "sequence_classification"}, "out": str(tmp_path / "run"),
        "data": {"train": write_rows(tmp_path / "rows.csv", 36), "check_seconds": 0, "max_length": 16},
        "training": {"max_steps": 2, "batch_size": 16, "precision": "fp32"},
    }  # fmt: skip
    with contextlib.chdir(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", process.RUN, json.dumps(settings)], capture_output=True, check=True
        )
    measured, shape = int(done.stdout.split()[-1]), Shape(16, 14, evaluation_length=14, words=60)
    memory = predicted("minilm", shape=shape, process=None)
    assert memory.peak == pytest.approx(measured, rel=0.25)
    config = load({"data": {"train": "none"}, "task": CLASSES}, [])
    source = models.locate("minilm")
    found = probe(source, config.task.settle(source, False), config.strategy, shape)
    assert corrected(memory, found).peak == pytest.approx(measured, rel=0.15)
    assert found.seconds_per_step > 0
    assert found.tokens == 16 * 14
