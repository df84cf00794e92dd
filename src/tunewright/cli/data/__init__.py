"""Look at data before it is trained on: check and repair it, split it, make more of it, choose what to label next.

Example: tunewright data check inbox.csv --test inbox_test.csv
"""

from __future__ import annotations

import importlib
from typing import Any

import typer

VERBS = ("check", "split", "augment", "label")


def make_app(guarded: Any) -> typer.Typer:
    """The verbs of `tunewright data`."""
    app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode="rich")
    for name in VERBS:
        module = importlib.import_module(f".{name}", __name__)
        app.command(name, help=module.__doc__, no_args_is_help=True)(guarded(module.command))
    return app
