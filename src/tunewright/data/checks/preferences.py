"""preferences: pairs that say nothing, that contradict each other, or that teach length instead of quality."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..desk import Desk, Part
from ..ledger import normalised
from ..preference_rows import SAME
from ..row import Row
from .base import Check, Notebook

SHORT = 1_000  # signs; SequenceMatcher is quadratic
TWO_PROMPTS = "two prompts"  # as reading says it


class Preferences(Check):
    """Looks at pairs of a chosen and a rejected answer."""

    title: ClassVar[str] = "chosen and rejected answers"
    tasks: ClassVar[tuple[str, ...]] = ("preference",)

    kind: Literal["preferences"] = "preferences"
    similar: float = Field(0.95, gt=0, lt=1, description="share of signs that two answers have in common, in order")
    longer: float = Field(0.6, gt=0.5, lt=1, description="of the pairs: more with one side longer are a bias")
    p: float = Field(0.01, gt=0, lt=1, description="of the sign test, below which a bias is no chance")

    def run(self, desk: Desk, notebook: Notebook) -> None:
        facts = notebook.facts["preferences"] = {}
        for part in desk.parts.values():
            tell_unusable(part, notebook)
            facts[part.name] = self.read(desk, part, notebook)

    def read(self, desk: Desk, part: Part, notebook: Notebook) -> dict[str, Any]:
        """One pass over a part; closeness is looked at in the sample alone."""
        first, second, numbers = (
            array("q"),
            array("q"),
            array("q"),
        )  # hashes of each pair, and of it the other way round
        sampled, ratios = set(desk.sample(part)), array("d")
        for place, row in enumerate(desk.each(part, "preferences")):
            chosen, rejected = (normalised((said(side),)) for side in (row.label.chosen, row.label.rejected))
            prompt = normalised(tuple(turn["content"] for turn in row.dialogue.messages)) if row.dialogue else ""
            if chosen == rejected:
                what = "chosen and rejected differ in case and blanks alone"
                notebook.add("preferences.equal", "warning", what, "drop the row", part, row.number)
                continue
            if place in sampled:
                self.look_at(row, chosen, rejected, part, notebook)
            first.append(hash((prompt, chosen, rejected)))
            second.append(hash((prompt, rejected, chosen)))
            numbers.append(row.number)
            ratios.append(math.log((len(chosen) + 1) / (len(rejected) + 1)))
        for place, other in contradictions(np.array(first), np.array(second)):
            number, known = numbers[place], numbers[other]
            what = f"prefers what row {known} rejects, and the other way round"
            remedy = "keep the pair that is right, or neither"
            notebook.add("preferences.contradiction", "warning", what, remedy, part, number, other=known)
        return self.length_bias(ratios, part, notebook)

    def look_at(self, row: Row, chosen: str, rejected: str, part: Part, notebook: Notebook) -> None:
        number = row.number
        for name, answer in zip(part.roles.label, (chosen, rejected), strict=True):
            if not any(sign.isalnum() for sign in answer):
                what = f"the answer in column {name!r} is '{answer[:20]}'"
                notebook.add("preferences.near_empty", "warning", what, "write it, or drop the row", part, number, name)
        if is_similar(chosen, rejected, self.similar):
            what = f"chosen and rejected are nearly the same: '{chosen[:60]}'"
            notebook.add("preferences.near_equal", "note", what, "keep it only if that small difference is meant", part,
                         row.number)  # fmt: skip

    def length_bias(self, ratios: Sequence[float], part: Part, notebook: Notebook) -> dict[str, Any]:
        """Whether one side is longer more often than chance has it (sign test; ties say nothing)."""
        longer, unequal = sum(ratio > 0 for ratio in ratios), sum(ratio != 0 for ratio in ratios)
        share, mean, p = longer / max(unequal, 1), sum(ratios) / max(len(ratios), 1), sign_test(longer, unequal)
        if p < self.p and not 1 - self.longer <= share <= self.longer:
            side, often = ("longer", share) if share > 0.5 else ("shorter", 1 - share)
            times = f"on average {math.exp(mean):.2f} times as long, p {p:.1g}"
            what = f"chosen answers are {side} in {often:.0%} of {unequal:,} pairs ({times})"
            remedy = "balance the lengths, or take task.loss: simpo, which scores by the token; else length is learned"
            notebook.add(
                "preferences.length_bias", "warning", what, remedy, part, share=share, p=p, mean_log_ratio=mean
            )
        return {"pairs": len(ratios), "chosen_longer": share, "p": p, "mean_log_ratio": mean}


def said(messages: Sequence[dict[str, Any]]) -> str:
    """All that a side says; calls of functions count too."""
    return "\n".join(f"{turn['content']}{turn.get('tool_calls', '')}" for turn in messages)


def tell_unusable(part: Part, notebook: Notebook) -> None:
    """Of the rows that can't be read: equal answers, empty ones, and dialogues that part too early."""
    empty = tuple(f"column {name!r} is empty" for name in part.roles.label)
    for number, reason in part.unusable:
        if reason.startswith(SAME):
            rule, remedy = "equal", "drop the row"
        elif reason.startswith(("the answer in column", *empty)):
            rule, remedy = "empty", "write the answer, or drop the row"
        elif TWO_PROMPTS in reason:
            rule, remedy = "prompt_differs", "give both sides the same turns up to the answer"
        else:
            continue
        notebook.add(f"preferences.{rule}", "warning", f"{reason}", remedy, part, number)


def contradictions(first: NDArray[np.int64], second: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """(place, earlier place) of pairs of which the earlier is the other way round."""
    order = np.argsort(first, kind="stable")
    found = np.minimum(np.searchsorted(first[order], second), max(len(first) - 1, 0))
    for place, other in enumerate(order[found]):
        if other < place and first[other] == second[place]:
            yield place, int(other)


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
