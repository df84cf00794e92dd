"""by_time: earlier rows train, later ones are held out, as a model will meet them."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ...errors import ConfigError
from .base import Fold, Splitter, Subject

FORMATS = (
    "ISO", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
    "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %z %Y",
)  # fmt: skip
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")


class ByTime(Splitter):
    """Train first, then the held-out parts in their order: none has a row earlier than the last one before it.

    Rows of one instant are never parted, so sizes are the shares' as nearly as instants allow. Nothing is drawn. Folds
    are forward chaining: k + 1 stretches of time, each of which but the first is held out once, with all before it to
    train on.
    """

    column_holds: ClassVar[Literal["", "groups", "times"]] = "times"

    kind: Literal["by_time"] = "by_time"
    column: str = Field(min_length=1, description="dates (ISO 8601 and common forms) or numbers")

    @model_validator(mode="after")
    def refuse_near_duplicates(self) -> Self:
        if self.near_duplicates:
            why = "their cluster may have an early row and a late one: time and texts can't both decide"
            raise ValueError(f"near_duplicates does not go with by_time, because {why}; leave it out")
        return self

    def split(self, subject: Subject, shares: dict[str, float], seed: int) -> dict[str, list[int]]:
        parts = [1 - sum(shares.values()), *shares.values()]
        return dict(zip(["train", *shares], stretches(subject.times or (), parts), strict=True))

    def folds(self, subject: Subject, count: int, seed: int) -> list[Fold]:
        parts = stretches(subject.times or (), [1 / (count + 1)] * (count + 1))
        return [(sorted(itertools.chain(*parts[:fold])), parts[fold]) for fold in range(1, count + 1)]


def stretches(times: Sequence[Any], shares: Sequence[float]) -> list[list[int]]:
    """Places of the rows of each stretch of time, ascending. Raises ConfigError where there are too few instants."""
    order = sorted(range(len(times)), key=times.__getitem__)
    borders = [place for place in range(1, len(order)) if times[order[place - 1]] != times[order[place]]]
    if len(borders) + 1 < len(shares):
        what = f"{len(borders) + 1} points in time are too few for {len(shares)} stretches"
        raise ConfigError(what, where="data.split", fix="take fewer parts, or a finer column of times")
    edges, end = [len(order)], len(borders)
    for parts in range(len(shares) - 1, 0, -1):  # the last stretch first; each leaves an instant to those before it
        wanted = sum(shares[:parts]) * len(order)
        end = min(range(parts - 1, end), key=lambda place: abs(borders[place] - wanted))
        edges.append(borders[end])
    return [sorted(order[first:last]) for first, last in itertools.pairwise([0, *reversed(edges)])]


def read_times(values: Sequence[Any]) -> tuple[list[Any], int | None, str]:
    """Values that can be compared.

    Args:
        values: a column's; numbers, dates, or texts of one of them, all in one form.

    Returns:
        The times (UTC seconds where they are dates; without a time zone UTC is meant), the place of the first value
        that can't be read, or None, and the form that was taken ("" where two forms would both do).
    """
    tried = {"numbers": read_all(values, number)}
    if tried["numbers"][1] is not None:
        tried |= {form: read_all(values, lambda value, form=form: instant(value, form)) for form in FORMATS}
    form = max(tried, key=lambda name: len(tried[name][0]))
    times, bad = tried[form]
    other = {"%d/%m/%Y": "%m/%d/%Y", "%m/%d/%Y": "%d/%m/%Y"}.get(form)
    if bad is None and other and tried[other][1] is None and tried[other][0] != times:
        return times, 0, ""
    return times, bad, form


def read_all(values: Sequence[Any], read: Any) -> tuple[list[Any], int | None]:
    """What `read` makes of the values, up to the first of which it makes None, and that one's place."""
    found = list(itertools.takewhile(lambda time: time is not None, map(read, values)))
    return found, len(found) if len(found) < len(values) else None


def number(value: Any) -> int | float | Decimal | None:
    for read in (int, float) if isinstance(value, str) else ():
        with contextlib.suppress(ValueError):
            value = read(value)
            break
    fits = isinstance(value, int | float | Decimal | np.number) and not isinstance(value, bool)
    return value if fits and math.isfinite(value) else None


def instant(value: Any, form: str) -> float | None:
    """UTC seconds of a date, or of a text in this form; a time of the day may follow the date."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day)
    elif isinstance(value, str):
        found = parsed(" ".join(value.split()), form)
        if found is None:
            return None
        moment = found
    else:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parsed(text: str, form: str) -> datetime | None:
    for clock in CLOCKS if "%H" not in form and form != "ISO" else ("",):
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(text) if form == "ISO" else datetime.strptime(text, form + clock)
    return None
