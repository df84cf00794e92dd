"""What is foreseen of a run: machines by their description, ways that fit, their order, and refusals in time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import transformers

import tunewright as tw
from tests.conftest import write_rows
from tests.language_models import make_language_tokenizer
from tunewright.config import load
from tunewright.data.sampler import epoch_steps, micro_batches
from tunewright.errors import ConfigError, OutOfMemoryError
from tunewright.planner import process, refuse
from tunewright.planner import time as times
from tunewright.planner.machine import GPUS, UTILISATION, Machine, Speed
from tunewright.planner.plan import make_plan
from tunewright.planner.shape import Shape
from tunewright.planner.table import shape_of
from tunewright.preview.prepared import prepare
from tunewright.training import memory

EXAMPLES = Path(__file__).parents[2] / "examples" / "parcel_desk"
SLOW = Speed(flops=1e9, attention=5e8, overhead=1e-4)


@pytest.fixture(autouse=True)
def no_process_is_measured(monkeypatch):
    monkeypatch.setattr(process, "libraries", lambda adapts: 10**8)


def roomy(size: float = 1e12) -> Machine:
    return Machine("made up", "cpu", int(size), int(size), given=SLOW)


def planned(raw: dict, machine: Machine | None = None, kinds: tuple[str, ...] = ("full",)):
    config = load(raw)
    return make_plan(prepare(config), config, machine or roomy(), kinds)


# --- machines ---------------------------------------------------------------------------------------------------------


def test_gpus_are_known_by_name_and_by_size():
    four, named, unnamed = (Machine.parse(gpu=text) for text in ("4xA100", "a100-80GB", "1 x 24GB"))
    assert (four.num_devices, four.memory_bytes, four.device) == (4, 40e9, "cuda")
    assert four.given.flops == 312e12 * UTILISATION
    assert (named.num_devices, named.memory_bytes) == (1, 80e9)
    slowest = min(gpu.teraflops for gpu in GPUS.values() if max(gpu.memory) >= 24)
    assert (unnamed.memory_bytes, unnamed.given.flops) == (24e9, slowest * 1e12 * UTILISATION)


def test_main_memory_replaces_this_machines_and_stands_beside_a_gpu():
    assert Machine.parse(memory="16GB").memory_bytes == 16e9
    assert Machine.parse(memory="512MiB").memory_bytes == 2**29
    assert Machine.parse(memory="16GB", gpu="L4").main_bytes == 16e9


@pytest.mark.parametrize("given", [{"gpu": "A10000"}, {"gpu": "0x24GB"}, {"gpu": "A100-7GB"}, {"gpu": ""},
                                   {"memory": "much"}, {"memory": "0GB"}, {"memory": "-1GB"}])  # fmt: skip
def test_a_description_that_cannot_be_read_is_answered_with_examples(given):
    with pytest.raises(ConfigError, match=r"--(gpu|memory): .*(4xA100|16GB)"):
        Machine.parse(**given)


def test_this_machine_has_what_is_free_now(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 12345)
    here = Machine.here()
    assert here.memory_bytes == 12345 < here.total_bytes


# --- ways to run ------------------------------------------------------------------------------------------------------


def test_ways_that_fit_come_first_the_quickest_ahead(small):
    plan = planned(small(), kinds=())
    assert {"full", "lora", "freeze", "feature_extraction"} <= {item.strategy for item in plan.candidates}
    seconds = [item.seconds.total for item in plan.candidates]
    assert seconds == sorted(seconds)
    assert all(item.fits for item in plan.candidates)
    cramped = planned(small(), roomy(1e6))
    peaks = [item.peak_bytes for item in cramped.candidates]
    assert peaks == sorted(peaks)
    assert not any(item.fits for item in cramped.candidates)
    assert all("would fit into" in item.why for item in cramped.candidates)
    assert "does not fit" in cramped.verdict
    assert "the least" in cramped.verdict


def test_smaller_parts_keep_the_effective_batch(small):
    """Between what eight rows and one row need; the run by itself would do the same."""
    raw = small(batch_size=8)
    whole = planned(raw).configured
    run = prepare(load(raw))
    one = planned({**raw, "training": {**raw["training"], "micro_batch_size": 1}}).configured
    middle = (whole.peak_bytes + one.peak_bytes) / 2 / memory.SHARE
    plan = planned(raw, roomy(middle))
    assert plan.configured.fits
    assert 1 <= plan.configured.shape.micro_batch_size < 8 == whole.shape.micro_batch_size
    assert plan.configured.shape.accumulates
    assert plan.configured.settings == (f"training.micro_batch_size={plan.configured.shape.micro_batch_size}",)
    assert plan.configured.peak_bytes <= memory.SHARE * middle
    steps = times.total_steps(run)[0]
    parts = times.training_passes(run, plan.configured.shape, steps, times.total_steps(run)[1])
    whole_parts = times.training_passes(run, whole.shape, steps, times.total_steps(run)[1])
    assert parts.number > whole_parts.number == steps  # the same steps, each in several parts
    assert plan.fits
    assert "by itself" in plan.verdict
    given = planned({**raw, "training": {**raw["training"], "micro_batch_size": 8}}, roomy(middle))
    assert not given.fits
    assert plan.configured.settings[0] in given.verdict


def test_a_shorter_length_says_how_many_rows_it_cuts(tiny, tmp_path):
    data = Path(write_rows(tmp_path / "rows.csv", 60))
    data.write_text(data.read_text("utf-8") + f"{'red box ' * 25},app\n", encoding="utf-8")
    raw = {"model": tiny, "training": {"precision": "fp32"}}
    raw["data"] = {"train": str(data), "check_seconds": 0, "validation_share": 0, "test_share": 0}
    plan = planned(raw, kinds=("prompt_tuning",))
    lengths = prepare(load(raw)).encoded["train"].lengths
    shorter = [item for item in plan.candidates if item.cut]
    assert shorter
    for item in shorter:
        assert item.cut == (lengths > item.shape.length).sum()
        assert f"{item.cut} rows are cut" in item.why
        assert f"data.max_length={item.shape.length}" in item.settings
    assert not plan.configured.cut
    virtual = [item for item in shorter if item.strategy == "prompt_tuning"]
    assert max(item.shape.length for item in virtual) == 64 - 20  # the model's positions without the virtual tokens


def test_the_largest_micro_batch_is_that_of_the_rows(small):
    run = prepare(load(small(batch_size=8)))
    shape = shape_of(run, "bf16")
    assert (shape.micro_batch_size, shape.length) == (8, run.encoded["train"].lengths.max())
    assert (shape.precision, shape.packed, shape.answer) == ("bf16", False, 0)
    assert shape.words == len({token for item in run.encoded["train"].features for token in item.windows[0]})


# --- time -------------------------------------------------------------------------------------------------------------


def test_tokens_are_counted_as_the_loop_pads_them(small):
    run = prepare(load(small(batch_size=8, epochs=1)))
    lengths = run.encoded["train"].lengths
    steps, per_epoch = times.total_steps(run)
    parts = [part for rows in epoch_steps(lengths, 8, 0, 0, per_epoch) for part in micro_batches(rows, lengths, 8)]
    found = times.training_passes(run, shape_of(run, "fp32"), steps, per_epoch)
    assert found.number == len(parts) == steps
    assert found.tokens == sum(len(part) * lengths[part].max() for part in parts)


def test_a_token_costs_six_flops_a_weight_that_trains_and_four_one_that_does_not(small):
    """Kaplan et al. 2020: 2 forward, 2 for the inputs' gradient, 2 for the weight's."""
    run = prepare(load(small()))
    work, passes, speed = times.work_of(run), times.Passes(0, 1000, 0), Speed(1.0, 1.0, 0.0)
    everything = work.phases[0][1]
    weights = sum(block.weights for block in work.blocks)
    assert times.training_seconds(work, speed, passes, everything, 0, False, False) == 6 * 1000 * weights
    assert times.training_seconds(work, speed, passes, frozenset(), 0, False, False) == 4 * 1000 * weights
    assert times.training_seconds(work, speed, passes, everything, 0, False, True) == 8 * 1000 * weights
    assert times.training_seconds(work, speed, passes, everything, 2, False, False) == 2 * 1000 * weights


def test_a_frozen_bottom_is_run_once(small):
    raw = small(strategy={"kind": "freeze", "blocks": 1}, epochs=50)
    cached = planned(raw).configured.seconds
    each = planned({**raw, "training": {**raw["training"], "prefix_cache": False}}).configured.seconds
    assert cached.frozen > 0 == each.frozen
    assert cached.steps < each.steps


def test_a_run_of_twice_the_epochs_takes_twice_the_steps(small):
    once, twice = (planned(small(epochs=epochs)).configured.seconds for epochs in (2, 4))
    assert np.isclose(twice.steps, 2 * once.steps)
    assert np.isclose(twice.evaluations, 2 * once.evaluations)


def test_measured_steps_correct_the_speed(small):
    run = prepare(load(small()))
    work, machine_is = times.work_of(run), SLOW
    shapes = [Shape(8, length, precision="fp32") for length in (4, 16)]
    truth = replace(SLOW, flops=SLOW.flops / 3, attention=SLOW.attention / 3, overhead=2 * SLOW.overhead,
                    update=2 * SLOW.update)  # fmt: skip
    trains = work.phases[0][1]
    probes = []
    for shape in shapes:
        passes = times.Passes(1, shape.tokens, shape.tokens * shape.length)
        seconds = times.training_seconds(work, truth, passes, trains, 0, False, False)
        probes.append((shape, shape.tokens, seconds + truth.update * times.moved(work, trains, shape.tokens)))
    found = times.measured_speed(run, work, machine_is, probes)
    assert np.allclose([found.flops, found.overhead, found.update], [truth.flops, truth.overhead, truth.update])


# --- refusal ----------------------------------------------------------------------------------------------------------


def test_a_run_that_cannot_fit_is_refused_before_its_weights_are_loaded(small, monkeypatch):
    raw, loaded = small(), []
    monkeypatch.setattr(refuse, "TRIVIAL", 0)
    monkeypatch.setattr(memory, "of_machine", lambda *given, **named: [])  # no swap
    monkeypatch.setattr("tunewright.run.make_model", lambda session: loaded.append(session))
    run = prepare(load(raw))
    shape = replace(shape_of(run, "fp32"), micro_batch_size=1)
    own = refuse.of_one_row(run, shape, "cpu")
    lora = refuse.of_one_row(prepare(load(small(strategy="lora"))), shape, "cpu")
    room = int(refuse.least(lora) / memory.SHARE) + 1000
    assert room < refuse.least(own)
    monkeypatch.setattr(memory, "available", lambda device: room)
    with pytest.raises(OutOfMemoryError, match=r"weights .*, gradients .*, optimizer .*strategy.kind=lora"):
        tw.train(raw, progress=False)
    assert not loaded


def test_a_run_that_may_fit_is_not_refused(small, monkeypatch):
    """With as much as surely is needed, and not a byte more."""
    raw = small()
    monkeypatch.setattr(refuse, "TRIVIAL", 0)
    monkeypatch.setattr(memory, "of_machine", lambda *given, **named: [])
    shape = replace(shape_of(run := prepare(load(raw)), "fp32"), micro_batch_size=1)
    need = refuse.least(refuse.of_one_row(run, shape, "cpu"))
    monkeypatch.setattr(memory, "available", lambda device: need)
    assert tw.train(raw, progress=False).metrics["steps"]


def test_a_small_run_is_not_even_asked(small, monkeypatch):
    monkeypatch.setattr(refuse, "predict_memory", lambda *given, **named: pytest.fail("asked"))
    assert tw.train(small(epochs=1), progress=False).metrics["steps"]


def test_the_glance_is_above_what_is_surely_needed(small):
    """Otherwise a run that cannot fit would be let through unseen."""
    for strategy in ("full", "lora"):
        run = prepare(load(small(strategy=strategy)))
        session = SimpleNamespace(source=run.source, examples=run.task.examples(run.encoded["train"]))
        shape = replace(shape_of(run, "fp32"), micro_batch_size=1)
        assert refuse.at_most(session) > refuse.least(refuse.of_one_row(run, shape, "cpu"))


# --- from outside -----------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    return tmp_path


def test_the_command_line_tells_the_sum_and_the_verdict(call, tiny, monkeypatch):
    arguments = [str(EXAMPLES / "train.csv"), "--model", tiny, "--strategies", "lora", "--gpu", "1x24GB"]
    code, out, _ = call("plan", *arguments, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["fits"]
    assert found["configured"]["strategy"] == "full"
    assert {item["strategy"] for item in found["candidates"]} == {"full", "lora"}
    assert found["configured"]["seconds"]["total"] > found["configured"]["seconds"]["steps"] > 0
    assert found["disk_bytes"]["checkpoints"] > found["disk_bytes"]["model"] > 0
    monkeypatch.setenv("COLUMNS", "140")
    code, out, _ = call("plan", *arguments)
    assert code == 0
    assert "It fits: " in out
    assert "optimizer" in out
    assert "on disk: checkpoints" in out


def test_an_unknown_strategy_is_refused(call, tiny):
    code, _, error = call("plan", str(EXAMPLES / "train.csv"), "--model", tiny, "--strategies", "lorra")
    assert code == 2
    assert "did you mean 'lora'" in error


def test_seven_billion_weights_are_planned_without_one_of_them(tmp_path):
    """Llama 2's sizes: 6.74 billion, four bytes each; AdamW and gradients take three times that."""
    make_language_tokenizer().save_pretrained(tmp_path / "llama")
    config = transformers.LlamaConfig(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
        max_position_embeddings=4096,
    )  # fmt: skip
    config.save_pretrained(tmp_path / "llama")
    raw = {"model": str(tmp_path / "llama"), "data": {"train": str(EXAMPLES / "instructions_train.jsonl")}}
    plan = planned({**raw, "task": "causal_lm"}, Machine.parse(gpu="4xH100"), ("full",))
    found = plan.configured
    assert found.memory.weights == pytest.approx(4 * 6.738e9, rel=0.01)
    assert found.memory.optimizer == pytest.approx(8 * 6.738e9, rel=0.01)
    assert not plan.fits
    assert found.why.startswith("would fit into")
    assert "optimizer" in found.why
