"""RunConfig: everything a run is made of, from YAML, flags or Python, validated once."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .component import Settings, members, one_of, parts
from .data.checks.base import Check
from .data.sources import is_hub_id
from .data.splits.auto import Auto as AutoSplit
from .data.splits.base import Splitter
from .errors import ConfigError, suggest
from .files import parse_yaml, read_mapping, to_yaml
from .strategies.base import Strategy
from .tasks.base import Task

if TYPE_CHECKING:
    AnyTask = Task
    AnyStrategy = Strategy
    AnySplitter = Splitter
else:
    AnyTask = one_of(Task)
    AnyStrategy = one_of(Strategy)
    AnySplitter = one_of(Splitter)

Auto = Literal["auto"]
Filled = Annotated[str, Field(min_length=1)]


def listed(value: Any) -> Any:
    """One name is short for a list of one."""
    if isinstance(value, list | tuple):
        return tuple(value)
    if not isinstance(value, str):
        raise PydanticCustomError("column_type", "a column's name, or a list of them")
    return (value,)


Columns = Annotated[tuple[str, ...], BeforeValidator(listed, json_schema_input_type=str | tuple[str, ...])]


def known_check(name: str) -> str:
    """A check (`leakage`) or a rule of one (`leakage.exact`)."""
    kinds = members(Check)
    if name.partition(".")[0] not in kinds:
        raise ValueError(f"there is no check {name!r}; {suggest(name, kinds)}")
    return name


CheckName = Annotated[str, AfterValidator(known_check)]


class DataConfig(Settings):
    """Where the rows come from and which columns mean what; what is left out is inferred and printed."""

    train: Filled = Field(description="csv, tsv, jsonl, json, parquet (each also .gz), or a hub id")
    validation: Filled | None = Field(None, description="a file; else a share of train")
    test: Filled | None = Field(None, description="a file; else a share of train, unless validation is given")
    text: Columns | None = Field(None, max_length=2, description="the text column, or two for text pairs")
    label: Columns | None = Field(None, description="the label column, or one column per label")
    label_names: Filled | None = Field(None, description="a file with a label name a line, for labels given as numbers")
    label_delimiter: str | None = Field(None, min_length=1, description="what joins several labels in one cell")
    header: bool | None = Field(None, description="whether csv and tsv files start with column names")
    max_length: int | Auto = Field("auto", description="tokens per text; auto: what the model was made for")
    limit: int | None = Field(None, ge=1, description="at most so many training rows, drawn by split_seed")
    on_bad_row: Literal["error", "drop"] = Field("error", description="what happens to a row without text or label")
    validation_share: float = Field(0.1, ge=0, lt=1, description="of train, where no validation file is given")
    test_share: float = Field(0.1, ge=0, lt=1, description="of train, where neither test nor validation is given")
    split: AnySplitter = Field(AutoSplit(), description="how missing splits are taken out of train")
    split_seed: int = Field(0, ge=0, description="of the splits made here; apart from training.seed on purpose")
    check_seconds: float = Field(20.0, ge=0, description="time to look for faults before training; 0: not at all")
    allow: tuple[CheckName, ...] = Field((), description="severe findings that may not stop a run (leakage.exact)")


class EarlyStopping(Settings):
    """Ends training when a validation score stops improving."""

    metric: str = Field("auto", description="a validation score; auto: the task's main score")
    patience: int = Field(3, ge=1, description="evaluations without improvement")
    min_delta: float = Field(0.0, ge=0, description="an improvement smaller than this is none")


class TrainingConfig(Settings):
    """How the one loop runs; `auto` is resolved by strategy, model and data, and written to run.yaml."""

    epochs: Annotated[float, Field(gt=0)] | Auto = Field("auto", description="passes over the training rows")
    max_steps: int | None = Field(None, ge=1, description="optimizer steps; overrides epochs")
    learning_rate: Annotated[float, Field(gt=0)] | Auto = Field("auto", description="the peak rate")
    batch_size: Annotated[int, Field(ge=1)] | Auto | None = Field(
        "auto", description="rows per optimizer step, all devices; none where batch_tokens is given"
    )
    batch_tokens: Annotated[int, Field(ge=1)] | None = Field(
        None, description="about so many tokens per optimizer step, all devices, instead of batch_size rows"
    )
    micro_batch_size: Annotated[int, Field(ge=1)] | Auto = Field(
        "auto", description="rows per forward pass; auto: as many as fit into memory, no more than are fast"
    )
    micro_batch_tokens: Annotated[int, Field(ge=1)] | Auto | None = Field(
        "auto", description="tokens per forward pass, padding included; the effective batch stays what it is"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: the fastest by a probe")
    kernels: Literal["fast", "plain"] = Field(
        "fast", description="attention, dropout, ... on a CPU; plain: torch's own"
    )
    prefix_cache: bool = Field(True, description="blocks below all that trains run once for all passes, not in each")
    seed: int = Field(0, ge=0, lt=2**32, description="of new weights, the order of rows and dropout")
    schedule: Literal["linear", "cosine", "constant"] = Field("linear", description="decay after the warm-up")
    warmup: float = Field(0.1, ge=0, description="below 1: a share of the steps; else a number of steps")
    weight_decay: float = Field(0.01, ge=0, description="AdamW; never on biases and norms")
    max_gradient_norm: float = Field(1.0, ge=0, description="gradient clipping; 0: none")
    evaluate_every: Annotated[int, Field(ge=1)] | Literal["epoch"] = Field("epoch", description="steps, or epoch")
    checkpoint_every: Annotated[int, Field(ge=1)] | Literal["epoch"] = Field("epoch", description="steps, or epoch")
    keep_checkpoints: int = Field(1, ge=1, description="the newest; the best is kept besides")
    early_stopping: EarlyStopping | None = Field(None, description="off unless given; `{}` takes the defaults")
    gradient_checkpointing: bool = Field(False, description="less memory, about a third slower")
    score_before: bool = Field(False, description="score the untuned model on the last split too, for comparison")
    balance: Literal["none", "class_weights", "sampling", "focal"] = Field(
        "none", description="of uneven classes: by weights, by drawing rows evenly, or by focal loss (see data.md)"
    )
    dropout: float | None = Field(None, ge=0, lt=1, description="replaces the model's own rates; 0 switches them off")

    @model_validator(mode="after")
    def refuse_two_batch_sizes(self) -> Self:
        if (self.batch_tokens is None) == (self.batch_size is None) and self.batch_size != "auto":
            raise ValueError("give either batch_size or batch_tokens, and leave out the other")
        return self


def full() -> Any:
    """The default strategy, by its kind like any other."""
    family: Any = Strategy
    return members(family)["full"](kind="full")


class RunConfig(Settings):
    """One run: a Task times a Strategy, on data, from a model."""

    model: Filled = Field(
        "auto", description="an embedded alias, a local folder, a run or a hub id; auto: minilm, or pocket-lm to write"
    )
    data: DataConfig
    task: AnyTask | None = Field(None, description="inferred from the columns when left out")
    strategy: AnyStrategy = Field(default_factory=lambda: full(), description="which parameters train, and how")
    training: TrainingConfig = TrainingConfig()
    out: Filled | None = Field(None, description="the run's directory; else runs/<data>-<strategy>")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the model")

    @model_validator(mode="after")
    def refuse_validation_of_nothing(self) -> Self:
        """What is decided by validation scores needs them (C1); a hub id may bring a validation split of its own."""
        if self.data.validation or self.data.validation_share or is_hub_id(self.data.train):
            return self
        needy = {
            "early_stopping": self.training.early_stopping is not None,
            "evaluate_every": self.training.evaluate_every != "epoch",
        }
        fix = "needs a validation split; raise data.validation_share or give data.validation"
        problems = [f"training.{name}: {fix}" for name, is_set in needy.items() if is_set]
        if problems:
            raise PydanticCustomError("no_effect", "{problems}", {"problems": "\n".join(problems)})
        return self


Edit = tuple[list[str], Any]  # the path of a setting, and its value


def edits(assignments: Sequence[str]) -> list[Edit]:
    """`strategy.r=16` and the like, as typed on the command line."""
    found = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not all(path.split(".")):
            raise ConfigError(f"{assignment!r} is no setting", fix="write section.key=value, as in strategy.r=16")
        found.append((path.split("."), value_of(text, is_text(path.split(".")))))
    return found


def edited(raw: Mapping[str, Any], changes: Sequence[Edit]) -> dict[str, Any]:
    """A raw mapping with some values set; kinds first, because another kind begins with fields of its own."""
    raw = dict(raw)
    for path, value in sorted(changes, key=lambda change: change[0][-1] not in ("kind", "task", "strategy", "split")):
        put(raw, path, value)
    return raw


def is_text(path: list[str]) -> bool:
    """Whether a setting holds text (or texts), so that `out=2024` and `data.label=no` are meant as they stand."""
    section: Any = RunConfig if len(path) == 1 else SECTIONS.get(path[-2])
    field = section.model_fields.get(path[-1]) if section else None
    return field is not None and str in (wanted := parts(field.annotation)) and not wanted & {int, float, bool}


def value_of(text: str, wants_text: bool = False) -> Any:
    """A value as typed on the command line: YAML where it is YAML, else the text itself."""
    try:
        value = parse_yaml(text, "") if text.strip() else text
    except ConfigError:
        return text
    if wants_text and not isinstance(value, list) and text.strip() not in ("null", "~") and text[:1] not in "\"'":
        return text
    return value


def put(raw: dict[str, Any], path: list[str], value: Any) -> None:
    """Sets one value in place, making the mappings on its way; `strategy: lora` becomes `{kind: lora}` first."""
    *parents, last = path
    for place, key in enumerate(parents):
        child = raw.get(key)
        child = {"kind": child} if isinstance(child, str) and ".".join(path[: place + 1]) in FAMILIES else child
        child = child.model_dump() if isinstance(child, BaseModel) else child
        if not isinstance(child, dict | None):
            where = ".".join(parents[: place + 1])
            raise ConfigError(f"is {brief(child)}, which has no {path[place + 1]!r}", where=where, fix="set it whole")
        raw[key] = raw = dict(child or {})
    if last == "kind" and raw.get("kind") not in (None, value):
        raw.clear()  # another kind has other fields: `--strategy full` on a LoRA recipe must not inherit `r`
    raw[last] = value


def load(
    source: str | Path | dict[str, Any], overrides: Sequence[str] | Sequence[Edit] = (), where: str = ""
) -> RunConfig:
    """Validates a YAML file or a raw mapping, edited by `overrides`, once.

    Args:
        overrides: settings as typed (`strategy.r=16`), or as paths and values.
        where: the file that a raw mapping came from, for messages.

    Raises:
        ConfigError: every error of the file at once, each with its path and a remedy.
    """
    where = where if isinstance(source, dict) else str(source)
    typed = [change for change in overrides if isinstance(change, str)]
    changes = [*(change for change in overrides if not isinstance(change, str)), *edits(typed)]
    raw = edited(source if isinstance(source, dict) else read_mapping(source), changes)
    try:
        return current().model_validate(raw)
    except ValidationError as error:
        problems = describe(error, raw)
    what = problems[0] if len(problems) == 1 else "\n  ".join([f"{len(problems)} errors", *problems])
    raise ConfigError(what, where=where)


def current() -> type[RunConfig]:
    """RunConfig with all members that are known by now."""
    return with_members(*(tuple(members(family).values()) for family in FAMILIES.values()))


@lru_cache(maxsize=1)
def with_members(*known: tuple[type, ...]) -> type[RunConfig]:
    """RunConfig, built anew where members of a family were defined since."""
    DataConfig.model_rebuild(force=True)
    RunConfig.model_rebuild(force=True)
    return RunConfig


def dump(config: RunConfig | dict[str, Any]) -> str:
    """YAML from which `load` makes an equal object, where it is one; of a mapping its own."""
    return to_yaml(config if isinstance(config, dict) else config.model_dump(mode="json"))


def schema() -> dict[str, Any]:
    """The JSON schema of a YAML file, for editors: of one run, or of several as `stages`, each a run with a name."""
    made = current().model_json_schema()
    name = {"type": "string", "description": "the directory of the stage's run, in `out`"}
    stage = {"type": "object", "properties": {"name": name, **made["properties"]}, "required": ["name"],
             "additionalProperties": False}  # fmt: skip
    made["$defs"]["Stage"] = stage
    made["properties"]["stages"] = {
        "type": "array", "items": {"$ref": "#/$defs/Stage"}, "minItems": 1,
        "description": "runs that start from the one before; what they lack is as it stands beside them",
    }  # fmt: skip
    made["anyOf"] = [{"required": made.pop("required")}, {"required": ["stages"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Tunewright run", **made}


def describe(error: ValidationError, raw: Any) -> list[str]:
    """A line per fault: path, fault, value, remedy. The choices of a union are told together."""
    faults: dict[str, list[Any]] = {}
    for item in error.errors(include_url=False):
        faults.setdefault(shown(item, raw), []).append(item)
    deepest = [path for path in faults if not any(other.startswith((f"{path}.", f"{path}[")) for other in faults)]
    return [line for path in deepest for line in lines(path, faults[path])]


def shown(item: Any, raw: Any) -> str:
    """The path as the user wrote it: without the tags that pydantic puts in for the choices of a union."""
    path, value = "", raw
    steps = item["loc"][:-1] if item["type"] == "invalid_key" else item["loc"]
    for place, part in enumerate(steps):
        last = place == len(steps) - 1
        if isinstance(value, Mapping) and (part in value or (last and item["type"] in ("missing", "extra_forbidden"))):
            path, value = f"{path}.{part}" if path else str(part), value.get(part)
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            path, value = f"{path}[{part}]", value[part]
    return path


def lines(path: str, items: list[Any]) -> list[str]:
    """The faults of one path; what its value may be, in one line."""
    first = items[0]
    kind, value, context = first["type"], first["input"], first.get("ctx", {})
    family: Any = FAMILIES.get(path)
    if kind == "no_effect":
        return str(first["msg"]).split("\n")
    if kind == "value_error":  # two fields that can't be had together
        return [f"{path}: {item['ctx']['error']}" for item in items]
    if kind == "extra_forbidden":
        return [f"{path}: unknown key; {remedy(path, first['loc'])}"]
    if kind == "invalid_key":
        return [f"{path}: keys are text, but one is {brief(value)}; put it in quotes".removeprefix(": ")]
    if kind == "union_tag_invalid":
        return [f"{path}.kind: unknown {context['tag']!r}; {suggest(context['tag'], members(family))}"]
    if kind == "union_tag_not_found":
        fitting = [name for name, member in members(family).items() if set(value) <= set(member.model_fields)]
        return [f"{path}.kind: is missing; write {path}.kind: {' or '.join(fitting or members(family))}"]
    if kind == "missing":
        fixes = {"data.train": "give a data file", "data.split.column": "name a column"}
        return [f"{path}: is missing; {fixes.get(path, 'write data: {train: FILE}')}"]
    if family:
        return [f"{path}: must be a kind ({', '.join(members(family))}), or a section with one; got {brief(value)}"]
    wanted = " or ".join(dict.fromkeys(phrase(item) for item in items))
    choices = [name for item in items for name in re.findall("'([^']*)'", item.get("ctx", {}).get("expected", ""))]
    near = suggest(value, choices) if isinstance(value, str) and choices else ""
    hint = f"; {near}" if near.startswith("did") else ""
    quotes = "; put it in quotes" if wanted.startswith(TEXTS) and isinstance(value, bool | int | float) else ""
    return [f"{path}: must be {wanted}; got {brief(value)}{hint}{quotes}"]


def phrase(item: Any) -> str:
    """What a value must be, in words."""
    kind, context = item["type"], item.get("ctx", {})
    bounds = {
        "greater_than": "above {gt:g}", "greater_than_equal": "at least {ge:g}", "less_than": "below {lt:g}",
        "less_than_equal": "at most {le:g}", "too_long": "a list of at most {max_length}",
        "too_short": "a list of at least {min_length}", "literal_error": "{expected}",
    }  # fmt: skip
    if kind in bounds:
        return bounds[kind].format(**context)
    stem = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_attributes")
    return WORDS.get(stem) or str(item["msg"])


def remedy(path: str, location: Sequence[Any]) -> str:
    """For an unknown key: the nearest right name beside it, else the same name in another section."""
    *above, wrong = path.split(".")
    section: Any = SECTIONS.get(above[-1]) if above else RunConfig
    if section is None and (family := FAMILIES.get(".".join(above))):
        section = members(family)[location[len(above)]]
    section = section or RunConfig  # a key with a dot in it
    near = suggest(wrong.strip(), section.model_fields)
    if near.startswith("did"):
        return near
    sections: dict[str, Any] = {"": RunConfig, "data.": DataConfig, "training.": TrainingConfig}
    elsewhere = [f"{prefix}{wrong}" for prefix, other in sections.items() if wrong in other.model_fields]
    for prefix, family in FAMILIES.items():
        elsewhere += [
            f"{prefix}.{wrong} ({kind})" for kind, member in members(family).items() if wrong in member.model_fields
        ]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    longer = [name for name in section.model_fields if len(name) > 4 and name in wrong]
    return f"did you mean {max(longer, key=len)!r}?" if longer else near


def brief(value: Any) -> str:
    """A value in a message; however large or deep, on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    short = reprlib.Repr()
    short.maxlevel, short.maxother, short.maxstring = 2, 60, 60
    text = short.repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


FAMILIES: dict[str, Any] = {"task": Task, "strategy": Strategy, "data.split": Splitter}
SECTIONS: dict[str, Any] = {"data": DataConfig, "training": TrainingConfig, "early_stopping": EarlyStopping}
TEXTS = ("text", "a column's name")
WORDS = {
    "float": "a number", "int": "a whole number", "int_from_float": "a whole number",
    "finite_number": "a finite number", "bool": "true or false", "string": "text",
    "string_too_short": "not empty", "tuple": "a list",
    "dict": "a section of keys and values", "model": "a section of keys and values",
}  # fmt: skip
