"""Mix: unsure rows, unlike each other. The default, by measurement (docs/active_learning.md)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from . import base
from .kmeans import central


class Mix(base.Acquisition):
    """One row of each of `count` clusters of the `breadth` x `count` rows of smallest margin.

    Diverse mini-batch active learning (Zhdanov 2019, section 3), with the margin of Scheffer et al. 2001.
    """

    says: ClassVar[str] = "its two likeliest labels are {:.3f} apart; unlike the others"
    kind: Literal["mix"] = "mix"
    breadth: int = Field(10, ge=1, description="unsure rows for each row chosen; the paper's beta")

    def choose(self, situation: base.Situation, count: int) -> base.Choice:
        assert situation.probabilities is not None
        margins = base.margin(situation.probabilities)
        unsure = base.highest(-margins, self.breadth * count)
        places, _ = central(situation.features[unsure], count, situation.generator)
        found = unsure[places]
        return found, margins[found].astype(float)
