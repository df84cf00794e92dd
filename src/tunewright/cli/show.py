"""Show what a run or a comparison is and how it did.

Example: tunewright show runs/inbox
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Run = Annotated[Path, typer.Argument(help="the directory of a run, or of a comparison")]
AsJson = Annotated[bool, typer.Option("--json", help="metrics.json, or comparison.json, as it is")]


def command(run: Run, as_json: AsJson = False) -> None:
    from ..errors import ModelError
    from ..files import read_json

    if (run / "comparison.json").is_file():
        _comparison(run, as_json)
        return
    path = run / "metrics.json"
    if not path.is_file():
        started = (run / "run.yaml").is_file()
        what = "the run is not finished" if started else "there is no run here"
        fix = "finish it with its train command and --resume" if started else "give the directory of a run"
        raise ModelError(what, where=str(run), fix=fix)
    try:
        metrics = read_json(path)
        recipe = (run / "run.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError(f"a file is unreadable ({error})", where=str(run), fix="restore a copy") from None
    if as_json:
        print(json.dumps(metrics, ensure_ascii=False))
        return
    try:
        _run(run, metrics, recipe)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        what = f"holds not what a run writes ({type(error).__name__}: {error})"
        raise ModelError(what, where=str(path), fix="restore a copy") from error


def _run(run: Path, metrics: dict[str, Any], recipe: str) -> None:
    from ..run import RunResult
    from . import tables

    out = tables.console()
    headline = f"{metrics['model'] or 'no model'}, {metrics['task']}, {metrics['strategy']}; {metrics['created']}"
    out.print(headline, markup=False, soft_wrap=True)
    out.print(recipe, markup=False, soft_wrap=True)
    tables.scores({name: metrics[name] for name in ("before", "validation", "test") if metrics.get(name)})
    tables.closing(RunResult(run, metrics))


def _comparison(path: Path, as_json: bool) -> None:
    from ..errors import ModelError
    from ..files import read_json
    from .compared import show

    try:
        found = read_json(path / "comparison.json")
    except (OSError, ValueError) as error:
        fix = "compare again with --resume"
        raise ModelError(f"comparison.json is unreadable ({error})", where=str(path), fix=fix) from None
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    show(found, path)
