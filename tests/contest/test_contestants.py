"""Who competes: what a line of strategies means, and what is wrong with it, all at once."""

from __future__ import annotations

import pytest

from tests.conftest import settings
from tunewright.config import load
from tunewright.contest.contestants import contestants_of, entries_of
from tunewright.errors import ConfigError
from tunewright.intake import take_in


@pytest.fixture
def made(tiny, inbox, tmp_path):
    """`made("full,lora.r=4,16")` are the contestants of that line on a small configuration."""

    def make(line: str, names=(), **changes):
        config = load(settings(tiny, inbox, tmp_path / "out") | changes)
        return contestants_of(config, line, names, {"as given": config.data}, take_in(config).task)

    return make


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("full,lora.r=4,16,feature_extraction", ["full", "lora.r=4", "lora.r=16", "feature_extraction"]),
        ("lora.r=4+alpha=8, 16", ["lora.r=4+alpha=8", "lora.r=4+alpha=16"]),
        ("lora.targets=[query,value],attention", ["lora.targets=[query,value]", "lora.targets=attention"]),
        ("full.training.warmup=1e+2,0", ["full.training.warmup=1e+2", "full.training.warmup=0"]),
    ],
)  # fmt: skip
def test_an_item_is_a_contestant_or_a_further_value(line, names):
    assert [entry.name for entry in entries_of(line)] == names


def test_settings_are_of_the_strategy_or_of_the_section_they_name(made):
    first, second = made("lora.r=4+training.epochs=1,full")
    assert (first.config.strategy.r, first.config.training.epochs) == (4, 1)
    assert first.settings == ("strategy.r=4", "training.epochs=1")
    assert (second.config.strategy.kind, second.config.training.epochs) == ("full", 2)


def test_all_that_is_mistyped_is_told_at_once(made):
    with pytest.raises(ConfigError, match=r"2 errors\n.*unknown strategy 'lorra'; did you mean 'lora'\?") as told:
        made("lorra.r=4,lora.r,full")
    assert "lora.r: 'r' has no value; write lora.r=VALUE" in str(told.value)
    with pytest.raises(ConfigError, match=r"lora.rr=4: strategy.rr: unknown key; did you mean 'r'\?") as told:
        made("lora.rr=4,lora.r=4,loraa,full.training.seed=1")
    assert "got 'loraa'; or did you mean 'lora'?" in str(told.value)
    assert "training.seed: is the same for all contestants; --seeds sets it" in str(told.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lora,lora", "lora: is the same run as lora"),
        ("lora,lora.r=16", "lora.r=16: is the same run as lora"),
        ("majority,lora", "majority: is always there"),
        ("full.data.limit=5", "data.limit: is the same for all"),
        ("feature_extraction.training.epochs=2", "training.epochs: has no effect"),
        ("16", "unknown strategy '16'"),
        (",", "no strategy is named"),
    ],
)
def test_what_cannot_be_meant_is_refused(made, line, said):
    with pytest.raises(ConfigError, match=said):
        made(line)


def test_common_settings_go_to_those_who_read_them(made):
    solved, looped = made("feature_extraction,full")
    assert solved.config.training.epochs == "auto"
    assert solved.seedless
    assert looped.config.training.epochs == 2
    assert not looped.seedless


def test_a_refused_pair_is_a_failed_contestant_unless_all_are(made):
    first, second = made("freeze.blocks=9,full")
    assert (
        first.refused
        == "strategy.kind: freeze with sequence_classification is refused: the model has 2 blocks, not 9 to freeze"
    )
    assert second.refused is None
    with pytest.raises(ConfigError, match="not 9 to freeze"):
        made("freeze.blocks=9")


def test_every_strategy_meets_every_model(made, tiny, tmp_path):
    (tmp_path / "other").symlink_to(tiny)
    names = [item.name for item in made("full,lora", (tiny, str(tmp_path / "other")))]
    assert names[2:] == ["other~full", "other~lora"]
    assert names[0].endswith("~full")
    with pytest.raises(ConfigError, match="nosuchmodel"):
        made("full", (tiny, "/nosuchmodel"))
