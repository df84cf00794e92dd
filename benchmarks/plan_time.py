"""Seconds that `tunewright plan` foresees against those of real runs: in all, and of fitting.

`python -m benchmarks plan_time`. Each run is a process of its own with a fresh cache. Kept: within 25 % on a quiet
machine, with two measured steps (--probe); from the configuration alone the error is told besides.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "examples" / "parcel_desk"
PROMISED = 0.25
CLASSIFY, TAG = [str(DATA / "train.csv")], [str(DATA / "entities_train.jsonl")]
WRITE, PREFER = [str(DATA / "instructions_train.jsonl")], [str(DATA / "preferences_train.jsonl")]
RUNS = {  # name: data, then settings; task x strategy x batch x length
    "classify full": [*CLASSIFY, "training.epochs=3"],
    "classify full, batches of 64": [*CLASSIFY, "training.epochs=4", "training.batch_size=64"],
    "classify full, 32 tokens": [*CLASSIFY, "training.epochs=3", "data.max_length=32"],
    "classify full, fp32": [*CLASSIFY, "training.epochs=2", "training.precision=fp32"],
    "classify full, checkpointing": [*CLASSIFY, "training.epochs=3", "training.gradient_checkpointing=true"],
    "classify lora": [*CLASSIFY, "strategy=lora", "training.epochs=4"],
    "classify freeze": [*CLASSIFY, "strategy=freeze", "training.epochs=6"],
    "classify bitfit": [*CLASSIFY, "strategy=bitfit", "training.epochs=3"],
    "classify feature_extraction": [*CLASSIFY, "strategy=feature_extraction"],
    "tag full": [*TAG, "training.epochs=8"],
    "tag lora": [*TAG, "strategy=lora", "training.epochs=8"],
    "write lora": [*WRITE, "strategy=lora", "task=causal_lm", "training.epochs=3", "task.score_answers=0"],
    "write full": [*WRITE, "task=causal_lm", "training.epochs=3", "task.score_answers=0"],
    "prefer lora": [*PREFER, "strategy=lora", "task=preference", "training.epochs=2", "task.score_answers=0"],
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks plan_time", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=RUNS, default=list(RUNS))
    parser.add_argument("--no-probe", action="store_true", help="from the configuration alone")
    parser.add_argument(
        "--processor", action="store_true", help="errors by the processor's seconds: for one thread on a busy machine"
    )
    chosen = parser.parse_args(arguments)
    print("| run | foreseen, s | with a probe, s | measured, s | error | with a probe | fitting: foreseen | measured "
          "| CPU, s | kept |\n" + "|---" * 10 + "|")  # fmt: skip
    kept = []
    for name in chosen.only:
        with tempfile.TemporaryDirectory() as folder:
            kept.append(line(name, RUNS[name], Path(folder), not chosen.no_probe, chosen.processor))
    print(f"\n{sum(kept)} of {len(kept)} within {PROMISED:.0%}")
    return 0


def line(name: str, settings: list[str], folder: Path, probe: bool, by_processor: bool) -> bool:
    """Prints a run's row; whether its time was foreseen."""
    plain = planned(settings)
    probed = planned([*settings, "--probe"]) if probe else plain
    found, processor = trained(settings, folder)
    truth = processor if by_processor else found["wall_seconds"]
    errors = [seconds["total"] / truth - 1 for seconds in (plain, probed)]
    fitting = sum(probed[cause] for cause in ("frozen", "steps", "evaluations"))
    good = abs(errors[1]) <= PROMISED
    print(f"| {name} | {plain['total']:.1f} | {probed['total']:.1f} | {found['wall_seconds']:.1f} | {errors[0]:+.0%} "
          f"| {errors[1]:+.0%} | {fitting:.1f} | {found['fit_seconds']:.1f} | {processor:.1f} "
          f"| {'kept' if good else 'missed'} |", flush=True)  # fmt: skip
    return good


def planned(settings: list[str]) -> dict[str, float]:
    """Seconds by cause, from the command line; the run's own strategy alone."""
    kind = next((item.partition("=")[2] for item in settings if item.startswith("strategy=")), "full")
    told = json.loads(tunewright(["plan", *settings, "--strategies", kind, "--json"], {}))
    seconds: dict[str, float] = told["configured"]["seconds"]
    return seconds


def trained(settings: list[str], folder: Path) -> tuple[dict[str, Any], float]:
    """metrics.json with `wall_seconds` from the start of the process to its end, and the processors' seconds."""
    import time

    from tunewright.files import cache_folder

    cache = folder / "cache"
    cache.mkdir()
    probes = cache_folder() / "arithmetic.json"
    if probes.is_file():
        shutil.copyfile(probes, cache / probes.name)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    told = tunewright(["train", *settings, "--out", str(folder / "run"), "--json"], {"TUNEWRIGHT_CACHE": str(cache)})
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(told), "wall_seconds": wall}, processor


def tunewright(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-m", "tunewright", *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
