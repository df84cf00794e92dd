"""Four-bit kernels: where they come from, and what is said where there are none."""

from __future__ import annotations

import subprocess
import sys

from tunewright import kernels
from tunewright.strategies.qlora import QLoRA

IMPORTS = "from tunewright.kernels import settle_bitsandbytes; settle_bitsandbytes(); import peft, bitsandbytes"


def test_bitsandbytes_fetches_no_compiled_code(tmp_path):  # S2, S7
    (tmp_path / "kernels.py").write_text("def get_kernel(*a, **k): print('fetched')\n")
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "kernel" not in done.stderr


def test_a_machine_without_a_four_bit_kernel_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(kernels, "four_bit_fault", lambda: "NotImplementedError: no such kernel")
    reason = QLoRA().refuses(None, None)
    assert reason == "bitsandbytes has no four-bit kernel for this machine: NotImplementedError: no such kernel"


def test_without_bitsandbytes_qlora_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert QLoRA().refuses(None, None) == "bitsandbytes is not installed (pip install 'tunewright[qlora]')"
