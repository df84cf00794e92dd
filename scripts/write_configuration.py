"""Writes docs/configuration.md from the configuration's own fields: `python scripts/write_configuration.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunewright.component import members
from tunewright.config import DataConfig, EarlyStopping, RunConfig, TrainingConfig
from tunewright.data.splits.base import Splitter
from tunewright.strategies.base import Strategy
from tunewright.tasks.base import Task

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
HEAD = """# Configuration

Written by `python scripts/write_configuration.py` from the code; a test fails when it is out of date.

A run is one YAML file, one command or one Python call; all three make the same object. Unknown keys are errors, with
the nearest right name. What is left `auto` is resolved before training and written to RUN/run.yaml, which
repeats the run. `tunewright schema > run.schema.json` gives editors completion.
"""


def section(title: str, model: Any) -> str:
    rows = [
        f"| `{name}` | {default(field)} | {field.description or ''} |" for name, field in model.model_fields.items()
    ]
    return "\n".join([f"\n## {title}\n", "| key | default | meaning |", "|---|---|---|", *rows]) + "\n"


def default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return (
        f"`{value.kind}`"
        if hasattr(value, "kind")
        else "see below"
        if hasattr(type(value), "model_fields")
        else f"`{value}`"
    )


def page() -> str:
    parts = [HEAD, section("The top", RunConfig), section("data", DataConfig), section("training", TrainingConfig)]
    parts.append(section("training.early_stopping", EarlyStopping))
    for family in (Splitter, Task, Strategy):
        title = family.home.removesuffix("s").replace("strategie", "strategy")
        parts += [section(f"{title}: {kind}", member) for kind, member in members(family).items()]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
