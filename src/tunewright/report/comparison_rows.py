"""Where contestants disagree, row by row. Pure functions on the lines of predictions/SPLIT.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from . import answers, entities
from .words import finite, listing

Record = dict[str, Any]


class Reply(NamedTuple):
    """What a contestant made of a row."""

    said: Hashable  # the same where two answers are the same
    told: str
    right: bool | None = None  # None: nothing is right or wrong, only more or less likely
    loss: float | None = None


class Agreement(NamedTuple):
    """Two contestants on the same rows: how often they said the same, and which of them were right."""

    same: int
    both: int
    only_first: int
    only_second: int
    neither: int


class Disagreement(NamedTuple):
    row: Any
    kind: str  # of KINDS
    by_answer: list[tuple[Reply, list[str]]]  # who said it; the right answers first, then the most frequent


# In the order in which they are told, the most telling first.
KINDS = {
    "one": "Only one run is right",
    "nobody": "No run is right, and they differ",
    "floor": "The floor is right where the best is wrong",
    "split": "Some runs are right, others wrong",
    "same": "All runs are wrong in the same way",
}


def reply(line: Record) -> Reply:
    """Of a line of any task."""
    if "finished" in line or "rejected" in line:
        said = str(line.get("predicted") or "")
        return Reply(said, said, None, finite(line.get("loss")))
    if "confidence" in line:
        return _answer(line)
    if "probability" in line or "probabilities" in line:
        labels = names(line.get("predicted"))
        return Reply(tuple(sorted(labels)), label_text(labels), set(labels) == set(names(line.get("label"))))
    return _tagging(line)


def names(value: Any) -> list[str]:
    """One label or several as a list."""
    return [str(name) for name in value] if isinstance(value, list) else [] if value is None else [str(value)]


def label_text(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "no label"


def _answer(line: Record) -> Reply:
    from ..metrics import squad

    found = answers.judge([line])[0]
    return Reply(squad.normalise(found.said or ""), found.said or "no answer", found.verdict == "right")


def _tagging(line: Record) -> Reply:
    """Told by what is wrong with it: everything else is as labelled."""
    sentence = entities.compare([line])[0]
    wrong: list[str] = []
    missed: list[str] = []
    for fault in sentence.faults:
        item = fault.said or fault.gold
        if item is not None:
            told = f"{' '.join(sentence.text[item.start : item.end].split())} ({item.type})"
            (wrong if fault.said else missed).append(told)
    parts = [*([who(wrong)] if wrong else []), *([f"without {who(missed)}"] if missed else [])]
    return Reply(frozenset(item.key for item in sentence.said), "; ".join(parts) or "all as labelled", not parts)


Replies = Mapping[Any, Reply]


def disagreements(
    runs: Mapping[str, Replies], floors: Mapping[str, Replies], best: str | None
) -> dict[str, list[Disagreement]]:
    """The rows on which runs differ or are all wrong, by kind; those with most different answers first.

    Floors alone make no difference, since a majority class would differ nearly everywhere; the first of them, the
    strongest, is asked where the best is wrong."""
    found: dict[str, list[Disagreement]] = {kind: [] for kind in KINDS}
    everyone = {**runs, **floors}
    for row in next(iter(runs.values()), {}):
        if all(row in replies for replies in everyone.values()):
            said = {name: replies[row] for name, replies in everyone.items()}
            kind = _kind([said[name] for name in runs], [said[name] for name in floors][:1], said.get(best or ""))
            if kind:
                found[kind].append(Disagreement(row, kind, _by_answer(said)))
    for rows in found.values():
        rows.sort(key=lambda item: -len(item.by_answer))
    return found


def _kind(runs: Sequence[Reply], floor: Sequence[Reply], best: Reply | None) -> str | None:
    right = sum(bool(item.right) for item in runs)
    upset = best is not None and not best.right and any(item.right for item in floor)
    if right == len(runs):
        return None
    if right == 1:
        return "one"
    if upset or right:
        return "floor" if upset else "split"
    return "same" if len({item.said for item in runs}) == 1 else "nobody"


def _by_answer(said: Mapping[str, Reply]) -> list[tuple[Reply, list[str]]]:
    groups: dict[Hashable, tuple[Reply, list[str]]] = {}
    for name, item in said.items():
        groups.setdefault(item.said, (item, []))[1].append(name)
    return sorted(groups.values(), key=lambda group: (not group[0].right, -len(group[1])))


def agreement(first: Replies, second: Replies) -> Agreement:
    shared = [(first[row], second[row]) for row in first if row in second]
    rights = Counter((bool(one.right), bool(other.right)) for one, other in shared)
    same = sum(one.said == other.said for one, other in shared)
    return Agreement(same, rights[True, True], rights[True, False], rights[False, True], rights[False, False])


def widest(
    runs: Mapping[str, Replies], floors: Mapping[str, Replies], limit: int
) -> list[tuple[Any, list[tuple[str, Reply]]]]:
    """The rows on which the losses of runs lie furthest apart, each with all its replies, the lowest loss first."""

    def losses(those: Mapping[str, Replies], row: Any) -> list[tuple[float, str]]:
        return sorted((said.loss, name) for name, replies in those.items()
                      if (said := replies.get(row)) is not None and said.loss is not None)  # fmt: skip

    each = [(found[-1][0] - found[0][0], row) for row in next(iter(runs.values()), {}) if (found := losses(runs, row))]
    each.sort(key=lambda item: -item[0])
    everyone = {**runs, **floors}
    return [(row, [(name, everyone[name][row]) for _, name in losses(everyone, row)]) for _, row in each[:limit]]


def who(people: Sequence[str], floors: Collection[str] = (), limit: int = 5) -> str:
    """`full, tfidf (floor) and 12 more`."""
    told = [f"{name} (floor)" if name in floors else name for name in people]
    return listing([*told[:limit], f"{len(told) - limit} more"] if len(told) > limit else told)
