"""Resolving what was left to us: `auto` becomes a number, and the numbers become run.yaml."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .config import RunConfig
from .data.sources import is_hub_id
from .errors import ConfigError, DataError, ModelError
from .files import parse_yaml
from .intake import Intake, Split
from .models import Source, widths
from .strategies.base import Scale, Strategy
from .tasks import encoding
from .tasks.base import Encoded, Task

PACK_TOKENS = 8_192  # the same where rows are packed: there is no padding, and activations stay in the cache
MICRO_TOKENS = 16_384  # tokens in one forward pass that any machine holds for a small encoder


def effective_task(task: Task, strategy: Strategy, source: Source) -> Task:
    """The task as it will be run with this model; refused pairs end here, before weights are loaded."""
    task = task.settle(source, strategy.solves(task))
    reason = strategy.refuses(source.config, task)
    if reason:
        raise ConfigError(f"{strategy.kind} with {task.kind} is refused: {reason}", where="strategy.kind")
    return task


def resolve(
    config: RunConfig, run: Path, intake: Intake, task: Task, source: Source, tokenizer: Any,
    show: Callable[[str, int, int], None] = lambda what, done, total: None,
    once: Callable[[str, Any, Callable[[], Any]], Any] = lambda what, depends, make: make(),
) -> tuple[RunConfig, dict[str, Encoded]]:  # fmt: skip
    """The configuration without a single `auto`, and the encoded splits.

    Raises:
        ConfigError: a length that the model can't read.
    """
    virtual, positions = config.strategy.virtual_tokens, source.positions
    limit = min(task.max_length(source), positions - virtual) if positions else task.max_length(source)
    max_length = limit if config.data.max_length == "auto" else config.data.max_length
    if max_length < 4 or (positions and max_length + virtual > positions):
        taken = f" ({virtual} of {positions} are virtual)" if virtual else ""
        fix = f"choose 4 to {positions - virtual if positions else 'more'}{taken}"
        raise ConfigError(f"{max_length} tokens", where="data.max_length", fix=fix)
    encoded = {
        name: encode(task, split, source, tokenizer, max_length, partial(show, f"tokens of {name}"), once)
        for name, split in intake.splits.items()
    }
    for name, split in intake.splits.items():
        task.accept(encoded[name], split.source)
    examples = task.examples(encoded["train"])
    scale = Scale(widths(source.config)[0], len(examples.features))
    training = resolve_training(config, task, scale, examples)
    roles = intake.roles
    data = config.data.model_copy(
        update={
            "text": roles.text,
            "label": roles.label,
            "label_delimiter": roles.delimiter,
            "max_length": max_length,
        }
    )
    return config.model_copy(update={"task": task, "data": data, "training": training, "out": str(run)}), encoded


def refuse_unknown_tokens(encoded: Encoded, tokenizer: Any, source: Source) -> None:
    """Raises ModelError where a row has a token without an embedding, which torch would tell as an IndexError."""
    known = getattr(source.config.get_text_config(), "vocab_size", None)
    if known is None or len(tokenizer) <= known:
        return
    largest = max((max(window) for item in encoded.features for window in item.windows), default=0)
    if largest >= known:
        token = tokenizer.convert_ids_to_tokens(int(largest))
        what = f"has {known} embeddings, and its tokenizer says {largest} for {token!r}"
        raise ModelError(what, where=f"model: {source.name}", fix="give the tokenizer that the model was trained with")


def encode(
    task: Task, split: Split, source: Source, tokenizer: Any, max_length: int, show: Callable[[int, int], None],
    once: Callable[[str, Any, Callable[[], Any]], Any],
) -> Encoded:  # fmt: skip
    """One split's features. Raises DataError of a row that a template refuses, naming the file too."""

    def origin() -> dict[str, Any]:
        made_by = [source.tokenizer_fingerprint, str(type(tokenizer)), tokenizer.chat_template]
        return {"rows": split.content, "tokenizer": made_by}

    try:
        found: Encoded = once(
            "tokens", [origin(), task.model_dump(mode="json"), max_length],
            lambda: encoding.encode(task, split.rows, tokenizer, max_length, origin, show),
        )  # fmt: skip
        return found
    except DataError as error:
        where = f"{split.source}, {error.where}" if error.where.startswith("row ") else error.where
        raise DataError(error.what, where=where, fix=error.fix) from None


