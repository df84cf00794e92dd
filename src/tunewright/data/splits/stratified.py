"""stratified: every part gets its share of each label, as nearly as whole rows allow."""

from __future__ import annotations

from typing import Literal

from .drawing import Drawn


class Stratified(Drawn):
    """Every part gets its share of each label, one or several a row.

    Let t be the most labels that a row has. In two parts each label's number of rows differs from share * n by less
    than t, in more by less than 2t; with one label a row it is that number rounded up or down (see rounding.py).
    Besides, a row is moved to train for each label that train would lack. Rows in groups or clusters of
    near-duplicates go whole, and the shares come out as nearly as that allows.
    """

    kind: Literal["stratified"] = "stratified"
