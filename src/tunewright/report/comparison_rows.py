"""Where contestants disagree, row by row, and how often two of them agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import answers, entities, page, privacy
from .answers import SEPARATOR
from .marked import GOLD, Stretch, marked, occurrences
from .markup import Markup, element, join
from .mistakes import label_names
from .words import count, finite, listing, plural, score, shorten

if TYPE_CHECKING:
    from .comparison_files import Comparison

Record = dict[str, Any]
EACH, LIMIT = 6, 400  # rows of a kind, and answers of a row; characters of a text
TITLE = "Where they disagree"

# In the order in which they are told, with what they are good for.
KINDS = {
    "some": ("Some runs are right, others wrong", "They say most about what sets contestants apart."),
    "none": ("No run is right, and they differ", "Hard rows, or labels that are not clear."),
    "same": (
        "All runs are wrong in the same way",
        "Look at the labels of these first: the models agree with each other, not with them.",
    ),
}


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
    by_answer: list[tuple[Reply, list[str]]]  # who said it; the right answers first, then the most frequent


Replies = Mapping[Any, Reply]


def reply(line: Record) -> Reply:
    """Of a line of any task's predictions."""
    if "finished" in line or "rejected" in line:
        said = str(line.get("predicted") or "")
        return Reply(said, said, None, finite(line.get("loss")))
    if "confidence" in line:
        return _answer(line)
    if "probability" in line or "probabilities" in line:
        labels = label_names(line.get("predicted"))
        return Reply(tuple(sorted(labels)), _labels(labels), set(labels) == set(label_names(line.get("label"))))
    return _tagging(line)


