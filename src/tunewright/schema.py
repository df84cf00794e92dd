"""The JSON schema of a run's YAML file, for editors."""

from __future__ import annotations

from typing import Any

from .component import members
from .config import with_members
from .strategies.base import Strategy
from .tasks.base import Task


def schema() -> dict[str, Any]:
    """Of one run, or of several as `stages`, each of which has the sections of a run and a name."""
    known = with_members(tuple(members(Task).values()), tuple(members(Strategy).values()))  # type: ignore[type-abstract]
    made = known.model_json_schema()
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
