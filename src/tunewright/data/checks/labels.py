"""Labels: how often each comes, which are too few, spelled in several ways, or only in the test."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..repairs import label_key
from .base import Check, Notebook, Page

if TYPE_CHECKING:
    from ..desk import Desk

NAMED = 200  # labels whose counts are in the facts; the rest is summed up


@dataclass
class Tally:
    """The labels of one split: rows of each, and all rows."""

    counts: Counter[str] = field(default_factory=Counter)
    rows: int = 0

    def see(self, names: Any) -> None:
        self.counts.update(names)
        self.rows += 1

    @property
    def effective(self) -> float:
        """Classes as many as there were if all were equally frequent: the exponential of the entropy (Hill 1973)."""
        total = self.counts.total()
        return math.exp(-sum(count / total * math.log(count / total) for count in self.counts.values() if count))

    def facts(self, several: bool) -> dict[str, Any]:
        """Plain values for the report, the most frequent labels first."""
        common = self.counts.most_common()
        found = {
            "rows": self.rows, "labels": len(common), "counts": {name[:80]: count for name, count in common[:NAMED]},
            "others": sum(count for _, count in common[NAMED:]), "effective": self.effective if common else 0.0,
        }  # fmt: skip
        return found | ({"labels_a_row": self.counts.total() / self.rows} if several and self.rows else {})


class Labels(Check):
    """Classes that can't be learned, split or scored as they are given."""

    kind: Literal["labels"] = "labels"
    title: ClassVar[str] = "labels"
    tasks: ClassVar[tuple[str, ...]] = ("sequence_classification", "token_classification")
    cost: ClassVar[int] = 0
    to_learn: int = 8  # examples below which a class is learned by luck; few-shot papers begin with 8 a class
    to_split: int = 2  # examples that a split needs of a class
    imbalance: float = 10.0  # the largest class over the smallest
    rare: float = 0.1  # of two names that differ in one letter: how rare a slip is beside the name that is meant

    def run(self, desk: Desk, notebook: Notebook) -> None:
        several = bool(getattr(desk.task, "multi_label", False))
        tallies = {name: Tally() for name in desk.parts}
        facts = notebook.facts[self.kind] = {}
        for name, part in desk.parts.items():
            for row in desk.each(part, "labels"):
                tallies[name].see(desk.task.counted(row))
            facts[name] = tallies[name].facts(several)
        train, page = tallies["train"], Page(notebook, self.kind, desk.train)
        self.small(train, page)
        self.balance(train, page)
        self.spelling(sum((tally.counts for tally in tallies.values()), Counter()), page)
        for part in desk.held_out:
            self.unseen(train, tallies[part.name], Page(notebook, self.kind, part))
        if several:
            self.constant(train, page)

    def small(self, train: Tally, page: Page) -> None:
        for name, count in sorted(train.counts.items(), key=lambda item: item[1]):
            if count >= self.to_learn:
                break
            rule, why = "too_few_to_learn", f"fewer than {self.to_learn} are learned by luck"
            if count < self.to_split:
                rule, why = "too_few_to_split", f"a split or fold needs {self.to_split}"
            message = f"label {name!r} has {count} example{'s' * (count > 1)}: {why}"
            remedy = "add examples, join it to a neighbouring label, or leave it out"
            page.warn(rule, message, remedy, label=name, count=count)

    def balance(self, train: Tally, page: Page) -> None:
        common = train.counts.most_common()
        if len(common) < 2 or common[0][1] < self.imbalance * common[-1][1]:
            return
        (most, high), (least, low) = common[0], common[-1]
        message = f"the largest class {most!r} has {high} examples, the smallest {least!r} {low}: {high / low:.0f} to 1"
        message += f", as if there were {train.effective:.1f} classes and not {len(common)}"
        remedy = "set training.balance (class weights, sampling, or focal loss), and compare runs by macro F1"
        page.warn("imbalance", message, remedy, ratio=high / low, effective=train.effective)

    def spelling(self, counts: Mapping[str, int], page: Page) -> None:
        groups: dict[str, list[str]] = defaultdict(list)
        for name in sorted(counts, key=lambda name: (-counts[name], name)):
            groups[label_key(name)].append(name)
        for names in groups.values():
            if len(names) > 1:
                written = ", ".join(f"{name!r} ({counts[name]})" for name in names)
                message = f"one label is written in {len(names)} ways: {written}"
                variants = {name: counts[name] for name in names}
                page.warn("variants", message, "data check --fix labels --write NEW", variants=variants)
        sums = {key: sum(counts[name] for name in names) for key, names in groups.items()}
        for rare, frequent in slips(sums, self.rare):
            a, b = groups[rare][0], groups[frequent][0]
            message = f"label {a!r} ({counts[a]}) looks like a slip of {b!r} ({counts[b]})"
            page.warn("slips", message, "correct its rows, if it is one", variants={a: counts[a], b: counts[b]})

    def unseen(self, train: Tally, own: Tally, page: Page) -> None:
        split = page.part.name
        for name in sorted(own.counts.keys() - train.counts.keys()):
            message = f"label {name!r} has {own.counts[name]} rows in {split}, and none in train"
            remedy = "add rows with it to the training data, or correct it"
            page.add("unseen", "severe", message, remedy, label=name, count=own.counts[name])
        lacking = sorted(train.counts.keys() - own.counts.keys())
        if lacking and own.rows:
            shown = ", ".join(map(repr, lacking[:5])) + ", ..." * (len(lacking) > 5)
            message = f"{len(lacking)} of {len(train.counts)} labels have no row in {split}: {shown}"
            page.note("unscored", message, "they get no score there; stratify the split (data split)",
                      labels=lacking[:NAMED])  # fmt: skip

    def constant(self, train: Tally, page: Page) -> None:
        """Of labels that a row may have several of: those that say nothing."""
        columns = page.part.roles.label if len(page.part.roles.label) > 1 else ()
        for name in dict.fromkeys((*columns, *train.counts)):
            count = train.counts[name]
            if count == 0 or (count == train.rows and train.rows >= self.to_learn):
                message = f"label {name!r} is {'never' if count == 0 else 'always'} set: nothing is learned of it"
                page.warn("constant", message, "leave it out, or add rows that differ in it", label=name, count=count)


def slips(counts: Mapping[str, int], rare: float) -> Iterator[tuple[str, str]]:
    """(name, the one that is meant): names one letter apart, the first at most `rare` times as frequent.

    Names that differ in a digit, or have fewer than five letters, are names of their own.
    """
    near: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        for form in {name, *(name[:place] + name[place + 1 :] for place in range(len(name)))}:
            near[form].append(name)
    pairs = {tuple(sorted((a, b))) for names in near.values() for a in names[:20] for b in names[:20] if a < b}
    for a, b in sorted(pairs):
        low, high = sorted((a, b), key=lambda name: counts[name])
        differing = set(Counter(a) - Counter(b)) | set(Counter(b) - Counter(a))
        letters = min(len(a), len(b)) >= 5 and not any(map(str.isdigit, differing))
        if letters and counts[low] <= rare * counts[high] and one_apart(a, b):
            yield low, high


def one_apart(a: str, b: str) -> bool:
    """Whether one letter was added, left out, changed, or swapped with the next (Damerau 1964)."""
    start = next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    swapped = len(rest_a) > 1 and rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]
    return swapped or rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:]
