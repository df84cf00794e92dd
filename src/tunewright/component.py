"""Component: a pydantic model chosen by its `kind`; one module per member; found without registration.

A family (Task, Strategy) names a package in its `home`. Every module of that package, every entry point
of the group `tunewright.<package>` and every subclass made elsewhere (`--import mine.py`) is a member.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

Family = TypeVar("Family", bound="Component")


class Component(BaseModel):
    """The hyperparameters are the object: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    home: ClassVar[str]  # the package whose modules are the members, below tunewright
    kind: str


def kind_of(member: type[Component]) -> str | None:
    """The literal of a member's `kind`, or None for the abstract ones in between."""
    literals = get_args(member.model_fields["kind"].annotation)
    return literals[0] if literals else None


def members(family: type[Family]) -> dict[str, type[Family]]:
    """Every concrete member of a family by its kind; importing them never imports torch."""
    package = importlib.import_module(f"tunewright.{family.home}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    for point in entry_points(group=f"tunewright.{family.home}"):
        point.load()
    found: dict[str, type[Family]] = {}
    for member in descendants(family):
        kind = kind_of(member)
        if kind and not inspect.isabstract(member):
            found[kind] = member
    return dict(sorted(found.items()))


def descendants(family: type[Family]) -> list[type[Family]]:
    return [item for child in family.__subclasses__() for item in (child, *descendants(child))]


class _ByKind:
    """The pydantic type of "one member of this family": an object, a mapping with `kind`, or the bare kind."""

    def __init__(self, family: type[Component]) -> None:
        self.family = family

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        choices: dict[Any, Any] = {kind: handler(member) for kind, member in members(self.family).items()}
        union = core_schema.tagged_union_schema(choices, discriminator="kind")
        return core_schema.no_info_before_validator_function(bare_kind, union)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        return {"anyOf": [{"enum": list(members(self.family))}, handler(schema)]}


def bare_kind(value: Any) -> Any:
    """`lora` is short for `{kind: lora}`."""
    return {"kind": value} if isinstance(value, str) else value


def one_of(family: type[Component]) -> Any:
    """The annotation of a field that holds one member of the family."""
    return Annotated[family, _ByKind(family)]
