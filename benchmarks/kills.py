"""Fifty SIGKILLs at random moments on real weights: does every run end in the uninterrupted run's weights? (R1, R5)

python -m benchmarks kills [--kills 50] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import track

INBOX = Path(__file__).parent.parent / "examples" / "parcel_desk" / "train.csv"
SETTINGS = (
    "data.limit=160", "data.test_share=0", "data.max_length=32", "training.epochs=2", "training.batch_size=8",
    "training.precision=fp32", "training.checkpoint_every=3", "training.learning_rate=1e-4",
    "training.keep_checkpoints=2",
)  # fmt: skip


def start(out: Path, resume: bool) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "tunewright",
        "train",
        str(INBOX),
        "--label",
        "topic",
        "--out",
        str(out),
        *SETTINGS,
    ]
    return subprocess.Popen(
        [*command, *(["--resume"] if resume else [])], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, error = process.communicate()
    if process.returncode:
        sys.exit(f"a run did not survive (exit {process.returncode}):\n{error.decode()}")


def fingerprint(out: Path) -> str:
    """Of the saved weights, bit for bit."""
    files = sorted((out / "model").glob("*.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def moment(out: Path) -> str:
    """What the kill hit, from what it left."""
    if list(out.glob("checkpoints/.step-*.tmp")):
        return "while saving a checkpoint"
    if list(out.glob(".model.*.tmp")) or (out / "model").exists():
        return "while finishing"
    return "between checkpoints" if list(out.glob("checkpoints/step-*")) else "before the first checkpoint"


def killed(out: Path, delay: float, resume: bool) -> bool:
    """Starts the run and kills it after `delay` seconds; False if it was finished by then."""
    process = start(out, resume)
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    finish(process)
    return False


def campaign(folder: Path, kills: int, longest: float, generator: random.Random) -> tuple[list[str], Counter[str]]:
    """Fingerprints of all runs that were completed, and what the kills hit."""
    ends: list[str] = []
    hits: Counter[str] = Counter()
    out, alive = folder / "run-0", False
    for _ in track(range(kills), "killing", console=Console(stderr=True)):
        while not killed(out, generator.uniform(0.5, longest), alive):
            ends.append(fingerprint(out))
            out, alive = folder / f"run-{len(ends)}", False
        hits[moment(out)] += 1
        alive = out.exists()
    finish(start(out, alive))
    return [*ends, fingerprint(out)], hits


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.monotonic()
        finish(start(folder / "whole", False))
        longest = (time.monotonic() - began) * 1.1
        expected = fingerprint(folder / "whole")
        ends, hits = campaign(folder, chosen.kills, longest, random.Random(chosen.seed))
    equal = sum(end == expected for end in ends)
    print(f"{chosen.kills} kills: {', '.join(f'{count} {what}' for what, count in hits.most_common())}")
    print(f"{equal} of {len(ends)} completed runs have the uninterrupted run's weights, bit for bit")
    return 0 if equal == len(ends) else 1
