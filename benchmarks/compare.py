"""`compare` of four strategies that share a frozen encoder, against four `train` runs of the same.

python -m benchmarks compare [--strategies LINE] [--data FILE --test FILE] [SETTING ...]

Every process counts by the processor's clock, its own and its children's. Separate runs are taken twice: with a cache
folder that they share, as they do on anybody's machine, and each with an empty one. `compare` starts from an empty one
too, and does more: two floors, the time of an answer, the tests and the report.
"""

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

from rich.console import Console
from rich.table import Table

PROMISED = 0.6  # of the separate runs
LINE = "feature_extraction,freeze.blocks=5,freeze.blocks=6,gradual_unfreezing.at=[1]"  # five blocks stay frozen
PARCELS = Path(__file__).parent.parent / "examples" / "parcel_desk"


def main(arguments: list[str]) -> int:
    """Returns 0 where the promise is kept, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=__doc__)
    parser.add_argument("--strategies", default=LINE)
    parser.add_argument("--data", default=str(PARCELS / "train.csv"))
    parser.add_argument("--test", default=str(PARCELS / "test.csv"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("settings", nargs="*", help="training.epochs=3 where left out")
    options = parser.parse_args(arguments)
    data, settings = [options.data, "--test", options.test], options.settings or ["training.epochs=3"]
    found = measured(options.strategies, data, settings)
    table = Table("", "processor seconds", "wall clock", "compare takes of them", f"{PROMISED:.0%}")
    for name, (processor, wall) in found.items():
        share = found["compare"][0] / processor
        kept = "" if name == "compare" else "kept" if share <= PROMISED else "missed"
        table.add_row(name, f"{processor:.1f}", f"{wall:.1f}", f"{share:.0%}", kept)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return int(found["compare"][0] > PROMISED * found["train, one cache"][0])


def measured(line: str, data: list[str], settings: list[str]) -> dict[str, list[float]]:
    """Seconds of each way to have all of them: of the processor, and of the clock on the wall."""
    from tunewright.contest.contestants import entries_of

    found = {"train, one cache": [0.0, 0.0], "train, empty caches": [0.0, 0.0]}
    with tempfile.TemporaryDirectory() as place:
        for number, entry in enumerate(entries_of(line)):
            solved = entry.kind == "feature_extraction"
            own = ["--strategy", entry.kind, *entry.settings, *([] if solved else settings)]
            for way, cache in (("train, one cache", "one"), ("train, empty caches", f"own-{number}")):
                out = f"{place}/{cache}-{number}"
                taken = seconds(["train", *data, *own, "--out", out], f"{place}/cache-{cache}")
                found[way] = [sum(pair) for pair in zip(found[way], taken, strict=True)]
        all_of_them = ["compare", *data, "--strategies", line, "--seeds", "1", *settings, "--out", f"{place}/compare"]
        found["compare"] = seconds(all_of_them, f"{place}/cache-compare")
    return found


def seconds(command: list[str], cache: str) -> list[float]:
    """Of the processor and of the wall clock, that a command takes with a cache folder."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "TUNEWRIGHT_CACHE": cache, "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-m", "tunewright", *command], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    taken = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{taken:7.1f} s  {' '.join(command)}", file=sys.stderr, flush=True)
    return [taken, time.perf_counter() - began]
