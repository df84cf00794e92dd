"""Component: a pydantic model chosen by its `kind`; one module per member; found without registration.

A family (Task, Strategy) names a package in its `home`. Every module of that package, every entry point
of the group `tunewright.<package>` and every subclass made elsewhere (`--import mine.py`) is a member.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError, core_schema

from .errors import ConfigError

Family = TypeVar("Family", bound="Component")


class Settings(BaseModel):
    """Frozen, and strict where a slip would go unseen: unknown keys, NaN, and true or false where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def refuse_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool):
            wanted = parts(cls.model_fields[str(info.field_name)].annotation)
            if bool not in wanted and wanted & {int, float}:
                raise PydanticCustomError("number_type", "a number")  # YAML reads yes, no, on and off as these
        return value


def parts(annotation: Any) -> set[Any]:
    """The types that an annotation is made of."""
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return parts(inner[0])
    return set().union(*map(parts, inner)) if inner else {annotation}


class Component(Settings):
    """The hyperparameters are the object."""

    home: ClassVar[str]  # the package whose modules are the members, below tunewright
    kind: str


def kind_of(member: type[Component]) -> str | None:
    """The literal of a member's `kind`, or None for the abstract ones in between."""
    literals = get_args(member.model_fields["kind"].annotation)
    return literals[0] if literals else None


def members(family: type[Family]) -> dict[str, type[Family]]:
    """Every concrete member of a family by its kind; importing them never imports torch.

    Raises:
        ConfigError: an installed plug-in can't be imported, or two members go by one kind.
    """
    package = importlib.import_module(f"tunewright.{family.home}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    for point in installed(f"tunewright.{family.home}"):
        plug_in(point)
    found: dict[str, type[Family]] = {}
    for member in descendants(family):
        kind = kind_of(member)
        if not kind or inspect.isabstract(member):
            continue
        if kind in found and full_name(found[kind]) != full_name(member):
            what = f"two {family.home} go by the kind {kind!r}: {full_name(found[kind])} and {full_name(member)}"
            raise ConfigError(what, fix='give one another, as in `kind: Literal["mine"] = "mine"`')
        found[kind] = member
    return dict(sorted(found.items()))


@cache
def installed(group: str) -> tuple[EntryPoint, ...]:
    """What other distributions bring, looked for once: every look reads the metadata of all that are installed."""
    return tuple(entry_points(group=group))


def plug_in(point: EntryPoint) -> Any:
    """What is behind an entry point: a module that defines members, or what it names."""
    try:
        return point.load()
    except Exception as error:  # whatever foreign code raises
        what = f"the plug-in {point.name!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(what, where=point.value, fix="upgrade or uninstall its package") from error


def full_name(member: type) -> str:
    return f"{member.__module__}.{member.__qualname__}"


def descendants(family: type[Family]) -> list[type[Family]]:
    return [item for child in family.__subclasses__() for item in (child, *descendants(child))]


class _ByKind:
    """The pydantic type of "one member of this family": an object, a mapping with `kind`, or the bare kind."""

    def __init__(self, family: type[Component]) -> None:
        self.family = family

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        choices: dict[Any, Any] = {kind: handler(member) for kind, member in members(self.family).items()}
        union = core_schema.tagged_union_schema(choices, discriminator="kind")
        whole = core_schema.plain_serializer_function_ser_schema(dumped, info_arg=True)
        return core_schema.no_info_wrap_validator_function(self.validate, union, serialization=whole)

    def validate(self, value: Any, by_kind: core_schema.ValidatorFunctionWrapHandler) -> Any:
        """Objects are valid already, also those of members that were defined after this type was built."""
        return value if isinstance(value, self.family) else by_kind(bare_kind(value))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        return {"anyOf": [{"enum": list(members(self.family))}, handler(schema)]}


def dumped(value: Component, info: core_schema.SerializationInfo) -> dict[str, Any]:
    return value.model_dump(mode=info.mode)


def bare_kind(value: Any) -> Any:
    """`lora` is short for `{kind: lora}`."""
    return {"kind": value} if isinstance(value, str) else value


def one_of(family: type[Component]) -> Any:
    """The annotation of a field that holds one member of the family."""
    return Annotated[family, _ByKind(family)]
