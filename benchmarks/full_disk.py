"""A full disk at every write: does each verb end with exit code 2 and a clear line, and go on once there is room?

Each verb writes to a tmpfs of its own, cache included, of so many pages or so many files, from none to as many as it
needs. Afterwards no file may be half-written, and with room the same command must end as if nothing had been. Needs
root, to mount.

python -m benchmarks full_disk [--steps 12] [--only train]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .forked import Child, workplace

PAGE = 4096
SMALL = ("data.test_share=0.2", "training.max_steps=4", "training.batch_size=8", "training.precision=fp32",
         "training.checkpoint_every=1", "data.allow=[leakage]", "training.learning_rate=1e-3")  # fmt: skip
VERBS: dict[str, tuple[list[str], list[str]]] = {  # what is typed, and what is added to go on
    "train": (["train", "ROWS", "--model", "MODEL", "--out", "DISK/run", *SMALL], ["--resume"]),
    "train features": (["train", "ROWS", "--model", "MODEL", "--out", "DISK/run", "--strategy", "feature_extraction",
                        "task.kind=sequence_classification", "task.pooling=mean"], ["--resume"]),
    "compare": (["compare", "ROWS", "--models", "MODEL", "--strategies", "full,lora", "--seeds", "1",
                 "--out", "DISK/run", *SMALL], ["--resume"]),
    "data check": (["data", "check", "ROWS", "--out", "DISK/run"], []),
    "data split": (["data", "split", "ROWS", "--out", "DISK/run"], []),
    "data augment": (["data", "augment", "ROWS", "--out", "DISK/more.csv", "--technique", "deletion"], []),
    "predict": (["predict", "RUN", "ROWS", "--out", "DISK/answers.txt"], []),
    "predict json": (["predict", "RUN", "ROWS", "--json", "--out", "DISK/answers.jsonl"], []),
}  # fmt: skip


@contextmanager
def disk(folder: Path, room: str) -> Iterator[Path]:
    """A tmpfs, `size=4096` or `nr_inodes=3`."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", room, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def called(arguments: list[str], place: Path) -> int:
    from tunewright import cli

    os.environ["TUNEWRIGHT_CACHE"] = str(place / "cache")
    sys.argv = ["tunewright", *arguments]
    cli.add_verbs()
    return cli.run(arguments)


class Campaign:
    """One verb after another.

    Args:
        work: holds rows.csv, a model, and a finished run.
    """

    def __init__(self, work: Path) -> None:
        self.work, self.faults, self.count, self.full = work, list[str](), 0, 0

    def call(self, arguments: list[str]) -> tuple[int, str]:
        places = {"DISK": self.work / "disk", "ROWS": self.work / "rows.csv", "MODEL": self.work / "model",
                  "RUN": self.work / "trained"}  # fmt: skip
        for name, path in places.items():
            arguments = [word.replace(name, str(path)) for word in arguments]
        child = Child(partial(called, arguments, self.work / "disk"), self.work / "log")
        if not child.finished(300):
            child.kill()
        return child.code(), child.log.read_text()

    def verb(self, name: str, steps: int) -> None:
        typed, more = VERBS[name]
        with disk(self.work / "disk", "size=64m") as place:
            code, said = self.call(typed)
            if code:
                sys.exit(f"{name} fails with room, too:\n{said}")
            left = names(place)
            size = sum(-(-path.stat().st_size // PAGE) for path in place.rglob("*") if path.is_file())
            inodes = len(list(place.rglob("*"))) + 1
        for kind, most in (("size", size), ("nr_inodes", inodes)):
            for room in sorted({round(1 + (most + 1) * step / steps) for step in range(steps)}):
                self.count += 1
                self.one(name, typed, more, f"{kind}={room * PAGE if kind == 'size' else room}", left)

    def one(self, name: str, typed: list[str], more: list[str], room: str, left: list[str]) -> None:
        with disk(self.work / "disk", room) as place:
            code, said = self.call(typed)
            self.full += code == 2
            if code not in (0, 2) or "Traceback" in said or (code == 2 and "error: " not in said):
                self.faults.append(f"{name}, {room}: exit {code}\n{said[-1500:]}")
            self.faults += [f"{name}, {room}: {half} is half-written" for half in half_written(place)]
            kind = room.split("=")[0]
            subprocess.run(
                ["mount", "-o", f"remount,{kind}={'64m' if kind == 'size' else 10000}", str(place)], check=True
            )
            again = [*typed, *more] if code else typed
            if code and (found := self.call(again))[0]:
                self.faults.append(f"{name}, {room}: with room again, exit {found[0]}\n{found[1][-1500:]}")
            elif code and names(place) != left:
                self.faults.append(f"{name}, {room}: with room again, {sorted({*names(place)} ^ {*left})} differ")


def names(place: Path) -> list[str]:
    """Of all files but the cache's."""
    files = (path.relative_to(place) for path in place.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if path.parts[0] != "cache")


READERS: dict[str, Callable[[bytes], object]] = {
    ".json": json.loads,
    ".jsonl": lambda raw: [json.loads(line) for line in raw.decode().splitlines()],
    ".html": lambda raw: raw.rstrip().index(b"</html>"),
    ".safetensors": lambda raw: raw[8 + int.from_bytes(raw[:8], "little")],
}


def half_written(place: Path) -> list[str]:
    """Files that a reader would stumble over, and what should not be there."""
    found = []
    for path in place.rglob("*"):
        if path.name.endswith((".tmp", ".old")):
            found.append(str(path))
        elif path.is_file() and "cache" not in path.relative_to(place).parts:
            raw = path.read_bytes()
            try:
                READERS.get(path.suffix, len)(raw)
                if path.suffix in (".csv", ".jsonl", ".txt", ".yaml") and raw and not raw.endswith(b"\n"):
                    raise ValueError("no end of line")
            except (ValueError, IndexError):
                found.append(str(path))
    return found


def make_files(work: Path) -> int:
    from tests.conftest import make_model, write_rows

    make_model(work / "model")
    write_rows(work / "rows.csv", 60)
    typed = ["train", str(work / "rows.csv"), "--model", str(work / "model"), "--out", str(work / "trained"), *SMALL]
    return called(typed, work)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks full_disk", description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="sizes of the disk, and as many numbers of files")
    parser.add_argument("--only", default="", help="verbs that begin with this")
    chosen = parser.parse_args(arguments)
    with workplace(make_files) as work:
        campaign = Campaign(work)
        verbs = [verb for verb in VERBS if verb.startswith(chosen.only)]
        for verb in verbs:
            campaign.verb(verb, chosen.steps)
            print(
                f"{verb}: {campaign.full} of {campaign.count} disks were full; {len(campaign.faults)} faults",
                flush=True,
            )
    print("\n\n".join(campaign.faults))
    return 1 if campaign.faults else 0
