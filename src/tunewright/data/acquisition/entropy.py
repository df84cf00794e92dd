"""Entropy: the rows whose label is least known, over all labels."""

from __future__ import annotations

from typing import ClassVar, Literal

from . import base


class Entropy(base.Ranking):
    """Largest entropy first (Settles 2009, section 3.1). With many labels it likes rows that are unlike everything."""

    says: ClassVar[str] = "entropy {:.3f} nats"
    kind: Literal["entropy"] = "entropy"

    def scores(self, situation: base.Situation) -> base.Floats:
        assert situation.probabilities is not None
        return base.entropy(situation.probabilities)
