"""What is frozen stays bitwise as it was, for as long as it is said; what starts late starts afresh, also on resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tunewright as tw
from tests.conftest import assert_same_weights, weights_of
from tests.training.test_resume import killed
from tunewright.files import cache_folder
from tunewright.layers import layer_map
from tunewright.strategies.base import Rates
from tunewright.strategies.bitfit import BitFit
from tunewright.strategies.freeze import Freeze
from tunewright.strategies.gradual_unfreezing import GradualUnfreezing
from tunewright.strategies.layerwise_decay import LayerwiseDecay
from tunewright.training.loop import Loop

DEPTH = 4
RATES = Rates(1e-3, 0.5, total_steps=100, steps_per_epoch=10)


@pytest.fixture(scope="module")
def deep():
    """A tiny BERT classifier of four blocks."""
    from transformers import AutoModelForSequenceClassification, BertConfig

    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 24}
    return AutoModelForSequenceClassification.from_config(BertConfig(num_hidden_layers=DEPTH, **small))


def groups_of(model, strategy, rates=RATES):
    return strategy.groups(model, layer_map(model), rates)


def starts_of(model, strategy, rates=RATES) -> dict[str, int]:
    """The part's first step; parts that never train are left out."""
    return {group.name: group.start for group in groups_of(model, strategy, rates)}


# --- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "blocks", "embeddings"),
    [
        (GradualUnfreezing(every=3), [12, 9, 6, 3], 15),
        (GradualUnfreezing(every="epoch"), [40, 30, 20, 10], 50),
        (GradualUnfreezing(), [40, 30, 20, 10], 50),  # auto: all at half time
        (GradualUnfreezing(every=7, blocks=2), [14, 14, 7, 7], 21),
        (GradualUnfreezing(every=7, blocks=3), [14, 7, 7, 7], 21),
        (GradualUnfreezing(at=(0.5, 2.5)), [None, None, 25, 5], None),
        (GradualUnfreezing(at=(1, 2, 3, 4, 5)), [40, 30, 20, 10], 50),
        (GradualUnfreezing(every=40), [None, None, 80, 40], None),  # what would start after the end is left out
        (Freeze(), [None, None, 0, 0], None),
        (Freeze(blocks=3), [None, None, None, 0], None),
        (Freeze(blocks=0), [0, 0, 0, 0], None),
        (Freeze(blocks=4), [None, None, None, None], None),
        (Freeze(blocks=1, steps=9), [9, 0, 0, 0], 9),
        (LayerwiseDecay(), [0, 0, 0, 0], 0),
    ],
)
def test_each_part_starts_when_it_should(deep, strategy, blocks, embeddings):
    starts = starts_of(deep, strategy)
    assert starts.pop("head") == 0
    assert starts.pop("embeddings", None) == embeddings
    assert [starts.get(f"block {place}") for place in range(DEPTH)] == blocks


