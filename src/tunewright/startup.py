"""The garbage collector while a program starts: what imports make lives on; to look for garbage in it took 0.8 s."""

from __future__ import annotations

import gc

_usual: list[tuple[int, int, int]] = []  # the thresholds before `hurry`


def hurry() -> None:
    """Collects rarely from here on: torch and transformers make a million objects that stay."""
    _usual.append(gc.get_threshold())
    gc.set_threshold(100_000, 20, 20)


def settled() -> None:
    """The usual collector again, which no longer looks at what is there; nothing where nobody hurried."""
    if _usual:
        gc.freeze()
        gc.set_threshold(*_usual.pop())
