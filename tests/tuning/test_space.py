"""The space of a search: its grammar, its errors, and what is tried where nobody says."""

from __future__ import annotations

import pytest

from tunewright.config import TrainingConfig
from tunewright.errors import ConfigError
from tunewright.strategies.bottleneck_adapter import BottleneckAdapter
from tunewright.strategies.full import Full
from tunewright.strategies.lora import LoRA
from tunewright.tuning.space import Dimension, parse, suggested


def test_ranges_choices_and_short_names():
    found = parse("learning_rate=1e-5:1e-3, strategy.r=4|8|16,epochs=2:6")
    assert found == [
        Dimension("training.learning_rate", (1e-5, 1e-3), is_range=True),
        Dimension("strategy.r", (4, 8, 16)),
        Dimension("training.epochs", (2, 6), is_range=True),
    ]
    assert parse("alpha=8|16,schedule=linear|cosine") == [
        Dimension("strategy.alpha", (8, 16)),
        Dimension("training.schedule", ("linear", "cosine")),
    ]
    assert str(found[0]) == "training.learning_rate=1e-05:0.001"


def test_a_wide_range_is_drawn_on_a_log_scale_and_whole_ends_give_whole_numbers():
    rate, rank, narrow = parse("learning_rate=1e-5:1e-3,r=4:64,epochs=1.5:6")
    assert (rate.distribution.log, rank.distribution.log, narrow.distribution.log) == (True, True, False)
    assert type(rank.distribution).__name__ == "IntDistribution"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lerning_rate=1:2", "did you mean 'learning_rate'?"),
        ("strategy.rr=1|2", "did you mean 'strategy.r'?"),
        ("training.learning_rates=1:2", "did you mean 'training.learning_rate'?"),
        ("data.train=a|b", "no such setting"),
        ("seed=0|1", "nothing to search"),
        ("learning_rate", "no setting with values; write learning_rate=1e-5"),
        ("learning_rate=", "no setting with values"),
        ("learning_rate=1:2:3", "no range of two numbers"),
        ("learning_rate=low:high", "no range of two numbers"),
        ("learning_rate=1e-3:1e-5", "write the lower end first"),
        ("learning_rate=1e-5:1e-3,training.learning_rate=1|2", "given twice"),
    ],
)
def test_what_is_no_space_is_refused_with_the_way_out(text, message):
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "--space" in str(caught.value)


def test_settings_of_another_strategy_do_not_apply():
    rank, rate = parse("strategy.r=4|8,learning_rate=1e-5:1e-3")
    assert [rank.applies(kind) for kind in ("lora", "qlora", "full")] == [True, True, False]
    assert rate.applies("full")


def test_the_default_space_has_the_default_in_its_middle():
    training = TrainingConfig(learning_rate=1e-3, epochs=4.0)
    found = {one.path: one for one in suggested(LoRA(r=6), training)}
    assert found["training.learning_rate"].choices == pytest.approx((2e-4, 5e-3))
    assert found["training.epochs"].choices == (2.0, 4.0, 8.0)
    assert found["strategy.r"].choices == (4, 6, 8, 16, 32)
    assert "training.weight_decay" not in found
    assert [one.path for one in suggested(Full(), training)] == ["training.learning_rate", "training.epochs"]
    assert suggested(BottleneckAdapter(), training)[-1].path == "strategy.bottleneck_size"
    limited = TrainingConfig(learning_rate=1e-3, epochs=4.0, max_steps=50)
    assert "training.epochs" not in {one.path for one in suggested(LoRA(), limited)}
