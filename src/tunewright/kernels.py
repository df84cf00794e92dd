"""Whether this machine has the kernels that a strategy needs."""

from __future__ import annotations

import importlib
import logging
import sys
from functools import cache
from importlib.util import find_spec
from typing import Any


@cache
def settle_bitsandbytes() -> None:
    """Imports bitsandbytes, where it is installed, without letting it fetch compiled code from the hub (S2, S7).

    PEFT imports it by itself; on processors with AVX512-BF16 it then asks the package `kernels`, if that is there, for
    code from the hub, and else complains at every start.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if find_spec("bitsandbytes") is None or "bitsandbytes" in sys.modules:
        return
    known = sys.modules.get("kernels")
    loaded: dict[str, Any] = sys.modules
    loaded["kernels"] = None  # an import of it fails, as where it is not installed
    try:
        importlib.import_module("bitsandbytes")
    except (ImportError, OSError, RuntimeError):
        return
    finally:
        del sys.modules["kernels"]
        if known is not None:
            sys.modules["kernels"] = known


@cache
def four_bit_fault() -> str | None:
    """What goes wrong when a small matrix is quantised to NF4 and multiplied; None where it works."""
    import torch

    settle_bitsandbytes()
    try:
        import bitsandbytes as bnb

        device = "cuda" if torch.cuda.is_available() else "cpu"
        layer = bnb.nn.Linear4bit(64, 64, quant_type="nf4", compute_dtype=torch.float32).to(device)
        value = layer(torch.ones(2, 64, device=device, requires_grad=True))
        value.sum().backward()
    except (ImportError, OSError, RuntimeError, NotImplementedError, AttributeError, AssertionError) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None if bool(value.isfinite().all()) else "the product is not finite"
