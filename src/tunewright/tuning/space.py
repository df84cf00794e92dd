"""What a search tries: settings with a range or with choices, as typed, or those that a strategy's defaults suggest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..component import members
from ..config import TrainingConfig, value_of
from ..errors import ConfigError, suggest
from ..strategies.base import Strategy

FIX = "write learning_rate=1e-5:1e-3,strategy.r=4|8|16"
FIXED = {"seed", "keep_checkpoints", "checkpoint_every", "score_before"}  # they change no score, or only by chance
MAIN: dict[str, tuple[str, tuple[Any, ...]]] = {  # the field that a strategy's papers vary, and the values they try
    "lora": ("r", (4, 8, 16, 32)),
    "qlora": ("r", (4, 8, 16, 32)),
    "bottleneck_adapter": ("bottleneck_size", (16, 32, 64, 128)),
    "prefix_tuning": ("num_virtual_tokens", (10, 20, 40)),
    "prompt_tuning": ("num_virtual_tokens", (10, 20, 40)),
    "layerwise_decay": ("decay", (0.7, 0.8, 0.9, 0.95)),
}


@dataclass(frozen=True)
class Dimension:
    """One setting and what it may be.

    Args:
        path: as in a recipe: `training.learning_rate`.
        choices: its values; or (low, high) where it is a range.
        is_range: drawn evenly, and on a log scale where high is ten times low or more.
    """

    path: str
    choices: tuple[Any, ...]
    is_range: bool = False

    def applies(self, kind: str) -> bool:
        """Whether a strategy has this setting."""
        section, _, name = self.path.partition(".")
        return section != "strategy" or name == "kind" or name in members(Strategy)[kind].model_fields  # type: ignore[type-abstract]

    @property
    def distribution(self) -> Any:
        """Optuna's word for it."""
        from optuna import distributions as known

        if not self.is_range:
            return known.CategoricalDistribution(self.choices)
        low, high = self.choices
        made = known.IntDistribution if self.is_whole else known.FloatDistribution
        return made(low, high, log=low > 0 and high / low >= 10)

    @property
    def is_whole(self) -> bool:
        return all(isinstance(end, int) for end in self.choices)

    def suggest(self, trial: Any) -> Any:
        """The trial's value."""
        found = self.distribution
        if not self.is_range:
            return trial.suggest_categorical(self.path, found.choices)
        suggest = trial.suggest_int if self.is_whole else trial.suggest_float
        return suggest(self.path, found.low, found.high, log=found.log)

    def __str__(self) -> str:
        said = (f"{value:g}" if isinstance(value, float) else str(value) for value in self.choices)
        return f"{self.path}={(':' if self.is_range else '|').join(said)}"


def parse(text: str) -> list[Dimension]:
    """`learning_rate=1e-5:1e-3,strategy.r=4|8|16`; a name without a section is of `training`, or else of `strategy`.

    Raises:
        ConfigError: naming the part that is no setting, or can't be searched.
    """
    found = [dimension(part.strip()) for part in text.split(",") if part.strip()]
    twice = {one.path for one in found if sum(other.path == one.path for other in found) > 1}
    if twice:
        raise ConfigError("is given twice", where=f"--space {min(twice)}", fix="give each setting once")
    return found


def dimension(part: str) -> Dimension:
    name, equals, values = part.partition("=")
    if not equals or not name or not values:
        raise ConfigError(f"{part!r} is no setting with values", where="--space", fix=FIX)
    path, where = path_of(name.strip()), f"--space {name.strip()}"
    if ":" in values:
        ends = tuple(value(end.strip()) for end in values.split(":"))
        if len(ends) != 2 or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
            raise ConfigError(f"{values!r} is no range of two numbers", where=where, fix=FIX)
        if ends[0] >= ends[1]:
            raise ConfigError(f"{values!r} is empty", where=where, fix="write the lower end first")
        return Dimension(path, ends, is_range=True)
    return Dimension(path, tuple(value(choice.strip()) for choice in values.split("|")))


def value(text: str) -> Any:
    """As typed on the command line; YAML alone would take 1e-4 for a text."""
    found = value_of(text)
    try:
        return float(found) if isinstance(found, str) else found
    except ValueError:
        return found


def path_of(name: str) -> str:
    """The whole path of a setting. Raises ConfigError with the nearest name where there is none."""
    own = {field for member in members(Strategy).values() for field in member.model_fields}  # type: ignore[type-abstract]
    known = {"training": set(TrainingConfig.model_fields) - FIXED, "strategy": own}
    section, dot, field = name.rpartition(".")
    if field in FIXED and section in ("", "training"):
        raise ConfigError("is nothing to search", where=f"--space {name}", fix="leave it out")
    if dot and field in known.get(section, ()):
        return name
    if not dot:
        for section in known:
            if name in known[section]:
                return f"{section}.{name}"
    every = [f"{section}.{field}" for section, fields in known.items() for field in fields]
    near = suggest(name, every) if dot else suggest(name, {path.split(".")[1] for path in every})
    raise ConfigError("there is no such setting", where=f"--space {name}", fix=near if near.startswith("did") else FIX)


def suggested(strategy: Strategy, training: Any) -> list[Dimension]:
    """The space where nobody gives one: the rate by a fifth and five times, the epochs by a half and twice, and the
    strategy's main field. Decay is not in it: its effect on short fine-tuning is lost in the noise of seeds.

    Args:
        training: the resolved section of the default configuration.
    """
    rate, epochs = float(training.learning_rate), float(training.epochs)
    found = [Dimension("training.learning_rate", (rate / 5, rate * 5), is_range=True)]
    if training.max_steps is None:
        found.append(Dimension("training.epochs", (epochs / 2, epochs, epochs * 2)))
    if strategy.kind in MAIN:
        field, values = MAIN[strategy.kind]
        found.append(Dimension(f"strategy.{field}", tuple(sorted({*values, getattr(strategy, field)}))))
    return found
