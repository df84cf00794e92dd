"""Print the JSON schema of run.yaml, for editors.

Example: tunewright schema > run.schema.json
"""

from __future__ import annotations

import json

from .options import Import, import_files


def command(imports: Import = None) -> None:
    import_files(imports)
    from ..config import schema

    print(json.dumps(schema(), indent=2))
