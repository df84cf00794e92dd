"""Whether outputs have the form that was asked for: JSON, a schema, the right fields, a regular expression."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .overlap import mean

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

FENCE = "```"


def parse(text: str) -> Any:
    """The value of a JSON text, or of one that is a fenced block and nothing else.

    Raises:
        ValueError: it is no JSON; NaN and Infinity, which Python would read, are none (RFC 8259, section 6).
    """
    try:
        return json.loads(unfenced(text), parse_constant=refuse)
    except RecursionError as error:  # a model that repeats "[" for ever
        raise ValueError("nested too deeply") from error


def unfenced(text: str) -> str:
    """What stands in a block between ``` or ```json and ```, or the text as it is."""
    bare = text.strip()
    if len(bare) < 2 * len(FENCE) or not (bare.startswith(FENCE) and bare.endswith(FENCE)):
        return text
    return bare.removeprefix(FENCE).removesuffix(FENCE).removeprefix("json")


def refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def is_json(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def is_object(text: str) -> bool:
    try:
        return isinstance(parse(text), dict)
    except ValueError:
        return False


def fields(text: str) -> dict[str, Any]:
    """A JSON object's top-level fields; none of anything else."""
    return dict(parse(text)) if is_object(text) else {}


def json_valid(predictions: Sequence[str]) -> float:
    """Share of the outputs that are JSON."""
    return mean(is_json(text) for text in predictions)


def json_schema(predictions: Sequence[str], schema: dict[str, Any]) -> float:
    """Share of the outputs that are JSON and match a JSON schema, of the draft that it names or else 2020-12.

    Raises:
        ConfigError: the schema is not valid, or refers to another file or address: nothing is fetched.
    """
    from referencing.exceptions import Unresolvable

    validator = validator_of(schema)
    try:
        return mean(matches(text, validator) for text in predictions)
    except Unresolvable as error:
        what = f"it refers to {error.ref!r}, which is not in it"
        raise ConfigError(what, where="task.json_schema", fix="put the definition under $defs") from error


def validator_of(schema: dict[str, Any]) -> Validator:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        what = f"is no JSON schema: {error.message}"
        raise ConfigError(what, where=f"task.json_schema, {error.json_path}", fix="correct it there") from error
    return kind(schema, registry=Registry())  # an empty one: without it, jsonschema fetches references


def matches(text: str, validator: Validator) -> bool:
    try:
        return validator.is_valid(parse(text))
    except (ValueError, RecursionError):
        return False


def json_fields(predictions: Sequence[str], references: Sequence[str]) -> float:
    """Share of all the references' top-level fields that the outputs have with an equal value.

    References that are no JSON objects have no fields and do not count.

    Raises:
        ValueError: different numbers of predictions and references.
    """
    right: list[bool] = []
    for said, there in zip(predictions, references, strict=True):
        found = fields(said)
        right += [name in found and equal(found[name], value) for name, value in fields(there).items()]
    return mean(right)


def equal(first: Any, second: Any) -> bool:
    """Of JSON values: 1 is 1.0, but true is not 1 as it is in Python; the order of an object's fields is nothing."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(equal(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(equal, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)


def pattern_match(predictions: Sequence[str], pattern: str) -> float:
    """Share of the outputs that a regular expression matches from end to end.

    Raises:
        ConfigError: it is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        what = f"{pattern!r} is no regular expression: {error}"
        raise ConfigError(what, where="task.pattern", fix="write it as Python's re reads it") from error
    return mean(compiled.fullmatch(text) is not None for text in predictions)
