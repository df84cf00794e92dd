"""Margin: the rows whose two likeliest labels are nearly as likely."""

from __future__ import annotations

from typing import ClassVar, Literal

from . import base


class Margin(base.Acquisition):
    """Smallest margin first (Scheffer et al. 2001, section 3)."""

    says: ClassVar[str] = "its two likeliest labels are {:.3f} apart"
    kind: Literal["margin"] = "margin"

    def choose(self, situation: base.Situation, count: int) -> base.Choice:
        assert situation.probabilities is not None
        margins = base.margin(situation.probabilities)
        found = base.highest(-margins, count)
        return found, margins[found].astype(float)
