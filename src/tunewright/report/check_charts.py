"""Charts of what checks measured: labels, lengths, the learning curve, likely wrong labels, shift."""

from __future__ import annotations

from .files import Record
from .markup import Markup


def labels(facts: Record) -> Markup:
    return Markup("")


def lengths(facts: Record) -> Markup:
    return Markup("")


def learning_curve(facts: Record) -> Markup:
    return Markup("")


def suspects(facts: Record) -> Markup:
    return Markup("")


def shift(facts: Record) -> Markup:
    return Markup("")
