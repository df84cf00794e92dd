"""RunConfig: everything a run is made of, from YAML, flags or Python, validated once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .component import kind_of, members, one_of
from .errors import ConfigError, suggest
from .strategies.base import Strategy
from .tasks.base import Task

if TYPE_CHECKING:
    AnyTask = Task
    AnyStrategy = Strategy
else:
    AnyTask = one_of(Task)
    AnyStrategy = one_of(Strategy)

Auto = Literal["auto"]
Columns = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class Section(BaseModel):
    """A frozen part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class DataConfig(Section):
    """Where the rows come from and which columns mean what; what is left out is inferred and printed."""

    train: str = Field(description="csv, tsv, jsonl, json, parquet (each also .gz), or a hub id")
    validation: str | None = Field(None, description="a file; else a share of train")
    test: str | None = Field(None, description="a file; else a share of train, unless validation is given")
    text: Columns | None = Field(None, max_length=2, description="the text column, or two for text pairs")
    label: Columns | None = Field(None, description="the label column, or one column per label")
    label_names: str | None = Field(None, description="a file with a label name a line, for labels given as numbers")
    label_delimiter: str | None = Field(None, min_length=1, description="what joins several labels in one cell")
    header: bool | None = Field(None, description="whether csv and tsv files start with column names")
    max_length: int | Auto = Field("auto", description="tokens per text; auto: what the model was made for")
    limit: int | None = Field(None, ge=1, description="at most so many training rows, drawn by split_seed")
    on_bad_row: Literal["error", "drop"] = Field("error", description="what happens to a row without text or label")
    validation_share: float = Field(0.1, ge=0, lt=1, description="of train, where no validation file is given")
    test_share: float = Field(0.1, ge=0, lt=1, description="of train, where neither test nor validation is given")
    split_seed: int = Field(0, ge=0, description="of the splits made here; apart from training.seed on purpose")


class EarlyStopping(Section):
    """Ends training when a validation score stops improving."""

    metric: str = Field("auto", description="a validation score; auto: the task's main score")
    patience: int = Field(3, ge=1, description="evaluations without improvement")
    min_delta: float = Field(0.0, ge=0, description="an improvement smaller than this is none")


class TrainingConfig(Section):
    """How the one loop runs; `auto` is resolved by strategy, model and data, and written to run.yaml."""

    epochs: Annotated[float, Field(gt=0)] | Auto = Field("auto", description="passes over the training rows")
    max_steps: int | None = Field(None, ge=1, description="optimizer steps; overrides epochs")
    learning_rate: Annotated[float, Field(gt=0)] | Auto = Field("auto", description="the peak rate")
    batch_size: Annotated[int, Field(ge=1)] | Auto = Field("auto", description="rows per optimizer step, all devices")
    micro_batch_size: Annotated[int, Field(ge=1)] | Auto = Field("auto", description="rows per forward pass")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: the fastest by a probe")
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
    dropout: float | None = Field(None, ge=0, lt=1, description="replaces the model's own rates; 0 switches them off")


def full() -> Any:
    """The default strategy, by its kind like any other."""
    family: Any = Strategy
    return members(family)["full"](kind="full")


class RunConfig(Section):
    """One run: a Task times a Strategy, on data, from a model."""

    model: str = Field("minilm", description="an embedded alias, a local folder or a hub id")
    data: DataConfig
    task: AnyTask | None = Field(None, description="inferred from the columns when left out")
    strategy: AnyStrategy = Field(default_factory=lambda: full(), description="which parameters train, and how")
    training: TrainingConfig = TrainingConfig()
    out: str | None = Field(None, description="the run's directory; else runs/<data>-<strategy>")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the model")


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML (S4) in which a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}" if mark else where
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(
            f"cannot be read: {problem}", where=place, fix="write plain YAML: keys, values, lists"
        ) from None


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The raw mapping of a YAML file, not yet validated."""
    where = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=where, fix="give a YAML text file") from None
    raw = parse_yaml(text, where)
    if not isinstance(raw, dict):
        raise ConfigError("is no mapping of keys to values", where=where, fix="start with `data: {train: FILE}`")
    return raw


def override(raw: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Edits a raw mapping by `strategy.r=16`; values are YAML."""
    raw = dict(raw)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not all(path.split(".")):
            raise ConfigError(f"{assignment!r} is no setting", fix="write section.key=value, as in strategy.r=16")
        put(raw, path.split("."), value_of(text))
    return raw


