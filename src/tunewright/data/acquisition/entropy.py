"""Entropy: the rows whose label is least known, over all labels."""

from __future__ import annotations

from typing import ClassVar, Literal

from . import base


class Entropy(base.Acquisition):
    """Largest entropy first (Settles 2009, section 3.1). With many labels it likes rows that are unlike everything."""

    says: ClassVar[str] = "entropy {:.3f} nats"
    kind: Literal["entropy"] = "entropy"

    def choose(self, situation: base.Situation, count: int) -> base.Choice:
        assert situation.probabilities is not None
        scores = base.entropy(situation.probabilities)
        found = base.highest(scores, count)
        return found, scores[found].astype(float)
