"""Every strategy with its defaults on one data set: score, trained share, seconds, memory. A process each, in turn."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import data as locations

KINDS = (
    "full", "layerwise_decay", "gradual_unfreezing", "freeze", "feature_extraction", "lora", "qlora",
    "bottleneck_adapter", "bitfit", "ia3", "prefix_tuning", "prompt_tuning",
)  # fmt: skip
SETS = {
    "banking77": ("banking77/train.csv", "banking77/test.csv", "accuracy"),
    "ncbi": ("bio_ner/NCBI-disease-IOB/train.tsv", "bio_ner/NCBI-disease-IOB/test.tsv", "f1"),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks strategies", description=__doc__)
    parser.add_argument("--data", choices=SETS, default="ncbi")
    parser.add_argument("--only", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--out", default=None, help="keeps the runs here")
    parser.add_argument("settings", nargs="*", help="settings for every run, such as training.epochs=3")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        print(
            "| strategy | score | trained | fitting, s | in all, s | CPU, s | peak memory, MB | best at |\n"
            + "|---" * 8
            + "|"
        )
        for kind in chosen.only:
            print(line(kind, *measured(chosen.data, kind, Path(chosen.out or folder), chosen.settings)), flush=True)
    return 0


def measured(name: str, kind: str, folder: Path, settings: list[str]) -> tuple[dict[str, Any], str, float]:
    """The run's metrics, the name of its main score, and the seconds that its processors worked."""
    train, test, score = SETS[name]
    path = lambda file: str(locations.folder(file.rsplit("/", 1)[0]) / file.rsplit("/", 1)[1])  # noqa: E731
    command = [sys.executable, "-m", "tunewright", "train", path(train), "--test", path(test)]
    command += ["--strategy", kind, "--out", str(folder / f"{name}-{kind}"), "--overwrite", "--json"]
    solved = kind == "feature_extraction" and name == "banking77"  # no loop that could be set
    command += [item for item in settings if not (solved and item.startswith("training."))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    cache = str(folder / f"cache-{time.time()}")  # nothing that another strategy computed
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "TUNEWRIGHT_CACHE": cache}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout), score, worked


def line(kind: str, metrics: dict[str, Any], score: str, worked: float) -> str:
    share = metrics["trainable_parameters"] / metrics["total_parameters"]
    return (
        f"| `{kind}` | {metrics['test'][score]:.4f} | {share:.2%} | {metrics['fit_seconds']:.0f} "
        f"| {metrics['total_seconds']:.0f} | {worked:.0f} | {metrics['peak_memory_mb']:,} "
        f"| {metrics['best_step']} of {metrics['steps']} |"
    )
