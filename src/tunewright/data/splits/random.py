"""random: every row has the same chance, whatever its labels."""

from __future__ import annotations

from typing import ClassVar, Literal

from .drawing import Drawn


class Random(Drawn):
    """Every row has the same chance, whatever its labels; sizes are the shares' rounded up or down."""

    by_label: ClassVar[bool] = False

    kind: Literal["random"] = "random"
