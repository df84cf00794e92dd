"""Whether this machine has the kernels that a strategy needs."""

from __future__ import annotations

from functools import cache


@cache
def four_bit_fault() -> str | None:
    """What goes wrong when a small matrix is quantised to NF4 and multiplied; None where it works."""
    import torch

    try:
        import bitsandbytes as bnb

        device = "cuda" if torch.cuda.is_available() else "cpu"
        layer = bnb.nn.Linear4bit(64, 64, quant_type="nf4", compute_dtype=torch.float32).to(device)
        value = layer(torch.ones(2, 64, device=device, requires_grad=True))
        value.sum().backward()
    except (ImportError, OSError, RuntimeError, NotImplementedError, AttributeError, AssertionError) as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None if bool(value.isfinite().all()) else "the product is not finite"