@pytest.mark.parametrize("total", [1, 2, 3, 1000])
def test_unfreezing_by_itself_ends_at_half_time_however_short_the_run(deep, total):
    starts = starts_of(deep, GradualUnfreezing(), Rates(1e-3, 0.0, total, 5))
    assert len(starts) == (1 if total == 1 else DEPTH + 2)  # a single step is the head's
    assert starts.pop("head") == 0
    assert all(1 <= start <= -(-total // 2) for start in starts.values())


@pytest.mark.parametrize("strategy", [GradualUnfreezing(decay=0.5, every=1), LayerwiseDecay(decay=0.5)])
def test_each_block_has_half_the_rate_of_the_one_above(deep, strategy):
    rates = {group.name: group.learning_rate for group in groups_of(deep, strategy)}
    assert [rates[f"block {place}"] for place in range(DEPTH)] == pytest.approx([1.25e-4, 2.5e-4, 5e-4, 1e-3])
    assert rates["embeddings"] == pytest.approx(1e-3 / 16)
    assert rates["head"] == pytest.approx(1e-3 * strategy.head_learning_rate)


@pytest.mark.parametrize("strategy", [GradualUnfreezing(), LayerwiseDecay(), Freeze(blocks=0, steps=3), BitFit()])
def test_every_parameter_is_in_one_group_and_only_matrices_are_decayed(deep, strategy):
    model = strategy.apply(deep, None)
    grouped = [name for group in groups_of(model, strategy) for name in group.parameters]
    assert sorted(grouped) == sorted(name for name, value in model.named_parameters() if value.requires_grad)
    for group in groups_of(model, strategy):
        assert {value.ndim > 1 for value in group.parameters.values()} == {group.weight_decay == 0.5}


def test_bitfit_trains_the_biases_and_the_head_alone(deep):
    names = {name for group in groups_of(BitFit().apply(deep, None), BitFit()) for name in group.parameters}
    biases = {name for name, _ in deep.named_parameters() if name.endswith("bias")}
    assert biases < names
    assert names - biases == {"classifier.weight"}


# --- runs: 43 rows of training, batch 8: 6 steps an epoch ------------------------------------------------------------


@pytest.fixture
def seen(monkeypatch) -> list[dict]:
    """Of every step: what may train, at which rates, what runs without dropout; and the loop itself."""
    steps: list[dict] = []
    backward = Loop.backward

    def watched(self, *arguments):
        named = dict(self.model.named_parameters())
        steps.append(
            {
                "loop": self,
                "step": self.state.step,
                "trains": {name for name, value in named.items() if value.requires_grad},
                "groups": [
                    (g["title"], g["lr"], g["weight_decay"], g["names"]) for g in self.engine.optimizer.param_groups
                ],
                "at_rest": {name for name, module in self.model.named_modules() if not module.training},
                "values": {name: value.detach().clone() for name, value in named.items()},
                "cached": self.cached is not None,
            }
        )
        return backward(self, *arguments)

    monkeypatch.setattr(Loop, "backward", watched)
    return steps


def plain(steps: list[dict]) -> list[tuple]:
    return [(step["step"], step["trains"], step["groups"], step["at_rest"], step["cached"]) for step in steps]


def named(names: set[str], *parts: str) -> set[str]:
    return {name for name in names if any(part in name for part in parts)}


def test_a_block_is_bitwise_unchanged_until_it_is_unfrozen_and_moves_then(small, seen):
    tw.train(small("run", {"kind": "gradual_unfreezing", "every": 2}), progress=False)
    first = seen[0]["values"]
    parts = {2: "layer.1.", 4: "layer.0.", 6: "embeddings."}
    for step in seen:
        closed = [part for start, part in parts.items() if step["step"] < start]
        frozen = named(set(first), *closed)
        assert step["trains"] == set(first) - frozen
        assert all(torch.equal(step["values"][name], first[name]) for name in frozen)
    for part in parts.values():
        assert all(not torch.equal(seen[-1]["values"][name], first[name]) for name in named(set(first), part))


def test_what_starts_late_has_its_own_warm_up_and_fresh_moments(small, seen):
    raw = small("run", {"kind": "gradual_unfreezing", "every": 4}, max_steps=10, warmup=3, schedule="constant")
    tw.train(raw, progress=False)
    by_step = [{title: rate for title, rate, _, _ in step["groups"]} for step in seen]
    rates = {part: [step[part] for step in by_step] for part in by_step[0]}
    climb = [0.25, 0.5, 0.75]
    assert rates["head"] == pytest.approx([1e-2 * share for share in [*climb, *[1] * 7]])
    assert rates["block 1"] == pytest.approx([1e-3 * share for share in [0, 0, 0, 0, *climb, 1, 1, 1]])
    assert rates["block 0"] == pytest.approx([1e-3 * share for share in [*[0] * 8, *climb[:2]]])
    assert set(rates) == {"head", "block 1", "block 0"}  # the embeddings would start at step 12
    loop = seen[-1]["loop"]
    taken = {group["title"]: {int(loop.engine.optimizer.state[value]["step"]) for value in group["params"]}
             for group in loop.engine.optimizer.param_groups}  # fmt: skip
    assert taken == {"head": {10}, "block 1": {6}, "block 0": {2}}


def test_the_frozen_bottom_of_a_finished_run_is_the_checkpoints(small, tiny):
    from safetensors.torch import load_file

    raw = small("run", {"kind": "freeze", "blocks": 1})
    tw.train(raw, progress=False)
    before, after = load_file(f"{tiny}/model.safetensors"), weights_of(raw["out"])
    same = {name for name, value in before.items() if torch.equal(after[f"model.safetensors/bert.{name}"], value)}
    assert same == named(set(before), "embeddings.", "layer.0.")


def test_what_is_frozen_runs_without_dropout_and_what_trains_with_it(small, seen):
    tw.train(small("run", {"kind": "freeze", "blocks": 1, "steps": 4}, max_steps=6), progress=False)
    for step in seen:
        frozen = step["step"] < 4
        at_rest = {name for name in step["at_rest"] if name.endswith("dropout")}
        assert named(at_rest, "embeddings", "layer.0.") == (at_rest if frozen else set())
        assert bool(at_rest) == frozen
        assert bool(named(step["trains"], "layer.0.", "embeddings")) != frozen


GRADUAL, THAW = {"kind": "gradual_unfreezing"}, {"kind": "freeze", "blocks": 1}


@pytest.mark.parametrize(
    ("strategy", "killed_at", "cached"),
    [
        (GRADUAL | {"every": 4, "decay": 0.5}, 7, False),  # inside the second stage
        (GRADUAL | {"every": 4}, 4, False),  # between two stages
        (GRADUAL | {"at": [2, 2.5]}, 7, True),  # the head alone for two passes: its input is cached
        (GRADUAL | {"at": [0.5]}, 13, True),  # killed after the one change, on cached states
        (THAW | {"steps": 12}, 7, True),
        (THAW | {"steps": 6}, 9, False),  # killed after the thaw
    ],
)
def test_a_run_resumed_between_stages_is_bitwise_the_uninterrupted_one(small, seen, strategy, killed_at, cached):  # R12
    whole = small("whole", strategy, epochs=3, checkpoint_every=2)
    tw.train(whole, progress=False)
    uninterrupted = plain(seen)
    assert any(step[-1] for step in uninterrupted) == cached
    assert (cache_folder() / "prefix").exists() == cached
    seen.clear()
    cut = small("cut", strategy, epochs=3, checkpoint_every=2)
    killed(cut, killed_at)
    seen.clear()
    tw.train(cut, progress=False, resume=True)
    assert seen[0]["step"] == (killed_at - 1) // 2 * 2
    assert plain(seen) == uninterrupted[seen[0]["step"] :]
    assert_same_weights(whole["out"], cut["out"])


def test_a_model_with_shared_blocks_counts_them_once(tmp_path, small):
    """ALBERT runs one block several times."""
    from transformers import AlbertConfig, AutoModel

    from tests.conftest import WORDS, make_tokenizer
    from tunewright.errors import ConfigError

    small_sizes = {"hidden_size": 32, "embedding_size": 16, "num_attention_heads": 2, "intermediate_size": 64}
    config = AlbertConfig(vocab_size=4 + len(WORDS), num_hidden_layers=3, max_position_embeddings=64, **small_sizes)
    AutoModel.from_config(config).save_pretrained(tmp_path / "albert")
    make_tokenizer().save_pretrained(tmp_path / "albert")
    raw = small("run", {"kind": "freeze", "blocks": 1}) | {"model": str(tmp_path / "albert")}
    assert tw.train(raw, progress=False).metrics["stopped"] == "completed"
    with pytest.raises(ConfigError, match="the model has 1 blocks, not 2"):
        tw.train(raw | {"strategy": {"kind": "freeze", "blocks": 2}, "out": str(Path(raw["out"]) / "2")})
