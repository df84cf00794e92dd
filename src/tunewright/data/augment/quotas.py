"""How many new rows each class gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Label = TypeVar("Label")

MOST = 10  # versions of a row, itself among them: more teach the row's wording rather than its label


def balanced(counts: Mapping[Label, int], wanted: int) -> dict[Label, int]:
    """New rows that raise the smallest classes to one level; what is left raises all together."""
    most = {label: MOST * count for label, count in counts.items()}
    wanted = min(wanted, (MOST - 1) * sum(counts.values()))
    reached = lambda level: {label: max(n, min(level, most[label])) - n for label, n in counts.items()}  # noqa: E731
    low, high = 0, max(most.values(), default=0)
    while low < high:  # the highest level that `wanted` rows reach
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(reached(middle).values()) <= wanted else (low, middle - 1)
    found, next_level = reached(low), reached(low + 1)
    left = wanted - sum(found.values())
    for label in [label for label in counts if next_level[label] > found[label]][:left]:
        found[label] += 1
    return found