def value_of(text: str) -> Any:
    """A value as typed on the command line: YAML where it is YAML, else the text itself."""
    try:
        return parse_yaml(text, "") if text.strip() else text
    except ConfigError:
        return text


def put(raw: dict[str, Any], path: list[str], value: Any) -> None:
    """Sets one value in place, making the mappings on its way; `strategy: lora` becomes `{kind: lora}` first."""
    *parents, last = path
    for key in parents:
        child = raw.get(key)
        child = {"kind": child} if isinstance(child, str) and key in ("task", "strategy") else child
        raw[key] = dict(child) if isinstance(child, dict) else {}
        raw = raw[key]
    if last == "kind" and raw.get("kind") not in (None, value):
        raw.clear()  # another kind has other fields: `--strategy full` on a LoRA recipe must not inherit `r`
    raw[last] = value


def load(source: str | Path | dict[str, Any], overrides: list[str] | None = None) -> RunConfig:
    """Validates a YAML file or a raw mapping, edited by `overrides`, once.

    Raises:
        ConfigError: every error of the file at once, each with its path and a remedy.
    """
    where = "" if isinstance(source, dict) else str(source)
    raw = override(source if isinstance(source, dict) else read_mapping(source), overrides or [])
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        problems = [describe(item) for item in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(problems)), where=where) from None


def dump(config: RunConfig) -> str:
    """YAML from which `load` makes an equal object."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def schema() -> dict[str, Any]:
    """The JSON schema of run.yaml, for editors."""
    made = RunConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Tunewright run", **made}


def describe(error: Any) -> str:
    """One line for one pydantic error: path, fault, remedy."""
    path = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        return f"{shown(path)}: unknown key {path[-1]!r}; {suggest(path[-1], fields_beside(path))}"
    if error["type"] == "union_tag_invalid":
        family: Any = Strategy if path[0] == "strategy" else Task
        wrong = error["ctx"]["tag"]
        return f"{shown([*path, 'kind'])}: unknown {wrong!r}; {suggest(wrong, members(family))}"
    if error["type"] == "union_tag_not_found":
        return f"{shown([*path, 'kind'])}: is missing; write `kind:` with one of the known kinds"
    if error["type"] == "missing":
        return f"{shown(path)}: is missing; give it a value"
    return f"{shown(path)}: {error['msg'][0].lower()}{error['msg'][1:]}; got {error['input']!r}"


def shown(path: list[str]) -> str:
    """The path as the user wrote it: without the tags that pydantic puts in for unions."""
    kinds = {kind_of(member) for family in FAMILIES for member in members(family).values()}
    noise = {"float", "int", "constrained-float", "constrained-int"}
    kept = [part for place, part in enumerate(path) if not (place == 1 and part in kinds)]
    kept = [
        part for part in kept if part not in noise and not part.startswith(("literal[", "function-", "tagged-union"))
    ]
    return ".".join(kept) or "(top)"


def fields_beside(path: list[str]) -> list[str]:
    """The names that would have been right where an unknown key stands."""
    if path[0] in ("strategy", "task") and len(path) > 2:
        family: Any = Strategy if path[0] == "strategy" else Task
        return list(members(family)[path[1]].model_fields)
    section: Any = RunConfig
    for part in path[:-1]:
        section = SECTIONS.get(part, section)
    return list(section.model_fields)


FAMILIES: Any = (Strategy, Task)
SECTIONS = {"data": DataConfig, "training": TrainingConfig, "early_stopping": EarlyStopping}