def _labels(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "no label"


def _answer(line: Record) -> Reply:
    from ..metrics import squad

    found = answers.judge([line])[0]
    return Reply(squad.normalise(found.said or ""), found.said or "no answer", found.verdict == "right")


def _tagging(line: Record) -> Reply:
    """Told by what is wrong with it: everything else is as labelled."""
    sentence = entities.compare([line])[0]
    wrong = [sentence.named(fault.said) for fault in sentence.faults if fault.said]
    missed = [sentence.named(fault.gold) for fault in sentence.faults if fault.gold and not fault.said]
    parts = [*([who(wrong)] if wrong else []), *([f"without {who(missed)}"] if missed else [])]
    return Reply(frozenset(item.key for item in sentence.said), "; ".join(parts) or "all as labelled", not parts)


def disagreements(runs: Mapping[str, Replies], floors: Mapping[str, Replies]) -> dict[str, list[Disagreement]]:
    """The rows on which runs differ or are all wrong, by kind; those with most different answers first.

    Floors stand beside them, but make no difference alone: a majority class would differ nearly everywhere."""
    found: dict[str, list[Disagreement]] = {kind: [] for kind in KINDS}
    everyone = {**runs, **floors}
    for row in next(iter(runs.values()), {}):
        said = {name: replies[row] for name, replies in everyone.items() if row in replies}
        kind = _kind([said[name] for name in runs]) if len(said) == len(everyone) else None
        if kind:
            found[kind].append(Disagreement(row, _by_answer(said)))
    for rows in found.values():
        rows.sort(key=lambda item: -len(item.by_answer))
    return found


def _kind(runs: Sequence[Reply]) -> str | None:
    right = sum(bool(item.right) for item in runs)
    if right == len(runs):
        return None
    return "some" if right else "same" if len({item.said for item in runs}) == 1 else "none"


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


def widest(runs: Mapping[str, Replies], floors: Mapping[str, Replies]) -> list[tuple[Any, list[tuple[str, Reply]]]]:
    """The rows on which the losses of runs lie furthest apart, each with all its replies, the lowest loss first."""

    def losses(those: Mapping[str, Replies], row: Any) -> list[tuple[float, str]]:
        return sorted((said.loss, name) for name, replies in those.items()
                      if (said := replies.get(row)) is not None and said.loss is not None)  # fmt: skip

    each = [(found[-1][0] - found[0][0], row) for row in next(iter(runs.values()), {}) if (found := losses(runs, row))]
    each.sort(key=lambda item: -item[0])
    everyone = {**runs, **floors}
    return [(row, [(name, everyone[name][row]) for _, name in losses(everyone, row)]) for _, row in each[:EACH]]


def who(people: Sequence[str], floors: Collection[str] = (), limit: int = 5) -> str:
    """`full, tfidf (floor) and 12 more`."""
    told = [f"{name} (floor)" if name in floors else name for name in people]
    return listing([*told[:limit], f"{len(told) - limit} more"] if len(told) > limit else told)


def section(comparison: Comparison) -> Markup:
    """Nothing where fewer than two contestants have predictions."""
    everyone = {item.name: item.replies for item in comparison.contestants if item.replies}
    floors = {item.name: item.replies for item in comparison.contestants if item.replies and item.floor}
    runs = {name: replies for name, replies in everyone.items() if name not in floors}
    if len(runs) < 2:
        runs, floors = everyone, {}
    if len(runs) < 2:
        return Markup("")
    if all(item.right is None for replies in runs.values() for item in replies.values()):
        return _by_loss(comparison, runs, floors)
    found = disagreements(runs, floors)
    same = len(found["same"])
    lead = f"{plural(len(runs), 'contestant')} (first seed) differ on {count(len(found['some']) + len(found['none']))} "
    lead += f"of {plural(len(comparison.lines), 'row')}"
    lead += (f", and are wrong in the same way on {count(same)}" if same else "") + "."
    lead += " Floors are shown beside them." if floors else ""
    parts = [_of_kind(comparison, kind, items, floors) for kind, items in found.items() if items]
    best = str(comparison.verdict.get("best"))
    return page.section("disagreements", TITLE, lead, _agreement(everyone, best), *parts)


def _agreement(everyone: Mapping[str, Replies], best: str) -> Markup:
    """Every contestant against the best."""
    best = best if best in everyone else next(iter(everyone))
    head = [f"compared with {best}", "same answer", "both right", "only the best", "only this one", "none"]
    body = [[name, *map(count, agreement(everyone[best], each))] for name, each in everyone.items() if name != best]
    title = "Rows on which two agree, and who is right"
    return element("div", element("h3", title), page.table(title, head, body), class_="card contest")


def _of_kind(comparison: Comparison, kind: str, items: Sequence[Disagreement], floors: Collection[str]) -> Markup:
    body = [(item.row, [(_said(reply), who(people, floors)) for reply, people in item.by_answer]) for item in items]
    title, about = KINDS[kind]
    more = f" The first {count(EACH)}, those with most different answers." if len(items) > EACH else ""
    return _sheet(comparison, f"{title}: {plural(len(items), 'row')}", about + more, body[:EACH])


def _by_loss(comparison: Comparison, runs: Mapping[str, Replies], floors: Mapping[str, Replies]) -> Markup:
    """Of models of language: the rows whose losses lie furthest apart."""
    body = [
        (row, [(element("b", f"{score(reply.loss)} {name}", dir="auto"), reply.told) for name, reply in known])
        for row, known in widest(runs, floors)
    ]
    lead = f"Rows of {comparison.record['split']} (first seed) whose losses lie furthest apart, the lowest loss first."
    sheet = _sheet(comparison, "Losses and answers", "", body)
    return page.section("disagreements", TITLE, lead, sheet) if body else Markup("")


def _sheet(
    comparison: Comparison, title: str, about: str, body: Sequence[tuple[Any, list[tuple[Markup, str]]]]
) -> Markup:
    """A table of rows: the text, the label, and what was answered by whom."""
    cells = [[_text(comparison, row), _label(comparison, row), _list(found)] for row, found in body]
    sheet = page.table(title, ["text", "label", "answers"], cells, text=3)
    return element("div", element("h3", title), page.note(about), sheet, class_="card texts stacked")


def _list(found: Sequence[tuple[Markup, str]]) -> Markup:
    told = [element("li", said, element("span", shorten(more, LIMIT), class_="small", dir="auto") if more else None)
            for said, more in found[:EACH]]  # fmt: skip
    left = element("li", f"and {count(len(found) - EACH)} more") if len(found) > EACH else None
    return element("ul", *told, left, class_="said")


def _said(reply: Reply) -> Markup:
    return element("b", shorten(reply.told, LIMIT) or "(empty)", class_="right" if reply.right else "wrong", dir="auto")


def _text(comparison: Comparison, row: Any) -> Markup:
    """The text with what is labelled in it underlined."""
    line = comparison.lines[row]
    text = str(line.get("text") or "")
    shown: object = shorten(privacy.scrub(text), LIMIT) or "(empty text)"
    if comparison.task == "question_answering":
        question, _, context = text.partition(SEPARATOR)
        gold = [Stretch(*place, GOLD) for answer in line["label"][:1] for place in occurrences(str(answer), context)]
        shown = join([element("b", question), element("span", marked(context, gold, gold[:1]), class_="small")])
    elif comparison.task == "token_classification" and line.get("scheme") != "plain":  # there every word has a label
        shown = marked(text, [Stretch(item["start"], item["end"], GOLD) for item in line["label"]])
    return element("div", shown, element("span", f"row {row}", class_="small"), dir="auto")


def _label(comparison: Comparison, row: Any) -> Markup:
    line = comparison.lines[row]
    if comparison.task == "question_answering":
        said = str(line["label"][0]) if line["label"] else "no answer"
    elif comparison.task == "token_classification":
        sentence = entities.compare([line])[0]
        said = ", ".join(map(sentence.named, sentence.gold)) or "nothing"
    else:
        said = _labels(label_names(line.get("label")))
    return element("span", shorten(said, LIMIT), dir="auto")
