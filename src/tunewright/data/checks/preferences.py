"""preferences: pairs that say nothing, that contradict each other, or that teach length instead of quality."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..desk import Desk
from ..ledger import normalised
from ..preference_rows import SAME
from ..row import Row
from .base import Check, Page

SHORT = 1_000  # signs; SequenceMatcher is quadratic
MOST = 1_000_000  # pairs that are compared with each other


class Preferences(Check):
    """Looks at pairs of a chosen and a rejected answer."""

    title: ClassVar[str] = "chosen and rejected answers"
    tasks: ClassVar[tuple[str, ...]] = ("preference",)
    unusable: ClassVar[Mapping[str, tuple[str, str]]] = {
        SAME: ("equal", "drop the row"),
        "the answer in column": ("empty", "write the answer, or drop the row"),
        "is empty": ("empty", "write the answer, or drop the row"),
        "two prompts": ("prompt_differs", "give both sides the same turns up to the answer"),
    }

    kind: Literal["preferences"] = "preferences"
    similar: float = Field(0.95, gt=0, lt=1, description="share of signs that two answers have in common, in order")
    longer: float = Field(0.6, gt=0.5, lt=1, description="of the pairs: more with one side longer are a bias")
    p: float = Field(0.01, gt=0, lt=1, description="of the sign test, below which a bias is no chance")

    def look(self, desk: Desk, page: Page) -> dict[str, Any]:
        """One pass over a part; closeness is looked at in the sample alone."""
        known: dict[int, int] = {}  # the row of each pair, by its hash
        sampled, ratios = set(desk.sample(page.part)), array("d")
        for place, row in enumerate(desk.each(page.part, "preferences")):
            chosen, rejected = (normalised((said(side),)) for side in (row.label.chosen, row.label.rejected))
            prompt = normalised(tuple(turn["content"] for turn in row.dialogue.messages)) if row.dialogue else ""
            if chosen == rejected:
                page.warn("equal", "chosen and rejected differ in case and blanks alone", "drop the row", row.number)
                continue
            if place in sampled:
                self.look_at(row, chosen, rejected, page)
            if other := known.get(hash((prompt, rejected, chosen))):
                what = f"prefers what row {other} rejects, and the other way round"
                page.warn("contradiction", what, "keep the pair that is right, or neither", row.number, other=other)
            if len(known) < MOST:
                known.setdefault(hash((prompt, chosen, rejected)), row.number)
            ratios.append(math.log((len(chosen) + 1) / (len(rejected) + 1)))
        return self.length_bias(ratios, page)

    def look_at(self, row: Row, chosen: str, rejected: str, page: Page) -> None:
        for name, answer in zip(page.part.roles.label, (chosen, rejected), strict=True):
            if not any(sign.isalnum() for sign in answer):
                what = f"the answer in column {name!r} is '{answer[:20]}'"
                page.warn("near_empty", what, "write it, or drop the row", row.number, name)
        if is_similar(chosen, rejected, self.similar):
            what = f"chosen and rejected are nearly the same: '{chosen[:60]}'"
            page.note("near_equal", what, "keep it only if that small difference is meant", row.number)

    def length_bias(self, ratios: Sequence[float], page: Page) -> dict[str, Any]:
        """Whether one side is longer more often than chance has it (sign test; ties say nothing)."""
        longer, unequal = sum(ratio > 0 for ratio in ratios), sum(ratio != 0 for ratio in ratios)
        share, mean, p = longer / max(unequal, 1), sum(ratios) / max(len(ratios), 1), sign_test(longer, unequal)
        if p < self.p and not 1 - self.longer <= share <= self.longer:
            side, often = ("longer", share) if share > 0.5 else ("shorter", 1 - share)
            times = f"on average {math.exp(mean):.2f} times as long, p {p:.1g}"
            what = f"chosen answers are {side} in {often:.0%} of {unequal:,} pairs ({times})"
            remedy = "balance the lengths, or take task.loss: simpo, which scores by the token; else length is learned"
            page.warn("length_bias", what, remedy, share=share, p=p, mean_log_ratio=mean)
        return {"pairs": len(ratios), "chosen_longer": share, "p": p, "mean_log_ratio": mean}


def said(messages: Sequence[dict[str, Any]]) -> str:
    """All that a side says; calls of functions count too."""
    return "\n".join(f"{turn['content']}{turn.get('tool_calls', '')}" for turn in messages)


def is_similar(first: str, second: str, least: float) -> bool:
    """Cheap bounds first: most pairs are told apart by them. Long answers are compared word by word."""
    if max(len(first), len(second)) <= SHORT:
        matcher = SequenceMatcher(None, first, second, autojunk=False)
    else:
        matcher = SequenceMatcher(None, first.split(), second.split(), autojunk=False)
    return min(matcher.real_quick_ratio(), matcher.quick_ratio()) > least and matcher.ratio() > least


def sign_test(longer: int, unequal: int) -> float:
    """Two-sided p of so many of one sign, by the normal approximation with its correction for continuity."""
    if not unequal:
        return 1.0
    return math.erfc(max(abs(longer - unequal / 2) - 0.5, 0) / math.sqrt(unequal / 2))
