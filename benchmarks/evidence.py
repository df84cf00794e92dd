"""The comparisons of docs/evidence.md: banking77 and SST-2, one `tunewright compare` each, as a Markdown table.

python -m benchmarks evidence [--only banking77|sst2] [--seeds 3] [--out FOLDER] [SETTING ...]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import data

STRATEGIES = "feature_extraction,lora,full,layerwise_decay"
SETTINGS = ["data.limit=2000", "training.epochs=3"]


def main(arguments: list[str]) -> int:
    """Returns 0; an interrupted one goes on with the same --out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks evidence", description=__doc__)
    parser.add_argument("--only", choices=["banking77", "sst2"])
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence"))
    parser.add_argument("settings", nargs="*")
    options = parser.parse_args(arguments)
    for name in [options.only] if options.only else ["banking77", "sst2"]:
        out = options.out / name
        command = [*files_of(name, options.out), "--strategies", STRATEGIES, "--seeds", options.seeds,
                   *(options.settings or SETTINGS), "--out", str(out), "--resume"]  # fmt: skip
        subprocess.run([sys.executable, "-m", "tunewright", "compare", *command], check=True)
        print(markdown(out))
    return 0


def files_of(name: str, place: Path) -> list[str]:
    """Training rows, and the set that is tested on: banking77's test set, SST-2's development set."""
    if name == "banking77":
        return [str(data.folder(name) / "train.csv"), "--test", str(data.folder(name) / "test.csv")]
    place.mkdir(parents=True, exist_ok=True)
    parts = {part: place / f"{name}-{part}.csv" for part in ("train", "dev")}
    for part, path in parts.items():
        data.write_csv(path, data.read_glue(data.folder("sst2_glue") / f"{part}.tsv"))
    return [str(parts["train"]), "--test", str(parts["dev"])]


def markdown(out: Path) -> str:
    from tunewright.files import read_json

    found = read_json(out / "comparison.json")
    name = found["metric"]["name"]
    head = f"| contestant | {name} | 95 % interval | over seeds | to the best | p, corrected | seconds | ms a row |"
    lines = [head, "|---" * 8 + "|", *(line_of(item) for item in found["contestants"] if item["score"])]
    return "\n".join([*lines, "", (found["verdict"] or {}).get("sentence", "")])


def line_of(item: dict[str, Any]) -> str:
    score, versus, speed = item["score"], item["versus_best"] or {}, item["milliseconds_per_row"] or {}
    cells = [f"`{item['name']}`", f"{score['value']:.4f}", f"{score['low']:.3f} to {score['high']:.3f}",
             given(score["seed_deviation"], ".4f"), given(versus.get("difference"), "+.4f"),
             given(versus.get("p_corrected"), ".2g"), given(item["fit_seconds"], ".1f"),
             given(speed.get("in_batches"), ".2f")]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def given(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
