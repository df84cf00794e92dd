"""Print the JSON schema of run.yaml, for editors.

Example: tunewright schema > run.schema.json
"""

from __future__ import annotations

import json


def command() -> None:
    from ..config import schema

    print(json.dumps(schema(), indent=2))
