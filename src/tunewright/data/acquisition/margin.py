"""Margin: the rows whose two likeliest labels are nearly as likely."""

from __future__ import annotations

from typing import ClassVar, Literal

from . import base


class Margin(base.Ranking):
    """Smallest margin first (Scheffer et al. 2001, section 3)."""

    says: ClassVar[str] = "its two likeliest labels are {:.3f} apart"
    kind: Literal["margin"] = "margin"

    def scores(self, situation: base.Situation) -> base.Floats:
        assert situation.probabilities is not None
        return -base.margin(situation.probabilities)
