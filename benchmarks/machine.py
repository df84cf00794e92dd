"""What the figures were measured on, and how many."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "accelerate", "peft", "trl", "scikit-learn", "tunewright")


def positive(text: str) -> int:
    """A whole number of the command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def machine() -> dict[str, Any]:
    """For the record: a number without its machine says nothing."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES if find_spec(name.replace("scikit-learn", "sklearn"))},
    }


def processor() -> str:
    """The CPU's name where Linux tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
