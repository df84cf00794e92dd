"""Random choice: what every other strategy has to beat."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from .base import Acquisition, Choice, Situation


class Random(Acquisition):
    """Each row as likely as any other; also the rows to estimate an accuracy from."""

    asks_model: ClassVar[bool] = False
    says: ClassVar[str] = "drawn"
    kind: Literal["random"] = "random"

    def choose(self, situation: Situation, count: int) -> Choice:
        found = situation.generator.permutation(len(situation.features))[:count]
        return found, np.zeros(len(found))