def refuse_unread(config: RunConfig, task: Task, given: set[str]) -> None:
    """Refuses settings that this run would read nowhere: a setting without effect is a promise not kept (C1).

    Args:
        given: the splits that have a file of their own.
    """
    unread: dict[str, str] = {}
    if config.strategy.solves(task):
        reason = f"{config.strategy.kind} solves for the head and has no loop"
        unread |= {f"training.{name}": reason for name in changed(config.training) - {"seed", "balance"}}
        if config.training.balance == "sampling":
            unread["training.balance"] = f"{config.strategy.kind} learns from all rows at once; take class_weights"
    elif not config.training.prefix_cache and not config.strategy.frozen_bottom:
        unread["training.prefix_cache"] = f"{config.strategy.kind} trains parts of every block"
    if config.training.balance != "none" and not hasattr(task, "balanced"):
        unread["training.balance"] = f"the rows of {task.kind} are of no classes"
    if config.data.header is not None and not re.search(r"\.(csv|tsv)(\.gz)?$", config.data.train.lower()):
        unread["data.header"] = "only csv and tsv files have one"
    if "validation_share" in changed(config.data) and config.data.validation_share and "validation" in given:
        unread["data.validation_share"] = "a validation file is given"
    if "test_share" in changed(config.data) and config.data.test_share and given:
        unread["data.test_share"] = "a file for validation or test is given"
    data = config.data
    made = "validation" not in given and (data.validation_share or (data.test_share and not given))
    if "split" in changed(data) and not made and not is_hub_id(data.train):
        unread["data.split"] = "nothing is taken out of the training file"
    if "split_seed" in changed(data) and data.split.column_holds == "times" and data.limit is None:
        unread["data.split_seed"] = f"{data.split.kind} draws nothing"
    scored = given or data.validation_share or data.test_share or is_hub_id(data.train)
    if config.training.score_before and not scored:
        unread["training.score_before"] = "there is no validation or test split"
    unread |= {f"task.{name}": reason for name, reason in task.unread().items()}
    unread |= {f"strategy.{name}": reason for name, reason in config.strategy.unread(task).items()}
    if unread:
        lines = [f"{where}: has no effect, because {reason}; leave it out" for where, reason in sorted(unread.items())]
        raise ConfigError("\n".join(lines))


def settle(config: RunConfig, intake: Intake, source: Source) -> Task:
    """The task as it will be run with this model and on these rows; raises ConfigError of settings without effect."""
    task = effective_task(intake.task, config.strategy, source)
    refuse_unread(config, task, {name for name in ("validation", "test") if getattr(config.data, name)})
    if config.training.balance == "none":
        return task
    able: Any = task  # `refuse_unread` knows who can do it
    found: Task = able.balanced(config.training.balance, intake.splits["train"].rows)
    return found


def changed(section: Any) -> set[str]:
    """The fields of a section that differ from their defaults."""
    fields = type(section).model_fields.items()
    return {name for name, field in fields if getattr(section, name) != field.get_default(call_default_factory=True)}


def resolve_training(config: RunConfig, task: Task, scale: Scale, train: Encoded) -> Any:
    training = config.training
    if config.strategy.solves(task):
        return training
    defaults = task.temper(config.strategy.defaults(scale))
    batch_size = defaults.batch_size if training.batch_size == "auto" else training.batch_size
    tokens = training.micro_batch_tokens
    if tokens in ("auto", None):
        tokens = PACK_TOKENS if task.packs else MICRO_TOKENS if training.batch_tokens else None
    if training.batch_tokens:
        batch_size = None
    most = batch_size or len(train.features)
    fits = most if tokens else max(1, MICRO_TOKENS // int(train.num_tokens.max()))
    micro = min(most, fits) if training.micro_batch_size == "auto" else training.micro_batch_size
    if micro > most:
        what = f"{micro} rows are more than the batch size of {most}"
        raise ConfigError(what, where="training.micro_batch_size", fix="lower it, or raise training.batch_size")
    return training.model_copy(
        update={
            "epochs": defaults.epochs if training.epochs == "auto" else training.epochs,
            "learning_rate": defaults.learning_rate if training.learning_rate == "auto" else training.learning_rate,
            "batch_size": batch_size,
            "micro_batch_size": micro,
            "micro_batch_tokens": tokens,
        }
    )


def is_unsure(config: RunConfig, task: Task) -> bool:
    """Whether the learning rate is ours to choose, and the strategy's default is not for runs of any length.

    Measured with new heads only; a pretrained one has a rate that is known.
    """
    return config.training.learning_rate == "auto" and task.new_head and config.strategy.unsure_below > 0


def is_sized(config: RunConfig, task: Task) -> bool:
    """Whether the person says how large the micro-batches are."""
    given = {config.training.micro_batch_tokens, None if task.packs else config.training.micro_batch_size}
    return bool(given - {"auto", None})


def resumed_precision(run: Path) -> str | None:
    """The precision of the run that is being continued."""
    try:
        raw = parse_yaml((run / "run.yaml").read_text(encoding="utf-8"), str(run / "run.yaml"))
        return str(raw["training"]["precision"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
