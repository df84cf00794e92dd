"""BALD: the rows that models disagree on, although each of them is sure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from . import base


class Bald(base.Ranking):
    """Largest mutual information between label and model (Houlsby et al. 2011, equation 2), by models drawn at random.

    Of a trained run they are drawn by its dropout (Gal and Ghahramani 2016), of the probe by dropout on its features.
    """

    says: ClassVar[str] = "{:.3f} nats of disagreement"
    kind: Literal["bald"] = "bald"

    def scores(self, situation: base.Situation) -> base.Floats:
        assert situation.beliefs is not None
        return mutual_information(situation.beliefs())


def mutual_information(beliefs: Iterator[base.Floats]) -> base.Floats:
    """(M,) entropy of the mean minus mean entropy, of several (M, C); in nats."""
    drawn = np.stack(list(beliefs))
    mean: base.Floats = drawn.mean(0)
    found: base.Floats = base.entropy(mean) - np.mean([base.entropy(belief) for belief in drawn], axis=0)
    return found
